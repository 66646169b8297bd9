"""Whether a noisy curve falls a second time: a rise, then a fall, both larger than its noise.

Problem: the test error of a network jumps from epoch to epoch. Is a bump in it the peak of a
double descent, or noise? The highest point says little: it may be one bad epoch, even the last.

Idea: smooth the curve, estimate the noise that is left, and ask for a rise and a fall that are
several times as large.

Sources: MATH5836 week 10, section 10.1.3; Nakkiran, Kaplun, Bansal, Yang, Barak and Sutskever
2020, Deep double descent (such curves of networks).
"""
from typing import NamedTuple

import numpy as np

from tinyml.contract import checked

BLOCKS = 20         # a curve is cut into this many blocks, and each is replaced by its mean
TIMES_JITTER = 6    # a rise or fall must be larger than this times the noise of these means


class SecondFall(NamedTuple):
    """Where a smoothed curve rises and falls, and whether both are more than noise."""

    low: int          # index of the lowest point before the peak, the middle of its block
    peak: int         # index of the peak
    rise: float       # how far the smoothed curve rises from low to peak
    fall: float       # how far it falls from the peak to its end; negative if it ends higher
    jitter: float     # standard deviation of the noise that is left in the smoothed curve
    seen: bool        # whether rise and fall are both more than noise


@checked
def second_fall(
    curve: "array_like of float64, shape (T,), T >= 20; such as the test error after "
           "every epoch",
):
    """Whether and where a noisy curve rises and then falls, by more than its noise.

    A first fall, before the rise, is not required: it can be shorter than a block.

    1. Smooth: cut the curve into 20 blocks, and take their means b_1 ... b_20.
    2. The rise to block k is b_k - min(b_1 ... b_k), the fall from it is b_k - b_20. The peak is
       the block at which the smaller of the two is largest. The first block and the last three
       are left out: a peak needs enough of the curve on both sides.
    3. Jitter, the standard deviation of the noise in the b_k, is estimated from the bends
       b_{k-1} - 2 b_k + b_{k+1}. A smooth trend adds little to them, so their variance is about
       (1 + 4 + 1) jitter^2. The median of |normal noise| is 0.6745 standard deviations; so
       jitter = median |bend| / (0.6745 sqrt(6)). One high peak hardly changes a median.
    4. `seen` is true if rise and fall are both larger than 6 times the jitter. Of curves of pure
       independent noise, about one in 200 passes.

    >>> t = np.arange(100)
    >>> found = second_fall(0.3 + np.exp(-t / 5) + 0.2 * np.exp(-((t - 50) / 15) ** 2))
    >>> found.low, found.peak, round(found.fall, 2), found.seen
    (22, 52, 0.19, True)
    """
    edges = np.linspace(0, len(curve), BLOCKS + 1).round().astype(int)
    blocks = np.split(curve, edges[1:-1])
    b = np.array([block.mean() for block in blocks])
    rise = b - np.minimum.accumulate(b)
    fall = b - b[-1]
    smaller = np.minimum(rise, fall)
    peak = 1 + smaller[1:-3].argmax()
    low = b[:peak + 1].argmin()
    bends = b[:-2] - 2 * b[1:-1] + b[2:]
    jitter = np.median(np.abs(bends)) / (0.6745 * np.sqrt(6))
    jitter = max(jitter, 1e-12 * np.abs(b).max())    # at least the rounding error of the means
    middle = (edges[:-1] + edges[1:]) // 2
    return SecondFall(low=int(middle[low]), peak=int(middle[peak]), rise=float(rise[peak]),
                      fall=float(fall[peak]), jitter=float(jitter),
                      seen=bool(smaller[peak] > TIMES_JITTER * jitter))
