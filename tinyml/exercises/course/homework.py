"""Homework as a file: which exercises count, for how many points, and until when.

    [homework]
    title = Homework 3: pruning
    due = 2026-12-01 23:59+11:00    ; with the offset from UTC, since machines differ
    late_percent = 10               ; off for each day begun after that; without it, nothing
    late_days = 3                   ; after so many days nothing counts; without it, all does
    seed = 2026                     ; of the inputs; without it, a new one for each grading
    partial = yes                   ; points for a part of the laws; without it, all or nothing

    [points]
    magnitude_mask = 2
    threshold_mask = 3

Only [points] must be there.
"""
import configparser
import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from tinyml.exercises.catalogue import exercises, find

KEYS = ("title", "due", "late_percent", "late_days", "seed", "partial")
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Homework:
    """What counts.

    Parameters
    ----------
    points : dict, exercise -> float >= 0
    title : str
    due : datetime with its time zone, or None
    late_percent : float in [0, 100], off for each day that has begun
    late_days : int >= 0 or None, the last day on which something still counts
    seed : int >= 0 or None
    partial : bool, whether a part of the laws gives a part of the points
    """
    points: dict
    title: str = "Exercises"
    due: datetime = None
    late_percent: float = 0.0
    late_days: int = None
    seed: int = None
    partial: bool = False
    exercises: list = field(init=False)

    def __post_init__(self):
        chosen = [find(name) for name in self.points]
        order = list(exercises())
        chosen.sort(key=lambda exercise: order.index(exercise.name))
        object.__setattr__(self, "exercises", chosen)

    @property
    def max_score(self):
        """All points."""
        return tidy(sum(self.points.values()))

    def late(self, submitted, due=None):
        """(share of the points that is kept, words) for homework submitted at a time, or None.

        Parameters
        ----------
        submitted : datetime with its time zone, or None if nobody knows
        due : datetime or None, another due date, for a student who was given more time
        """
        due = due or self.due
        if due is None or submitted is None or submitted <= due:
            return 1.0, ""
        days = math.ceil((submitted - due) / DAY)
        words = f"{days} {'day' if days == 1 else 'days'} late"
        if self.late_days is not None and days > self.late_days:
            return 0.0, f"{words}: nothing counts after {self.late_days}"
        kept = max(0.0, 1 - days * self.late_percent / 100)
        return kept, words + (f": {100 - 100 * kept:g} % off" if kept < 1 else "")


def of_names(names=None):
    """The homework of these exercises, or all: a point for each level."""
    title = ", ".join(names or ["all exercises"])
    return Homework({find(name).name: find(name).level for name in names or exercises()}, title)


def read_homework(path):
    """Read a homework's file; raises ValueError with what is wrong in it, OSError, LookupError."""
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=(";",))
    parser.optionxform = str
    try:
        parser.read_string(Path(path).read_text(encoding="utf-8-sig"))
        settings = dict(parser["homework"]) if "homework" in parser else {}
        if "points" not in parser or not len(parser["points"]):
            raise ValueError("it must have a section [points] with a line such as: tanh = 1")
        for word in [*settings, *parser.sections()]:
            if word not in (*KEYS, "homework", "points"):
                raise ValueError(f"there is no {word}; there are {', '.join(KEYS)}")
        points = {name: _number(name, text, 0, 1e6)
                  for name, text in parser["points"].items()}
        return Homework(points, **_settings(settings))
    except (ValueError, LookupError, configparser.Error) as error:
        words = " ".join(str(error).split())
        raise ValueError(f"{path}: {words}") from None


def _settings(texts):
    """{key: value} of the section [homework]."""
    values = {}
    for key, text in texts.items():
        if key == "title":
            values[key] = text
        elif key == "due":
            values[key] = moment(text, key)
        elif key == "partial":
            if text.lower() not in {"yes", "no"}:
                raise ValueError(f"partial must be yes or no, got {text}")
            values[key] = text.lower() == "yes"
        elif key == "late_percent":
            values[key] = _number(key, text, 0, 100)
        else:
            values[key] = _whole(key, text)
    return values


def moment(text, what):
    """A time with its offset from UTC, such as 2026-12-01 23:59+11:00."""
    try:
        time = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise ValueError(f"{what} must be like 2026-12-01 23:59+11:00, got {text}")
    return time


def _number(what, text, least, most):
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not least <= value <= most:
        raise ValueError(f"{what} must be a number from {least:g} to {most:g}, got {text}")
    return tidy(value)


def _whole(what, text):
    if not (text or "").isdecimal() or int(text) >= 2**31:
        raise ValueError(f"{what} must be a whole number below 2^31, got {text}")
    return int(text)


def tidy(number):
    """A number without digits that come from rounding, and whole if it is."""
    number = round(number, 2)
    return int(number) if number == int(number) else number
