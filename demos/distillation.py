"""Can a small network learn from a large one what a 3 is, without ever seeing a 3?

MATH5836 week 10, section 10.2.4; Hinton, Vinyals and Dean 2015, sections 2, 3 and 5. The teacher is a
convolutional network that knows all ten digits, the student has 32 hidden units. First the student is shown
every training image but the threes, and is told nothing but the teacher's probabilities at a temperature T.
Then labels are few: the student learns from them, or from what a teacher says, be it one that has had all the
labels or one that has had just these few.

You will see images with the teacher's opinion on them at T = 1 and at a higher T; how many threes of the test
set the student recognises, against T; what it takes threes for, and what one corrected bias does to that; and
accuracy against the number of labels. The paper chooses the bias on the test set. Here it makes the student
say "3" to a tenth of the training images, which needs no label: there are ten digits, one of them is the 3.

Predict first: how many of a hundred threes does a network recognise that has never seen one? Will it be more
after T = 1 or after T = 16? Does a student with 20 labels gain from a teacher that has had the same 20?
"""
# %% Constants
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, VERMILLION, band, start

from tinyml import nn
from tinyml.compression.distillation import distill, shift_bias, soften, solve_bias
from tinyml.compression.report import compare
from tinyml.data import digits, train_test_split
from tinyml.optim import Adam
from tinyml.train import accuracy, fit, predict

demo = start(__file__, __doc__)
RUNS = 2 if demo.quick else 5                             # each with its own split, teacher and students
OMITTED = 3                                               # the digit that no student is shown at first
SHARE = 0.1                                               # of this digit among all images: common knowledge
FILTERS = (8, 16, 32) if demo.quick else (16, 32, 64)     # of the teacher: two convolutions, one hidden layer
HIDDEN = 32                                               # units of the student
TEMPERATURES = (1, 8) if demo.quick else (1, 2, 4, 8, 16)
T = 8                                                     # outside of the sweep, and in the title
N_LABELS = (20,) if demo.quick else (20, 60, 200)
ALMOST_ALL = 0.75 if demo.quick else 0.9                  # of the threes, recognised with the bias corrected
TEACHING = dict(steps=150, size=64, lr=4e-3)              # how teachers are trained, on any number of images
LEARNING = dict(steps=200 if demo.quick else 300, size=128, lr=2e-2)    # and students
EXAMPLES = 4                                              # images with the teacher's opinion on them

# %% Data and models
X, y = digits()


class Image(nn.Module):
    """(N, 64) as images (N, 1, 8, 8)."""

    def forward(self, x):
        return x.reshape(-1, 1, 8, 8)


def teacher_network(rng):
    a, b, c = FILTERS
    return nn.Sequential(Image(), nn.Conv2d(1, a, 3, padding=1, rng=rng), nn.ReLU(),
                         nn.Conv2d(a, b, 3, padding=1, rng=rng), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(16 * b, c, rng=rng), nn.ReLU(), nn.Linear(c, 10, rng=rng))


def student_network(rng):
    return nn.Sequential(nn.Linear(64, HIDDEN, rng=rng), nn.ReLU(), nn.Linear(HIDDEN, 10, rng=rng))


def settings(model, n, rng, *, steps, size, lr):
    """What fit needs for so many steps on n samples, `size` of them at a time."""
    size = min(size, n)
    return dict(optimizer=Adam(model.parameters(), lr=lr), epochs=round(steps / np.ceil(n / size)),
                batch_size=size, rng=rng)


def teacher_of(X, y, rng):
    model = teacher_network(rng)
    fit(model, X, y, **settings(model, len(X), rng, **TEACHING))
    return model


def student_of_labels(X, y, rng):
    model = student_network(rng)
    fit(model, X, y, **settings(model, len(X), rng, **LEARNING))
    return model


def student_of(teacher, X, rng, temperature=T):
    model = student_network(rng)
    distill(model, teacher, X, temperature=temperature, alpha=1, **settings(model, len(X), rng, **LEARNING))
    return model


# %% Experiment
def named(model, X):
    """The shares of the images that are called 0, 1, ..., 9."""
    return np.bincount(predict(model, X).argmax(axis=1), minlength=10) / len(X)


def corrected(student, X):
    """The student, with the bias that makes it say OMITTED to a tenth of the images X."""
    return shift_bias(student, OMITTED, solve_bias(predict(student, X), OMITTED, share=SHARE))


def without_threes(teacher, X_train, y_train, rng):
    """Those who have seen no 3: the pupil of labels, and one for each temperature; each before and after."""
    kept = y_train != OMITTED
    pupils = [student_of_labels(X_train[kept], y_train[kept], rng)]
    pupils += [student_of(teacher, X_train[kept], rng, temperature) for temperature in TEMPERATURES]
    return [(pupil, corrected(pupil, X_train)) for pupil in pupils]


def few_labels(n, teacher, X_train, y_train, rng):
    """Three students for the same n labels. They are taught by: the labels; the teacher, about these n
    images; a teacher that has had these n labels, about all images."""
    X_few, _, y_few, _ = train_test_split(X_train, y_train, test_size=1 - n / len(X_train), rng=rng,
                                          stratify=y_train)
    return (student_of_labels(X_few, y_few, rng), student_of(teacher, X_few, rng),
            student_of(teacher_of(X_few, y_few, rng), X_train, rng))


class Findings(NamedTuple):
    threes: np.ndarray      # (pupils, before/after, 10), what threes of the test set are called
    right: np.ndarray       # (pupils, before/after), accuracy on all digits
    few: np.ndarray         # (students, len(N_LABELS)), accuracy
    all_images: float       # accuracy of the student of the teacher, about all images, without a label
    all_labels: float       # accuracy of the student of all labels
    teacher: float          # its accuracy
    ceiling: np.ndarray     # (10,), what it calls the threes


def run(rng):
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    X_threes = X_test[y_test == OMITTED]
    teacher = teacher_of(X_train, y_train, rng)
    pairs = without_threes(teacher, X_train, y_train, rng)
    few = [few_labels(n, teacher, X_train, y_train, rng) for n in N_LABELS]
    plain, student = student_of_labels(X_train, y_train, rng), student_of(teacher, X_train, rng)
    models.append({"teacher": teacher, "student, all labels": plain, "student, no label": student})
    seen.append((X_train[y_train != OMITTED], y_train[y_train != OMITTED], X_test, y_test))
    return Findings(np.array([[named(pupil, X_threes) for pupil in pair] for pair in pairs]),
                    np.array([[accuracy(pupil, X_test, y_test) for pupil in pair] for pair in pairs]),
                    np.array([[accuracy(student, X_test, y_test) for student in row] for row in few]).T,
                    *(accuracy(model, X_test, y_test) for model in (student, plain, teacher)),
                    named(teacher, X_threes))


models, seen = [], []    # of each run
runs = [run(rng) for rng in demo.progress(demo.rng.spawn(RUNS), "teachers")]
findings = Findings(*map(np.array, zip(*runs)))
recall = findings.threes[..., OMITTED]                  # (runs, pupils, before/after)
here = 1 + TEMPERATURES.index(T)                        # the pupil of temperature T; pupil 0 had labels
labels, same_images, small_teacher = np.moveaxis(findings.few, 1, 0)    # (runs, len(N_LABELS)) each
no_label = findings.all_images[:, None] + np.zeros_like(labels)
(hard, hard_bias), (soft, soft_bias) = recall.mean(axis=0)[[0, here]]


# %% Figure
def examples(teacher, X, y):
    """Of each class but the omitted one the image most like it to the teacher; the first few of these."""
    p = soften(predict(teacher, X), temperature=T)
    likeness = np.where(p.argmax(axis=1) == y, p[:, OMITTED], -1)    # where the teacher is right
    best = [np.flatnonzero(y == c)[likeness[y == c].argmax()] for c in np.unique(y)]
    return sorted(best, key=lambda i: -likeness[i])[:EXAMPLES]


def draw_opinion(picture, bars, x, label, logits):
    picture.imshow(x.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    picture.set(xticks=[], yticks=[], title=f"label {label}")
    p, cold = soften(logits, temperature=T), soften(logits, temperature=1)
    bars.bar(range(10), p, width=0.8, color=[VERMILLION if c == OMITTED else BLUE for c in range(10)])
    bars.bar(range(10), cold, width=0.8, fill=False, edgecolor=BLACK, linewidth=1.1)
    bars.set(xticks=range(10), ylim=(0, 1.2), yticks=[0, 0.5, 1], xlabel="digit")
    side = -1 if label > OMITTED else 1    # away from the tallest bar
    bars.text(OMITTED + 0.5 * side, p[OMITTED] + 0.03, f"{p[OMITTED]:.2f}", color=VERMILLION,
              ha="right" if side < 0 else "left")
    bars.text(min(label, 8.4), cold[label] + 0.03, f"{cold[label]:.3f}", ha="center")


def draw_sweep(ax):
    x = np.array(TEMPERATURES)
    for after, text, color, marker in ((1, "one bias corrected", GREEN, "s"), (0, "as trained", BLUE, "o")):
        line = band(ax, x, 100 * recall[:, 1:, after], color=color, marker=marker)
        ax.annotate(text, line.get_xydata()[0], (12, -14), textcoords="offset points", color=color)
    top = 100 * findings.ceiling[:, OMITTED].mean()
    ax.axhline(top, linestyle="--", color=BLACK, lw=1.3)
    ax.annotate("its teacher", (x[0], top), (0, 4), textcoords="offset points")
    ax.axhline(100 * hard, linestyle=":", color=VERMILLION, lw=2)
    ax.annotate("taught by labels", (x[-1], 100 * hard), (0, 4), textcoords="offset points", ha="right",
                color=VERMILLION)
    ax.set_xscale("log", base=2)
    ax.set(xticks=x, xticklabels=x, xlabel="temperature T", ylabel="threes recognised, %", ylim=(-3, 108),
           title=f"Heat tells the student what a {OMITTED} is")


def draw_names(ax):
    rows = {"labels": findings.threes[:, 0, 0], "labels, bias": findings.threes[:, 0, 1],
            f"T = {T}": findings.threes[:, here, 0], f"T = {T}, bias": findings.threes[:, here, 1],
            "teacher": findings.ceiling}
    shares = 100 * np.array([row.mean(axis=0) for row in rows.values()])
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=130, aspect="auto")
    for (i, j), share in np.ndenumerate(shares):
        if share >= 0.5:
            ax.text(j, i, f"{share:.0f}", ha="center", va="center", color="white" if share > 70 else "black")
    ax.grid(False)
    ax.set(xticks=range(10), yticks=range(len(rows)), yticklabels=rows, xlabel="called",
           title="What threes are taken for, in %")


def draw_few(ax):
    x = np.array(N_LABELS)
    for values, text, color, marker, style in (
            (no_label, "all images, a teacher of all labels", GREEN, "s", "-"),
            (same_images, "n images, a teacher of all labels", BLUE, "o", "-"),
            (small_teacher, "all images, a teacher of n labels", ORANGE, "^", "--"),
            (labels, "n labels, no teacher", VERMILLION, "D", ":")):
        band(ax, x, 100 * values, color=color, marker=marker, linestyle=style, label=text)
    ax.set_xscale("log")
    ax.minorticks_off()
    ax.set(xticks=x, xticklabels=x, xlim=(0.85 * x[0], 12 * x[0]), xlabel="n", ylabel="test accuracy, %",
           title=f"{100 * labels[:, 0].mean():.0f} % right by {x[0]} labels, "
                 f"{100 * no_label.mean():.0f} % by a teacher")
    ax.legend(loc="lower right", fontsize=10, title="the student is shown", alignment="left")


figure = plt.figure(figsize=(15, 9))
figure.suptitle(f"A student that never saw a {OMITTED} recognises {100 * soft:.0f} % of them, and "
                f"{100 * soft_bias:.0f} % with one bias corrected; taught by labels, {100 * hard:.0f} %")
upper, lower = figure.subfigures(2, 1, height_ratios=[1, 1.6])
upper.suptitle(f"What the teacher tells about images of other digits: probabilities at T = {T} (filled), "
               "and at T = 1 (outlined)", x=0.01, ha="left", size=12, weight="normal")
X_shown, y_shown = seen[0][:2]
shown = examples(models[0]["teacher"], X_shown, y_shown)
cells = upper.subplots(1, 2 * EXAMPLES, width_ratios=[1, 1.9] * EXAMPLES)
for i, pair in zip(shown, cells.reshape(-1, 2)):
    draw_opinion(*pair, X_shown[i], y_shown[i], predict(models[0]["teacher"], X_shown[[i]])[0])
for ax, draw in zip(lower.subplots(1, 3, width_ratios=[1, 1.25, 1.1]), (draw_sweep, draw_names, draw_few)):
    draw(ax)

# %% Claims
reports = compare(models[0], *seen[0][2:])
demo.reports(reports)
demo.record("threes recognised after labels", recall[:, 0].mean(axis=0), "before and after correction")
for t, row in zip(TEMPERATURES, recall[:, 1:].mean(axis=0)):
    demo.record(f"threes recognised after T = {t}", row, "before and after correction")
for t, row in zip(TEMPERATURES, findings.right[:, 1:].mean(axis=0)):
    demo.record(f"accuracy on all digits after T = {t}", row, "before and after correction")
demo.record("accuracy: teacher, student of all labels, of none",
            [getattr(findings, name).mean() for name in ("teacher", "all_labels", "all_images")])
for text, values in (("n labels", labels), ("the teacher on n images", same_images),
                     ("a teacher of n labels on all images", small_teacher)):
    demo.record(f"accuracy by {text}", values.mean(axis=0), "n = " + " ".join(map(str, N_LABELS)))
demo.claim("taught by labels without threes, no student ever says 3 to one (largest share)",
           recall[:, 0, 0].max(), at_most=0)
demo.claim(f"taught at T = {T} without threes, it recognises many of them (mean share)", soft, at_least=0.65)
demo.claim("and almost all with one bias corrected (mean share)", soft_bias, above=ALMOST_ALL)
demo.claim("the bias alone is not it: the student of labels stays behind (difference of the mean shares)",
           soft_bias - hard_bias, at_least=0.3)
demo.claim(f"without heat less is seen of the 3: what T = {T} adds to T = 1 (mean share)",
           soft - recall[:, 1, 0].mean(), at_least=0.1)
demo.claim("few labels, many images: the student of a teacher beats that of labels (least lead of a mean)",
           (no_label - labels).mean(axis=0).min(), above=0)
demo.claim("and where they are fewest, by far (least lead)", (no_label - labels)[:, 0].min(), at_least=0.1)
demo.claim("an opinion on an image is worth more than its label (mean lead, fewest images)",
           (same_images - labels)[:, 0].mean(), at_least=0.03)
demo.claim("a teacher that has had the same few labels adds little (mean lead, fewest labels)",
           (small_teacher - labels)[:, 0].mean(), at_most=0.05)
demo.claim("the student's file is smaller than the teacher's (ratio of bytes)",
           reports["student, no label"].file_bytes / reports["teacher"].file_bytes, at_most=0.5)
demo.finish(figure)
