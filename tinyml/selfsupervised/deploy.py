"""Deploy: one file that maps a raw image to a label, in any process, to the bit.

Problem: an encoder is in one variable, its head in another, and what was done to the pixels before
is in a line of a notebook that nobody finds again. A model that is to serve must carry all three.

Idea: a `Classifier` is one module, g o f o (scaling), from raw pixels to probabilities,

    p = softmax( g_phi( f_theta( raw / maximum ) ) )

It knows the form of its input and refuses any other; `tinyml.nn.save_model` writes it to one file,
and `tinyml.nn.load_model` reads it back in a process that knows nothing about its training. On the
command line:

    python -m tinyml.selfsupervised.deploy classifier.npz seven.pgm

The picture is a PGM or PNG file (`tinyml.pictures`) of the classifier's size; 0 is the background,
white is full ink. The model may also be a file of `tinyml.compression.coding.storage.save_compressed`. If
it has classes of your own, name each of them: `--classes my_module:MyEncoder`.

Source: MATH5836 week 10, section 10.3, phase 2, step 3.
"""
import argparse
import sys
from importlib import import_module

import numpy as np

from tinyml import functional as F
from tinyml.check import check_number, check_real, check_sizes
from tinyml.nn import Module, load_model
from tinyml.pictures import read_image
from tinyml.tensor import Tensor
from tinyml.train import predict


class Classifier(Module):
    """From raw images to probabilities: scaling, encoder and head in one module, for one file.

        p = softmax( head( encoder( raw / maximum ) ) )

    Parameters
    ----------
    encoder : Module, from (n, H W), float32 in [0, 1], to features (n, d)
    head : Module, from (n, d) to logits (n, C)
    labels : sequence of C int or str, what the classes are called
    shape : (int, int), H and W of a raw image
    maximum : number > 0, the largest raw value of a pixel, which becomes 1; the smallest is 0

    Call it on raw images, array_like of real numbers, shape (n, H, W), for logits, a Tensor of
    shape (n, C).

    Raises
    ------
    TypeError : raw images do not hold real numbers
    ValueError : raw images of another shape, or with values that are NaN, infinite or outside of
        0..maximum; a head whose C is not the number of labels; sizes below 1
    """

    def __init__(self, encoder, head, *, labels, shape, maximum):
        check_sizes("Classifier", height=shape[0], width=shape[1], labels=len(labels))
        check_number("Classifier", "maximum", maximum, above=0)
        self.encoder, self.head, self.labels = encoder, head, list(labels)
        self.shape, self.maximum = tuple(shape), maximum

    def forward(self, raw):
        logits = self.head(self.encoder(Tensor(self.scale(raw))))
        if logits.shape[-1] != len(self.labels):
            raise ValueError(f"Classifier: head must have as many outputs as there are labels, "
                             f"{len(self.labels)}, got {logits.shape[-1]}")
        return logits

    def scale(self, raw):
        """raw / maximum, flat, as the encoder has seen images: float32, shape (n, H W)."""
        raw = raw.data if isinstance(raw, Tensor) else raw
        raw = check_real("Classifier", "raw", raw, at_least=0)
        if raw.ndim != 3 or raw.shape[1:] != self.shape:
            h, w = self.shape
            raise ValueError(f"Classifier: raw must have shape (n, {h}, {w}), got {raw.shape}; "
                             "write image[None] for a single image")
        if raw.max(initial=0) > self.maximum:
            raise ValueError(f"Classifier: raw must be at most maximum = {self.maximum:g}, got "
                             f"{raw.max():g}")
        return (raw / self.maximum).astype(np.float32).reshape(len(raw), -1)

    def probabilities(self, raw):
        """The probabilities of the classes, ndarray of shape (n, C), rows that sum to 1; n >= 1.

        In evaluation mode and without a graph. Equal rows in equal batches give equal bits; in a
        batch of another size the BLAS may round otherwise.
        """
        p = F.softmax(Tensor(predict(self, check_real("Classifier", "raw", raw)))).data
        if np.isnan(p).any():    # the first class would look like the largest
            raise ValueError("Classifier: the logits must be numbers, got NaN; were the weights trained to NaN?")
        return p

    def classify(self, raw):
        """The label of the largest probability for each image, a list of n entries of `labels`."""
        return [self.labels[i] for i in self.probabilities(raw).argmax(axis=1)]

    def extra_repr(self):
        h, w = self.shape
        return f"{h} x {w} in 0..{self.maximum:g}, {len(self.labels)} labels"


# ------------------------------------------------------------ the command line

def classify_file(model, path):
    """What a picture shows, and how sure that is.

    Parameters
    ----------
    model : Classifier
    path : path-like, a PGM or PNG file of the classifier's H x W pixels; its white becomes the
        classifier's maximum

    Returns
    -------
    label : int or str
    probabilities : ndarray, shape (C,)

    Raises
    ------
    FileNotFoundError, ValueError : as in `tinyml.pictures.read_image` and `Classifier`
    """
    image, white = read_image(path)
    raw = np.minimum(image * model.maximum / white, model.maximum)
    p = model.probabilities(raw[None])[0]
    return model.labels[p.argmax()], p


def load_classifier(path, classes=()):
    """Read a Classifier from a file of `save_model` or of `save_compressed`.

    Parameters
    ----------
    path : path-like
    classes : iterable of Module subclasses of your own that the model has

    Returns
    -------
    Classifier

    Raises
    ------
    FileNotFoundError : there is no such file
    ValueError : as in `load_model` and `load_compressed`, or the file holds another model
    """
    storage = import_module("tinyml.compression.coding.storage")    # of another lesson, for its files
    with open(path, "rb") as file:
        is_compressed = file.read(len(storage.MAGIC)) == storage.MAGIC
    model = (storage.load_compressed if is_compressed else load_model)(path, classes)
    if not isinstance(model, Classifier):
        raise ValueError(f"load_classifier: path must name the file of a Classifier, got {path} "
                         f"of a {type(model).__name__}; write save_model(Classifier(encoder, "
                         "head, ...), path)")
    return model


def find_class(name):
    """The class that "module:Name" names.

    Parameters
    ----------
    name : str, the module to import, a colon, and a Module subclass in it

    Returns
    -------
    type

    Raises
    ------
    ValueError : there is no such module, or no such Module subclass in it
    """
    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(f"find_class: name must be module:Name of a class that can be imported, "
                         f"got {name!r}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Module)):
        raise ValueError(f"find_class: name must be that of a Module subclass, got {name!r}, "
                         f"which is {found!r}")
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


if __name__ == "__main__":    # by its full name, so that files find the same Classifier
    import_module("tinyml.selfsupervised.deploy").main(sys.argv[1:])
