"""All chapters, in the order in which to do them: one file each."""
from functools import cache

from tinyml.exercises.catalogue import contrastive, engine, functional, masking, optim, transfer

CHAPTERS = (engine.CHAPTER, functional.CHAPTER, optim.CHAPTER, masking.CHAPTER, contrastive.CHAPTER,
            transfer.CHAPTER)


@cache
def exercises():
    """{name: Exercise} of all chapters, in order."""
    return {exercise.name: exercise for chapter in CHAPTERS for exercise in chapter.exercises}


def find(name):
    """The exercise of that name; raises LookupError with the nearest names if there is none."""
    if name not in exercises():
        near = [other for other in exercises() if name[:3] in other] or list(exercises())
        raise LookupError(f"there is no exercise {name!r}; is it one of {', '.join(near[:8])}?")
    return exercises()[name]
