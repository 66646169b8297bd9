"""Can a small network learn from a large one what a 3 is, without ever seeing a 3?

MATH5836 week 10, section 10.2.4; Hinton, Vinyals and Dean 2015, sections 2, 3 and 5. The teacher
is a convolutional network that knows all ten classes, the student has 32 hidden units. First the
student sees every training image except those of one class, each of the ten in turn, and learns
only from the teacher's probabilities at a temperature T. Then labels are few: the student learns
from them, or from a teacher that was trained on all labels, or on these few.

One bias of the student is then corrected: the paper chooses it on the test set. Here the student
must call a tenth of the training images by the class that it never saw, which needs no labels.
The honest opponent is a student of labels, without a teacher, whose bias is raised in this way.

You will see images of other classes with the teacher's probabilities at T = 1 and at a higher T;
how much of the class left out is recognised, over all classes, against T; and accuracy against
the number of labels. This differs from class to class and from data to data. What the teacher
itself takes for something else, as a shirt for a T-shirt, its student hardly learns. A teacher
that is often in doubt says at T = 1 already what a class looks like, so a higher T adds nothing.

Predict first: how many of a hundred threes does a network recognise that has never seen one? More
after T = 1 or after T = 16? Does a student with 20 labels gain from a teacher with the same 20?
"""
# %% Constants
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from _networks import as_images, conv_network, load_images
from common import BLACK, BLUE, GREEN, VERMILLION, start
from panels import reference, scores

from tinyml import nn
from tinyml.compression.distillation import distill, shift_bias, soften, solve_bias
from tinyml.compression.report import compare
from tinyml.data import train_test_split
from tinyml.optim import Adam
from tinyml.train import accuracy, fit, predict

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = load_images(demo)
RUNS = 2 if demo.quick else 3                             # each with its own split and networks
CLASSES = (1, 3, 6, 9) if demo.quick else range(10)       # each is left out once
SHOWN = 3                                                 # the class left out in the pictures
SHARE = 0.1                                               # of this class among all images
FILTERS = (8, 16, 32) if demo.quick else (16, 32, 64)     # of the teacher
HIDDEN = 32                                               # units of the student
TEMPERATURES = (1, 8) if demo.quick else (1, 2, 4, 8, 16)
T = 8                                                     # outside of the sweep, and in the title
N_LABELS = (20,) if demo.quick else (20, 60, 200)
TEACHING = dict(steps=150, size=64, lr=4e-3)              # how teachers are trained, on any data
LEARNING = dict(steps=200 if demo.quick else 300, size=128, lr=2e-2)    # and students
N_EXAMPLES = 3                                            # images with the teacher's probabilities

# %% Networks
class Image(nn.Module):
    """Rows of pixels (N, n) as images (N, 1, side, side)."""

    def forward(self, x):
        return as_images(x)


def teacher_network(rng):
    *filters, units = FILTERS
    return nn.Sequential(Image(), *conv_network(X.shape[1], rng, filters, units))


def student_network(rng):
    return nn.Sequential(nn.Linear(X.shape[1], HIDDEN, rng=rng), nn.ReLU(),
                         nn.Linear(HIDDEN, 10, rng=rng))


# %% Three ways to train: a teacher, a student on labels, a student on a teacher's probabilities
def settings(model, n, rng, *, steps, size, lr):
    """What fit needs for so many steps on n samples, `size` of them at a time."""
    size = min(size, n)
    epochs = round(steps / np.ceil(n / size))
    return dict(optimizer=Adam(model.parameters(), lr=lr), epochs=epochs, batch_size=size, rng=rng)


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
    distill(model, teacher, X, temperature=temperature, alpha=1,
            **settings(model, len(X), rng, **LEARNING))
    return model


# %% Split the images and train a teacher, once for each run
class Run(NamedTuple):
    X_train: np.ndarray
    X_test: np.ndarray
    y_train: np.ndarray
    y_test: np.ndarray
    teacher: nn.Module
    rng: np.random.Generator


def school(rng):
    split = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    X_train, _, y_train, _ = split
    return Run(*split, teacher_of(X_train, y_train, rng), rng)


runs = [school(rng) for rng in demo.progress(demo.rng.spawn(RUNS), "teachers")]


# %% Teach students without one class, by labels and at every temperature, and correct one bias
def recognised(model, run, omitted):
    """The fraction of the test images of the class left out that the model calls by it."""
    images = run.X_test[run.y_test == omitted]
    return np.mean(predict(model, images).argmax(axis=1) == omitted)


def before_and_after(student, run, omitted):
    """The fraction recognised, as trained and with the bias corrected."""
    bias = solve_bias(predict(student, run.X_train), omitted, share=SHARE)
    corrected = shift_bias(student, omitted, bias)
    return recognised(student, run, omitted), recognised(corrected, run, omitted)


def taught_by_labels(run, omitted):
    seen = run.y_train != omitted
    student = student_of_labels(run.X_train[seen], run.y_train[seen], run.rng)
    return before_and_after(student, run, omitted)


def taught_at(temperature, run, omitted):
    seen = run.y_train != omitted
    student = student_of(run.teacher, run.X_train[seen], run.rng, temperature)
    return before_and_after(student, run, omitted)


def doubt(run):
    """The probability that the teacher at T = 1 leaves for other classes than its answer, mean."""
    return 1 - soften(predict(run.teacher, run.X_train), temperature=1).max(axis=1).mean()


hard = np.array([[taught_by_labels(run, c) for c in CLASSES]
                 for run in demo.progress(runs, "by labels")])    # (runs, classes, 2)
soft = {t: np.array([[taught_at(t, run, c) for c in CLASSES] for run in runs])
        for t in demo.progress(TEMPERATURES, "temperatures")}
by_teacher = np.mean([[recognised(run.teacher, run, c) for c in CLASSES] for run in runs], axis=0)
ceiling = by_teacher.mean()

# %% Never shown a class, the student knows it from the small probabilities
hard_before, hard_after = hard.mean(axis=(0, 1))
soft_before, soft_after = soft[T].mean(axis=(0, 1))
demo.record("recognised by the teacher: mean", ceiling)
demo.record("recognised by the teacher: class by class", by_teacher)
demo.record("probability that it leaves for other classes at T = 1",
            np.mean([doubt(run) for run in runs]))
for taught, values in [("by labels", hard), *((f"at T = {t}", soft[t]) for t in TEMPERATURES)]:
    for i, words in enumerate(("as trained", "one bias corrected")):
        demo.record(f"recognised, {taught}, {words}: mean", values[..., i].mean())
        demo.record(f"recognised, {taught}, {words}: class by class", values[..., i].mean(axis=0))
demo.finding("taught by labels, students recognise of a class left out (mean fraction)",
             hard_before, at_most=0.01,
             why="Training lowers the output of this class on the images shown; on one that is "
                 "unlike all of them it may still be the highest.")
demo.finding(f"taught at T = {T}, students recognise much of a class left out (mean fraction)",
             soft_before, at_least=0.5,
             why="Where classes overlap, the teacher is often wrong itself, and its "
                 "students learn no more than it knows.")
demo.finding(f"taught at T = {T}, even of the worst class they recognise (fraction, mean of runs)",
             soft[T][..., 0].mean(axis=0).min(), at_least=0.2,
             why="A class that even its teacher takes for others, as a shirt for a "
                 "T-shirt, is hardly learned from those; one that is never its second guess, as "
                 "trousers, keeps a low bias.")
demo.finding("with one bias corrected they recognise most of it (mean fraction)", soft_after,
             above=0.75,
             why="Where classes overlap, the teacher is often wrong itself, and its "
                 "students learn no more than it knows.")
demo.finding("one bias raised without a teacher, students of labels find less (mean difference)",
             soft_after - hard_after, at_least=0.2,
             why="A class that no other output claims, as the thin 1 among wider digits, "
                 "is found by its bias alone.")
demo.finding("for every class a teacher and the bias find more than the bias alone (least lead)",
             (soft[T] - hard)[..., 1].mean(axis=0).min(), above=0,
             why="A class that no other output claims, as the thin 1 among wider digits, "
                 "is found by its bias alone.")
demo.finding(f"at T = 1 they learn less about the class: what T = {T} adds (mean fraction)",
             soft_before - soft[1][..., 0].mean(), at_least=0.1,
             why="A teacher that is often in doubt shows at T = 1 already what a class "
                 "looks like, and a higher T only makes its probabilities more alike.")


# %% Few labels: students of the labels, of a teacher of all labels, of a teacher of these few
def few_labels(n, run):
    X_few, _, y_few, _ = train_test_split(run.X_train, run.y_train, rng=run.rng,
                                          test_size=1 - n / len(run.X_train), stratify=run.y_train)
    small_teacher = teacher_of(X_few, y_few, run.rng)
    return (student_of_labels(X_few, y_few, run.rng), student_of(run.teacher, X_few, run.rng),
            student_of(small_teacher, run.X_train, run.rng))


def hits_of(models, run):
    return [accuracy(model, run.X_test, run.y_test) for model in models]


few = np.array([[hits_of(few_labels(n, run), run) for n in N_LABELS]
                for run in demo.progress(runs, "few labels")])
labels, same_images, small_teacher = np.moveaxis(few, 2, 0)    # (runs, len(N_LABELS)) each
students = [student_of(run.teacher, run.X_train, run.rng) for run in runs]
all_images = np.array([hits_of([student], run) for student, run in zip(students, runs)])
no_label = np.tile(all_images, len(N_LABELS))

# %% The teacher's probabilities on an image say more than its label
for text, values in (("n labels", labels), ("the teacher on n images", same_images),
                     ("a teacher of n labels on all images", small_teacher),
                     ("the teacher on all images", no_label)):
    demo.record(f"accuracy by {text}", values.mean(axis=0), "n = " + " ".join(map(str, N_LABELS)))
demo.finding("few labels, many images: a teacher's student beats that of labels (least mean lead)",
             (no_label - labels).mean(axis=0).min(), above=0,
             why="A student is hardly better than its teacher: where labels are enough for "
                 "a student to be as good, the lead is small.")
demo.finding("with the fewest labels its lead is large (least lead)",
             (no_label - labels)[:, 0].min(), at_least=0.1,
             why="A student is hardly better than its teacher: where labels are enough for "
                 "a student to be as good, the lead is small.")
demo.finding("probabilities for an image are worth more than its label (mean lead, fewest images)",
             (same_images - labels)[:, 0].mean(), at_least=0.03,
             why="Where the teacher is often wrong, its probabilities mislead as well as "
                 "they inform.")
demo.finding("a teacher trained on the same few labels adds little (mean lead, fewest labels)",
             (small_teacher - labels)[:, 0].mean(), at_most=0.05,
             why="If a convolutional network learns far more from few labels than a dense "
                 "one, so does its student.")

# %% What is saved: the student's file beside the teacher's
first = runs[0]
reports = compare({"teacher": first.teacher, "student": students[0]}, first.X_test, first.y_test)
demo.reports(reports)
demo.finding("the student's file is smaller than the teacher's (ratio of bytes)",
             reports["student"].file_bytes / reports["teacher"].file_bytes, at_most=0.5,
             why="A dense student reads every pixel of a larger image with every unit; the "
                 "filters of its teacher hardly grow.")


# %% Choose, of each other class, the image most like the class left out to the teacher
def most_like_it(run):
    """The rows of the first few of them among the training images."""
    p = soften(predict(run.teacher, run.X_train), temperature=T)
    likeness = np.where(p.argmax(axis=1) == run.y_train, p[:, SHOWN], -1)
    of_class = [np.where(run.y_train == c, likeness, -1) for c in range(10) if c != SHOWN]
    best = [values.argmax() for values in of_class]
    return sorted(best, key=lambda row: -likeness[row])[:N_EXAMPLES]


# %% Figure: such images, with the teacher's probabilities at T (filled) and at 1 (outlined)
figure = plt.figure(figsize=(17, 5.8))
figure.suptitle(f"Of a class that they never saw students recognise {100 * soft_before:.0f} %, "
                f"{100 * soft_after:.0f} % with one bias corrected; "
                f"without a teacher the bias alone finds {100 * hard_after:.0f} %")
side = round(X.shape[1] ** 0.5)
left, middle, right = figure.subfigures(1, 3, width_ratios=[1, 1.1, 1.3])
left.suptitle(f"The teacher at T = {T} (filled) and T = 1", size=12, weight="normal")
cells = left.subplots(N_EXAMPLES, 2, width_ratios=[1, 2.4])
colors = [VERMILLION if c == SHOWN else BLUE for c in range(10)]
for row, (picture, bars) in zip(most_like_it(first), cells):
    picture.imshow(first.X_train[row].reshape(side, side), cmap="gray_r", vmin=0, vmax=1)
    picture.set(xticks=[], yticks=[], xlabel=f"label {first.y_train[row]}")
    logits = predict(first.teacher, first.X_train[[row]])[0]
    p, p_at_1 = soften(logits, temperature=T), soften(logits, temperature=1)
    bars.bar(range(10), p, color=colors)
    bars.bar(range(10), p_at_1, fill=False, edgecolor=BLACK)
    top = max(p[SHOWN], p_at_1[SHOWN])
    bars.text(SHOWN, top + 0.04, f"{p[SHOWN]:.2f}", color=VERMILLION, ha="center")
    bars.set(xticks=range(10), ylim=(0, 1.1), yticks=[0, 1])
cells[-1, 1].set_xlabel("probability of each class")

# %% What is recognised of a class left out: a box over classes and runs, for every temperature
box = middle.subplots()
taught = {"no\nteacher": hard} | {f"T = {t}": soft[t] for t in TEMPERATURES}
patches = []
for i, color in enumerate((BLUE, GREEN)):    # as trained, one bias corrected
    place = np.arange(len(taught)) + 0.4 * i - 0.2
    heights = [100 * values[..., i].ravel() for values in taught.values()]
    boxes = box.boxplot(heights, positions=place, widths=0.3, patch_artist=True, showfliers=False,
                        manage_ticks=False, medianprops=dict(color=BLACK))
    for patch in boxes["boxes"]:
        patch.set(facecolor=color, alpha=0.4, hatch="//" * i)
    patches.append(patch)
    for x, values in zip(place, taught.values()):
        for c, height in zip(CLASSES, 100 * values[..., i].mean(axis=0)):
            box.text(x + 0.1 * (c % 3 - 1), height, str(c), size=8, ha="center", va="center")
reference(box, 100 * ceiling, "their teacher")
box.set_xticks(range(len(taught)), list(taught))
box.set(ylabel="recognised of a class left out in %", ylim=(-4, 110),
        title=f"Boxes: {len(CLASSES)} classes, {RUNS} runs; the class left out")
box.legend(patches, ["as trained", "one bias corrected"], loc="lower right", fontsize=9)

# %% Accuracy against the number of labels
ax = right.subplots()
scores(ax, N_LABELS, {"all images, a teacher of all labels": no_label,
                      "n images, a teacher of all labels": same_images,
                      "all images, a teacher of n labels": small_teacher,
                      "n labels, no teacher": labels}, xlabel="n",
       title=f"{100 * labels[:, 0].mean():.0f} % right with {N_LABELS[0]} labels, "
             f"{100 * no_label.mean():.0f} % with a teacher")
ax.set_xlim(0.85 * N_LABELS[0], 12 * N_LABELS[0])    # room for the legend
ax.legend(loc="lower right", fontsize=9, title="the student is shown", alignment="left")
demo.finish(figure)
