"""The protocol of the kernels that compute a convolution."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

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
    def prepare(self, weight: np.ndarray, bias: np.ndarray | None):
        """Return weight and bias in the form that the passes need.

        Parameters
        ----------
        weight : ndarray of shape (kh, kw, channels / groups, filters)
        bias : ndarray of shape (filters,), or None without bias
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
    def gradients(self, total: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the gradients of weight and bias.

        Parameters
        ----------
        total : ndarray of shape ``gradient_shape``
            Sum of what ``backward`` wrote.

        Returns
        -------
        weight : ndarray of shape (kh, kw, channels / groups, filters)
        bias : ndarray of shape (filters,), or None without bias
        """
