"""The protocols of kernels that are objects: chosen by shape, or with memory between their passes."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from skcnn.kernels.windows import Windows


class Memory(Protocol):
    """Gives arrays that are allocated once and reused."""

    def __call__(self, name: str, shape: tuple[int, ...], dtype=None) -> np.ndarray:
        """Return the array of a name, without clearing it."""

    def workspace(self, make: Callable, *sizes: int):
        """Return ``make(self, *sizes)``, arrays and views of them; ``make`` is called once."""


class ConvolutionKernel(ABC):
    """A way to compute a convolution and its gradients, for images of one size.

    Parameters
    ----------
    windows : Windows
    channels, filters : int
    groups : int
        Number of groups of channels; each filter sees the channels of one group.
    has_bias : bool
        Whether each filter has a bias.
    """

    reads_images = True
    """Whether the backward pass reads the images; if not, it gets None instead."""

    def __init__(self, windows: Windows, channels: int, filters: int, groups: int, has_bias: bool):
        self.windows = windows
        self.channels = channels
        self.filters = filters
        self.groups = groups
        self.has_bias = has_bias

    @property
    @abstractmethod
    def gradient_shape(self) -> tuple[int, ...]:
        """Shape of the memory that collects the gradients of weight and bias."""

    @abstractmethod
    def scratch_size(self) -> int:
        """Return the number of elements of scratch memory for one image."""

    @abstractmethod
    def prepare(self, weight: np.ndarray, bias: np.ndarray | None, memory: Memory, *, training: bool):
        """Return weight and bias in the form that the passes need.

        Parameters
        ----------
        weight : ndarray of shape (kh, kw, channels / groups, filters)
        bias : ndarray of shape (filters,), or None without bias
        memory : Memory
            Memory for what is returned, which may also be views of the arguments, and for temporaries.
        training : bool
            Whether ``backward`` needs it, too.
        """

    @abstractmethod
    def forward(self, X: np.ndarray, prepared, out: np.ndarray, scratch: Memory, kept: Memory) -> np.ndarray:
        """Compute the convolution.

        Parameters
        ----------
        X : ndarray of shape (height, width, n_images, channels)
            C-contiguous.
        prepared : object
            As returned by ``prepare``.
        out : ndarray of shape (out_height, out_width, n_images, filters)
            C-contiguous; receives the output.
        scratch : Memory
            Memory for this call.
        kept : Memory
            Memory for what ``backward`` reads.

        Returns
        -------
        out : ndarray
        """

    @abstractmethod
    def backward(
        self,
        X: np.ndarray | None,
        dY: np.ndarray,
        prepared,
        gradient: np.ndarray,
        out: np.ndarray | None,
        scratch: Memory,
        kept: Memory,
    ) -> np.ndarray | None:
        """Compute the gradients.

        Parameters
        ----------
        X : ndarray of shape (height, width, n_images, channels), or None
            C-contiguous; None unless the kernel ``reads_images``.
        dY : ndarray of shape (out_height, out_width, n_images, filters)
            C-contiguous.
        prepared : object
            As returned by ``prepare``.
        gradient : ndarray of shape ``gradient_shape``
            Receives the gradients of weight and bias, as ``gradients`` reads them.
        out : ndarray of the shape of X, or None
            Receives the gradient of the images; None if it is not needed.
        scratch : Memory
            Memory for this call.
        kept : Memory
            The same memory as in ``forward``.

        Returns
        -------
        out : ndarray or None
        """

    @abstractmethod
    def gradients(self, total: np.ndarray, scratch: Memory) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the gradients of weight and bias.

        Parameters
        ----------
        total : ndarray of shape ``gradient_shape``
            Sum of what ``backward`` wrote.
        scratch : Memory
            Memory for what is returned, which may also be views of the total, and for temporaries.

        Returns
        -------
        weight : ndarray of shape (kh, kw, channels / groups, filters)
        bias : ndarray of shape (filters,), or None without bias
        """


class Affine(NamedTuple):
    """A map of each channel, ``(x - center) * factor + shift``, in float64.

    Attributes
    ----------
    center, factor, shift : ndarray of shape (channels,), float64
    """

    center: np.ndarray
    factor: np.ndarray
    shift: np.ndarray

    def about(self, center: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return factor and shift of the same map about another center, in its dtype.

        A kernel subtracts a rounded center first, so that it loses no digits of inputs far from zero.

        Examples
        --------
        >>> Affine(np.array([4.0]), np.array([0.5]), np.array([1.0])).about(np.array([2.0]))
        (array([0.5]), array([0.]))
        """
        shift = self.shift + self.factor * (center - self.center)
        return self.factor.astype(center.dtype), shift.astype(center.dtype)


class BatchNormKernel(ABC):
    """A way to compute batch normalization, with or without a rectifier after it.

    Arrays are C-contiguous images, shape (height, width, n_images, channels), or vectors, shape
    (n_samples, channels). ``scratch`` is memory for one call; ``kept`` is the same in all passes.

    Parameters
    ----------
    rectified : bool
        Whether negative outputs become zero.
    """

    reads_images: bool
    """Whether the passes after ``statistics`` read X; if not, they get None instead."""

    def __init__(self, rectified: bool):
        self.rectified = rectified

    @abstractmethod
    def statistics(
        self, X: np.ndarray, weights: np.ndarray | None, scratch: Memory, kept: Memory
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Return total weight, mean and weighted sum of squared deviations of each channel.

        Parameters
        ----------
        X : ndarray
        weights : ndarray of shape (n_images,), or None
            Weights of the images; None if all are equal.
        scratch, kept : Memory

        Returns
        -------
        total : float
            Sum of the weights times the pixels of an image. The caller sees to it that it is positive.
        mean, squares : ndarray of shape (channels,), float64
        """

    @abstractmethod
    def forward(self, X: np.ndarray | None, affine: Affine, out: np.ndarray, kept: Memory) -> np.ndarray:
        """Compute the output of training, after ``statistics``.

        Parameters
        ----------
        X : ndarray or None
        affine : Affine
            The map from X to the output before the rectifier.
        out : ndarray of the shape of X
            Receives the output.
        kept : Memory

        Returns
        -------
        out : ndarray
        """

    @abstractmethod
    def predict(self, X: np.ndarray, affine: Affine, out: np.ndarray) -> np.ndarray:
        """Compute the output of prediction; parameters as in ``forward``."""

    @abstractmethod
    def backward_statistics(
        self, X: np.ndarray | None, dY: np.ndarray, affine: Affine, scratch: Memory, kept: Memory
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return sums of the gradient that passes the rectifier, and of its products with x - center.

        Parameters
        ----------
        X : ndarray or None
        dY : ndarray
            Of it, what the rectifier stops may be overwritten by zeros.
        affine : Affine
            As in ``forward``.
        scratch, kept : Memory

        Returns
        -------
        dY_sum, product_sum : ndarray of shape (channels,)
        """

    @abstractmethod
    def backward(
        self,
        X: np.ndarray | None,
        dY: np.ndarray,
        affine: Affine,
        means: Affine,
        weights: np.ndarray | None,
        out: np.ndarray,
        scratch: Memory,
        kept: Memory,
    ) -> np.ndarray:
        """Compute the gradient of X, ``affine.factor * (dY - weight * means(x))``.

        Parameters
        ----------
        X : ndarray or None
        dY : ndarray
            As ``backward_statistics`` left it.
        affine : Affine
            As in ``forward``.
        means : Affine
            What normalization takes away from the gradient of a pixel of weight one.
        weights : ndarray of shape (n_images,), or None
        out : ndarray of the shape of X
            Receives the gradient.
        scratch, kept : Memory

        Returns
        -------
        out : ndarray
        """


class MaxPoolKernel(ABC):
    """A way to compute the maximum of windows, with or without a rectifier after it.

    Parameters
    ----------
    windows : Windows
        Each with at least one pixel on the image; padding is never a maximum.
    rectified : bool
        Whether negative outputs become zero.
    """

    def __init__(self, windows: Windows, rectified: bool):
        self.windows = windows
        self.rectified = rectified

    @abstractmethod
    def forward(self, X: np.ndarray, out: np.ndarray, scratch: Memory, kept: Memory | None) -> np.ndarray:
        """Compute the maximum of every window.

        Parameters
        ----------
        X : ndarray of shape (height, width, n_images, channels)
            C-contiguous.
        out : ndarray of shape (out_height, out_width, n_images, channels)
            C-contiguous; receives the output.
        scratch : Memory
            Memory for this call.
        kept : Memory or None
            Memory for what ``backward`` reads; None in prediction.

        Returns
        -------
        out : ndarray
        """

    @abstractmethod
    def backward(self, dY: np.ndarray, dX: np.ndarray, scratch: Memory, kept: Memory) -> np.ndarray:
        """Pass the gradient of every window to its first maximum in row order.

        Parameters
        ----------
        dY : ndarray of shape (out_height, out_width, n_images, channels)
            May be overwritten.
        dX : ndarray of shape (height, width, n_images, channels)
            Receives the gradient.
        scratch, kept : Memory

        Returns
        -------
        dX : ndarray
        """
