"""How much may an image change and still show the same thing?

MATH5836 week 10, section 10.3.2, step 1; Chen et al. 2020, section 3. Contrastive learning is
told that two views of an image show the same thing. This must be true, and it must not be
trivial: views that hardly differ teach nothing, and views that nobody recognises teach something
wrong.

You will see views of a few digits, with one kind of change in each row; how often the image
nearest to a view is its original, or another image of the same digit, as the changes get
stronger; and why all geometric changes are one affine map: each resampling blurs.

Predict first: of the views that `demos/simclr.py` trains with, how many are nearest to their own
original? How many to an image of the same digit? How much contrast does a digit keep that is
turned by 45 degrees in twelve steps?
"""
# %% Constants
import time

import matplotlib.pyplot as plt
import numpy as np
from common import BLUE, GREEN, PURPLE, start
from panels import curve, sheet

from tinyml.data import digits
from tinyml.selfsupervised.augmentations import add_noise, affine, compose, erase, random_affine

demo = start(__file__, __doc__)
GEOMETRY = dict(rotate=0.35, scale=0.2, shear=0.3, shift=0.5)    # as in demos/simclr.py
SIGMA = 0.2                                 # standard deviation of the noise, as there
SHOWN = 10                                  # digits in the picture
STRENGTHS = np.linspace(0, 2.5, 6 if demo.quick else 11)    # factors of all this
TURN, MOST_STEPS = np.pi / 4, 12            # a rotation, and in how many steps at most
REPEATS = 20 if demo.quick else 100         # for the speed

# %% Data: handwritten digits
X, y = digits()
images = X.reshape(-1, 8, 8)


# %% A view is a chain of random changes, here of the strength s
def view_of_strength(s):
    strengths = {name: s * strength for name, strength in GEOMETRY.items()}
    return compose(random_affine(**strengths), add_noise(s * SIGMA))


demo.claim("views of strength 0 are the images, bit for bit (fraction of equal pixels)",
           (view_of_strength(0)(X, demo.rng) == X).mean(), at_least=1)


# %% The affine map is exact where no pixel falls between two
def rotation(angle):
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


quarter_turn = affine(images, rotation(np.pi / 2))
demo.claim("a turn by 90 degrees is np.rot90 (largest difference)",
           np.abs(quarter_turn - np.rot90(images, axes=(1, 2))).max(), at_most=1e-5)
moved = np.pad(images, [(0, 0), (2, 0), (0, 3)])[:, :8, 3:]    # two rows down, three columns left
demo.claim("a shift by whole pixels copies them (fraction of equal pixels)",
           (affine(images, np.eye(2), (2, -3)) == moved).mean(), at_least=1)

# %% Experiment: is the image nearest to a view its original, or at least one of the same digit?
itself, same_digit = [], []
for s in demo.progress(STRENGTHS, "views"):
    views = view_of_strength(s)(X, demo.rng)
    distance2 = (X ** 2).sum(axis=1) - 2 * views @ X.T    # less |view|^2
    nearest = distance2.argmin(axis=1)
    itself.append((nearest == np.arange(len(X))).mean())
    same_digit.append((y[nearest] == y).mean())

# %% Views as in SimCLR hide which image they come from, but not which digit
demo.record("strengths", STRENGTHS)
demo.record("views nearest to their original", itself)
demo.record("views nearest to an image of the same digit", same_digit)
used = STRENGTHS.tolist().index(1)
demo.claim("most views are nearest to another image than their original (fraction)",
           1 - itself[used], above=0.5)
demo.claim("most views are nearest to an image of the same digit (fraction)",
           same_digit[used], at_least=0.65)
demo.claim("the strongest views lose the digit too (fall of that fraction)",
           same_digit[used] - same_digit[-1], at_least=0.1)

# %% Experiment: the same rotation in one step, in two, ...; each step interpolates anew
steps = np.arange(1, MOST_STEPS + 1)
contrast, turned = [], {}
for n in steps:
    turned[n] = images
    for _ in range(n):
        turned[n] = affine(turned[n], rotation(TURN / n))
    contrast.append(np.linalg.norm(turned[n]) / np.linalg.norm(images))
demo.record("contrast after a rotation in 1, 2, ... steps", contrast)
demo.claim(f"a rotation in {MOST_STEPS} steps loses contrast that one step keeps (ratio)",
           contrast[-1] / contrast[0], at_most=0.9)

# %% Speed: images per second of processor time, in batches of 256
view, batch = view_of_strength(1), X[:256]
began = time.process_time()
for _ in range(REPEATS):
    view(batch, demo.rng)
speed = REPEATS * len(batch) / max(time.process_time() - began, 1e-9)
demo.finding("views are fast to draw (images per second)", speed, at_least=30_000)

# %% Figure
chosen = images[[demo.rng.choice(np.flatnonzero(y == digit)) for digit in range(SHOWN)]]
changes = {"original": compose()}
changes |= {name: random_affine(**{name: strength}) for name, strength in GEOMETRY.items()}
changes |= {"erase": erase(2), "noise": add_noise(SIGMA), "a view": view, "another": view}

figure = plt.figure(figsize=(14, 7.6))
figure.suptitle(f"Of the views that SimCLR uses, {100 * itself[used]:.0f} % are nearest to their "
                f"own original, {100 * same_digit[used]:.0f} % to an image of the same digit")
left, right = figure.subfigures(1, 2, width_ratios=[1.1, 1])
sheet(left.subplots(), {name: f(chosen, demo.rng) for name, f in changes.items()},
      title="One kind of change in each row; last, two views")
upper, lower = right.subplots(2, 1)
curve(upper, STRENGTHS, 100 * np.array(same_digit), "the same digit", color=GREEN, marker="s")
curve(upper, STRENGTHS, 100 * np.array(itself), "its original", color=BLUE, marker="o")
upper.axvline(1, color="0.5", linestyle=":")
upper.text(1.03, 95, "as in SimCLR", color="0.35")
upper.set(xlabel="strength of the changes", ylabel="nearest to a view, %", ylim=(-4, 103),
          title="Stronger changes hide the original first, then the digit")
curve(lower, steps, 100 * np.array(contrast), color=PURPLE, marker="D")
lower.set(xlabel=f"steps of a rotation by {np.degrees(TURN):.0f} degrees", ylim=(0, 103),
          ylabel="contrast, % of the original's", title="Each resampling blurs")
for n, x in ((1, 0.1), (MOST_STEPS, 0.74)):
    inset = lower.inset_axes([x, 0.06, 0.24, 0.42])
    sheet(inset, {"": turned[n][:1]}, title=f"{n} step{'s' * (n > 1)}")
demo.finish(figure)
