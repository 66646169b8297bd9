"""Deploy: one file that maps raw images to labels, with the same results in every process.

Problem: the encoder is in one variable, the head in another, and how the pixels were scaled is in
a line of some notebook. A deployed model must contain all three.

Idea: a `Classifier` is one module, from raw pixels to probabilities:

    p = softmax( g( f( raw / maximum ) ) )

A Classifier refuses images of another size or range than those it was trained on. It is written to
a file by `tinyml.nn.save_model`, and read by `tinyml.nn.load_model`. On the command line:

    python -m tinyml.selfsupervised.deploy classifier.npz seven.pgm

The picture is a PGM or PNG file of the classifier's size, with 0 for the background. The model may
also be a file of `tinyml.compression.coding.storage.save_compressed`. If the model has classes of
your own, name each of them: `--classes my_module:MyEncoder`.

Source: MATH5836 week 10, section 10.3, phase 2, step 3.
"""
import argparse
import math
import sys
from importlib import import_module

import numpy as np

from tinyml import functional as F
from tinyml.contract import checked
from tinyml.nn import Module, load_model
from tinyml.pictures import read_image
from tinyml.tensor import Tensor
from tinyml.train import predict


@checked
class Classifier(Module):
    """From raw images to classes: scaling, encoder and head in one module.

        logits = g(f(raw / maximum))

    Called on raw images, array_like of shape (n, H, W), it returns logits, shape (n, C).
    """

    def __init__(
        self,
        encoder: "Module; f, from (n, H W), float32 in [0, 1], to features (n, d)",
        head: "Module; g, from (n, d) to logits (n, C)",
        *,
        labels: "sequence of int or str, not empty; the names of the C classes",
        shape: "array_like of int, shape (2,), >= 1; H and W",
        maximum: "float > 0; the largest raw value of a pixel; the smallest is 0",
    ):
        self.encoder, self.head = encoder, head
        self.labels, self.shape, self.maximum = list(labels), tuple(shape.tolist()), maximum

    def forward(self, raw):
        x = Tensor(self.scale(raw))
        logits = self.head(self.encoder(x))    # notes 10.3, deployed model
        n, expected = logits.shape[-1], len(self.labels)
        if n != expected:
            raise ValueError(f"Classifier: head must have {expected} outputs, as labels, got {n}")
        return logits

    @checked
    def scale(self, raw: "array_like, shape (n, *shape), >= 0, <= maximum"):
        """raw / maximum as in training: float32, shape (n, H W)."""
        flat = raw.reshape(len(raw), math.prod(self.shape))
        return (flat / self.maximum).astype(np.float32)

    def probabilities(self, raw):
        """The probabilities of the classes, ndarray, shape (n, C), in evaluation mode."""
        p = F.softmax(Tensor(predict(self, raw))).data
        if np.isnan(p).any():    # the argmax of NaN would be the first class
            raise ValueError("Classifier: logits must be finite, got NaN; did training diverge?")
        return p

    def classify(self, raw):
        """The most probable label of each image, a list of length n."""
        return [self.labels[i] for i in self.probabilities(raw).argmax(axis=1)]

    def extra_repr(self):
        h, w = self.shape
        return f"{h} x {w} in 0..{self.maximum:g}, {len(self.labels)} labels"


# ------------------------------------------------------------ the command line

@checked
def classify_file(
    model: "Classifier",
    path: "path-like; a PGM or PNG file of H x W pixels; white becomes the model's "
          "maximum",
):
    """The most probable label of a picture, and all probabilities.

    Returns
    -------
    label : int or str
    probabilities : ndarray, shape (C,)
    """
    image, white = read_image(path)
    raw = np.minimum(image * model.maximum / white, model.maximum)    # the quotient may round up
    p = model.probabilities(raw[None])[0]
    return model.labels[p.argmax()], p


@checked
def load_classifier(
    path: "path-like; with a Classifier in the file",
    classes: "iterable of Module subclasses of your own that the model has" = (),
) -> "Classifier":
    """Read a Classifier from a file of `save_model` or of `save_compressed`."""
    storage = import_module("tinyml.compression.coding.storage")    # loaded only if it is needed
    with open(path, "rb") as file:
        is_compressed = file.read(len(storage.MAGIC)) == storage.MAGIC
    load = storage.load_compressed if is_compressed else load_model
    model = load(path, classes)
    if not isinstance(model, Classifier):
        raise ValueError(f"load_classifier: path must name the file of a Classifier, got {path} "
                         f"of a {type(model).__name__}; write save_model(Classifier(encoder, "
                         "head, ...), path)")
    return model


@checked
def find_class(
    name: "str; a module to import, a colon, and a Module subclass in it",
) -> "type":
    """The class called "module:Name"."""
    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(f"find_class: name must be module:Name of a class that can be imported, "
                         f"got {name!r}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Module)):
        raise ValueError(f"find_class: name must be that of a Module subclass, got {found!r}")
    return found


def main(arguments):
    """Print the name of each picture, its label and the label's probability."""
    parser = argparse.ArgumentParser(prog="python -m tinyml.selfsupervised.deploy",
                                     description=main.__doc__)
    parser.add_argument("--classes", action="append", default=[], metavar="MODULE:NAME",
                        help="a class of your own that the model has; may be given several times")
    parser.add_argument("model", help="a Classifier in a file of save_model or save_compressed")
    parser.add_argument("pictures", nargs="+", metavar="picture", help="a PGM or PNG file")
    given = parser.parse_args(arguments)
    try:
        model = load_classifier(given.model, [find_class(name) for name in given.classes])
        for path in given.pictures:
            label, p = classify_file(model, path)
            print(f"{path}  {label}  {p.max():.4f}")
    except (OSError, TypeError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":    # under its full name, to which files refer
    import_module("tinyml.selfsupervised.deploy").main(sys.argv[1:])
