"""Is a model from a file, in another process, the same model?

MATH5836 week 10, section 10.3, phase 2, step 3. An encoder learns from digits without labels, a linear probe from 50
labels. Scaling, encoder and head go into one file. A fresh process, which has not seen any training, loads it and
names the test images; then the command line names digits that are pictures in PGM files, and one that is none.

You will see a digit as it stands in its file, as text; what the two processes say about it; and how sure the
classifier is, beside how often it is right.

Predict first: in how many of the 5,400 probabilities will the last bit differ between the two processes? And what
shall a classifier of digits say about a picture of 9 x 8 pixels?
"""
# %% Constants
import math
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, VERMILLION, start

import tinyml
from tinyml import nn
from tinyml.data import digits, train_test_split
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.pictures import write_pgm
from tinyml.selfsupervised.augmentations import add_noise, compose, random_affine
from tinyml.selfsupervised.deploy import Classifier
from tinyml.selfsupervised.downstream import UnitLength, extract_features, linear_probe
from tinyml.selfsupervised.label_efficiency import draw_labels
from tinyml.selfsupervised.simclr import mlp_encoder, projection_head, train_simclr

demo = start(__file__, __doc__)
ENCODER = (64, 256, 128)                    # pixels to features
EPOCHS, BATCH, LR = (15 if demo.quick else 100), 256, 3e-3
PER_CLASS = 5                               # labels
L2 = 1e-3                                   # of the probe
SHOWN = 3                                   # digits that the command line is asked about

# %% Data: images as the data set has them, integers from 0 to 16
X, y = digits()
raw = (16 * X).astype(int).reshape(-1, 8, 8)
X_train, _, y_train, y_test, _, raw_test = train_test_split(X, y, raw, test_size=0.3, rng=demo.rng, stratify=y)

# %% Model: learn without labels, then with a few; put it all together
encoder, head = mlp_encoder(*ENCODER, rng=demo.rng), projection_head(ENCODER[-1], 64, rng=demo.rng)
optimizer = Adam([*encoder.parameters(), *head.parameters()], lr=LR)
n_steps = EPOCHS * math.ceil(len(X_train) / BATCH)
train_simclr(encoder, head, X_train, view=compose(random_affine(rotate=0.35, scale=0.2, shear=0.3, shift=0.5),
                                                  add_noise(0.2)),
             temperature=1.0, optimizer=optimizer, epochs=EPOCHS, batch_size=BATCH, rng=demo.rng,
             schedule=LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps)))
encoder = nn.Sequential(encoder, UnitLength())
rows = draw_labels(y_train, PER_CLASS, rng=demo.rng)
probe = linear_probe(extract_features(encoder, X_train[rows]), y_train[rows], l2=L2)
classifier = Classifier(encoder, probe, labels=range(10), shape=(8, 8), maximum=16)
print(classifier)

# %% Experiment: another process
LOAD = """
import sys, numpy as np
from tinyml.nn import load_model
classifier = load_model(sys.argv[1])
np.save(sys.argv[3], classifier.probabilities(np.load(sys.argv[2])))
"""


def python(*arguments):
    """A fresh Python that finds this tinyml; its exit code, its output and its errors."""
    path = os.pathsep.join(filter(None, [str(Path(tinyml.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": path})


here = classifier.probabilities(raw_test)
with TemporaryDirectory() as folder:
    file, images, answers = (Path(folder) / name for name in ("classifier.npz", "raw.npy", "p.npy"))
    nn.save_model(classifier, file)
    file_bytes = file.stat().st_size
    np.save(images, raw_test)
    child = python("-c", LOAD, file, images, answers)
    if child.returncode:
        sys.exit(child.stderr)
    there = np.load(answers)

    pictures = [Path(folder) / f"digit{i}.pgm" for i in range(SHOWN)]
    for picture, image in zip(pictures, raw_test):
        write_pgm(image, picture, maximum=16)
    text = pictures[0].read_text()
    served = python("-m", "tinyml.selfsupervised.deploy", file, *pictures)
    write_pgm(np.zeros((9, 8), int), pictures[0], maximum=16)
    refused = python("-m", "tinyml.selfsupervised.deploy", file, pictures[0])
answers = [line.split()[1:] for line in served.stdout.splitlines()]    # label and probability of each
print(served.stdout + refused.stderr.strip())

odd_bits = int((here.view(np.uint32) != there.view(np.uint32)).sum())
sure, right = here.max(axis=1), here.argmax(axis=1) == y_test

# %% Figure
figure = plt.figure(figsize=(14, 5.2))
figure.suptitle(f"The model of the file is the same model: {odd_bits} of {here.size:,} probabilities differ, and "
                f"{100 * right.mean():.0f} % of the digits are named rightly")
picture, words, bars, curve = figure.subplots(1, 4, width_ratios=[1, 1, 1.5, 1.4])
picture.imshow(raw_test[0], cmap="gray", vmin=0, vmax=16)
picture.set_anchor("N")
picture.set(xticks=[], yticks=[], title="A picture")
words.text(0, 1, "\n".join(" ".join(f"{word:>2}" for word in line.split()) for line in text.splitlines()),
           family="monospace", size=11, va="top", transform=words.transAxes)
words.axis("off")
words.set_title("... is a text of 11 lines")
bars.bar(range(10), here[0], color=BLUE, width=0.7, label="where it was trained")
bars.plot(range(10), there[0], "o", color=VERMILLION, mfc="none", ms=9, mew=2, label="in a fresh process")
bars.set(xticks=range(10), xlabel="digit", ylabel="probability", ylim=(0, 1.25), yticks=np.arange(0, 1.1, 0.25),
         title=f'The command line says "{answers[0][0]}"')
bars.legend(loc="upper right")
order = np.argsort(-sure)
named = np.arange(1, len(order) + 1)
curve.plot(100 * named / len(order), 100 * np.cumsum(right[order]) / named, color=BLUE)
curve.axhline(100 * right.mean(), linestyle="--", color=BLACK, lw=1.3)
curve.text(2, 100 * right.mean() + 0.3, "all images", va="bottom")
curve.set(xlabel="images named, the surest first, %", ylabel="of these right, %", xlim=(0, 100),
          title="The surest are right most often")

# %% Claims
half = order[:len(order) // 2]
demo.record("bytes of the file", file_bytes)
demo.record("bytes of its parameters", sum(4 * p.size for p in classifier.parameters()))
demo.record("accuracy on the test images", right.mean(), f"with {10 * PER_CLASS} labels")
demo.record("accuracy on the surer half", right[half].mean())
demo.record("labels from the command line", [int(label) for label, _ in answers])
demo.claim("a fresh process gives the same bits (probabilities that differ)", odd_bits, at_most=0)
demo.claim("the command line gives the same labels (number that differ)",
           sum(int(label) != i for (label, _), i in zip(answers, here.argmax(axis=1))) + abs(len(answers) - SHOWN),
           at_most=0)
demo.claim("a picture of another size is refused, with its size named and no traceback (yes 1)",
           refused.returncode != 0 and "(1, 9, 8)" in refused.stderr and "Traceback" not in refused.stderr,
           at_least=1)
demo.claim("the file is hardly longer than its parameters (ratio)",
           file_bytes / sum(4 * p.size for p in classifier.parameters()), at_most=1.05)
demo.claim(f"{10 * PER_CLASS} labels are enough to name most (accuracy)", right.mean(),
           at_least=0.75 if demo.quick else 0.8)
demo.claim("the surer half is right more often (accuracy)", right[half].mean(), above=right.mean())
demo.finish(figure)
