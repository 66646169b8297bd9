"""Can a small network learn from a large one what a 3 is, without ever seeing a 3?

MATH5836 week 10, section 10.2.4; Hinton, Vinyals and Dean 2015, sections 2, 3 and 5. The teacher
is a convolutional network that knows all ten digits, the student has 32 hidden units. First the
student sees every training image except the threes, and learns only from the teacher's
probabilities at a temperature T. Then labels are few: the student learns from them, or from a
teacher that was trained on all labels, or on these few.

You will see images of other digits with the teacher's probabilities at T = 1 and at a higher T;
how many threes of the test set the student recognises, against T; and accuracy against the number
of labels. One bias of the student is then corrected: the paper chooses it on the test set. Here it
makes the student say "3" to a tenth of the training images, which needs no labels.

Predict first: how many of a hundred threes does a network recognise that has never seen one? More
after T = 1 or after T = 16? Does a student with 20 labels gain from a teacher with the same 20?
"""
# %% Constants
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, VERMILLION, band, start
from panels import reference, scores

from tinyml import nn
from tinyml.compression.distillation import distill, shift_bias, soften, solve_bias
from tinyml.compression.report import compare
from tinyml.data import digits, train_test_split
from tinyml.optim import Adam
from tinyml.train import accuracy, fit, predict

demo = start(__file__, __doc__)
RUNS = 2 if demo.quick else 5                             # each with its own split and networks
OMITTED = 3                                               # the digit that the student is not shown
SHARE = 0.1                                               # of this digit among all images
FILTERS = (8, 16, 32) if demo.quick else (16, 32, 64)     # of the teacher
HIDDEN = 32                                               # units of the student
TEMPERATURES = (1, 8) if demo.quick else (1, 2, 4, 8, 16)
T = 8                                                     # outside of the sweep, and in the title
N_LABELS = (20,) if demo.quick else (20, 60, 200)
ALMOST_ALL = 0.75 if demo.quick else 0.9                  # of the threes, with the bias corrected
TEACHING = dict(steps=150, size=64, lr=4e-3)              # how teachers are trained, on any data
LEARNING = dict(steps=200 if demo.quick else 300, size=128, lr=2e-2)    # and students
N_EXAMPLES = 3                                            # images with the teacher's probabilities

# %% Data and networks
X, y = digits()


class Image(nn.Module):
    """(N, 64) as images (N, 1, 8, 8)."""

    def forward(self, x):
        return x.reshape(-1, 1, 8, 8)


def teacher_network(rng):
    a, b, c = FILTERS
    return nn.Sequential(Image(), nn.Conv2d(1, a, 3, padding=1, rng=rng), nn.ReLU(),
                         nn.Conv2d(a, b, 3, padding=1, rng=rng), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Flatten(), nn.Linear(16 * b, c, rng=rng), nn.ReLU(),
                         nn.Linear(c, 10, rng=rng))


def student_network(rng):
    return nn.Sequential(nn.Linear(64, HIDDEN, rng=rng), nn.ReLU(), nn.Linear(HIDDEN, 10, rng=rng))


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


# %% Split the digits and train a teacher, once for each run
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


# %% Teach students without threes, by labels and at every temperature, and correct one bias
def recognised(model, run):
    """The fraction of the threes of the test set that the model calls a 3."""
    threes = run.X_test[run.y_test == OMITTED]
    return np.mean(predict(model, threes).argmax(axis=1) == OMITTED)


def before_and_after(student, run):
    """The fraction of threes recognised, as trained and with the bias corrected."""
    bias = solve_bias(predict(student, run.X_train), OMITTED, share=SHARE)
    return recognised(student, run), recognised(shift_bias(student, OMITTED, bias), run)


def taught_by_labels(run):
    seen = run.y_train != OMITTED
    return before_and_after(student_of_labels(run.X_train[seen], run.y_train[seen], run.rng), run)


def taught_at(temperature, run):
    seen = run.y_train != OMITTED
    student = student_of(run.teacher, run.X_train[seen], run.rng, temperature)
    return before_and_after(student, run)


hard = np.array([taught_by_labels(run) for run in demo.progress(runs, "by labels")])    # (runs, 2)
soft = {t: np.array([taught_at(t, run) for run in runs])
        for t in demo.progress(TEMPERATURES, "temperatures")}
ceiling = np.mean([recognised(run.teacher, run) for run in runs])

# %% Never shown a 3, the student knows it from the small probabilities
hard_before, hard_after = hard.mean(axis=0)
soft_before, soft_after = soft[T].mean(axis=0)
demo.record("threes recognised after labels", [hard_before, hard_after], "before and after correction")
for t, values in soft.items():
    demo.record(f"threes recognised after T = {t}", values.mean(axis=0), "before and after correction")
demo.claim("taught by labels without threes, no student recognises a 3 (largest fraction)",
           hard[:, 0].max(), at_most=0)
demo.claim(f"taught at T = {T} without threes, the student recognises many threes (mean fraction)",
           soft_before, at_least=0.65)
demo.claim("with one bias corrected the student recognises almost all threes (mean fraction)",
           soft_after, above=ALMOST_ALL)
demo.claim("with one bias corrected, the student of labels still recognises fewer (mean difference)",
           soft_after - hard_after, at_least=0.3)
demo.claim(f"at T = 1 it learns less about the 3: what T = {T} adds (mean fraction)",
           soft_before - soft[1][:, 0].mean(), at_least=0.1)


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
demo.claim("few labels, many images: the student of a teacher beats that of labels (least mean lead)",
           (no_label - labels).mean(axis=0).min(), above=0)
demo.claim("with the fewest labels its lead is large (least lead)",
           (no_label - labels)[:, 0].min(), at_least=0.1)
demo.claim("probabilities for an image are worth more than its label (mean lead, fewest images)",
           (same_images - labels)[:, 0].mean(), at_least=0.03)
demo.claim("a teacher trained on the same few labels adds little (mean lead, fewest labels)",
           (small_teacher - labels)[:, 0].mean(), at_most=0.05)

# %% What is saved: the student's file beside the teacher's
first = runs[0]
reports = compare({"teacher": first.teacher, "student": students[0]}, first.X_test, first.y_test)
demo.reports(reports)
demo.claim("the student's file is smaller than the teacher's (ratio of bytes)",
           reports["student"].file_bytes / reports["teacher"].file_bytes, at_most=0.5)


# %% Choose, of each other class, the image most like a 3 to the teacher
def most_like_a_three(run):
    """The rows of the first few of them among the training images."""
    p = soften(predict(run.teacher, run.X_train), temperature=T)
    likeness = np.where(p.argmax(axis=1) == run.y_train, p[:, OMITTED], -1)
    of_class = [np.where(run.y_train == c, likeness, -1) for c in range(10) if c != OMITTED]
    best = [values.argmax() for values in of_class]
    return sorted(best, key=lambda row: -likeness[row])[:N_EXAMPLES]


# %% Figure: such images, with the teacher's probabilities at T (filled) and at 1 (outlined)
figure = plt.figure(figsize=(17, 5.6))
figure.suptitle(f"A student that never saw a {OMITTED} recognises {100 * soft_before:.0f} % of them, "
                f"and {100 * soft_after:.0f} % with one bias corrected; taught by labels, "
                f"{100 * hard_before:.0f} %")
left, middle, right = figure.subfigures(1, 3, width_ratios=[1, 1.1, 1.3])
left.suptitle(f"The teacher at T = {T} (filled) and T = 1", size=12, weight="normal")
cells = left.subplots(N_EXAMPLES, 2, width_ratios=[1, 2.4])
colors = [VERMILLION if digit == OMITTED else BLUE for digit in range(10)]
for row, (picture, bars) in zip(most_like_a_three(first), cells):
    picture.imshow(first.X_train[row].reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    picture.set(xticks=[], yticks=[], xlabel=f"label {first.y_train[row]}")
    logits = predict(first.teacher, first.X_train[[row]])[0]
    p, p_at_1 = soften(logits, temperature=T), soften(logits, temperature=1)
    bars.bar(range(10), p, color=colors)
    bars.bar(range(10), p_at_1, fill=False, edgecolor=BLACK)
    top = max(p[OMITTED], p_at_1[OMITTED])
    bars.text(OMITTED, top + 0.04, f"{p[OMITTED]:.2f}", color=VERMILLION, ha="center")
    bars.set(xticks=range(10), ylim=(0, 1.1), yticks=[0, 1])
cells[-1, 1].set_xlabel("probability of each digit")

# %% Threes recognised against the temperature
sweep = middle.subplots()
recall = 100 * np.array(list(soft.values()))    # (temperatures, runs, before and after)
for i, text, color, marker in ((1, "one bias corrected", GREEN, "s"), (0, "as trained", BLUE, "o")):
    line = band(sweep, TEMPERATURES, recall[:, :, i].T, color=color, marker=marker)
    sweep.annotate(text, line.get_xydata()[0], (12, -14), textcoords="offset points", color=color)
reference(sweep, 100 * ceiling, "its teacher")
reference(sweep, 100 * hard_before, "taught by labels")
sweep.set_xscale("log", base=2)
sweep.set_xticks(TEMPERATURES, TEMPERATURES)
sweep.set(xlabel="temperature T", ylabel="threes recognised in %", ylim=(-3, 108),
          title=f"A high temperature shows what a {OMITTED} is")

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
