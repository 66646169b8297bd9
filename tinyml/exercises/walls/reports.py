"""What the parent believes of a child's report: of its form, and fitting the exercise."""

OUTCOMES = {"passed", "failed", "skipped", "not run"}
LINES = 40          # of an example
LETTERS = 20_000    # of a text


def believed(report, exercise, expected):
    """The report if it can be one, else a reason why not.

    Parameters
    ----------
    report : what the child said
    exercise : Exercise
    expected : list of str, the ids of the tests as the server collected them

    Returns
    -------
    (dict or None, str)
    """
    try:
        return _parts(report, exercise, expected), ""
    except (KeyError, TypeError, ValueError, AttributeError):
        return None, "its report is none"


def _parts(report, exercise, expected):
    if "endless" in report:
        return {"endless": _number(report["endless"]), "input": _texts(report["input"])}
    if "refused" in report:
        return {"refused": _text(report["refused"])}
    tests = [{"id": _text(test["id"]), "outcome": _one_of(test["outcome"], OUTCOMES),
              "message": _text(test["message"])} for test in report["tests"]]
    return {"tests": tests, "calls": _number(report["calls"]), "beyond": _text(report["beyond"]),
            "changed": _texts(report["changed"]), "expected": expected,
            "tutor": _tutor(report.get("tutor", {}), exercise)}


def _tutor(told, exercise):
    """What the tutor told; its words are for the student, and earn nothing."""
    if not told:
        return {}
    number, example = told["diagnosis"], told["example"]
    either = [_number(other) for other in told["either"]]
    if number is not None:
        _number(number)
    if not all(0 <= n < len(exercise.mistakes) for n in [number or 0, *either]):
        raise ValueError
    if example is not None:
        example = {"input": _texts(example["input"]), "small": bool(example["small"]),
                   **{key: _text(example[key]) for key in ("where", "expected", "got", "printed")}}
    return {"seed": _number(told["seed"]), "differ": _number(told["differ"]),
            "replayed": _number(told["replayed"]), "raises": bool(told["raises"]),
            "share": float(told["share"]), "diagnosis": number, "either": either,
            "relation": _text(told["relation"]), "example": example}


def _text(value):
    if not isinstance(value, str):
        raise TypeError
    return value[:LETTERS]


def _texts(values):
    if not isinstance(values, list):
        raise TypeError
    return [_text(value) for value in values[:LINES * 25]]


def _number(value):
    if type(value) is not int or not 0 <= value < 2**62:
        raise TypeError
    return value


def _one_of(value, allowed):
    if value not in allowed:
        raise ValueError
    return value
