"""SimCLR: an encoder learns from pairs of views; the other images of the batch are the negatives.

Problem: suppose only ten of 1,797 images of digits have labels. What can be learned from the rest?

Idea: draw two random augmentations t, t' for each image x of a batch; they give two views t(x),
t'(x). Train an encoder f and a small projection head g to find the pairs:

    h = f(t(x)),    z = g(h),    loss = NT-Xent(z, z') at a temperature T

Here z' = g(f(t'(x))). The views of one image attract each other, so z becomes invariant to the
augmentations. Different images repel each other, so z keeps what distinguishes them. The head can
discard what differs between the views. So h need not discard it, and h keeps more information
than z. After training the head is thrown away: the features are h.

Sources: MATH5836 week 10, section 10.3.2; Chen, Kornblith, Norouzi and Hinton 2020, A simple
framework for contrastive learning of visual representations (section 4.2 on the head).
"""
import numpy as np

from tinyml.contract import checked
from tinyml.nn import Conv2d, Flatten, Linear, Module, ReLU, Sequential
from tinyml.selfsupervised.contrastive import nt_xent
from tinyml.tensor import Tensor
from tinyml.train import fit


@checked
def train_simclr(
    encoder: "Module; f, from images to features h (B, d); the part that is kept "
             "after training",
    head: "Module; g, from features to embeddings z (B, D)",
    X: "ndarray, shape (n, ...), n >= 1; images without labels",
    *,
    view: "function (x, rng) -> x; a random view of each image; see `augmentations`",
    temperature: "float in [1e-4, 1e4]; T",
    rng: "numpy.random.Generator; draws the order of the images and the views",
    **options: "further arguments of `tinyml.train.fit`, such as an optimizer of "
               "encoder and head",
) -> "list of dict, the history of fit; encoder and head are in evaluation mode afterwards":
    """Minimise NT-Xent between two views of each image (Chen et al. 2020, algorithm 1)."""
    def loss_of(model, x):
        x1, x2 = view(x, rng), view(x, rng)    # notes 10.3.2, two views
        z1, z2 = model(Tensor(x1)), model(Tensor(x2))
        return nt_xent(z1, z2, temperature=temperature)

    return fit(Sequential(encoder, head), X, loss_of=loss_of, rng=rng, **options)


# ------------------------------------------------------------ encoders and heads: ordinary models

@checked
def mlp_encoder(
    *sizes: "int >= 1; the number of units of each layer; the size of the input "
            "first, that of the output last",
    rng: "numpy.random.Generator",
) -> "Sequential; because of the last ReLU, h >= 0":
    """Linear layers, each followed by a ReLU: from x (N, sizes[0]) to h (N, sizes[-1])."""
    layers = []
    for n_in, n_out in zip(sizes, sizes[1:]):
        layers += [Linear(n_in, n_out, rng=rng), ReLU()]
    return Sequential(*layers)


@checked
def projection_head(
    *sizes: "as in `mlp_encoder`",
    rng: "as in `mlp_encoder`",
) -> "Sequential":
    """The head g: linear layers with ReLU between them, h (N, sizes[0]) to z (N, sizes[-1]).

    Three sizes give the head of the paper, z = W2 relu(W1 h) (Chen et al. 2020, section 2.1).
    """
    return mlp_encoder(*sizes, rng=rng)[:-1]    # without the last ReLU


@checked
def cnn_encoder(
    side: "int >= 1; height and width of the images",
    channels: "sequence of int, not empty; output channels of each convolution",
    features: "int >= 1; the length of h",
    *,
    rng: "numpy.random.Generator",
) -> "Sequential, to h (N, features)":
    """An encoder of 3 x 3 convolutions and a linear layer, each followed by a ReLU.

    It takes images (N, side, side) or (N, side * side). All convolutions but the first have
    stride 2: they halve the side, rounded up.
    """
    layers = [Images(side)]
    n_in, stride = 1, 1
    for n_out in channels:
        layers += [Conv2d(n_in, n_out, 3, stride, padding=1, rng=rng), ReLU()]
        side = -(-side // stride)    # rounded up
        n_in, stride = n_out, 2
    return Sequential(*layers, Flatten(), Linear(n_in * side ** 2, features, rng=rng), ReLU())


@checked
class Images(Module):
    """A layer that reshapes (N, side * side) or (N, side, side) to images (N, 1, side, side)."""

    def __init__(self, side: "int >= 1"):
        self.side = side

    def forward(self, x):
        return x.reshape(len(x), 1, self.side, self.side)


# ------------------------------------------------------------ a look at the features

@checked
def principal_components(
    z: "array_like, shape (n, d), n and d >= 1",
    n_components: "int in 1..min(n, d); k",
):
    """The best linear projection to k dimensions: along the directions of largest variance.

        z - mean = U S V',    coordinates = (z - mean) V_k = U_k S_k

    No projection to k dimensions has a smaller squared error (Eckart and Young 1936). Each column
    of V, a direction, has an arbitrary sign: here its entry of largest magnitude is positive.

    Returns
    -------
    coordinates : ndarray, shape (n, k), with orthogonal columns of mean 0
    share : ndarray, shape (k,), the fraction of the variance along each direction

    >>> coordinates, share = principal_components([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]], 1)
    >>> coordinates.round(6).ravel() + 0, share    # + 0 turns -0. into 0.
    (array([-5.,  0.,  5.]), array([1.]))
    """
    U, s, Vh = np.linalg.svd(z - z.mean(axis=0), full_matrices=False)
    largest = np.abs(Vh).argmax(axis=1)
    sign = np.sign(Vh[np.arange(len(Vh)), largest])    # of this entry in each direction
    coordinates = U * (sign * s)
    variance = s ** 2
    share = variance / (variance.sum() or 1)    # zeros if all vectors are equal
    return coordinates[:, :n_components], share[:n_components]
