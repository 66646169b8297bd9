"""All chapters, in the order in which to do them: one file each."""
from difflib import get_close_matches
from functools import cache

from tinyml.exercises.catalogue import (
    binary,
    blocks,
    byol,
    circulant,
    coding,
    colors,
    compact,
    contrastive,
    distances,
    distillation,
    double_descent,
    engine,
    epoch_wise,
    functional,
    hidden,
    integers,
    low_rank,
    masking,
    min_norm,
    momentum,
    optim,
    pruning,
    quantization,
    quantized_training,
    risk,
    series,
    sharing,
    structure,
    transfer,
)

CHAPTERS = (engine.CHAPTER, functional.CHAPTER, distances.CHAPTER, optim.CHAPTER,
            double_descent.CHAPTER, min_norm.CHAPTER, risk.CHAPTER, epoch_wise.CHAPTER,
            pruning.CHAPTER, structure.CHAPTER, quantization.CHAPTER,
            quantized_training.CHAPTER, binary.CHAPTER, integers.CHAPTER, sharing.CHAPTER,
            coding.CHAPTER, low_rank.CHAPTER, colors.CHAPTER, blocks.CHAPTER, circulant.CHAPTER,
            compact.CHAPTER, distillation.CHAPTER, masking.CHAPTER, hidden.CHAPTER,
            contrastive.CHAPTER, momentum.CHAPTER, byol.CHAPTER, transfer.CHAPTER,
            series.CHAPTER)


@cache
def exercises():
    """{name: Exercise} of all chapters, in order."""
    return {exercise.name: exercise for chapter in CHAPTERS for exercise in chapter.exercises}


def find(name):
    """The exercise of that name; raises LookupError with the nearest names if there is none."""
    if name not in exercises():
        words = {word: other for other in exercises() for word in [other, *other.split("_")]}
        close = [words[word] for word in get_close_matches(name.lower(), words, n=8, cutoff=0.7)]
        near = [other for other in exercises() if name and name.lower() in other] + close
        near = list(dict.fromkeys(near))[:5]
        which = f"did you mean {' or '.join(near)}?" if near else "see all with the command list"
        raise LookupError(f"there is no exercise {name!r}; {which}")
    return exercises()[name]
