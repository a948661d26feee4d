"""What layers compute, in PyTorch: images (n, channels, height, width), parameters in the shapes of skcnn.

Parameters and images are turned from the layouts of skcnn by operations that PyTorch differentiates, so its
gradients come out in the layouts of skcnn, too.
"""

from itertools import count

import numpy as np
import pytest
from parity.drawing import as_pair, padding_of, window_of

import skcnn
from skcnn.layers import Activation, Container
from skcnn.layers.activation import ACTIVATIONS, LINEAR
from skcnn.layers.naming import is_passthrough, name_layers
from skcnn.network.losses import FocalLoss, Hinge, LogLoss, SquaredHinge

torch = pytest.importorskip("torch", reason="layers are held against PyTorch, which is not installed")
functional = torch.nn.functional
torch.set_num_threads(1)


def pad(X, padding, value=0.0):
    (top, bottom), (left, right) = padding
    return functional.pad(X, (left, right, top, bottom), value=value)


def is_symmetric(padding):
    return all(before == after for before, after in padding)


def convolve(layer, X, weight, bias, groups=1):
    """Let PyTorch pad where it can; it has one number an axis, and "same" for strides of one."""
    weight = weight.clone(memory_format=torch.contiguous_format)  # without which its gradient fails
    padding = padding_of(layer, X.shape[2:], window_of(layer))
    if layer.padding == "same" and as_pair(layer.strides) == (1, 1):
        own = "same"
    elif is_symmetric(padding):
        own = [before for before, _ in padding]
    else:
        X, own = pad(X, padding), 0
    return functional.conv2d(X, weight, bias, as_pair(layer.strides), own, as_pair(layer.dilation), groups)


def depthwise(layer, X, weight, bias=None):
    height, width, channels, multiplier = weight.shape
    filters = weight.permute(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
    return convolve(layer, X, filters, bias, channels)


def pool_options(layer):
    """Return what PyTorch names as skcnn does, except for the padding."""
    strides = layer.pool_size if layer.strides is None else layer.strides
    return {"kernel_size": layer.pool_size, "stride": strides, "ceil_mode": layer.ceil_mode}


def pools_with_own_padding(layer, padding):
    """Whether PyTorch takes this padding: the same on both sides, and at most half the pool size."""
    return is_symmetric(padding) and all(
        2 * before <= length for (before, _), length in zip(padding, as_pair(layer.pool_size), strict=True)
    )


def without_windows_beyond(layer, Y, X, padding):
    """Drop windows that begin beyond the image, as PyTorch does by itself where the padding is its own."""
    strides = as_pair(pool_options(layer)["stride"])
    height, width = (
        -(-(before + size) // stride)
        for (before, _), size, stride in zip(padding, X.shape[2:], strides, strict=True)
    )
    return Y[:, :, :height, :width]


def max_pool(layer, X):
    padding, options = padding_of(layer, X.shape[2:], window_of(layer)), pool_options(layer)
    options["dilation"] = layer.dilation
    if pools_with_own_padding(layer, padding):
        return functional.max_pool2d(X, padding=[before for before, _ in padding], **options)
    Y = functional.max_pool2d(pad(X, padding, -np.inf), **options)
    return without_windows_beyond(layer, Y, X, padding)


def average_pool(layer, X):
    """Let PyTorch pool where it can: it dilates maxima alone."""
    padding, options = padding_of(layer, X.shape[2:], window_of(layer)), pool_options(layer)
    if as_pair(layer.dilation) != (1, 1) or not pools_with_own_padding(layer, padding):
        return average_by_convolution(layer, X, padding)
    own = [before for before, _ in padding]
    return functional.avg_pool2d(X, padding=own, count_include_pad=layer.count_include_pad, **options)


def average_by_convolution(layer, X, padding):
    """Sum windows, and divide by the pixels that count; what ceil_mode adds after the padding does not."""
    strides, dilation = as_pair(pool_options(layer)["stride"]), as_pair(layer.dilation)
    after = [(0, stride - 1 if layer.ceil_mode else 0) for stride in strides]
    filters = X.new_ones(X.shape[1], 1, *as_pair(layer.pool_size))

    def add_up(image):
        Y = functional.conv2d(pad(image, after), filters, None, strides, 0, dilation, X.shape[1])
        return without_windows_beyond(layer, Y, X, padding)

    return add_up(pad(X, padding)) / add_up(pad(torch.ones_like(X), padding, float(layer.count_include_pad)))


def batch_norm(layer, X, scale, shift, running_mean=None, running_variance=None, n_updates=None):
    """Use running statistics where they are given; ``functional`` refuses one value for each channel."""
    statistics = (running_mean, running_variance, running_mean is None)
    return torch.batch_norm(X, scale, shift, *statistics, 0.0, layer.epsilon, False)


def layer_norm(layer, X, scale, shift):
    pixels = X.movedim(1, -1)
    return functional.layer_norm(pixels, pixels.shape[-1:], scale, shift, layer.epsilon).movedim(-1, 1)


def with_held_deviation(layer, X, scale, shift):
    """Return a normalization by a deviation that is held and without its mean.

    Its gradient is the first of the terms that add up to the gradient of the normalization. They may cancel:
    of two numbers that are far apart, a normalization makes -1 and 1, whichever these are.
    """
    with torch.no_grad():
        if isinstance(layer, skcnn.GroupNorm):
            variance = X.reshape(len(X), layer.groups, -1).var(2, correction=0)
            variance = variance.repeat_interleave(X.shape[1] // layer.groups, dim=1)
            variance = variance.reshape(*X.shape[:2], *[1] * (X.ndim - 2))
        else:
            axes = 1 if isinstance(layer, skcnn.LayerNorm) else [axis for axis in range(X.ndim) if axis != 1]
            variance = X.var(axes, correction=0, keepdim=True)
    return X / torch.sqrt(variance + layer.epsilon) * scale.reshape(-1, *[1] * (X.ndim - 2))


def local_response_norm(layer, X):
    """Normalize images, or vectors as images of one pixel; PyTorch divides alpha by the size."""
    images = X.reshape(*X.shape, *[1] * (4 - X.ndim))
    alpha = layer.alpha * layer.size
    return functional.local_response_norm(images, layer.size, alpha, layer.beta, layer.k).reshape(X.shape)


def dropout(layer, X, mask=None):
    """Drop what the layer has dropped in training: PyTorch draws other numbers."""
    return functional.dropout(X, layer.rate, training=False) if mask is None else X * mask / (1 - layer.rate)


def flatten(layer, X):
    """Flatten pixels in row order, channels within a pixel; vectors stay."""
    return X.movedim(1, -1).flatten(1)


def residual(container, X, name, network):
    branch = network.chain(container.layers, X, name)
    if container.projection != "auto":
        shortcut = network.part(f"{name}__projection", container.projection, X)
    elif branch.shape == X.shape:
        shortcut = X
    else:
        shortcut = projection(container, X, branch, name, network)
    return branch + shortcut


def projection(container, X, branch, name, network):
    """Apply what Residual makes by itself: one pixel with strides, and a copy of a last normalization."""
    units = branch.shape[1]
    is_image = len(X.shape) == 4
    layer = skcnn.Conv2D(units, 1, strides=strides_of(container.layers)) if is_image else skcnn.Dense(units)
    shortcut = network(f"{name}__projection", layer, X)
    last = container.layers[-1]
    if isinstance(last, skcnn.BatchNorm | skcnn.GroupNorm | skcnn.LayerNorm):
        shortcut = network(f"{name}__projection__norm", last, shortcut)
    return shortcut


def strides_of(layers):
    """Return the strides of layers one after another, of which those with windows say theirs."""
    pairs = [as_pair(layer.strides) for layer in layers if hasattr(layer, "strides")]
    return tuple(int(np.prod(along_axis)) for along_axis in zip(*pairs, strict=True))


def parallel(container, X, name, network):
    numbers = count(1)
    named = [
        (f"branch_{next(numbers)}", branch) if isinstance(branch, list) else branch
        for branch in container.branches
    ]
    results = [network.part(f"{name}__{child}", branch, X) for child, branch in name_layers(named)]
    return torch.cat(results, dim=1)


FUNCTIONS = {
    skcnn.Conv2D: lambda layer, X, weight, bias=None: convolve(
        layer, X, weight.permute(3, 2, 0, 1), bias, layer.groups
    ),
    skcnn.DepthwiseConv2D: depthwise,
    skcnn.PatchWhitening: lambda layer, X, weight, bias: convolve(layer, X, weight.permute(3, 2, 0, 1), bias),
    skcnn.MaxPool2D: max_pool,
    skcnn.AvgPool2D: average_pool,
    skcnn.GlobalAvgPool2D: lambda layer, X: functional.adaptive_avg_pool2d(X, 1).flatten(1),
    skcnn.GlobalMaxPool2D: lambda layer, X: functional.adaptive_max_pool2d(X, 1).flatten(1),
    skcnn.Dense: lambda layer, X, weight, bias=None: functional.linear(X, weight.T, bias),
    skcnn.BatchNorm: batch_norm,
    skcnn.LayerNorm: layer_norm,
    skcnn.GroupNorm: lambda layer, X, scale, shift: functional.group_norm(
        X, layer.groups, scale, shift, layer.epsilon
    ),
    skcnn.LocalResponseNorm: local_response_norm,
    skcnn.Flatten: flatten,
    skcnn.ZeroPad2D: lambda layer, X: pad(X, padding_of(layer, X.shape[2:], None)),
    skcnn.Rescale: lambda layer, X: X * layer.factor,
    skcnn.Dropout: dropout,
    skcnn.SpatialDropout2D: dropout,
    skcnn.ReLU: lambda layer, X: functional.relu(X),
    skcnn.ReLU6: lambda layer, X: functional.relu6(X),
    skcnn.LeakyReLU: lambda layer, X: functional.leaky_relu(X, layer.negative_slope),
    skcnn.PReLU: lambda layer, X, slope: functional.prelu(X, slope),
    skcnn.ELU: lambda layer, X: functional.elu(X, layer.alpha),
    skcnn.CELU: lambda layer, X: functional.celu(X, layer.alpha),
    skcnn.SELU: lambda layer, X: functional.selu(X),
    skcnn.GELU: lambda layer, X: functional.gelu(X, approximate=layer.approximate),
    skcnn.SiLU: lambda layer, X: functional.silu(X),
    skcnn.HardSwish: lambda layer, X: functional.hardswish(X),
    skcnn.Mish: lambda layer, X: functional.mish(X),
    # PyTorch's own returns x itself beyond a threshold
    skcnn.Softplus: lambda layer, X: torch.logaddexp(X, torch.zeros_like(X)),
    skcnn.Softmax: lambda layer, X: functional.softmax(X, dim=1),
    skcnn.Sigmoid: lambda layer, X: torch.sigmoid(X),
    # PyTorch's own has no parameters
    skcnn.HardSigmoid: lambda layer, X: functional.hardtanh(layer.alpha * X + layer.beta, 0.0, 1.0),
    skcnn.Tanh: lambda layer, X: torch.tanh(X),
    skcnn.Softsign: lambda layer, X: functional.softsign(X),
    skcnn.Residual: residual,
    skcnn.Parallel: parallel,
    skcnn.Sequential: lambda container, X, name, network: network.chain(container.layers, X, name),
}
"""What PyTorch computes of a layer, its input and parameters, or of a container, its name and the network."""


class TorchNetwork:
    """Applies blocks with the parameters of a skcnn network, found by the names of its nodes."""

    def __init__(self, functions, parameters):
        self.functions = functions
        self.parameters = parameters

    def __call__(self, name, block, X):
        """Apply a block and its activation, to flat images where it takes vectors."""
        if is_passthrough(block):
            return X
        if X.ndim == 4 and takes_vectors(block):
            X = flatten(None, X)
        function = self.functions[type(block)]
        if isinstance(block, Container):
            Y = function(block, X, name, self)
        else:
            Y = function(block, X, **self.parameters.get(name, {}))
        activation = getattr(block, "activation", None)
        if isinstance(activation, Activation):
            return self(f"{name}_{activation.name}", activation, Y)
        return Y if activation in LINEAR else self(f"{name}_{activation}", ACTIVATIONS[activation](), Y)

    def chain(self, layers, X, name):
        """Apply layers one after the other."""
        for child, block in name_layers(layers):
            X = self(f"{name}__{child}", block, X)
        return X

    def part(self, name, part, X):
        """Apply a block, or a list of layers, of a container."""
        return self.chain(part, X, name) if isinstance(part, list) else self(name, part, X)

    def stack(self, layers, X):
        """Apply the layers of an estimator, and the output layer that it adds."""
        for name, block in [*name_layers(layers), ("output", skcnn.Dense(None))]:
            X = self(name, block, X)
        return X


def takes_vectors(block):
    """Whether all layers that read the input of a block are Dense; "passthrough" takes what it gets."""
    if isinstance(block, skcnn.Residual):
        given = [] if isinstance(block.projection, str) else [block.projection]
        readers = [block.layers, *given]
    elif isinstance(block, skcnn.Parallel):
        readers = block.branches
    elif isinstance(block, skcnn.Sequential):
        readers = [block.layers]
    else:
        return isinstance(block, skcnn.Dense)
    blocks = [
        [layer for _, layer in name_layers(as_list(reader)) if not is_passthrough(layer)]
        for reader in readers
    ]
    firsts = [layers[0] for layers in blocks if layers]
    return bool(firsts) and all(map(takes_vectors, firsts))


def as_list(entry):
    return entry if isinstance(entry, list) else [entry]


class WeightedBatchNorm(torch.nn.BatchNorm2d):
    """Batch normalization in training, weighted by the ``sample_weights`` of the next minibatch, by hand."""

    def forward(self, X):
        shares = self.sample_weights / (self.sample_weights.sum() * X[0, 0].numel())
        shares = shares.reshape(-1, 1, 1, 1)
        mean = (shares * X).sum((0, 2, 3), keepdim=True)
        variance = (shares * (X - mean) ** 2).sum((0, 2, 3), keepdim=True)
        scale, shift = (values.reshape(1, -1, 1, 1) for values in (self.weight, self.bias))
        return scale * (X - mean) / torch.sqrt(variance + self.eps) + shift


def cross_entropy(loss, scores, codes):
    return functional.cross_entropy(scores, codes, reduction="none")


def focal(loss, scores, codes):
    """Return Lin's formula; PyTorch differentiates it. At p = 1 its derivative is not a number below 1."""
    logarithms = functional.log_softmax(scores, dim=1).gather(1, codes[:, None])[:, 0]
    return -((1 - logarithms.exp()) ** loss.focal_gamma) * logarithms


def multi_margin(power):
    """Return the sum over classes; PyTorch's function returns the mean."""

    def losses(loss, scores, codes):
        mean = functional.multi_margin_loss(scores, codes, p=power, reduction="none")
        return scores.shape[1] * mean

    return losses


LOSSES = {LogLoss: cross_entropy, FocalLoss: focal, Hinge: multi_margin(1), SquaredHinge: multi_margin(2)}
"""What PyTorch computes of scores against codes, for each loss."""
