"""The protocol of the ways to compute a convolution."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from skcnn.kernels.windows import Windows

Scratch = Callable[..., np.ndarray]
"""``scratch(name, shape)`` returns memory to use within one call, with whatever it contains."""


class ConvolutionKernel(ABC):
    """A way to compute a convolution and its gradients, for images of one size.

    Parameters
    ----------
    windows : Windows
    channels, filters : int
    groups : int
        Number of groups of channels, and of filters that see one of them each.
    """

    def __init__(self, windows: Windows, channels: int, filters: int, groups: int):
        self.windows = windows
        self.channels = channels
        self.filters = filters
        self.groups = groups

    @property
    @abstractmethod
    def gradient_shape(self) -> tuple[int, ...]:
        """Shape of the memory that collects the gradient of the weight."""

    @abstractmethod
    def scratch_size(self) -> int:
        """Return the number of elements of scratch memory that one image takes."""

    @abstractmethod
    def prepare(self, weight: np.ndarray):
        """Return the weight as the passes need it.

        Parameters
        ----------
        weight : ndarray of shape (kh, kw, channels / groups, filters)
        """

    @abstractmethod
    def forward(self, X: np.ndarray, prepared, out: np.ndarray, scratch: Scratch) -> np.ndarray:
        """Compute the convolution.

        Parameters
        ----------
        X : ndarray of shape (height, width, n_images, channels)
            C-contiguous.
        prepared : object
            As returned by ``prepare``.
        out : ndarray of shape (out_height, out_width, n_images, filters)
            C-contiguous; receives the result.
        scratch : callable

        Returns
        -------
        out : ndarray
        """

    @abstractmethod
    def backward(
        self,
        X: np.ndarray,
        dY: np.ndarray,
        prepared,
        total: np.ndarray,
        out: np.ndarray | None,
        scratch: Scratch,
    ) -> np.ndarray | None:
        """Compute the gradients.

        Parameters
        ----------
        X : ndarray of shape (height, width, n_images, channels)
            C-contiguous.
        dY : ndarray of shape (out_height, out_width, n_images, filters)
            C-contiguous.
        prepared : object
            As returned by ``prepare``.
        total : ndarray of shape ``gradient_shape``
            The gradient of the weight is added to it, for ``weight_gradient``.
        out : ndarray of the shape of X, or None
            Receives the gradient of the images; None if it is not wanted.
        scratch : callable

        Returns
        -------
        out : ndarray or None
        """

    @abstractmethod
    def weight_gradient(self, total: np.ndarray) -> np.ndarray:
        """Return what was collected as an array of shape (kh, kw, channels / groups, filters)."""
