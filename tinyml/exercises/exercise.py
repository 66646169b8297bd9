"""What an exercise is: a function of the library to write again, its tests, hints and mistakes."""
from dataclasses import dataclass

LEVELS = {1: "a line", 2: "a formula", 3: "an algorithm"}
FREE = ("bisect", "collections", "dataclasses", "functools", "heapq", "itertools", "math",
        "numpy")    # the modules that every answer may import


@dataclass(frozen=True)
class Mistake:
    """A plausible wrong answer, as an edit of the reference.

    Parameters
    ----------
    old : str, a text that occurs exactly once in the source of the answer
    new : str, what a student wrote instead
    why : str, the diagnosis: what is wrong, and what is right, in a sentence or two
    """
    old: str
    new: str
    why: str


@dataclass(frozen=True)
class Exercise:
    """One function of the library that a student writes again.

    Parameters
    ----------
    name : str, the word on the command line, and the name of the student's file
    target : str, "module:function" or "module:Class.method"
    task : str, one sentence: what to write
    level : int, 1 (a line), 2 (a formula), 3 (an algorithm); also the points for it
    minutes : int, for a student who has read the lesson
    tests : tuple of str, "test_ops.py::test_x" below tests/, or one case of it, "...[case]"
    hints : tuple of three str: the direction; the formula and the shapes; almost the code
    mistakes : tuple of Mistake, three or more
    after : tuple of str, names of the exercises to do before
    hide : tuple of str, private functions of the module that would give the answer away
    also : tuple of str, what the tests ask beyond the docstring; the stub lists it
    keep : int, number of statements at the head of the body that stay in the stub
    examples : int, number of inputs that hypothesis draws for a test, if it does not say itself;
        more if a mistake shows on few of them
    view : str, for a method: what shows the state of its object, attributes and methods without
        arguments, such as "queue.keys" or "keys ids filled"
    assigns : tuple of str, attributes that an answer may assign to, besides the library's own
    """
    name: str
    target: str
    task: str
    level: int
    minutes: int
    tests: tuple
    hints: tuple
    mistakes: tuple
    after: tuple = ()
    hide: tuple = ()
    also: tuple = ()
    keep: int = 0
    examples: int = 50
    view: str = ""
    assigns: tuple = ()

    @property
    def module(self):
        """The dotted name of the module that the piece belongs to."""
        return self.target.partition(":")[0]

    @property
    def path(self):
        """The names that lead to the piece inside its module: ("tanh",) or ("Adam", "update")."""
        return tuple(self.target.partition(":")[2].split("."))


@dataclass(frozen=True)
class Chapter:
    """Exercises that belong together, in the order in which to do them.

    Parameters
    ----------
    name : str, one word
    title : str, what the chapter is about, with its section of the notes if it has one
    exercises : tuple of Exercise
    """
    name: str
    title: str
    exercises: tuple


def laws_of(file, *laws):
    """The graders of those names in tests/test_<file>.py, a tuple of str."""
    return tuple(f"test_{file}.py::{law}" for law in laws)
