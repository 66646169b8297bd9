"""The exercises of a page: what a student sees before the first line is written, and no solution."""
import html

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


def write(page):
    """The exercises of the page: task, level, minutes, command; hints folded, no solution."""
    parts = []
    for exercise in tasks(page.modules):
        hints = "".join(f"<details><summary>Hint {number}</summary><p>{html.escape(hint)}</p></details>"
                        for number, hint in enumerate(exercise.hints, 1))
        also = "".join(f"<li>{html.escape(words)}</li>" for words in exercise.also)
        parts.append(f'<article><h3>Exercise: {exercise.name}</h3><p>{html.escape(exercise.task)}. '
                     f'<span class="quiet">{LEVELS[exercise.level].capitalize()}, some '
                     f"{exercise.minutes} minutes.</span></p>"
                     f'<p><code class="command">python -m tinyml.exercises start {exercise.name}</code></p>'
                     + (f'<ul class="also">{also}</ul>' if also else "") + hints + "</article>")
    return "\n".join(parts)
