"""Oracles of the tests: naive loops in float64, and a unit of work with no executor behind it.

Nothing here uses skcnn. Arrays have the layout of the layers: images (height, width, n_images, channels),
vectors (n_samples, features). Padding is ((top, bottom), (left, right)).
"""

import math

import numpy as np

NO_PADDING = ((0, 0), (0, 0))

TOLERANCE = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-5}
"""Relative to the largest entry. A sum of K terms is off by at most K * eps * sum(abs(terms)); the tests
stay below K = 200 and sum(abs(terms)) = 50 * max(abs(result)), which is 1e-12 in float64. In float32 the
same bound is 6e-4 but rounding errors average out: K ** 0.5 in place of K, and 1e-5 is far beyond them."""


def assert_close(actual, expected):
    """Hold a result against an oracle, to the tolerance of the result's dtype."""
    assert actual.shape == np.shape(expected)
    largest = np.abs(expected).max(initial=0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE[actual.dtype] * max(largest, 1e-300))


def garbage(shape, dtype=np.float64):
    """Memory as it may come from anywhere: NaN, or large and wrong where there is no NaN."""
    dtype = np.dtype(dtype)
    return np.full(shape, np.nan if dtype.kind == "f" else True if dtype.kind == "b" else 111, dtype)


def _count(size, window, stride, pad=(0, 0)):
    """Count windows by trying every start."""
    return len(range(0, size + sum(pad) - window + 1, stride))


def _taps(X, kernel_size, strides, padding):
    """Yield (output pixel, kernel pixel, input pixel) wherever a window lies on the image."""
    (top, bottom), (left, right) = padding
    for i in range(_count(X.shape[0], kernel_size[0], strides[0], (top, bottom))):
        for j in range(_count(X.shape[1], kernel_size[1], strides[1], (left, right))):
            for u in range(kernel_size[0]):
                for v in range(kernel_size[1]):
                    row, column = i * strides[0] + u - top, j * strides[1] + v - left
                    if 0 <= row < X.shape[0] and 0 <= column < X.shape[1]:
                        yield (i, j), (u, v), (row, column)


def conv2d(X, weight, bias=None, *, strides=(1, 1), padding=NO_PADDING):
    """Cross-correlation, pixel by pixel; weight (kernel height, kernel width, channels, filters)."""
    X, weight = np.asarray(X, np.float64), np.asarray(weight, np.float64)
    height = _count(X.shape[0], weight.shape[0], strides[0], padding[0])
    width = _count(X.shape[1], weight.shape[1], strides[1], padding[1])
    Y = np.zeros((height, width, X.shape[2], weight.shape[3]))
    for out, tap, pixel in _taps(X, weight.shape[:2], strides, padding):
        Y[out] += X[pixel] @ weight[tap]
    return Y if bias is None else Y + np.asarray(bias, np.float64)


def conv2d_backward(X, weight, dY, *, strides=(1, 1), padding=NO_PADDING):
    """Gradients (dX, dweight, dbias) of conv2d."""
    X, weight, dY = (np.asarray(array, np.float64) for array in (X, weight, dY))
    dX, dweight = np.zeros_like(X), np.zeros_like(weight)
    for out, tap, pixel in _taps(X, weight.shape[:2], strides, padding):
        dX[pixel] += dY[out] @ weight[tap].T
        dweight[tap] += X[pixel].T @ dY[out]
    return dX, dweight, dY.sum(axis=(0, 1, 2))


def _pool_windows(X, window, strides):
    """Yield (output pixel, top row, left column) of every window."""
    for i in range(_count(X.shape[0], window[0], strides[0])):
        for j in range(_count(X.shape[1], window[1], strides[1])):
            yield (i, j), i * strides[0], j * strides[1]


def _pooled_zeros(X, window, strides):
    counts = (_count(X.shape[axis], window[axis], strides[axis]) for axis in (0, 1))
    return np.zeros((*counts, *X.shape[2:]))


def max_pool(X, window, strides):
    """Maximum of every window."""
    X = np.asarray(X, np.float64)
    Y = _pooled_zeros(X, window, strides)
    for out, row, column in _pool_windows(X, window, strides):
        for image, channel in np.ndindex(X.shape[2:]):
            pixels = X[row : row + window[0], column : column + window[1], image, channel]
            Y[(*out, image, channel)] = max(pixels.ravel())
    return Y


def max_pool_backward(X, dY, window, strides):
    """Gradient of max_pool: all to the first maximum in row order."""
    X = np.asarray(X, np.float64)
    dX = np.zeros_like(X)
    for out, row, column in _pool_windows(X, window, strides):
        for image, channel in np.ndindex(X.shape[2:]):
            best = None
            for u in range(row, row + window[0]):
                for v in range(column, column + window[1]):
                    if best is None or X[u, v, image, channel] > X[(*best, image, channel)]:
                        best = (u, v)
            dX[(*best, image, channel)] += dY[(*out, image, channel)]
    return dX


def avg_pool(X, window, strides):
    """Mean of every window."""
    X = np.asarray(X, np.float64)
    Y = _pooled_zeros(X, window, strides)
    for out, row, column in _pool_windows(X, window, strides):
        for u in range(window[0]):
            for v in range(window[1]):
                Y[out] += X[row + u, column + v] / (window[0] * window[1])
    return Y


def avg_pool_backward(X, dY, window, strides):
    """Gradient of avg_pool: an equal share to each pixel of the window."""
    dX = np.zeros(X.shape)
    for out, row, column in _pool_windows(X, window, strides):
        for u in range(window[0]):
            for v in range(window[1]):
                dX[row + u, column + v] += np.asarray(dY[out], np.float64) / (window[0] * window[1])
    return dX


def batch_norm(X, scale, shift, *, weights=None, epsilon=1e-5):
    """Batch normalization with sample weights; return (Y, mean, biased variance)."""
    X = np.asarray(X, np.float64)
    weights = np.ones(X.shape[-2]) if weights is None else np.asarray(weights, np.float64)
    Y, means, variances = np.empty_like(X), [], []
    for channel in range(X.shape[-1]):
        values = X[..., channel].reshape(-1, len(weights))  # one column a sample
        pairs = [(w, x) for row in values for w, x in zip(weights, row, strict=True)]
        total = math.fsum(w for w, _ in pairs)
        mean = math.fsum(w * x for w, x in pairs) / total
        variance = math.fsum(w * (x - mean) ** 2 for w, x in pairs) / total
        Y[..., channel] = scale[channel] * (X[..., channel] - mean) / math.sqrt(variance + epsilon)
        Y[..., channel] += shift[channel]
        means.append(mean)
        variances.append(variance)
    return Y, np.array(means), np.array(variances)


def dense(X, weight, bias=None):
    """Fully connected layer, one output at a time."""
    Y = np.zeros((len(X), weight.shape[1]))
    for sample, unit in np.ndindex(Y.shape):
        products = [float(x) * float(w) for x, w in zip(X[sample], weight[:, unit], strict=True)]
        Y[sample, unit] = math.fsum(products) + (0.0 if bias is None else float(bias[unit]))
    return Y


def softmax_cross_entropy(scores, targets):
    """Loss of every sample against its distribution over classes."""
    losses = []
    for row, target in zip(np.asarray(scores, np.float64), np.asarray(targets, np.float64), strict=True):
        highest = max(row)
        log_total = highest + math.log(math.fsum(math.exp(score - highest) for score in row))
        losses.append(math.fsum(t * (log_total - score) for t, score in zip(target, row, strict=True)))
    return np.array(losses)


class NaiveUnit:
    """A unit of work that is the whole minibatch, with all memory fresh and full of garbage."""

    def __init__(self, X, *, weights=None, seed=0):
        self.input, self.weights, self.seed = X, weights, seed
        self.X = self.Y = self.prepared = self.merged = None
        self.state, self.gradients, self._memory = {}, {}, {}

    @property
    def rng(self):
        return np.random.default_rng(self.seed)

    def buffer(self, name, shape, dtype=None):
        key = name, shape, dtype
        if key not in self._memory:
            self._memory[key] = self.scratch(name, shape, dtype)
        return self._memory[key]

    def scratch(self, name, shape, dtype=None):
        return garbage(shape, self.input.dtype if dtype is None else dtype)

    def accumulator(self, name, shape):
        return self._memory.setdefault((name, "accumulator"), np.zeros(shape, self.input.dtype))

    def add_gradient(self, name, value):
        self.gradients[name] = self.gradients[name] + value if name in self.gradients else value.copy()


def run_forward(layer, params, X, *, training, weights=None, seed=0):
    """Run a layer forward on a minibatch; return its result and the unit for run_backward."""
    unit = NaiveUnit(X, weights=weights, seed=seed)
    unit.prepared = layer.prepare(params, training=training)
    if training and hasattr(layer, "merge"):
        unit.merged, unit.state = layer.merge(params, [layer.statistics(X, unit)])
    is_image = X.ndim == 4
    *pixels, features = layer.output_shape((*X.shape[:2], X.shape[3]) if is_image else X.shape[1:])
    out = garbage((*pixels, X.shape[-2], features), X.dtype)
    unit.output = layer.forward(params, X, unit, training=training, out=out)
    return unit.output, unit


def run_backward(layer, params, unit, dY, *, need_dX=True):
    """Run a layer backward after run_forward; return dX. The unit holds the gradients of the parameters."""
    unit.X = unit.input if "X" in layer.backward_reads else None
    unit.Y = unit.output if "Y" in layer.backward_reads else None
    dY = dY.copy()
    if hasattr(layer, "merge"):
        partial = layer.backward_statistics(params, dY, unit)
        unit.merged = layer.backward_merge(params, unit.merged, [partial])
    out = garbage(unit.input.shape, unit.input.dtype) if need_dX else None
    dX = layer.backward(params, dY, unit, need_dX=need_dX, out=out)
    layer.finish(params, unit)
    return dX
