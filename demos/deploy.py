"""Is a model from a file, in another process, the same model?

MATH5836 week 10, section 10.3, phase 2, step 3. An encoder learns from digits without labels,
and a linear probe from 50 labels. Scaling, encoder and head go into one file. A new process,
which has not seen the training, loads it and classifies the test images. Then the command line
classifies digits in PGM files, and one file that is no digit.

You will see a digit and its probabilities in both processes, and the accuracy on the images of
which the classifier is most sure.

Predict first: in how many of the 5,390 probabilities does the last bit differ between the two
processes? And what should a classifier of digits say about a picture of 9 x 8 pixels?
"""
# %% Constants
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from _pretraining import simclr_encoder
from common import BLUE, VERMILLION, start
from panels import curve, reference

import tinyml
from tinyml import nn
from tinyml.data import digits, train_test_split
from tinyml.pictures import write_pgm
from tinyml.selfsupervised.deploy import Classifier
from tinyml.selfsupervised.downstream import UnitLength, extract_features, linear_probe
from tinyml.selfsupervised.label_efficiency import draw_labels

demo = start(__file__, __doc__)
ENCODER = (64, 256, 128)                    # pixels to features
EPOCHS = 15 if demo.quick else 100          # of pre-training
PER_CLASS = 5                               # labels
L2 = 1e-3                                   # penalty of the probe
SHOWN = 3                                   # digits for the command line

# %% Data: raw images, integers from 0 to 16
X, y = digits()
raw = (16 * X).astype(int).reshape(-1, 8, 8)
X_train, _, y_train, y_test, _, raw_test = train_test_split(X, y, raw, test_size=0.3,
                                                            rng=demo.rng, stratify=y)

# %% Pre-training: the encoder learns without labels
encoder = simclr_encoder(X_train, ENCODER, epochs=EPOCHS, rng=demo.rng)

# %% A head learns from five labels per digit, and all parts become one module
encoder = nn.Sequential(encoder, UnitLength())
rows = draw_labels(y_train, PER_CLASS, rng=demo.rng)
probe = linear_probe(extract_features(encoder, X_train[rows]), y_train[rows], l2=L2)
classifier = Classifier(encoder, probe, labels=range(10), shape=(8, 8), maximum=16)
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

# %% Experiment 2: the command line, with pictures of digits and with one of another size
pictures = [folder / f"digit{i}.pgm" for i in range(SHOWN)]
for picture, image in zip(pictures, raw_test):
    write_pgm(image, picture, maximum=16)
write_pgm(np.zeros((9, 8), int), folder / "9x8.pgm", maximum=16)
served = python("-m", "tinyml.selfsupervised.deploy", folder / "classifier.npz", *pictures)
refused = python("-m", "tinyml.selfsupervised.deploy", folder / "classifier.npz",
                 folder / "9x8.pgm")
FOLDER.cleanup()
print(served.stdout + refused.stderr.strip())

# %% Does it say the same, and refuse what is no digit?
said = [int(line.split()[1]) for line in served.stdout.splitlines()]
demo.record("labels from the command line", said)
demo.claim("the command line gives the same labels (1: yes)",
           said == here.argmax(axis=1)[:SHOWN].tolist(), at_least=1)
in_words = "(1, 9, 8)" in refused.stderr and "Traceback" not in refused.stderr
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
demo.claim(f"{10 * PER_CLASS} labels are enough for most digits (accuracy)", right.mean(),
           at_least=0.75 if demo.quick else 0.8)
demo.claim("the surer half is right more often (accuracy)", half, above=right.mean())

# %% Figure
figure, (left, middle, last) = plt.subplots(1, 3, figsize=(14, 4.8), width_ratios=[0.9, 1.5, 1.4])
figure.suptitle(f"A model from a file is the same model: {odd_bits} of {here.size:,} "
                f"probabilities differ, and {100 * right.mean():.0f} % of the digits are right")
left.imshow(raw_test[0], cmap="gray", vmin=0, vmax=16)
left.set(xticks=[], yticks=[], title=f'The command line says "{said[0]}"')
middle.bar(range(10), here[0], color=BLUE, width=0.7, label="where it was trained")
middle.plot(range(10), there[0], "o", color=VERMILLION, markerfacecolor="none", markersize=9,
            markeredgewidth=2,
            label="in a new process")
middle.set(xticks=range(10), xlabel="digit", ylabel="probability", ylim=(0, 1.25),
           yticks=np.arange(0, 1.1, 0.25),
           title="Its probabilities")
middle.legend(loc="upper right")
curve(last, 100 * n_kept / len(y_test), 100 * accuracy_of_surest, color=BLUE)
reference(last, 100 * right.mean(), "all images")
last.set(xlabel="images kept in %, the surest first", ylabel="accuracy on these in %",
         xlim=(0, 100),
         title="The surest predictions are right most often")
demo.finish(figure)
