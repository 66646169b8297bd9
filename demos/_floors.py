"""The floor: training steps written by hand in plain NumPy, the least that such a step can cost.

No graph, no checks, and no memory asked for after the start: every layer owns its buffers and
writes into them with ``out=``. A layer is two short methods, y = forward(x) and d_x = backward(d),
and the chain rule is their order. Images lie with the batch last, (C, H, W, N), as in tinyml.
"""
import numpy as np


class Dense:
    """y = x W^T + b for x of shape (N, in); backward leaves dW, db and returns d_x."""

    def __init__(self, weight, bias, x, first):
        n, (n_out, _) = len(x), weight.shape
        self.weight, self.bias, self.ones = weight, bias, np.ones(n, x.dtype)
        self.y, self.d_x = np.empty((n, n_out), x.dtype), None if first else np.empty_like(x)
        self.grads = np.empty_like(weight), np.empty_like(bias)

    def forward(self, x):
        self.x = x
        np.matmul(x, self.weight.T, out=self.y)
        self.y += self.bias
        return self.y

    def backward(self, d):
        np.matmul(d.T, self.x, out=self.grads[0])
        np.matmul(self.ones, d, out=self.grads[1])
        return None if self.d_x is None else np.matmul(d, self.weight, out=self.d_x)


class Relu:
    """max(x, 0), written over x, as d_x is over d. NumPy takes zeros faster than the number 0."""

    def __init__(self, x):
        self.zeros, self.mask = np.zeros_like(x), np.empty(x.shape, bool)
        self.y = x

    def forward(self, x):
        return np.maximum(x, self.zeros, out=x)

    def backward(self, d):
        np.greater(self.y, 0, out=self.mask)
        return np.multiply(d, self.mask, out=d)


class Conv:
    """Filters (O, C, k, k) over planes (C, H, W, N): one matrix product over all windows."""

    def __init__(self, weight, bias, x, first):
        n_out, c, self.k, _ = weight.shape
        _, height, width, n = x.shape
        self.size = h, w = height - self.k + 1, width - self.k + 1
        self.filters, self.bias = weight.reshape(n_out, -1), bias[:, None]
        self.columns = np.empty((c, self.k, self.k, h, w, n), x.dtype)
        self.y = np.empty((n_out, h, w, n), x.dtype)
        self.rows = np.empty((h, *self.filters.shape), x.dtype)
        self.grads = np.empty_like(weight), np.empty_like(bias)
        self.d_x = None if first else np.empty_like(x)
        self.d_columns = None if first else np.empty_like(self.columns)

    def windows(self, planes, columns):
        """Pairs (view of the planes shifted by (i, j), its place in the columns)."""
        h, w = self.size
        return [(planes[:, i:i + h, j:j + w], columns[:, i, j])
                for i in range(self.k) for j in range(self.k)]

    def forward(self, x):
        for view, column in self.windows(x, self.columns):
            column[...] = view
        y = np.matmul(self.filters, self.columns.reshape(self.filters.shape[1], -1),
                      out=self.y.reshape(len(self.y), -1))
        y += self.bias
        return self.y

    def backward(self, d):
        # dW is a product per row of windows, summed: BLAS is slow at few but very long columns
        by_row = self.columns.reshape(self.filters.shape[1], len(self.rows), -1).transpose(1, 2, 0)
        np.matmul(d.reshape(*d.shape[:2], -1).swapaxes(0, 1), by_row, out=self.rows)
        np.sum(self.rows, axis=0, out=self.grads[0].reshape(self.filters.shape))
        d = d.reshape(len(d), -1)
        np.sum(d, axis=1, out=self.grads[1])
        if self.d_x is not None:
            np.matmul(self.filters.T, d, out=self.d_columns.reshape(self.filters.shape[1], -1))
            self.d_x.fill(0)
            for view, column in self.windows(self.d_x, self.d_columns):
                view += column
        return self.d_x


class BatchNorm:
    """Planes (C, H, W, N) standardised by channel, times weight plus bias; the batch's moments."""

    def __init__(self, weight, bias, x, first):
        self.weight, self.bias = weight[:, None], bias[:, None]
        self.y = np.empty_like(x)
        self.n = x[0].size
        self.unit, self.work = np.empty((len(x), self.n), x.dtype), np.empty((len(x), self.n), x.dtype)
        self.grads = np.empty_like(weight), np.empty_like(bias)

    def forward(self, x):
        x = x.reshape(self.unit.shape)
        np.subtract(x, x.mean(axis=1, keepdims=True), out=self.unit)
        var = np.vecdot(self.unit, self.unit)[:, None] / self.n
        self.scale = 1 / np.sqrt(var + np.float32(1e-5))
        self.unit *= self.scale
        y = np.multiply(self.unit, self.weight, out=self.y.reshape(self.unit.shape))
        y += self.bias
        return self.y

    def backward(self, d):
        shape, d = d.shape, d.reshape(self.unit.shape)
        d_weight, d_bias = self.grads
        d_weight[...] = np.vecdot(d, self.unit)
        np.sum(d, axis=1, out=d_bias)
        np.multiply(self.unit, d_weight[:, None] / self.n, out=self.work)
        self.work += d_bias[:, None] / self.n
        np.subtract(d, self.work, out=self.work)    # not over d: `Pool` keeps zeros there
        self.work *= self.weight * self.scale
        return self.work.reshape(shape)


class Pool:
    """The largest of 2 x 2 pixels in planes (C, H, W, N); the first that ties has the gradient."""

    def __init__(self, x):
        c, height, width, n = x.shape
        self.y = np.empty((c, height // 2, width // 2, n), x.dtype)
        self.d_x, self.left = np.zeros_like(x), np.empty_like(self.y)
        self.hit = np.empty(self.y.shape, bool)

    def corners(self, planes):
        _, h, w, _ = self.y.shape
        return [planes[:, i:2 * h:2, j:2 * w:2] for i in (0, 1) for j in (0, 1)]

    def forward(self, x):
        self.views = first, second, *others = self.corners(x)
        np.maximum(first, second, out=self.y)
        for view in others:
            np.maximum(self.y, view, out=self.y)
        return self.y

    def backward(self, d):
        np.copyto(self.left, d)
        for view, d_view in zip(self.views, self.corners(self.d_x)):
            np.equal(view, self.y, out=self.hit)
            np.multiply(self.left, self.hit, out=d_view)
            self.left -= d_view
        return self.d_x


class Flatten:
    """Planes (C, H, W, N) as rows (N, C H W)."""

    def __init__(self, x):
        self.y = np.empty((x.shape[-1], x[..., 0].size), x.dtype)
        self.images = self.y.reshape(x.shape[-1], *x.shape[:-1])
        self.d_x = np.empty_like(x)

    def forward(self, x):
        np.copyto(self.images, x.transpose(3, 0, 1, 2))
        return self.y

    def backward(self, d):
        np.copyto(self.d_x, d.reshape(self.images.shape).transpose(1, 2, 3, 0))
        return self.d_x


class CrossEntropy:
    """The mean of -ln softmax(z)_y; backward is (softmax(z) - onehot(y)) / N."""

    def __init__(self, z, labels):
        self.p, self.total = np.empty_like(z), np.empty((len(z), 1), z.dtype)
        self.places = np.arange(len(z)) * z.shape[1] + labels    # of z[i, y_i] in z as one row

    def forward(self, z):
        np.max(z, axis=1, keepdims=True, out=self.total)
        z -= self.total
        np.exp(z, out=self.p)
        np.sum(self.p, axis=1, keepdims=True, out=self.total)
        return (np.log(self.total).sum() - z.ravel()[self.places].sum()) / len(z)

    def backward(self):
        self.total *= len(self.p)
        self.p /= self.total
        self.p.ravel()[self.places] -= 1 / len(self.p)
        return self.p


def sgd(params, grads, lr, momentum=0.0):
    """A function that makes one step of stochastic gradient descent, written over params."""
    velocities = [np.zeros_like(p) for p in params]
    works = [np.empty_like(p) for p in params]

    def update():
        for p, g, v, work in zip(params, grads, velocities, works):
            if momentum:
                v *= momentum
                v += g
            p -= np.multiply(v if momentum else g, lr, out=work)
    return update


def adam(params, grads, lr, betas=(0.9, 0.999), eps=1e-8):
    """The same for Adam; the arrays m and v lack their factors 1 - beta, which `rate` holds."""
    state = [(p, g, np.zeros_like(p), np.zeros_like(p), np.empty_like(p))
             for p, g in zip(params, grads)]
    (beta1, beta2), t = betas, 0

    def update():
        nonlocal t
        t += 1
        scale = np.sqrt((1 - beta2) / (1 - beta2 ** t)).item()    # sqrt(v^) = scale sqrt(v)
        rate = lr * (1 - beta1) / (1 - beta1 ** t) / scale
        for p, g, m, v, work in state:
            m *= beta1
            m += g
            np.multiply(g, g, out=work)
            v *= beta2
            v += work
            np.sqrt(v, out=work)
            work += eps / scale
            np.divide(m, work, out=work)
            work *= rate
            p -= work
    return update


def normed_next(weights, i):
    """Whether a batch norm stands behind the layer whose weight is number i."""
    return i + 2 < len(weights) and weights[i + 2].ndim == 1


def build(weights, x, labels):
    """The layers of a network that its weights describe (see demos/speed.py), and its loss."""
    layers = []
    for i in range(0, len(weights), 2):
        weight, bias = weights[i:i + 2]
        if weight.ndim == 2 and x.ndim == 4:
            layers.append(Flatten(x))
            x = layers[-1].y
        kind = {4: Conv, 2: Dense, 1: BatchNorm}[weight.ndim]
        layers.append(kind(weight, bias, x, first=i == 0))
        x = layers[-1].y
        if normed_next(weights, i):
            continue
        if i + 2 < len(weights):
            layers.append(Relu(x))
        if x.ndim == 4:
            layers.append(Pool(x))
            x = layers[-1].y
    return layers, CrossEntropy(x, labels)


def floor_step(weights, x, labels, optimizer, lr):
    """(step, params): step() trains once and returns the loss, params() gives the weights."""
    params = [w.copy() for w in weights]
    planes = np.empty((*x.shape[1:], len(x)), x.dtype) if x.ndim == 4 else x
    layers, loss = build(params, planes, labels)
    grads = [g for layer in layers for g in getattr(layer, "grads", ())]
    update = {"SGD": lambda: sgd(params, grads, lr),
              "momentum": lambda: sgd(params, grads, lr, 0.9),
              "Adam": lambda: adam(params, grads, lr)}[optimizer]()

    def step():
        if x.ndim == 4:
            np.copyto(planes, x.transpose(1, 2, 3, 0))
        y = planes
        for layer in layers:
            y = layer.forward(y)
        value = loss.forward(y)
        d = loss.backward()
        for layer in reversed(layers):
            d = layer.backward(d)
        update()
        return value
    return step, lambda: params
