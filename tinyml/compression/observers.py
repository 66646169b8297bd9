"""Observers: which range should the codes cover, for numbers that come in batches?

Problem: quantized activations need a range before the network is used. The range is measured on
some batches of data, and one outlier among millions of numbers can make every step coarse.

Idea: an observer looks at one batch after another, and then returns a range.

    MinMaxObserver           the smallest and the largest number: nothing is clipped
    MovingAverageObserver    end <- end + rate (new end - end), batch by batch
    PercentileObserver       the middle 99.9 % of all numbers
    MSEObserver              the one of 100 ranges with the smallest mean squared error

The last two keep a uniform sample of the numbers, so their memory is bounded.

Sources: as for `quantization`; Jacob et al. 2018 (section 3.1); Efraimidis and Spirakis 2006,
Weighted random sampling with a reservoir.
"""
import math

import numpy as np

from tinyml.check import check_real
from tinyml.compression.quantization import choose_qparams, dequantize, quantize
from tinyml.contract import checked


class MinMaxObserver:
    """The smallest and the largest number ever seen."""

    def __init__(self):
        self.low, self.high = np.inf, -np.inf    # nothing seen yet

    def update(self, x):
        """Look at an array of numbers; an empty one changes nothing."""
        x = check_real(type(self).__name__, "x", x)
        if x.size:
            self.look(x)

    def look(self, x):
        self.low = min(self.low, float(x.min()))
        self.high = max(self.high, float(x.max()))

    def range(self):
        """(low, high) for `choose_qparams`. Raises RuntimeError if nothing was seen."""
        if self.low > self.high:
            raise RuntimeError(f"{type(self).__name__}: update must come before range, got no "
                               "number yet")
        return self.low, self.high


@checked
class MovingAverageObserver(MinMaxObserver):
    """Moving averages of the two ends of each batch (Jacob et al. 2018, section 3.1)."""

    def __init__(self, rate: "float in (0, 1]; the weight of the newest batch" = 0.1):
        super().__init__()
        self.rate = rate

    def look(self, x):
        if self.low > self.high:    # the first batch
            return super().look(x)
        self.low += self.rate * (float(x.min()) - self.low)
        self.high += self.rate * (float(x.max()) - self.high)


class SamplingObserver(MinMaxObserver):
    """The base of observers that need more than the two ends: a uniform sample of all numbers.

    Every number draws a key from U(0, 1), and the 65,536 numbers with the smallest keys stay. If a
    fraction p of all numbers lies below some value, then so does about the same fraction of the
    sample, with a standard deviation of sqrt(p (1 - p) / 65536). The two ends are exact. The seed
    of the keys is fixed.
    """
    capacity = 2 ** 16

    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(0)
        self.sample, self.keys = np.zeros(0, np.float32), np.zeros(0)

    def look(self, x):
        super().look(x)
        # in parts, so that the sample never holds more than 2 `capacity` numbers
        n_parts = math.ceil(x.size / self.capacity)
        for part in np.array_split(x.ravel(), n_parts):
            self._add(part)

    def _add(self, x):
        self.sample = np.concatenate([self.sample, x])
        self.keys = np.concatenate([self.keys, self.rng.random(x.size)])
        if self.sample.size > self.capacity:
            smallest = np.argpartition(self.keys, self.capacity)[:self.capacity]
            self.sample, self.keys = self.sample[smallest], self.keys[smallest]


@checked
class PercentileObserver(SamplingObserver):
    """The range of the middle `percent` % of all numbers: a few outliers are clipped."""

    def __init__(self, percent: "float in (0, 100]" = 99.9):
        super().__init__()
        self.percent = percent

    def range(self):
        ends = super().range()
        if self.percent == 100:
            return ends
        tail = (100 - self.percent) / 2
        low, high = np.percentile(self.sample, [tail, 100 - tail])
        return float(low), float(high)


@checked
class MSEObserver(SamplingObserver):
    """The range with the smallest mean squared error, among 1 %, 2 %, ... 100 % of the full range.
    """

    def __init__(
        self, *,
        bits: "as in `quantization.choose_qparams`",
        symmetric: "as in `quantization.choose_qparams`" = False,
    ):
        super().__init__()
        self.bits, self.symmetric = bits, symmetric

    def range(self):
        low, high = super().range()
        shares = np.linspace(0.01, 1, 100)
        errors = [self._error(share * low, share * high) for share in shares]
        best = shares[np.argmin(errors)]
        return float(best * low), float(best * high)

    def _error(self, low, high):
        qparams = choose_qparams(low, high, bits=self.bits, symmetric=self.symmetric)
        rounded = dequantize(quantize(self.sample, qparams), qparams, dtype=np.float64)
        return np.mean((rounded - self.sample) ** 2)
