"""Oracles of the tests: naive loops in float64, and a unit of work with no executor.

Nothing here uses skcnn. Arrays have the layout of the layers: images (height, width, n_images, channels),
vectors (n_samples, features). Padding is ((top, bottom), (left, right)).
"""

import math

import numpy as np
from seeds import generator

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


def window_starts(size, window, stride, pad=(0, 0), *, dilation=1, ceil_mode=False):
    """First pixels of all windows along one axis, by trying every one; the image begins at pixel 0.

    In ceil mode one more window is added where pixels are left over, padding or not, if it begins on the
    image or in the padding before it: PyTorch's rule, for windows that fit at all.
    """
    end, span = size + pad[1], (window - 1) * dilation + 1
    starts = [start for start in range(-pad[0], end, stride) if start + span <= end]
    if ceil_mode and starts and starts[-1] + span < end and starts[-1] + stride < size:
        starts.append(starts[-1] + stride)
    return starts


class NaiveWindows:
    """All windows of an image, pixel by pixel."""

    def __init__(self, image_size, window, strides, padding=NO_PADDING, *, dilation=(1, 1), ceil_mode=False):
        self.image_size, self.window, self.padding, self.dilation = image_size, window, padding, dilation
        self.starts = [
            window_starts(*axis, dilation=step, ceil_mode=ceil_mode)
            for *axis, step in zip(image_size, window, strides, padding, dilation, strict=True)
        ]
        self.counts = tuple(map(len, self.starts))

    def taps(self):
        """Yield (index of the window, position in it, pixel) for all positions, in row order."""
        for out in np.ndindex(self.counts):
            first = [starts[index] for starts, index in zip(self.starts, out, strict=True)]
            for tap in np.ndindex(self.window):
                places = zip(first, tap, self.dilation, strict=True)
                yield out, tap, tuple(start + position * step for start, position, step in places)

    def taps_on_image(self):
        """Yield the taps whose pixel is one of the image."""
        return (tap for tap in self.taps() if self.is_on_image(tap[2]))

    def is_on_image(self, pixel):
        return all(0 <= place < size for place, size in zip(pixel, self.image_size, strict=True))

    def is_on_padded_image(self, pixel):
        axes = zip(pixel, self.image_size, self.padding, strict=True)
        return all(-before <= place < size + after for place, size, (before, after) in axes)

    def areas(self, *, with_padding):
        """Number of pixels of each window on the image, or on the padded image."""
        counts = self.is_on_padded_image if with_padding else self.is_on_image
        areas = np.zeros(self.counts, int)
        for out, _, pixel in self.taps():
            areas[out] += counts(pixel)
        return areas


def _group_slices(groups, channels, filters):
    """Channels and filters of each group."""
    channels, filters = channels // groups, filters // groups
    for group in range(groups):
        yield slice(group * channels, (group + 1) * channels), slice(group * filters, (group + 1) * filters)


def conv2d(X, weight, bias=None, *, strides=(1, 1), padding=NO_PADDING, dilation=(1, 1), groups=1):
    """Cross-correlation, pixel by pixel; weight (kernel height, kernel width, channels / groups, filters)."""
    X, weight = np.asarray(X, np.float64), np.asarray(weight, np.float64)
    windows = NaiveWindows(X.shape[:2], weight.shape[:2], strides, padding, dilation=dilation)
    Y = np.zeros((*windows.counts, X.shape[2], weight.shape[3]))
    for out, tap, pixel in windows.taps_on_image():
        for channels, filters in _group_slices(groups, X.shape[3], weight.shape[3]):
            Y[out][:, filters] += X[pixel][:, channels] @ weight[tap][:, filters]
    return Y if bias is None else Y + np.asarray(bias, np.float64)


def conv2d_backward(X, weight, dY, *, strides=(1, 1), padding=NO_PADDING, dilation=(1, 1), groups=1):
    """Gradients (dX, dweight, dbias) of conv2d."""
    X, weight, dY = (np.asarray(array, np.float64) for array in (X, weight, dY))
    dX, dweight = np.zeros_like(X), np.zeros_like(weight)
    windows = NaiveWindows(X.shape[:2], weight.shape[:2], strides, padding, dilation=dilation)
    for out, tap, pixel in windows.taps_on_image():
        for channels, filters in _group_slices(groups, X.shape[3], weight.shape[3]):
            dX[pixel][:, channels] += dY[out][:, filters] @ weight[tap][:, filters].T
            dweight[tap][:, filters] += X[pixel][:, channels].T @ dY[out][:, filters]
    return dX, dweight, dY.sum(axis=(0, 1, 2))


def depthwise_conv2d(X, weight, bias=None, **options):
    """Cross-correlation of each channel with its own filters, which are a group.

    The weight has shape (kernel height, kernel width, channels, filters of each channel).
    """
    return conv2d(X, as_groups(weight), bias, groups=weight.shape[2], **options)


def depthwise_conv2d_backward(X, weight, dY, **options):
    """Gradients (dX, dweight, dbias) of depthwise_conv2d."""
    dX, dweight, dbias = conv2d_backward(X, as_groups(weight), dY, groups=weight.shape[2], **options)
    return dX, dweight.reshape(weight.shape), dbias


def as_groups(weight):
    """Filters of single channels, one after another as their results are."""
    return np.reshape(weight, (*weight.shape[:2], 1, -1))


def first_maxima(X, windows):
    """Pixel of the first maximum in row order of each (row, column, image, channel) of the result."""
    best = {}
    for out, _, pixel in windows.taps_on_image():
        for rest in np.ndindex(X.shape[2:]):
            key = (*out, *rest)
            if key not in best or X[(*pixel, *rest)] > X[(*best[key], *rest)]:
                best[key] = pixel
    return best


def max_pool(X, window, strides, padding=NO_PADDING, **options):
    """Maximum of every window; padding is never one."""
    X = np.asarray(X, np.float64)
    windows = NaiveWindows(X.shape[:2], window, strides, padding, **options)
    Y = np.zeros((*windows.counts, *X.shape[2:]))
    for out, pixel in first_maxima(X, windows).items():
        Y[out] = X[(*pixel, *out[2:])]
    return Y


def max_pool_backward(X, dY, window, strides, padding=NO_PADDING, **options):
    """Gradient of max_pool: all to the first maximum in row order."""
    X = np.asarray(X, np.float64)
    windows = NaiveWindows(X.shape[:2], window, strides, padding, **options)
    dX = np.zeros_like(X)
    for out, pixel in first_maxima(X, windows).items():
        dX[(*pixel, *out[2:])] += dY[out]
    return dX


def avg_pool(X, window, strides, padding=NO_PADDING, *, count_include_pad=False, **options):
    """Mean of every window; what lies beyond the padding never counts."""
    X = np.asarray(X, np.float64)
    windows = NaiveWindows(X.shape[:2], window, strides, padding, **options)
    areas = windows.areas(with_padding=count_include_pad)
    Y = np.zeros((*windows.counts, *X.shape[2:]))
    for out, _, pixel in windows.taps_on_image():
        Y[out] += X[pixel] / areas[out]
    return Y


def avg_pool_backward(X, dY, window, strides, padding=NO_PADDING, *, count_include_pad=False, **options):
    """Gradient of avg_pool: an equal share to each pixel of the window."""
    windows = NaiveWindows(X.shape[:2], window, strides, padding, **options)
    areas = windows.areas(with_padding=count_include_pad)
    dX = np.zeros(X.shape)
    for out, _, pixel in windows.taps_on_image():
        dX[pixel] += np.asarray(dY[out], np.float64) / areas[out]
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


def group_norm(X, scale, shift, groups, *, epsilon=1e-5):
    """Normalization over all pixels and the channels of a group, of each sample by itself."""
    X = np.asarray(X, np.float64)
    Y = np.empty_like(X)
    for where in _groups(X, groups):
        Y[where] = np.reshape(_normalize(X[where].ravel(), epsilon)[0], X[where].shape)
    return Y * np.asarray(scale, np.float64) + np.asarray(shift, np.float64)


def group_norm_backward(X, scale, dY, groups, *, epsilon=1e-5):
    """Gradients (dX, dscale, dshift) of group_norm."""
    X, scale, dY = (np.asarray(array, np.float64) for array in (X, scale, dY))
    normalized = group_norm(X, np.ones_like(scale), np.zeros_like(scale), groups, epsilon=epsilon)
    dX = np.empty_like(X)
    for where in _groups(X, groups):
        gradient = _normalize_backward(X[where].ravel(), (dY * scale)[where].ravel(), epsilon)
        dX[where] = gradient.reshape(X[where].shape)
    axes = tuple(range(X.ndim - 1))
    return dX, (dY * normalized).sum(axis=axes), dY.sum(axis=axes)


def layer_norm(X, scale, shift, *, epsilon=1e-5):
    """Normalization over the channels of each pixel of each sample: each pixel is a vector of one group."""
    vectors = np.reshape(X, (-1, X.shape[-1]))
    return group_norm(vectors, scale, shift, 1, epsilon=epsilon).reshape(X.shape)


def layer_norm_backward(X, scale, dY, *, epsilon=1e-5):
    """Gradients (dX, dscale, dshift) of layer_norm."""
    flat = (-1, X.shape[-1])
    dX, *others = group_norm_backward(X.reshape(flat), scale, dY.reshape(flat), 1, epsilon=epsilon)
    return dX.reshape(X.shape), *others


def _groups(X, groups):
    """Index of each group of channels of each sample."""
    width = X.shape[-1] // groups
    for sample in range(X.shape[-2]):
        for group in range(groups):
            yield (..., sample, slice(group * width, (group + 1) * width))


def _normalize(values, epsilon):
    """Numbers with mean 0 and variance 1, and their deviation."""
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / len(values)
    deviation = math.sqrt(variance + epsilon)
    return [(value - mean) / deviation for value in values], deviation


def _normalize_backward(values, gradient, epsilon):
    """Gradient by the matrix of all derivatives of the normalized numbers."""
    normalized, deviation = _normalize(values, epsilon)
    n, dX = len(values), np.empty(len(values))
    for i in range(n):
        slopes = [((i == j) - 1 / n - normalized[i] * normalized[j] / n) / deviation for j in range(n)]
        dX[i] = math.fsum(dy * slope for dy, slope in zip(gradient, slopes, strict=True))
    return dX


def local_response_norm(X, size, alpha, beta, k):
    """Each number over a power of the squares of its neighbours among the channels of its pixel."""
    X = np.asarray(X, np.float64)
    Y = np.empty_like(X)
    for where in np.ndindex(X.shape):
        *pixel, channel = where
        Y[where] = X[where] / _response(X[tuple(pixel)], channel, size, alpha, k) ** beta
    return Y


def local_response_norm_backward(X, dY, size, alpha, beta, k):
    """Gradient of local_response_norm by the matrix of all derivatives of the channels of a pixel."""
    X, dY = np.asarray(X, np.float64), np.asarray(dY, np.float64)
    dX = np.zeros_like(X)
    for pixel in np.ndindex(X.shape[:-1]):
        for j in range(X.shape[-1]):
            response = _response(X[pixel], j, size, alpha, k)
            dX[pixel][j] += dY[pixel][j] * response**-beta
            for i in _neighbours(j, size, X.shape[-1]):
                slope = -beta * X[pixel][j] * response ** (-beta - 1) * 2 * alpha * X[pixel][i]
                dX[pixel][i] += dY[pixel][j] * slope
    return dX


def _neighbours(channel, size, n_channels):
    """Channels around one, of an even number one more before it than after it."""
    first = channel - size // 2
    return [other for other in range(first, first + size) if 0 <= other < n_channels]


def _response(values, channel, size, alpha, k):
    return k + alpha * math.fsum(values[i] ** 2 for i in _neighbours(channel, size, len(values)))


def dense(X, weight, bias=None):
    """Fully connected layer, one output at a time."""
    Y = np.zeros((len(X), weight.shape[1]))
    for sample, unit in np.ndindex(Y.shape):
        products = [float(x) * float(w) for x, w in zip(X[sample], weight[:, unit], strict=True)]
        Y[sample, unit] = math.fsum(products) + (0.0 if bias is None else float(bias[unit]))
    return Y


def sigmoid(x):
    """Logistic sigmoid without overflow on either side."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def softplus(x):
    """Logarithm of 1 + exp(x) without overflow."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def normal_density(x):
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def normal_distribution(x):
    return math.erfc(-x / math.sqrt(2)) / 2


def mish_slope(x):
    """Product rule on x tanh(softplus(x)), with 1 - tanh(s)^2 = 1 / cosh(s)^2."""
    cosh = math.cosh(min(softplus(x), 700.0))  # whose square would be larger than any float
    return math.tanh(softplus(x)) + x * sigmoid(x) / cosh / cosh


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. (2017), equation 14

ACTIVATIONS = {
    "relu": (lambda x: max(x, 0.0), lambda x: float(x > 0)),
    "relu6": (lambda x: min(max(x, 0.0), 6.0), lambda x: float(0 < x < 6)),
    "leaky_relu": (lambda x: x if x > 0 else 0.01 * x, lambda x: 1.0 if x > 0 else 0.01),
    "prelu": (lambda x: x if x > 0 else 0.25 * x, lambda x: 1.0 if x > 0 else 0.25),
    "elu": (lambda x: x if x > 0 else math.expm1(x), lambda x: 1.0 if x > 0 else math.exp(x)),
    "celu": (lambda x: x if x > 0 else math.expm1(x), lambda x: 1.0 if x > 0 else math.exp(x)),
    "selu": (
        lambda x: SELU_SCALE * (x if x > 0 else SELU_ALPHA * math.expm1(x)),
        lambda x: SELU_SCALE * (1.0 if x > 0 else SELU_ALPHA * math.exp(x)),
    ),
    "gelu": (
        lambda x: x * normal_distribution(x),
        lambda x: normal_distribution(x) + x * normal_density(x),
    ),
    "silu": (lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * sigmoid(-x))),
    "hard_swish": (
        lambda x: 0.0 if x <= -3 else x if x >= 3 else x * (x + 3) / 6,
        lambda x: 0.0 if x <= -3 else 1.0 if x >= 3 else (2 * x + 3) / 6,
    ),
    "mish": (lambda x: x * math.tanh(softplus(x)), mish_slope),
    "softplus": (softplus, sigmoid),
    "sigmoid": (sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "hard_sigmoid": (lambda x: min(max(x / 6 + 0.5, 0.0), 1.0), lambda x: 1 / 6 if -3 < x < 3 else 0.0),
    "softsign": (lambda x: x / (1 + abs(x)), lambda x: 1 / (1 + abs(x)) / (1 + abs(x))),
    "tanh": (math.tanh, lambda x: 1 / math.cosh(min(abs(x), 300.0)) ** 2),
}
"""Function and derivative of one number, by name; parameters are the defaults of the layers."""


def elementwise(function, X):
    """Apply a function of one number to each of an array."""
    return np.array([function(float(x)) for x in np.ravel(X)]).reshape(np.shape(X))


def softmax(X):
    """Softmax over the last axis, vector by vector."""
    Y = np.empty(X.shape)
    for where in np.ndindex(X.shape[:-1]):
        values = [float(x) for x in X[where]]
        powers = [math.exp(value - max(values)) for value in values]
        Y[where] = [power / math.fsum(powers) for power in powers]
    return Y


def softmax_backward(X, dY):
    """Gradient of softmax by the matrix of all derivatives, dy_j / dx_i = y_j ((i == j) - y_i)."""
    Y, dX = softmax(X), np.zeros(X.shape)
    for where in np.ndindex(X.shape[:-1]):
        y, g = Y[where], dY[where]
        for i in range(len(y)):
            dX[where][i] = math.fsum(float(g[j]) * y[j] * ((i == j) - y[i]) for j in range(len(y)))
    return dX


class GarbageMemory:
    """Scratch memory that is fresh and full of garbage each time."""

    def __init__(self, dtype):
        self.dtype = dtype

    def __call__(self, name, shape, dtype=None):
        return garbage(shape, self.dtype if dtype is None else dtype)

    def workspace(self, make, *sizes):
        return make(self, *sizes)


class KeptMemory(GarbageMemory):
    """Memory that is full of garbage at first and keeps what is written."""

    def __init__(self, dtype):
        super().__init__(dtype)
        self._arrays = {}

    def __call__(self, name, shape, dtype=None):
        key = name, shape, dtype
        if key not in self._arrays:
            self._arrays[key] = super().__call__(name, shape, dtype)
        return self._arrays[key]


class NaiveUnit:
    """A unit of work that is the whole minibatch, with all memory fresh and full of garbage."""

    def __init__(self, X, *, weights=None, seed=0):
        self.input, self.weights, self.seed = X, weights, seed
        self.X = self.Y = self.plan = self.prepared = self.merged = None
        self.scratch, self.kept = GarbageMemory(X.dtype), KeptMemory(X.dtype)
        self.buffers, self.gradients, self._memory = {}, {}, {}

    @property
    def rng(self):
        return generator(self.seed)

    def accumulator(self, name, shape):
        return self._memory.setdefault((name, "accumulator"), np.zeros(shape, self.input.dtype))

    def addend(self, name, shape):
        return self.scratch(("addend", name), shape)

    def add(self, name, addend):
        self.accumulator(name, addend.shape)[...] += addend

    def add_gradient(self, name, value):
        self.gradients[name] = self.gradients[name] + value if name in self.gradients else value.copy()

    def add_gradient_product(self, name, A, B):
        self.add_gradient(name, A @ B)


def run_forward(layer, params, X, *, training, weights=None, seed=0, in_place=False):
    """Run a layer forward on a minibatch; return its result and the unit for run_backward.

    In place, the result overwrites X.
    """
    unit = NaiveUnit(X, weights=weights, seed=seed)
    input_shape = (*X.shape[:-2], X.shape[-1])
    unit.plan = layer.plan(input_shape)
    unit.prepared = layer.prepare(params, unit.plan, training=training, memory=KeptMemory(X.dtype))
    if training and hasattr(layer, "merge"):
        unit.merged, unit.buffers = layer.merge(params, [layer.statistics(X, unit)])
        unit.X = X if "X" in layer.reads_in_backward(input_shape) else None
    *pixels, features = layer.output_shape(input_shape)
    out = X if in_place else garbage((*pixels, X.shape[-2], features), X.dtype)
    forgets = training and hasattr(layer, "merge")
    unit.output = layer.forward(params, None if forgets else X, unit, training=training, out=out)
    return unit.output, unit


def run_backward(layer, params, unit, dY, *, need_dX=True, in_place=False):
    """Run a layer backward after run_forward; return dX. The unit holds the gradients of the parameters."""
    reads = layer.reads_in_backward((*unit.input.shape[:-2], unit.input.shape[-1]))
    unit.X = unit.input if "X" in reads else None
    unit.Y = unit.output if "Y" in reads else None
    dY = dY.copy()
    if hasattr(layer, "merge"):
        partial = layer.backward_statistics(params, dY, unit)
        unit.merged = layer.backward_merge(params, unit.merged, [partial])
    if in_place:
        out = dY
    else:
        out = garbage(unit.input.shape, unit.input.dtype) if need_dX else None
    dX = layer.backward(params, dY, unit, need_dX=need_dX, out=out)
    layer.finish(params, unit)
    return dX


def initial_params(layer, input_shape, dtype=np.float64):
    """Fresh parameters of a layer, always the same for the seed of the tests."""
    return layer.init_params(input_shape, activation=None, dtype=np.dtype(dtype), rng=generator(0))
