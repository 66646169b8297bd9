"""Deploy: one file that maps a raw image to a label, in any process, to the bit.

Problem: an encoder is in one variable, its head in another, and what was done to the pixels before is in a line
of a notebook that nobody finds again. A model that is to serve must carry all three.

Idea: a `Classifier` is one module, g o f o (scaling), from raw pixels to probabilities,

    p = softmax( g_phi( f_theta( raw / maximum ) ) )

It knows the form of its input and refuses any other; `tinyml.nn.save_model` writes it to one file, and
`tinyml.nn.load_model` reads it back in a process that knows nothing about its training. On the command line:

    python -m tinyml.selfsupervised.deploy classifier.npz seven.pgm

The image file is a PGM, the simplest picture format there is. A digit of 8 x 8 pixels with ink from 0 to 16, as
the data set has them, is a text that one can type; 0 is the background, 16 is full ink (white, in a viewer):

    P2
    8 8
    16
    0 0 5 13 9 1 0 0
    ...                    (8 rows of 8 numbers)

Sources: MATH5836 week 10, section 10.3, phase 2, step 3; the PGM format of Netpbm,
https://netpbm.sourceforge.net/doc/pgm.html.
"""
import re
import sys
from pathlib import Path

import numpy as np

from tinyml import functional as F
from tinyml.check import check_number, check_real, check_sizes
from tinyml.nn import Module, load_model
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

    Call it on raw images, array_like of real numbers, shape (n, H, W), for logits, a Tensor of shape (n, C).

    Raises
    ------
    TypeError : raw images do not hold real numbers
    ValueError : raw images of another shape, or with values that are NaN, infinite or outside of 0..maximum; a
        head whose C is not the number of labels; sizes below 1
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
        """raw / maximum, flat, as the encoder knows images from its training: float32, shape (n, H W)."""
        raw = check_real("Classifier", "raw", raw.data if isinstance(raw, Tensor) else raw, at_least=0)
        if raw.ndim != 3 or raw.shape[1:] != self.shape:
            h, w = self.shape
            raise ValueError(f"Classifier: raw must have shape (n, {h}, {w}), got {raw.shape}; write image[None] "
                             "for a single image")
        if raw.max(initial=0) > self.maximum:
            raise ValueError(f"Classifier: raw must be at most maximum = {self.maximum:g}, got {raw.max():g}")
        return (raw / self.maximum).astype(np.float32).reshape(len(raw), -1)

    def probabilities(self, raw):
        """The probabilities of the classes, ndarray of shape (n, C), rows that sum to 1; n >= 1.

        In evaluation mode and without a graph. Equal rows in equal batches give equal bits; in a batch of
        another size the BLAS may round otherwise.
        """
        return F.softmax(Tensor(predict(self, np.asarray(raw)))).data

    def classify(self, raw):
        """The label of the largest probability for each image, a list of n entries of `labels`."""
        return [self.labels[i] for i in self.probabilities(raw).argmax(axis=1)]

    def extra_repr(self):
        h, w = self.shape
        return f"{h} x {w} in 0..{self.maximum:g}, {len(self.labels)} labels"


# ------------------------------------------------------------ image files

def write_pgm(image, path, *, maximum):
    """Write a grey image as a plain PGM, a text that people can read and write.

    Parameters
    ----------
    image : array_like of int, shape (H, W), H and W >= 1, in 0..maximum
    path : path-like
    maximum : int in 1..65535, the value of white

    Raises
    ------
    TypeError : image does not hold integers
    ValueError : another shape, or a value out of range
    """
    image = np.asarray(image)
    check_sizes("write_pgm", maximum=maximum)
    check_number("write_pgm", "maximum", maximum, at_most=65535)
    if image.dtype.kind not in "iu":
        raise TypeError(f"write_pgm: image must hold integers, got dtype {image.dtype}")
    if image.ndim != 2 or not image.size:
        raise ValueError(f"write_pgm: image must have shape (H, W), H and W >= 1, got {image.shape}")
    if image.min() < 0 or image.max() > maximum:
        raise ValueError(f"write_pgm: image must be in 0..{maximum}, got {image.min()}..{image.max()}")
    rows = [" ".join(map(str, row)) for row in image.tolist()]
    Path(path).write_text("\n".join(["P2", f"{image.shape[1]} {image.shape[0]}", f"{maximum}", *rows, ""]))


HEADER = re.compile(rb"(P[25])" + 3 * rb"(?:\s|#[^\n]*\n)+(\d+)" + rb"\s")    # then the pixels


def read_pgm(path):
    """Read a grey image from a PGM file, plain (P2, numbers as text) or raw (P5, one byte per pixel).

    Between P2 or P5, the width, the height and the maximum is white space, and comments from # to the end of
    the line. The pixels follow, row by row from the top.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    image : ndarray of int64, shape (H, W), in 0..maximum
    maximum : int, the value of white

    Raises
    ------
    FileNotFoundError : there is no such file
    ValueError : not a PGM file, no pixels, too few, too many, or beyond the maximum; a raw one of maximum > 255
    """
    data = Path(path).read_bytes()
    header = HEADER.match(data)
    if not header:
        raise ValueError(f"read_pgm: path must name a PGM file, which begins like \"P2 8 8 16\", got {path} with "
                         f"{data[:16]!r}")
    kind, (width, height, maximum) = header[1], map(int, header.groups()[1:])
    body = data[header.end():]
    if not (width and height and 1 <= maximum <= (65535 if kind == b"P2" else 255)):
        raise ValueError(f"read_pgm: width and height must be >= 1 and the maximum in range, got {width}, "
                         f"{height} and {maximum} in {path}")
    words = list(body) if kind == b"P5" else body.split()
    if len(words) != width * height:
        raise ValueError(f"read_pgm: a picture of {width} x {height} must have {width * height} pixels, got "
                         f"{len(words)} in {path}")
    odd = [word for word in words if kind == b"P2" and not word.isdigit() or int(word) > maximum]
    if odd:
        raise ValueError(f"read_pgm: pixels must be integers in 0..{maximum}, got {odd[0]!r} in {path}")
    return np.array(list(map(int, words)), np.int64).reshape(height, width), maximum


# ------------------------------------------------------------ the command line

def classify_file(model, path):
    """What a picture shows, and how sure that is.

    Parameters
    ----------
    model : Classifier
    path : path-like, a PGM file of the classifier's H x W pixels; its own maximum becomes the classifier's

    Returns
    -------
    label : int or str
    probabilities : ndarray, shape (C,)

    Raises
    ------
    FileNotFoundError, ValueError : as in `read_pgm` and `Classifier`
    """
    image, maximum = read_pgm(path)
    p = model.probabilities(image[None] * (model.maximum / maximum))[0]
    return model.labels[p.argmax()], p


def main(arguments):
    """classifier.npz image.pgm ...: print the name, the label and its probability of each image."""
    if len(arguments) < 2:
        sys.exit("usage: python -m tinyml.selfsupervised.deploy classifier.npz image.pgm ...")
    try:
        model = load_model(arguments[0])
        for path in arguments[1:]:
            label, p = classify_file(model, path)
            print(f"{path}  {label}  {p.max():.4f}")
    except (OSError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
