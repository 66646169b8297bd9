"""The experiment of Hinton, Vinyals and Dean 2015, section 3, at any size and on any images.

A large network, trained with dropout on images that are moved by up to two pixels, teaches a
smaller one. The opponent is the same smaller network, trained on the labels alone. A third one
never sees an image of one class, and learns it from the teacher's probabilities.
"""
from typing import NamedTuple

import numpy as np

from tinyml import functional as F
from tinyml.compression.distillation import distill, shift_bias, solve_bias
from tinyml.nn import Dropout, Linear, ReLU, Sequential
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.selfsupervised.augmentations import affine
from tinyml.train import as_input, fit, predict


class Sizes(NamedTuple):
    """How large, and how long: units of both hidden layers, epochs, pixels that images move by."""

    teacher: int = 1200
    student: int = 800
    teacher_epochs: int = 40
    student_epochs: int = 20
    jitter: int = 2
    batch_size: int = 250
    lr: float = 1e-3


class Errors(NamedTuple):
    """Numbers of test images that are named wrongly; of the class left out, in `of_it`."""

    teacher: int
    labels: int          # the student, trained on the labels alone
    distilled: int       # ... on the labels and the teacher's probabilities
    omitted: int         # ... on those of images of all classes but one
    omitted_of_it: int
    shifted: int         # the same, with one bias that is best on the test images, as in the paper
    shifted_of_it: int
    counted: int         # ... with the bias that calls a tenth of the training images by the class
    n_test: int
    n_of_it: int


def network(n_inputs, width, rng, dropout=False):
    """Two hidden layers of ReLUs; with dropout, a fifth of the inputs and half of the units."""
    drop = [Dropout(0.2, rng=rng), Dropout(0.5, rng=rng), Dropout(0.5, rng=rng)] if dropout else []
    layers = [Linear(n_inputs, width, rng=rng), ReLU(), Linear(width, width, rng=rng), ReLU(),
              Linear(width, 10, rng=rng)]
    for place, layer in zip((0, 3, 6), drop):    # before each Linear
        layers.insert(place, layer)
    return Sequential(*layers)


def moved(X, by, rng):
    """Rows of square images, each moved by up to so many whole pixels in both directions."""
    return affine(X, np.eye(2), rng.integers(-by, by, (len(X), 2), endpoint=True))


def settings(model, n, epochs, sizes, rng):
    """What `fit` needs: Adam on a cosine to 0."""
    optimizer = Adam(model.parameters(), lr=sizes.lr)
    n_steps = epochs * -(-n // sizes.batch_size)
    schedule = LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps))
    return dict(optimizer=optimizer, epochs=epochs, batch_size=sizes.batch_size, rng=rng,
                schedule=schedule)


def taught_by_labels(X, y, sizes, rng):
    model = network(X.shape[1], sizes.student, rng)
    fit(model, X, y, label="labels", **settings(model, len(X), sizes.student_epochs, sizes, rng))
    return model


def teacher_of(X, y, sizes, rng):
    def loss_of(model, x, y):
        return F.cross_entropy(model(as_input(moved(x, sizes.jitter, rng))), y)

    model = network(X.shape[1], sizes.teacher, rng, dropout=True)
    fit(model, X, y, loss_of=loss_of, label="teacher",
        **settings(model, len(X), sizes.teacher_epochs, sizes, rng))
    return model


def taught_by_teacher(teacher, X, y, sizes, rng, *, temperature, alpha):
    model = network(X.shape[1], sizes.student, rng)
    distill(model, teacher, X, y, temperature=temperature, alpha=alpha, label="distilled",
            **settings(model, len(X), sizes.student_epochs, sizes, rng))
    return model


def best_bias(logits, y, class_index):
    """The number to add to one logit that leaves the fewest errors on these labelled rows."""
    biases = np.arange(-2, 20, 0.1)
    column = np.eye(logits.shape[1])[class_index]
    wrong = [np.count_nonzero((logits + b * column).argmax(axis=1) != y) for b in biases]
    return float(biases[np.argmin(wrong)])


def hinton(train, test, *, temperature=20, alpha=0.9, omitted=3, sizes, rng, say=print):
    """Teach, distil, leave a class out; returns `Errors`, and says each as soon as it is known."""
    (X, y), (X_test, y_test) = train, test
    of_it = y_test == omitted

    def errors(model, name):
        wrong = predict(model, X_test).argmax(axis=1) != y_test
        found = int(wrong.sum()), int(wrong[of_it].sum())
        say(f"{name}: {found[0]} errors, {found[1]} of the {of_it.sum()} of class {omitted}")
        return found

    by_labels, _ = errors(taught_by_labels(X, y, sizes, rng), "labels")
    teacher = teacher_of(X, y, sizes, rng)
    large, _ = errors(teacher, "teacher")
    both = dict(temperature=temperature, alpha=alpha)
    distilled, _ = errors(taught_by_teacher(teacher, X, y, sizes, rng, **both), "distilled")

    seen = y != omitted
    student = taught_by_teacher(teacher, X[seen], None, sizes, rng, temperature=temperature,
                                alpha=1)
    without, without_of_it = errors(student, "one class left out")
    best = best_bias(predict(student, X_test), y_test, omitted)
    shifted, shifted_of_it = errors(shift_bias(student, omitted, best), f"bias + {best:.1f}")
    by_count = solve_bias(predict(student, X), omitted, share=0.1)
    counted, _ = errors(shift_bias(student, omitted, by_count), f"bias + {by_count:.1f}, counted")
    return Errors(large, by_labels, distilled, without, without_of_it, shifted, shifted_of_it,
                  counted, len(y_test), int(of_it.sum()))
