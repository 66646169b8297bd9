"""Is a model from a file, in another process, the same model?

MATH5836 week 10, section 10.3, phase 2, step 3. An encoder learns from images without labels,
and a linear probe from 50 labels. Scaling, encoder and head go into one file. A new process,
which has not seen the training, loads it and classifies the test images. Then the command line
classifies images in PGM files, and one file of another size.

You will see an image and its probabilities in both processes, and the accuracy on the images of
which the classifier is most sure.

That the file holds the same model, bit for bit, is a law, and holds on any images (--data). How
good the model is does not carry over: fifty labels tell digits apart, but hardly a shirt from a
coat.

Predict first: in how many of thousands of probabilities does the last bit differ between the two
processes? And what should a classifier of 8 x 8 pixels say about a picture of 9 x 8?
"""
# %% Constants
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from _pretraining import choose_view, simclr_encoder
from common import BLUE, VERMILLION, start
from panels import curve, reference

import tinyml
from tinyml import nn
from tinyml.data import train_test_split
from tinyml.pictures import write_pgm
from tinyml.selfsupervised.deploy import Classifier
from tinyml.selfsupervised.downstream import UnitLength, extract_features, linear_probe
from tinyml.selfsupervised.label_efficiency import draw_labels
from tinyml.train import predict

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = demo.load()
SIDE = round(X.shape[1] ** 0.5)
MAXIMUM = 16 if demo.data == "digits" else 255    # of a pixel in the files, white
ENCODER = (X.shape[1], 256, 128)            # pixels to features
EPOCHS = 15 if demo.quick else 100          # of pre-training, for digits
PER_CLASS = 5                               # labels
L2 = 1e-3                                   # penalty of the probe
SHOWN = 3                                   # images for the command line

# %% Data: raw images, integers from 0 to 16, or to 255
raw = np.rint(MAXIMUM * X).astype(int).reshape(-1, SIDE, SIDE)
X_train, X_test, y_train, y_test, _, raw_test = train_test_split(X, y, raw, test_size=0.3,
                                                            rng=demo.rng, stratify=y)

# %% Pre-training: the encoder learns without labels
view, _ = choose_view(X_train, y_train)
encoder = simclr_encoder(X_train, ENCODER, view=view, epochs=EPOCHS, rng=demo.rng)

# %% A head learns from five labels per class, and all parts become one module
encoder = nn.Sequential(encoder, UnitLength())
rows = draw_labels(y_train, PER_CLASS, rng=demo.rng)
probe = linear_probe(extract_features(encoder, X_train[rows]), y_train[rows], l2=L2)
classifier = Classifier(encoder, probe, labels=range(10), shape=(SIDE, SIDE), maximum=MAXIMUM)
here = classifier.probabilities(raw_test)
print(classifier)

# %% Experiment 1: a new process loads the file
FOLDER = TemporaryDirectory()
folder = Path(FOLDER.name)
LOAD = """
import sys, numpy as np
from tinyml.nn import load_model
classifier = load_model(sys.argv[1])
np.save(sys.argv[3], classifier.probabilities(np.load(sys.argv[2])))
"""


def python(*arguments):
    """A new Python that finds this tinyml; its exit code, its output and its errors."""
    path = os.pathsep.join(filter(None, [str(Path(tinyml.__file__).parents[1]),
                                         os.environ.get("PYTHONPATH")]))
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": path})


nn.save_model(classifier, folder / "classifier.npz")
np.save(folder / "raw.npy", raw_test)
child = python("-c", LOAD, folder / "classifier.npz", folder / "raw.npy", folder / "p.npy")
if child.returncode:
    sys.exit(child.stderr)
there = np.load(folder / "p.npy")

# %% Is it the same model?
odd_bits = int((here.view(np.uint32) != there.view(np.uint32)).sum())
file_bytes = (folder / "classifier.npz").stat().st_size
parameter_bytes = sum(4 * p.size for p in classifier.parameters())
demo.record("bytes of the file", file_bytes)
demo.record("bytes of its parameters", parameter_bytes)
demo.claim("a new process gives equal bits (probabilities that differ)", odd_bits, at_most=0)
demo.claim("the file is hardly longer than its parameters (ratio)", file_bytes / parameter_bytes,
           at_most=1.05)

# %% Experiment 2: the command line, with pictures of the test images and with one of another size
pictures = [folder / f"image{i}.pgm" for i in range(SHOWN)]
for picture, image in zip(pictures, raw_test):
    write_pgm(image, picture, maximum=MAXIMUM)
write_pgm(np.zeros((SIDE + 1, SIDE), int), folder / "other.pgm", maximum=MAXIMUM)
served = python("-m", "tinyml.selfsupervised.deploy", folder / "classifier.npz", *pictures)
refused = python("-m", "tinyml.selfsupervised.deploy", folder / "classifier.npz",
                 folder / "other.pgm")
FOLDER.cleanup()
print(served.stdout + refused.stderr.strip())

# %% Does it say the same, and refuse what is of another size?
said = [int(line.split()[1]) for line in served.stdout.splitlines()]
demo.record("labels from the command line", said)
demo.claim("the command line gives the same labels (1: yes)",
           said == here.argmax(axis=1)[:SHOWN].tolist(), at_least=1)
in_words = f"(1, {SIDE + 1}, {SIDE})" in refused.stderr and "Traceback" not in refused.stderr
demo.claim("a picture of another size is refused, and the message names it (1: yes)",
           refused.returncode != 0 and in_words, at_least=1)

# %% Experiment 3: how good is the classifier, and does it know when it is right?
right = here.argmax(axis=1) == y_test
surest_first = np.argsort(-here.max(axis=1))
n_kept = np.arange(1, len(y_test) + 1)
accuracy_of_surest = np.cumsum(right[surest_first]) / n_kept
half = accuracy_of_surest[len(y_test) // 2 - 1]
demo.record("accuracy on the test images", right.mean(), f"with {10 * PER_CLASS} labels")
demo.record("accuracy on the surer half", half)
probe_on_pixels = linear_probe(X_train[rows], y_train[rows], l2=L2, tolerance=1e-3)
on_pixels = np.mean(predict(probe_on_pixels, X_test).argmax(axis=1) == y_test)
demo.record("accuracy of a probe on pixels", on_pixels, "with the same labels")
demo.finding(f"{10 * PER_CLASS} labels are enough for most images (accuracy)", right.mean(),
             at_least=0.75 if demo.quick else 0.8,
             why="Where images of a class differ much, or classes differ in details alone, five of each are too few.")
demo.finding("the surer half is right more often (accuracy gained)", half - right.mean(), above=0,
             why="After training on few images, probabilities may say nothing about which answers are right.")

# %% Figure
figure, (left, middle, last) = plt.subplots(1, 3, figsize=(14, 4.8), width_ratios=[0.9, 1.5, 1.4])
figure.suptitle(f"{demo.data}: a model from a file is the same model: {odd_bits} of {here.size:,} "
                f"probabilities differ, and {100 * right.mean():.0f} % of the images are right")
left.imshow(raw_test[0], cmap="gray", vmin=0, vmax=MAXIMUM)
left.set(xticks=[], yticks=[], title=f'The command line says "{said[0]}"')
middle.bar(range(10), here[0], color=BLUE, width=0.7, label="where it was trained")
middle.plot(range(10), there[0], "o", color=VERMILLION, markerfacecolor="none", markersize=9,
            markeredgewidth=2,
            label="in a new process")
middle.set(xticks=range(10), xlabel="class", ylabel="probability", ylim=(0, 1.25),
           yticks=np.arange(0, 1.1, 0.25),
           title="Its probabilities")
middle.legend(loc="upper right")
curve(last, 100 * n_kept / len(y_test), 100 * accuracy_of_surest, color=BLUE)
reference(last, 100 * right.mean(), "all images")
last.set(xlabel="images kept in %, the surest first", ylabel="accuracy on these in %",
         xlim=(0, 100),
         title="The surest half is right more often" if half > right.mean() else "To be sure is not to be right")
demo.finish(figure)
