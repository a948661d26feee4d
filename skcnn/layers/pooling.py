"""Pooling layers."""

import numpy as np

from skcnn.kernels.pooling import average_pool_backward, average_pool_forward
from skcnn.kernels.reductions import image_sums
from skcnn.kernels.table import NUMPY
from skcnn.kernels.windows import sliding_windows
from skcnn.layers.base import Layer, as_pair, check_padding, require_image


class WindowPool2D(Layer):
    """Base class of layers that reduce each window of each channel to one number."""

    _parameter_constraints: dict = {"ceil_mode": ["boolean"]}

    def __init__(self, pool_size=2, *, strides=None, padding="valid", dilation=1, ceil_mode=False):
        self.pool_size = pool_size
        self.strides = strides
        self.padding = padding
        self.dilation = dilation
        self.ceil_mode = ceil_mode

    def pixel_strides(self, input_shape):
        return self.windows(input_shape[:2]).strides

    def windows(self, image_size):
        """Return the windows of an image of this height and width."""
        check_padding(self.padding)
        size = as_pair(self.pool_size, "pool_size")
        return sliding_windows(
            image_size,
            size,
            strides=size if self.strides is None else as_pair(self.strides, "strides"),
            padding=self.padding,
            dilation=as_pair(self.dilation, "dilation"),
            ceil_mode=self.ceil_mode,
        )

    def output_shape(self, input_shape):
        require_image(input_shape)
        windows = self.windows(input_shape[:2])
        dilated = "" if windows.dilation == (1, 1) else f" with dilation={windows.dilation}"
        if any(max(pad) >= length for pad, length in zip(windows.padding, windows.span, strict=True)):
            raise ValueError(
                f"padding={self.padding!r} must be smaller than pool_size={windows.size}{dilated}, or a "
                "window would hold nothing but padding"
            )
        if min(windows.counts) < 1:
            raise ValueError(
                f"pool_size={windows.size}{dilated} is larger than the padded image of "
                f"{windows.padded_size} (height, width): nothing would be left"
            )
        if windows.areas(with_padding=False).min() < 1:
            raise ValueError(
                f"pool_size={windows.size}{dilated} and padding={self.padding!r} leave a window nothing but "
                "padding, on both sides of the image"
            )
        return (*windows.counts, input_shape[2])

    def scratch_size(self, input_shape):
        windows = self.windows(input_shape[:2])
        return input_shape[0] * windows.counts[1] * input_shape[2]


class MaxPool2D(WindowPool2D):
    r"""Maximum of windows.

    Parameters
    ----------
    pool_size : int or pair of int, default=2
        Height and width of a window, in pixels.
    strides : int, pair of int or None, default=None
        Distances between windows; None: the size of the window, so windows tile the image. Without
        ``ceil_mode``, pixels at the end that do not fill a window are ignored.
    padding : {"valid", "same"}, int or pair, default="valid"
        Pixels around the image, as for :class:`~skcnn.layers.Conv2D` and smaller than the window.
        Padding is never a maximum.
    dilation : int or pair of int, default=1
        Distances between neighbouring pixels of a window.
    ceil_mode : bool, default=False
        Whether pixels at the end that do not fill a window get a window that reaches beyond the padding. No
        window begins beyond the image.

    Notes
    -----
    Input ``(h, w, c)``, output ``(h', w', c)`` with ``h' = (h + padding - (ph - 1) dh - 1) // sh + 1``, or
    rounded up with ``ceil_mode``; padding "same" gives ``h' = ceil(h / sh)``:

    .. math:: y_{ijc} = \max_{u, v} x_{i s + u d, j s + v d, c}.

    The gradient of a window goes to its first maximum in row order, as in PyTorch.

    References
    ----------
    Ranzato, Huang, Boureau and LeCun (2007), "Unsupervised learning of invariant feature hierarchies
    with applications to object recognition", CVPR.

    Examples
    --------
    >>> from skcnn.layers import MaxPool2D
    >>> MaxPool2D().output_shape((7, 8, 16))
    (3, 4, 16)
    """

    _kernels = NUMPY  # an executor may run copies with others,
    _is_rectified = False  # or which take over a ReLU after them

    def plan(self, input_shape):
        return self._kernels.max_pool(self.windows(input_shape[:2]), self._is_rectified)

    def forward(self, params, X, unit, *, training, out):
        return unit.plan.forward(X, out, unit.scratch, unit.kept if training else None)

    def backward(self, params, dY, unit, *, need_dX, out):
        return unit.plan.backward(dY, out, unit.scratch, unit.kept)


class AvgPool2D(WindowPool2D):
    r"""Mean of windows.

    Parameters
    ----------
    pool_size : int or pair of int, default=2
        Height and width of a window, in pixels.
    strides : int, pair of int or None, default=None
        Distances between windows; None: the size of the window, so windows tile the image. Without
        ``ceil_mode``, pixels at the end that do not fill a window are ignored.
    padding : {"valid", "same"}, int or pair, default="valid"
        Pixels around the image, as for :class:`~skcnn.layers.Conv2D` and smaller than the window.
    dilation : int or pair of int, default=1
        Distances between neighbouring pixels of a window.
    ceil_mode : bool, default=False
        Whether pixels at the end that do not fill a window get a window that reaches beyond the padding. No
        window begins beyond the image.
    count_include_pad : bool, default=False
        Whether padding counts as zeros; if not, the mean ignores it. Pixels beyond the padding never count.

    Notes
    -----
    Input ``(h, w, c)``, output ``(h', w', c)`` with ``h' = (h + padding - (ph - 1) dh - 1) // sh + 1``, or
    rounded up with ``ceil_mode``; padding "same" gives ``h' = ceil(h / sh)``:

    .. math:: y_{ijc} = \frac{1}{n_{ij}} \sum_{u, v} x_{i s + u d, j s + v d, c}

    with :math:`n_{ij}` the pixels of the window that count.

    References
    ----------
    LeCun et al. (1990), "Handwritten digit recognition with a back-propagation network", NIPS.

    Examples
    --------
    >>> from skcnn.layers import AvgPool2D
    >>> AvgPool2D(3, strides=2).output_shape((7, 8, 16))
    (3, 3, 16)
    """

    _parameter_constraints: dict = {
        **WindowPool2D._parameter_constraints,
        "count_include_pad": ["boolean"],
    }

    def __init__(
        self,
        pool_size=2,
        *,
        strides=None,
        padding="valid",
        dilation=1,
        ceil_mode=False,
        count_include_pad=False,
    ):
        super().__init__(pool_size, strides=strides, padding=padding, dilation=dilation, ceil_mode=ceil_mode)
        self.count_include_pad = count_include_pad

    def plan(self, input_shape):
        return self.windows(input_shape[:2])

    def forward(self, params, X, unit, *, training, out):
        windows = unit.plan
        return average_pool_forward(X, out, self._areas(windows), windows, unit.scratch)

    def backward(self, params, dY, unit, *, need_dX, out):
        windows = unit.plan
        return average_pool_backward(dY, out, self._areas(windows), windows, unit.scratch)

    def _areas(self, windows):
        return windows.areas(with_padding=self.count_include_pad)


class GlobalAvgPool2D(Layer):
    r"""Mean of each channel over the whole image.

    Notes
    -----
    Input ``(h, w, c)``, output ``(c,)``: :math:`y_c = \frac{1}{hw} \sum_{ij} x_{ijc}`.

    References
    ----------
    Lin, Chen and Yan (2014), "Network in network", ICLR.

    Examples
    --------
    >>> from skcnn.layers import GlobalAvgPool2D
    >>> GlobalAvgPool2D().output_shape((7, 7, 64))
    (64,)
    """

    def output_shape(self, input_shape):
        require_image(input_shape)
        return input_shape[2:]

    def forward(self, params, X, unit, *, training, out):
        return np.multiply(image_sums(X), 1 / (X.shape[0] * X.shape[1]), out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        per_pixel = unit.scratch("per_pixel", dY.shape)
        np.multiply(dY, 1 / (out.shape[0] * out.shape[1]), out=per_pixel)
        np.copyto(out, per_pixel)
        return out


class GlobalMaxPool2D(Layer):
    r"""Maximum of each channel over the whole image.

    Notes
    -----
    Input ``(h, w, c)``, output ``(c,)``: :math:`y_c = \max_{ij} x_{ijc}`. The gradient goes to the first
    maximum in row order, as in PyTorch.

    References
    ----------
    Oquab, Bottou, Laptev and Sivic (2015), "Is object localization for free? Weakly-supervised learning
    with convolutional neural networks", CVPR.

    Examples
    --------
    >>> from skcnn.layers import GlobalMaxPool2D
    >>> GlobalMaxPool2D().output_shape((7, 7, 64))
    (64,)
    """

    def output_shape(self, input_shape):
        require_image(input_shape)
        return input_shape[2:]

    def forward(self, params, X, unit, *, training, out):
        pixels = X.reshape(-1, *X.shape[2:])
        if training:
            np.argmax(pixels, axis=0, out=unit.kept("position", out.shape, np.intp))
        return np.max(pixels, axis=0, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        out.fill(0)
        position = unit.kept("position", dY.shape, np.intp)
        np.put_along_axis(out.reshape(-1, *dY.shape), position[np.newaxis], dY[np.newaxis], axis=0)
        return out
