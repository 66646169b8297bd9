"""The exercises of a page: what a student sees before the first line is written, and no solution."""
from tinyml.exercises.catalogue import CHAPTERS

LEVELS = {1: "a line", 2: "a formula", 3: "an algorithm"}


def tasks(modules):
    """The exercises whose pieces are in the modules, given as paths."""
    dotted = {path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in modules}
    return [exercise for chapter in CHAPTERS for exercise in chapter.exercises
            if exercise.module in dotted]


def counts():
    """How many exercises there are, and how many mistakes their graders were tried on."""
    exercises = [exercise for chapter in CHAPTERS for exercise in chapter.exercises]
    return len(exercises), sum(len(exercise.mistakes) for exercise in exercises)
