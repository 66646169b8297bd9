"""Where do pairs of points go if two views attract each other and all others repel?

MATH5836 week 10, section 10.3.2, equation 10.1; Chen et al. 2020; Wang and Isola 2020. There is no encoder:
the loss acts on the embeddings themselves.

You will see pairs of points in the plane that follow the gradient of NT-Xent, from random places; the loss of
random embeddings, which is near chance, ln(2B - 1), for batches of all sizes; and the share of the gradient that
comes from the most similar tenth of the negatives, from high temperatures to low ones.

Predict first: where will the pairs go? Is a loss of 6.2 good, for a batch of 256? Of thousands of negatives,
how many matter at T = 0.05?
"""
# %% Constants
import math
from statistics import NormalDist

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, PURPLE, VERMILLION, start
from panels import reference

from tinyml import Tensor
from tinyml.selfsupervised.contrastive import alignment, info_nce, nt_xent, uniformity

demo = start(__file__, __doc__)
PAIRS, STEPS = 10, 400                       # on the circle; of gradient descent
T_CIRCLE = 0.5
RATE = 0.3 * PAIRS * T_CIRCLE                # the gradient in one embedding is of order 1 / (B T)
DIM = 128                                    # of the embeddings in the other experiments
BATCHES = 2 ** np.arange(2, 8 if demo.quick else 11)
HEATS = (0.1, 0.5)                           # temperatures of those
ROWS = 1000 if demo.quick else 4000          # of random embeddings, at least, for each batch size
TEMPERATURES = np.geomspace(0.01, 2, 16 if demo.quick else 32)
QUERIES, NEGATIVES = (8, 2000) if demo.quick else (16, 4000)
HARD = 0.1                                   # the fraction of the negatives that we call hard

# %% Pairs of points follow the gradient
views = [Tensor(z / np.linalg.norm(z, axis=1, keepdims=True), requires_grad=True)
         for z in demo.rng.standard_normal((2, PAIRS, 2))]
path, quality, products = [], [], []
for _ in demo.progress(range(STEPS + 1), "points on a circle"):
    for z in views:
        z.grad = None
    loss = nt_xent(*views, temperature=T_CIRCLE)
    loss.backward()
    path.append([z.data for z in views])
    quality.append([loss.item(), alignment(*views).item(), uniformity(views[0]).item()])
    products.append([(z.data * z.grad).sum(axis=1) for z in views])
    for z in views:
        z.data = z.data - RATE * z.grad
path = np.array(path)                                               # (STEPS + 1, 2, PAIRS, 2)
lengths = np.linalg.norm(path, axis=-1)

# %% They end in the best arrangement there is: a regular polygon with both views on the same corner
angle = 2 * np.pi * np.arange(PAIRS) / PAIRS
polygon = np.stack([np.cos(angle), np.sin(angle)], axis=1)
best = nt_xent(polygon, polygon, temperature=T_CIRCLE).item()
best_uniformity = uniformity(polygon).item()
loss, apart, uniform = quality[-1]
demo.record("loss, alignment, uniformity at the start", quality[0])
demo.record("loss, alignment, uniformity at the end", quality[-1])
demo.record("the same of a regular polygon of pairs", [best, 0.0, best_uniformity])
demo.claim("the pairs reach the loss of the regular polygon (relative difference)",
           abs(loss / best - 1), at_most=1e-3)
demo.claim("the two views of each image meet (alignment)", apart, at_most=1e-3)
demo.claim("the images are spread as evenly as possible (uniformity, distance from the polygon's)",
           abs(uniform - best_uniformity), at_most=1e-2)

# %% Only directions matter to the loss, so no step makes an embedding shorter
demo.claim("each gradient is orthogonal to its embedding (largest product)",
           np.abs(products).max(), at_most=1e-12)
demo.claim("no embedding ever gets shorter (least change of a length)",
           np.diff(lengths, axis=0).min(),
           at_least=-1e-12)


# %% The loss of random embeddings, for batches of all sizes
def random_loss(B, T):
    """The mean loss of B pairs of random directions."""
    n_draws = math.ceil(ROWS / B)
    draws = demo.rng.standard_normal((n_draws, 2, B, DIM), dtype=np.float32)
    losses = [nt_xent(z1, z2, temperature=T).item() for z1, z2 in draws]
    return np.mean(losses)


chance = np.log(2 * BATCHES - 1)
random_losses = {T: np.array([random_loss(B, T) for B in BATCHES]) for T in HEATS}
# The similarities of random directions are nearly N(0, 1/D), and ln E e^(s/T) = 1 / (2 D T^2).
surplus = {T: 1 / (2 * DIM * T * T) for T in HEATS}

# %% It is the logarithm of the number of views, and more at a low temperature
of_largest = {T: values[-1] for T, values in random_losses.items()}
off = [abs(of_largest[T] - chance[-1] - surplus[T]) for T in HEATS]
for T, values in random_losses.items():
    demo.record(f"loss of random embeddings less ln(2B - 1), T = {T}", values - chance, "nats")
warm = HEATS[-1]
demo.claim(f"random embeddings at T = {warm} have the loss ln(2B - 1) (largest distance, nats)",
           np.abs(random_losses[warm] - chance).max(), at_most=0.05)
demo.claim("random embeddings have the loss ln(2B - 1) + 1 / (2 D T^2) (largest distance, largest batch)",
           max(off), at_most=0.05)

# %% How much of the gradient comes from the hardest tenth of the negatives?
query, positive = demo.rng.standard_normal((2, QUERIES, 1, DIM))
keys = demo.rng.standard_normal((NEGATIVES, DIM))


def hard_share(q, p, T):
    """The share of the hardest tenth in the lengths of the gradients of all negatives of one query."""
    negatives = Tensor(keys, requires_grad=True)
    info_nce(q, p, negatives, temperature=T).backward()
    length = np.linalg.norm(keys, axis=1)
    repulsion = np.linalg.norm(negatives.grad, axis=1) * length    # of the unit vectors
    similarity = keys @ q[0] / length
    n_hard = round(HARD * NEGATIVES)
    hardest = np.argsort(similarity)[-n_hard:]
    return repulsion[hardest].sum() / repulsion.sum()


def mean_share(T):
    return np.mean([hard_share(q, p, T) for q, p in zip(query, positive)])


def theory_of(T):
    """The weights e^(s/T) move the mean of s ~ N(0, 1/D) to 1/(D T), in front of the hard threshold."""
    threshold = NormalDist().inv_cdf(1 - HARD)    # in units of 1/sqrt(D)
    moved_mean = 1 / (math.sqrt(DIM) * T)
    return NormalDist().cdf(moved_mean - threshold)


shares = np.array([mean_share(T) for T in demo.progress(TEMPERATURES, "temperatures")])
theory = np.array([theory_of(T) for T in TEMPERATURES])

# %% At a low temperature almost all of it
demo.record("temperatures", TEMPERATURES)
demo.record(f"share of the hardest {HARD:.0%}", shares)
demo.claim("the hard negatives' share of the gradient is that of normal similarities (largest distance)",
           np.abs(shares - theory).max(), at_most=0.05)
demo.claim(f"below T = 0.05 the hardest {HARD:.0%} make up most of the gradient (least share)",
           shares[TEMPERATURES <= 0.05].min(), at_least=0.6)
demo.claim(f"at T = {TEMPERATURES[-1]:.0f} they count no more than the others (share)", shares[-1],
           at_most=1.3 * HARD)

# %% Figure
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(17, 5.8))
figure.suptitle("NT-Xent moves the two views of an image together and spreads all images evenly around the circle")
turn = np.linspace(0, 2 * np.pi, 200)
left.plot(np.cos(turn), np.sin(turn), color="0.85", lw=1)
radius = np.linspace(0.45, 1, STEPS + 1)[:, None, None, None]    # time goes outwards
where = path / lengths[..., None] * radius
for k, color in enumerate(plt.get_cmap("turbo")(np.linspace(0.02, 0.98, PAIRS))):
    for view, marker in ((0, "o"), (1, "s")):
        left.plot(*where[:, view, k].T, color=color, lw=1.5)
        left.plot(*where[0, view, k], marker, color=color, mfc="white", ms=6)
    left.plot(*where[-1, 0, k], "o", color=color, ms=11)
    left.plot(*where[-1, 1, k], "s", color="white", ms=4)
left.text(0, 0, "time goes\noutwards", ha="center", va="center", color="0.4")
left.set(aspect="equal", xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), xticks=[], yticks=[],
         title=f"{PAIRS} pairs (circle and square), T = {T_CIRCLE}")
left.spines[:].set_visible(False)

# %% Figure: the loss of random embeddings, and hard negatives
THEORY = dict(linestyle="--", color=BLACK, lw=1.3)
middle.plot(BATCHES, chance, **THEORY, label="ln(2B $-$ 1)")
for (T, values), color, marker in zip(random_losses.items(), (VERMILLION, BLUE), "Do"):
    middle.plot(BATCHES, values, marker, color=color, ms=6, label=f"T = {T}")
    middle.plot(BATCHES, chance + surplus[T], linestyle=":", color=color, lw=1.3)
middle.set_xscale("log", base=2)
middle.set(xlabel="batch size B, pairs", ylabel="loss of random embeddings in nats",
           title="Random embeddings: near chance, ln(2B $-$ 1)")
middle.legend(loc="lower right")
right.plot(TEMPERATURES, 100 * theory, **THEORY, label="normal similarities")
right.plot(TEMPERATURES, 100 * shares, "o", color=PURPLE, ms=6, label="measured by backward()")
reference(right, 100 * HARD, "their share if all counted the same")
right.set_xscale("log")
right.set(xlabel="temperature T", ylabel="share of the gradient in %", ylim=(0, 105),
          title=f"The hardest {100 * HARD:.0f} % of the negatives, by temperature")
right.legend(loc="upper right")
demo.finish(figure)
