"""Views of an image: the same thing, a little turned, moved, stretched, stained, and still the same thing.

Problem: contrastive learning is told nothing but which two images show one thing. It learns to overlook
whatever tells the two apart, so the augmentations are all the knowledge that it gets.

Idea: a view is a function (x, rng) -> x of a whole batch, `compose` chains views, and everything geometric is
one affine map, so that pixels are interpolated once and blurred once:

    what was at p comes to   q = c + A (p - c) + t,      A = rotation . shear . scale,  c the centre,

so the new image has at q what the old one has at p = c + A^-1 (q - c - t), interpolated bilinearly.

Images are (N, H, W), or flat (N, H W) with H = W, with pixels in [0, 1]; views keep the form, the range and the
dtype, and change nothing at strength 0. Outside of an image is 0, the background.

Sources: Simard, Steinkraus and Platt 2003, Best practices for convolutional neural networks (affine maps);
Zhong et al. 2020, Random erasing; Chen et al. 2020, section 3 (composition is what makes SimCLR work);
MATH5836 week 10, section 10.3.2, step 1.
"""
import math

import numpy as np

from tinyml.check import check_number, check_real, check_rng


def compose(*views):
    """The view that applies all `views` in turn: ``compose(f, g)(x, rng)`` is ``g(f(x, rng), rng)``.

    Each is a function (x, rng) -> x, and so is the result; TypeError names one that is not. Without any it
    changes nothing.
    """
    for f in views:
        if not callable(f):
            raise TypeError(f"compose: views must be functions (x, rng) -> x, got {f!r}")

    def view(x, rng):
        for f in views:
            x = f(x, rng)
        return x
    return view


def affine(x, matrix, shift=(0, 0)):
    """Move the pixels of images by q = c + A (p - c) + t, in one bilinear resampling.

    Positions are (row, column), so row 0 is the top, and c = ((H - 1)/2, (W - 1)/2). The new image at q is the
    old one at p = c + A^-1 (q - c - t), a weighted mean of the four pixels around p,

        x(p) = sum_ij x_ij max(0, 1 - |p_r - i|) max(0, 1 - |p_c - j|),      0 outside of the image

    Parameters
    ----------
    x : ndarray, shape (N, H, W), or (N, H W) with H = W
    matrix : array_like, shape (N, 2, 2) or (2, 2) for all images, A, invertible
    shift : array_like, shape (N, 2) or (2,), t, rows down and columns to the right, in pixels

    Returns
    -------
    ndarray, of the shape and dtype of x

    Raises
    ------
    TypeError : an argument does not hold real numbers
    ValueError : x has another shape or is not finite, a matrix cannot be inverted

    Examples
    --------
    >>> affine(np.array([[[1.0, 2.0], [3.0, 4.0]]]), np.eye(2), (0, 1))    # one column to the right
    array([[[0., 1.],
            [0., 3.]]])
    """
    images = _images("affine", x)
    n, h, w = images.shape
    inverse = _inverse(_per_image("matrix", matrix, (n, 2, 2)))
    centre = np.array([h - 1, w - 1]) / 2
    start = centre - np.einsum("nij,nj->ni", inverse, centre + _per_image("shift", shift, (n, 2)))
    rows, columns = (_positions(inverse[:, axis], start[:, axis], images) for axis in (0, 1))
    return _bilinear(images, rows, columns).reshape(x.shape)


def _per_image(name, value, shape):
    """One matrix or shift for each image, from as many or from one for all."""
    value = check_real("affine", name, value)
    if value.shape not in (shape, shape[1:]):
        raise ValueError(f"affine: {name} must have shape {shape}, or {shape[1:]} for all images, got "
                         f"{value.shape}")
    return np.broadcast_to(value, shape)


def _inverse(matrix):
    """The inverses of matrices (n, 2, 2), by their determinants; ValueError if one has none."""
    (a, b), (c, d) = matrix[:, 0].T, matrix[:, 1].T
    determinant = a * d - b * c
    if (np.abs(determinant) < 1e-6).any():
        raise ValueError("affine: matrix must be invertible, got one of determinant "
                         f"{determinant[np.abs(determinant).argmin()]:.3g}")
    return np.array([[d, -b], [-c, a]]).transpose(2, 0, 1) / determinant[:, None, None]


def _positions(row_of_matrix, start, images):
    """One coordinate of p for every q: start + m_0 q_r + m_1 q_c, shape (N, H, W)."""
    n, h, w = images.shape
    along_rows = row_of_matrix[:, :1] * np.arange(h)
    along_columns = row_of_matrix[:, 1:] * np.arange(w) + start[:, None]
    return along_rows[:, :, None].astype(images.dtype) + along_columns[:, None, :].astype(images.dtype)


def _bilinear(images, rows, columns):
    """x(p) of the images at p = (rows, columns), both of shape (N, H, W) and of the images' dtype; see `affine`."""
    n, h, w = images.shape
    padded = np.zeros((n, h + 2, w + 2), images.dtype)          # a frame of 0: what is outside
    padded[:, 1:-1, 1:-1] = images
    (i, down), (j, right) = _split(rows, h), _split(columns, w)
    at = (np.arange(n)[:, None, None] * (h + 2) + i) * (w + 2) + j
    pixels = padded.ravel()
    top, low = (pixels[k] + right * (pixels[k + 1] - pixels[k]) for k in (at, at + w + 2))
    return top + down * (low - top)


def _split(position, side):
    """A position, in the frame, as a whole pixel 0..side and the fraction beyond it, in [0, 1]."""
    position = (position + 1).clip(0, side + 1)
    whole = np.minimum(position.astype(np.int32), side)
    return whole, position - whole.astype(position.dtype)


def random_affine(*, rotate=0.0, scale=0.0, shear=0.0, shift=0.0):
    """A view that moves each image by an affine map of its own, drawn uniformly.

        A = R(a) [[1, 0], [k, 1]] s,     a in +-rotate,   k in +-shear,   s in 1 +- scale,   t in +-shift

    R(a) turns counter-clockwise; k leans the image to one side; t is drawn for rows and for columns.

    Parameters
    ----------
    rotate : float >= 0, radians
    scale : float in [0, 1)
    shear : float >= 0, columns per row
    shift : float >= 0, pixels

    Returns
    -------
    function (x, rng) -> x, see `affine`; it raises TypeError if rng is not a Generator

    Raises
    ------
    ValueError : a strength out of range
    """
    for name, value in (("rotate", rotate), ("scale", scale), ("shear", shear), ("shift", shift)):
        check_number("random_affine", name, value, at_least=0, below=1 if name == "scale" else np.inf)

    def view(x, rng):
        check_rng("random_affine", rng)
        n = len(x)
        angle, lean, size = (rng.uniform(-strength, strength, n) for strength in (rotate, shear, scale))
        t = rng.uniform(-shift, shift, (n, 2))
        cos, sin = np.cos(angle), np.sin(angle)
        matrix = np.array([[cos - sin * lean, -sin], [sin + cos * lean, cos]])    # (2, 2, N)
        return affine(x, ((1 + size) * matrix).transpose(2, 0, 1), t)
    return view


def add_noise(std):
    """A view with independent normal noise on each pixel, clipped to [0, 1].

    Parameters
    ----------
    std : float >= 0, the standard deviation of the noise

    Returns
    -------
    function (x, rng) -> x

    Raises
    ------
    ValueError : std < 0
    """
    check_number("add_noise", "std", std, at_least=0)

    def view(x, rng):
        check_rng("add_noise", rng)
        images = _images("add_noise", x)
        noise = rng.standard_normal(images.shape, dtype=images.dtype)
        return (images + noise * images.dtype.type(std)).clip(0, 1).reshape(x.shape)
    return view


def erase(size):
    """A view with a square of `size` x `size` pixels set to 0, anywhere in the image.

    (Zhong et al. 2020.) Every place inside the image is as likely as any other.

    Parameters
    ----------
    size : int >= 0, at most the sides of the images

    Returns
    -------
    function (x, rng) -> x; it raises ValueError if the images are smaller than the square

    Raises
    ------
    ValueError : size is not an int >= 0
    """
    if not isinstance(size, (int, np.integer)) or size < 0:
        raise ValueError(f"erase: size must be an int >= 0, got {size!r}")

    def view(x, rng):
        check_rng("erase", rng)
        images = _images("erase", x)
        inside = [_stretches(len(images), side, size, rng) for side in images.shape[1:]]    # (N, H), (N, W)
        return np.where(inside[0][:, :, None] & inside[1][:, None, :], 0, images).reshape(x.shape)
    return view


def _stretches(n, side, size, rng):
    """(n, side) of bool: True on `size` neighbours, at a random place in each row."""
    if size > side:
        raise ValueError(f"erase: size must be at most the images' side {side}, got {size}")
    start = rng.integers(side - size + 1, size=(n, 1))
    return (np.arange(side) >= start) & (np.arange(side) < start + size)


def _images(function, x):
    """x as (N, H, W), or an error."""
    x = check_real(function, "x", x)
    side = math.isqrt(x.shape[1]) if x.ndim == 2 else 0
    if x.ndim == 2 and side * side == x.shape[1] and side:
        return x.reshape(-1, side, side)
    if x.ndim != 3 or 0 in x.shape[1:]:
        raise ValueError(f"{function}: x must have shape (N, H, W), or (N, H W) with H = W, got {x.shape}")
    return x
