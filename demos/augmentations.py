"""How far can an image be changed and still show the same thing?

MATH5836 week 10, section 10.3.2, step 1; Chen et al. 2020, section 3. Contrastive learning is told that two
views of an image show the same thing. That must be true, and it must be news: views that hardly differ teach
nothing, views of which nobody can say what they show teach what is wrong.

You will see the views of a few digits, one kind of change in each row; what comes of the nearest neighbour, in
pixels, as the changes get stronger: is it still the image that the view was made of, or at least one of the
same digit; and why all geometric changes are one affine map: each resampling blurs.

Predict first: of the views that `demos/simclr.py` trains with, how many are nearest to their own original? How
many to an image of the same digit? What is left of a digit that is turned by 45 degrees in twelve steps?
"""
# %% Constants
import time

import matplotlib.pyplot as plt
import numpy as np
from common import BLUE, GREEN, ORANGE, PURPLE, label_line, start

from tinyml.data import digits
from tinyml.selfsupervised.augmentations import add_noise, affine, compose, erase, random_affine

demo = start(__file__, __doc__)
GEOMETRY = dict(rotate=0.35, scale=0.2, shear=0.3, shift=0.5)    # those of demos/simclr.py
NOISE = 0.2
SHOWN = 10                                  # digits in the picture
STRENGTHS = np.linspace(0, 2.5, 6 if demo.quick else 11)         # times these
TURN, MOST_STEPS = np.pi / 4, 12            # in so many steps, at most
REPEATS = 20 if demo.quick else 100         # for the throughput

# %% Data
X, y = digits()
images = X.reshape(-1, 8, 8)


def rotation(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def strong(s):
    """The view of demos/simclr.py, s times as strong."""
    geometry = {name: s * strength for name, strength in GEOMETRY.items()}
    return compose(random_affine(**{**geometry, "scale": min(geometry["scale"], 0.9)}), add_noise(s * NOISE))


# %% Experiment: what is nearest to a view?
def nearest(views):
    """The row of X that is nearest to each view, in pixels."""
    return ((X * X).sum(axis=1) - 2 * views @ X.T).argmin(axis=1)


itself, same_digit = [], []
for s in demo.progress(STRENGTHS, "views"):
    rows = nearest(strong(s)(X, demo.rng))
    itself.append((rows == np.arange(len(X))).mean())
    same_digit.append((y[rows] == y).mean())
itself, same_digit = np.array(itself), np.array(same_digit)
used = np.abs(STRENGTHS - 1).argmin()

# %% Experiment: one turn in many steps, and the speed of it all
steps = np.arange(1, MOST_STEPS + 1)
turned = []
for n in steps:
    x = images
    for _ in range(n):
        x = affine(x, rotation(TURN / n))
    turned.append(x)
contrast = np.array([np.linalg.norm(x) for x in turned]) / np.linalg.norm(images)

view, batch = strong(1), X[:256]
began = time.process_time()
for _ in range(REPEATS):
    view(batch, demo.rng)
speed = REPEATS * len(batch) / max(time.process_time() - began, 1e-9)

# %% Figure
ROWS = {"as it is": compose(), **{name: random_affine(**{name: s}) for name, s in GEOMETRY.items()},
        "erase": erase(2), "noise": add_noise(NOISE), "a view": strong(1), "another": strong(1)}


def mosaic(pictures):
    """Pictures of shape (rows, columns, 8, 8) side by side, with lines between them."""
    framed = np.pad(pictures, [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=0.3)
    return framed.transpose(0, 2, 1, 3).reshape(10 * framed.shape[0], 10 * framed.shape[1])


def draw_views(ax):
    chosen = images[[demo.rng.choice(np.flatnonzero(y == k % 10)) for k in range(SHOWN)]]
    ax.imshow(mosaic(np.array([f(chosen, demo.rng) for f in ROWS.values()])), cmap="gray_r", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=10 * np.arange(len(ROWS)) + 4.5, yticklabels=ROWS,
           title="Each row one kind of change; the last two, a pair")
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)


def draw_nearest(ax):
    for values, text, color, marker, dy in ((same_digit, "the same digit", GREEN, "s", 0),
                                            (itself, "its original", BLUE, "o", 0)):
        line, = ax.plot(STRENGTHS, 100 * values, color=color, marker=marker)
        label_line(ax, line, text, dy=dy)
    ax.axvline(1, color="0.5", linestyle=":")
    ax.text(1.03, 95, "as in simclr", color="0.35")
    ax.set(xlabel="strength of the changes", ylabel="nearest image to a view, %", ylim=(0, 103),
           title="A view is a stranger to its original, of the same digit")


def draw_turns(ax):
    ax.plot(steps, 100 * contrast, color=PURPLE, marker="D")
    ax.set(xlabel=f"turned by {np.degrees(TURN):.0f} degrees in so many steps",
           ylabel="contrast left, % of the norm", ylim=(0, 103), title="Every resampling blurs: so let there be one")
    for k, x in ((0, 0.1), (-1, 0.74)):
        inset = ax.inset_axes([x, 0.06, 0.24, 0.42])
        inset.imshow(turned[k][0], cmap="gray_r", vmin=0, vmax=1)
        inset.set(xticks=[], yticks=[])
        inset.grid(False)
        inset.spines[:].set_visible(True)
        inset.set_title(f"{steps[k]} step{'s' if k else ''}", fontsize=10, loc="center", pad=4)


figure = plt.figure(figsize=(14, 8.4))
figure.suptitle(f"{100 * itself[used]:.0f} % of the views are nearest to their own original, "
                f"{100 * same_digit[used]:.0f} % to an image of the same digit")
left, right = figure.subfigures(1, 2, width_ratios=[1.1, 1])
draw_views(left.subplots())
for ax, draw in zip(right.subplots(2, 1), (draw_nearest, draw_turns)):
    draw(ax)

# %% Claims
demo.record("strengths", STRENGTHS)
demo.record("views nearest to their original", itself)
demo.record("views nearest to an image of the same digit", same_digit)
demo.record("contrast after 1, 2, ... steps", contrast)
demo.record("speed", speed, "images per second of processor time")
quarter = affine(images, rotation(np.pi / 2))
down = np.pad(images, [(0, 0), (2, 0), (0, 3)])[:, :8, 3:]    # two rows down, three columns to the left
demo.claim("views without strength are the images, bit for bit (share of equal pixels)",
           (strong(0)(X, demo.rng) == X).mean(), at_least=1)
demo.claim("a turn by 90 degrees is np.rot90 (largest difference)",
           np.abs(quarter - np.rot90(images, axes=(1, 2))).max(), at_most=1e-5)
demo.claim("a shift by whole pixels copies them (share of equal pixels)",
           (affine(images, np.eye(2), (2, -3)) == down).mean(), at_least=1)
demo.claim("most views of demos/simclr.py are nearest to another image than their original (share)",
           1 - itself[used], above=0.5)
demo.claim("but to one of the same digit (share)", same_digit[used], at_least=0.65)
demo.claim("stronger is not always better: far beyond that, the digit is lost too (fall of the share)",
           same_digit[used] - same_digit[-1], at_least=0.1)
demo.claim(f"a turn in {MOST_STEPS} steps loses contrast that one step keeps (ratio of what is left)",
           contrast[-1] / contrast[0], at_most=0.9)
demo.finding("a view is made fast (images per second)", speed, at_least=30_000)
demo.finish(figure)
