"""What the class got wrong: for each exercise, and by the names of the mistakes."""
import io
import textwrap
from collections import Counter
from statistics import median

from tinyml.exercises.course.results import table
from tinyml.exercises.student.report import clean

STATUSES = ("solved", "failed", "timeout", "crashed", "refused", "unwritten")
COLUMNS = ("student", "exercise", "status", "score", "max_score", "mistake", "attempts", "reason")
LEGEND = ("failed: a test fails        timeout: it computes for too long",
          "crashed: Python itself ended, or the grader failed",
          "refused: not Python, or it uses what no answer needs",
          "unwritten: not handed in, empty, or still the stub",
          "attempts: the median number of checks, from the folders that have .progress.json")
COMMONEST = 10
COLOURS = ("#009e73", "#d55e00", "#e69f00", "#cc79a7", "#56b4e9", "#bbbbbb")    # Okabe and Ito


def tables(homework, rows):
    """{file: content} of the tables of a class, and of its picture if Matplotlib is there."""
    answers = [{**entry, "student": row["student"]} for row in rows for entry in row["entries"]]
    files = {"answers.csv": table(COLUMNS, answers), "class.txt": text(homework, answers)}
    picture = drawn(homework, answers)
    return files | ({"class.png": picture} if picture else {})


def counts(homework, answers):
    """{exercise: Counter of statuses}, in the order of the exercises."""
    found = {exercise.name: Counter() for exercise in homework.exercises}
    for answer in answers:
        known = answer["status"] in STATUSES
        found[answer["exercise"]][answer["status"] if known else "crashed"] += 1
    return found


def mistakes(answers):
    """[((exercise, mistake), number)] of those that occur most."""
    named = Counter((a["exercise"], a["mistake"]) for a in answers if a["mistake"])
    return named.most_common(COMMONEST)


def attempts(answers, exercise):
    """The median number of attempts, where students' folders tell, else ""."""
    known = [a["attempts"] for a in answers if a["exercise"] == exercise and a.get("attempts")]
    return f"{median(known):g}" if known else ""


def text(homework, answers):
    """The table of a class, and its commonest mistakes."""
    head = "".join(f"{word:>10}" for word in (*STATUSES, "attempts"))
    lines = [clean(homework.title), "", f"{'exercise':<26}{head}"]
    for name, found in counts(homework, answers).items():
        cells = [found[status] or "." for status in STATUSES] + [attempts(answers, name)]
        lines.append(f"{name:<26}" + "".join(f"{cell:>10}" for cell in cells).rstrip())
    lines += ["", *LEGEND, ""]
    lines += ["the commonest mistakes"] * bool(mistakes(answers))
    for (name, why), number in mistakes(answers):
        lines += textwrap.wrap(f"{number} x {name}: {why}", 96, subsequent_indent="      ",
                               initial_indent="  ")
    return "\n".join(lines) + "\n"


def drawn(homework, answers):
    """The same as a picture, the bytes of a PNG; None without Matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    found, commonest = counts(homework, answers), mistakes(answers)
    height = 2 + 0.3 * len(found) + 0.5 * len(commonest)
    figure = Figure(figsize=(9, height), layout="constrained")
    n_panels, heights = 1 + bool(commonest), [len(found) + 2, 2 * len(commonest) + 2]
    axes = figure.subplots(n_panels, squeeze=False, height_ratios=heights[:n_panels])
    upper, names = axes[0, 0], list(found)
    left = [0] * len(names)
    for status, colour in zip(STATUSES, COLOURS):
        width = [found[name][status] for name in names]
        upper.barh(names, width, left=left, color=colour, edgecolor="white", label=status)
        left = [a + b for a, b in zip(left, width)]
    upper.set(xlabel="students", title=clean(homework.title)[:80].replace("$", r"\$"))
    upper.invert_yaxis()
    upper.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(ncols=len(STATUSES), fontsize="small", loc="outside upper center", frameon=False)
    if commonest:
        _draw_mistakes(axes[1, 0], commonest)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()


def _draw_mistakes(lower, commonest):
    labels = [textwrap.fill(textwrap.shorten(f"{name}: {why}", 110, placeholder=" ..."), 56)
              .replace("$", r"\$") for (name, why), _ in commonest]
    lower.barh(range(len(labels)), [number for _, number in commonest], color=COLOURS[1])
    lower.set_yticks(range(len(labels)), labels, fontsize="small")
    lower.set(xlabel="answers", title="the commonest mistakes")
    lower.xaxis.get_major_locator().set_params(integer=True)
    lower.invert_yaxis()
