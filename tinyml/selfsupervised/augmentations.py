"""Views of an image: rotated, shifted, scaled, noisy, and still the same image.

Problem: contrastive learning is told only which two images show the same thing. It learns to
ignore whatever differs between them. So the augmentations decide what is learned.

Idea: a view is a function (x, rng) -> x of a batch of images; `compose` chains views. Rotation,
shear, scale and shift are one affine map, so pixels are interpolated, and blurred, only once:

    the pixel at p moves to   q = c + A (p - c) + t,      A = rotation . shear . scale

with c the centre of the image and t the shift. Images are (N, H, W), or flat (N, H W) with H = W,
with pixels in [0, 1]. Views keep shape, range and dtype. Outside of an image, pixels count as 0,
the background.

Sources: MATH5836 week 10, section 10.3.2, step 1; Simard, Steinkraus and Platt 2003, Best
practices for convolutional neural networks (affine maps); Zhong et al. 2020, Random erasing; Chen
et al. 2020, section 3.
"""
import math

import numpy as np

from tinyml.contract import checked


@checked
def compose(*views: "function (x, rng) -> x") -> "function (x, rng) -> x":
    """Chain views: ``compose(f, g)(x, rng)`` is ``g(f(x, rng), rng)``."""
    def view(x, rng):
        for f in views:
            x = f(x, rng)
        return x
    return view


@checked
def affine(
    x: "array_like, shape (N, H, W) or (N, D); with D = H W and H = W",
    matrix: "array_like of float64, shape (N, 2, 2) or (2, 2); A, with an inverse",
    shift: "array_like of float64, shape (N, 2) or (2,); t in pixels, down "
           "and to the right" = (0, 0),
) -> "ndarray, with the shape and dtype of x":
    """Move the pixels of images by q = c + A (p - c) + t, with bilinear interpolation.

    The new image at q is the old image at p = c + A^-1 (q - c - t): the weighted mean of the four
    pixels around p. With p = (r, s), a row and a column,

        x(p) = sum_ij x_ij max(0, 1 - |r - i|) max(0, 1 - |s - j|),      x_ij = 0 outside the image

    The centre is c = ((H - 1) / 2, (W - 1) / 2).

    >>> affine([[[1, 2], [3, 4]]], np.eye(2), (0, 1))    # one column to the right
    array([[[0., 1.],
            [0., 3.]]])
    """
    images = _as_images("affine", x)
    h, w = images.shape[1:]
    q = np.indices((h, w)).reshape(2, -1)             # (2, H W)
    c = np.array([[(h - 1) / 2], [(w - 1) / 2]])
    t = np.asarray(shift)[..., None]                  # (N, 2, 1) or (2, 1)
    p = c + _inverse(matrix) @ (q - c - t)            # (N, 2, H W) or (2, H W)
    p = np.broadcast_to(p, (len(images), 2, h * w))
    return _bilinear(images, p.astype(images.dtype)).reshape(x.shape)


def _inverse(matrix):
    smallest = np.abs(np.linalg.det(matrix)).min(initial=1)
    if smallest < 1e-6:
        raise ValueError(f"affine: matrix must have an inverse, got determinant {smallest:.3g}")
    return np.linalg.inv(matrix)


def _bilinear(images, p):
    """x(p) for positions p, shape (N, 2, H W): a weighted mean of the four pixels around p."""
    n, h, w = images.shape
    framed = np.pad(images, ((0, 0), (1, 2), (1, 2)))    # zeros outside the image
    i, down = _split(p[:, 0], h)                         # each (N, H W)
    j, right = _split(p[:, 1], w)
    image = np.arange(n)[:, None]
    height, width = framed.shape[1:]
    at = (image * height + i) * width + j                # pixels[at] is framed[image, i, j]
    pixels = framed.ravel()
    top = _mix(pixels[at], pixels[at + 1], right)
    bottom = _mix(pixels[at + width], pixels[at + width + 1], right)
    return _mix(top, bottom, down)


def _split(position, side):
    """The framed pixel at or before each position along one side, and the rest, in [0, 1)."""
    position = (position + 1).clip(0, side + 1)
    pixel = position.astype(int)
    return pixel, position - pixel.astype(position.dtype)


def _mix(a, b, fraction):
    return (1 - fraction) * a + fraction * b


@checked
def random_affine(
    *,
    rotate: "float >= 0; in radians" = 0.0,
    scale: "float in [0, 1)" = 0.0,
    shear: "float >= 0; in columns per row" = 0.0,
    shift: "float >= 0; in pixels" = 0.0,
):
    """A view that moves each image by its own random affine map.

        A = R(a) [[1, 0], [k, 1]] s,      R(a) a rotation by the angle a, counter-clockwise
        a ~ U(-rotate, rotate),   k ~ U(-shear, shear),   s ~ U(1 - scale, 1 + scale)

    The shift t is uniform in [-shift, shift]^2.
    """
    def move(images, rng):
        n = len(images)
        a = rng.uniform(-rotate, rotate, n)
        k = rng.uniform(-shear, shear, n)
        s = rng.uniform(1 - scale, 1 + scale, n)
        t = rng.uniform(-shift, shift, (n, 2))
        cos, sin = np.cos(a), np.sin(a)
        A = s * np.array([[cos - k * sin, -sin], [sin + k * cos, cos]])    # (2, 2, N)
        return affine(images, A.transpose(2, 0, 1), t)
    return _view("random_affine", move)


@checked
def add_noise(std: "float >= 0; standard deviation of the noise"):
    """A view that adds normal noise to each pixel, and clips the result to [0, 1]."""
    def noisy(images, rng):
        noise = rng.standard_normal(images.shape, dtype=images.dtype)
        return (images + std * noise).clip(0, 1)
    return _view("add_noise", noisy)


@checked
def erase(size: "int >= 0; side of the square in pixels"):
    """A view that sets a random square of each image to 0 (Zhong et al. 2020)."""
    def erased(images, rng):
        n, h, w = images.shape
        if size > min(h, w):
            raise ValueError(f"erase: size must be at most the side {min(h, w)}, got {size}")
        rows = _random_interval(n, h, size, rng)
        columns = _random_interval(n, w, size, rng)
        square = rows[:, :, None] & columns[:, None, :]
        return np.where(square, 0, images)
    return _view("erase", erased)


def _random_interval(n, side, size, rng):
    """Booleans (n, side): in each row, `size` neighbours at a random place are True."""
    start = rng.integers(0, side - size + 1, (n, 1))
    position = np.arange(side)
    return (start <= position) & (position < start + size)


def _view(name, change):
    """The view that applies change(images, rng) to images (N, H, W), or to flat images."""
    def view(x: "array_like, shape (N, H, W) or (N, D); D = H H", rng: "numpy.random.Generator"):
        images = _as_images(name, x)
        return change(images, rng).reshape(x.shape)
    view.__qualname__ = name    # for errors
    return checked(view)


def _as_images(function, x):
    """x, flat or not, as (N, H, W)."""
    side = math.isqrt(x.shape[1]) if x.ndim == 2 else 0
    if side and side * side == x.shape[1]:
        return x.reshape(-1, side, side)
    if x.ndim != 3 or 0 in x.shape[1:]:
        raise ValueError(f"{function}: x must have shape (N, H, W), or (N, H W) with H = W, got "
                         f"{x.shape}")
    return x
