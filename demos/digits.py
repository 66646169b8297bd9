"""How well do a small MLP and a small CNN read real handwritten digits?

1,797 images of 8 x 8 pixels (UCI Optical Recognition of Handwritten Digits), four fifths of them for training;
a small version of the convolutional networks of LeCun et al. 1998.

You will see the test error fall over the epochs, with a band over random splits, and test images that the CNN
gets wrong.

Predict first: the CNN has fewer parameters than the MLP. Which of the two makes fewer mistakes? And are the
mistakes images that you would read correctly?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLUE, VERMILLION, band, label_line, start

from tinyml import functional as F
from tinyml.data import digits, train_test_split
from tinyml.nn import BatchNorm2d, Conv2d, Dropout, Flatten, Linear, ReLU, Sequential
from tinyml.optim import AdamW, LambdaLR, cosine_decay
from tinyml.train import accuracy, fit, predict

demo = start(__file__, __doc__)
SPLITS = 1 if demo.quick else 5        # random splits into training and test images
TEST_SIZE = 0.2                        # fraction of the images held out
EPOCHS = {"MLP": 40, "CNN": 12 if demo.quick else 15}
BATCH_SIZE = 32
LR = 5e-3                              # initial rate of AdamW, to 0 on a cosine
SHIFTED = 0.2                          # fraction of the CNN's training images that move by up to a pixel
GOAL = {"MLP": 0.96, "CNN": 0.97 if demo.quick else 0.98}    # test accuracy, mean over the splits
PIXELS, CLASSES = 8, 10

# %% Data: images as (N, C, H, W)
X, y = digits()
X = X.reshape(-1, 1, PIXELS, PIXELS)


# %% Models
def mlp(rng):
    return Sequential(Flatten(), Linear(PIXELS * PIXELS, 256, rng=rng), ReLU(), Linear(256, CLASSES, rng=rng))


def cnn(rng):
    return Sequential(
        Conv2d(1, 16, 3, rng=rng), BatchNorm2d(16), ReLU(),     # 16 x 6 x 6
        Conv2d(16, 32, 3, rng=rng), BatchNorm2d(32), ReLU(),    # 32 x 4 x 4
        Conv2d(32, 32, 3, rng=rng), BatchNorm2d(32), ReLU(),    # 32 x 2 x 2
        Flatten(), Dropout(0.3, rng=rng), Linear(32 * 2 * 2, CLASSES, rng=rng))


# %% Augmentation for the CNN: some images move a little
def shift(x, rng):
    """Move some of the images by -1, 0 or 1 pixel in each direction; white comes in at the border."""
    n = len(x)
    moves = rng.random(n) < SHIFTED
    dy, dx = np.where(moves, rng.integers(0, 3, (2, n)), 1)    # 1: stays
    framed = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    places = np.lib.stride_tricks.sliding_window_view(framed, (PIXELS, PIXELS), axis=(2, 3))
    return places[np.arange(n), :, dy, dx]


# %% Training: AdamW, with a learning rate that falls to 0 on a cosine
def train(build, epochs, split, rng, augment=None):
    """Train a fresh model on one split; return it and the test error after every epoch."""
    X_train, X_test, y_train, y_test = split
    model = build(rng)
    optimizer = AdamW(model.parameters(), lr=LR)
    steps = epochs * -(-len(X_train) // BATCH_SIZE)

    def loss_of(model, x, y):
        return F.cross_entropy(model(x if augment is None else augment(x, rng)), y)
    history = fit(model, X_train, y_train, optimizer=optimizer, epochs=epochs, batch_size=BATCH_SIZE, rng=rng,
                  loss_of=loss_of, schedule=LambdaLR(optimizer, lambda t: cosine_decay(t, steps)),
                  metrics={"test error": lambda m: 1 - accuracy(m, X_test, y_test)})
    return model, [row["test error"] for row in history]


# %% Experiment: both models on every split
curves = {"MLP": [], "CNN": []}
models, mistakes, tested = {}, [], 0
for number in demo.progress(range(SPLITS), "splits"):
    rng = np.random.default_rng([demo.seed, number])
    split = train_test_split(X, y, test_size=TEST_SIZE, rng=rng, stratify=y)
    for name, build, augment in (("MLP", mlp, None), ("CNN", cnn, shift)):
        model, curve = train(build, EPOCHS[name], split, rng, augment)
        curves[name].append(curve)
        models[name] = model
    _, X_test, _, y_test = split
    guess = predict(models["CNN"], X_test).argmax(axis=-1)
    tested += len(guess)
    wrong = np.flatnonzero(guess != y_test)
    mistakes += zip(X_test[wrong, 0], y_test[wrong], guess[wrong])
print(models["CNN"])

# %% Accuracy after the last epoch, and the number of parameters
sizes = {name: sum(p.size for p in model.parameters()) for name, model in models.items()}
best = {name: 1 - np.array(curve)[:, -1] for name, curve in curves.items()}
for name, goal in GOAL.items():
    demo.record(f"{name} parameters", sizes[name])
    demo.record(f"{name} test accuracy, each split", best[name])
    demo.claim(f"the {name}'s test accuracy is at least {100 * goal:.0f} %, mean over the splits",
               best[name].mean(), at_least=goal)
demo.record("mistakes of the CNN", len(mistakes), f"of {tested:,}")
demo.claim("the CNN is smaller than the MLP (parameters, ratio)",
           sizes["CNN"] / sizes["MLP"], below=1)
if not demo.quick:
    demo.claim("the CNN makes fewer mistakes: test error, MLP - CNN, mean over the splits",
               best["CNN"].mean() - best["MLP"].mean(), above=0)

# %% Figure: learning curves, and the images that the CNN gets wrong
figure = plt.figure(figsize=(12, 5.2))
figure.suptitle(f"A CNN of {sizes['CNN']:,} parameters reads {100 * best['CNN'].mean():.1f} % of unseen "
                f"digits, an MLP of {sizes['MLP']:,} reads {100 * best['MLP'].mean():.1f} %")
left, right = figure.add_gridspec(1, 2, width_ratios=[1.25, 1])
ax = figure.add_subplot(left)
for name, colour, style in (("MLP", VERMILLION, "--"), ("CNN", BLUE, "-")):
    epochs = np.arange(1, EPOCHS[name] + 1)
    band(ax, epochs, 100 * np.array(curves[name]), color=colour, linestyle=style, label=name)
    label_line(ax, ax.lines[-1], name)
ax.set(xlabel="epoch", ylabel="test error (%)", ylim=(0, 12),
       title=f"Learning curves, median and band over {SPLITS} splits" if SPLITS > 1 else "Learning curves")

ROWS, COLUMNS = 3, 4
sheet = figure.add_subplot(right)
sheet.set_title(f"Mistakes of the CNN: {len(mistakes)} of {tested:,} test images"
                + (f", {ROWS * COLUMNS} shown" if len(mistakes) > ROWS * COLUMNS else ""))
sheet.set_axis_off()
for k, (image, truth, guess) in enumerate(mistakes[:ROWS * COLUMNS]):
    row, column = divmod(k, COLUMNS)
    cell = sheet.inset_axes([column / COLUMNS, 1 - (row + 1) / ROWS, 0.9 / COLUMNS, 0.78 / ROWS])
    cell.imshow(image, cmap="gray_r", vmin=0, vmax=1)
    cell.set_title(f"{truth}, read as {guess}", fontsize=10, loc="center", pad=4)
    cell.set_axis_off()

demo.finish(figure)
