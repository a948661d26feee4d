"""The protocol of the ways to compute a convolution."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

import numpy as np

from skcnn.kernels.windows import Windows


class Memory(Protocol):
    """Arrays that are allocated once."""

    def __call__(self, name: str, shape: tuple[int, ...], dtype=None) -> np.ndarray:
        """Return an array with whatever it contains."""

    def workspace(self, make: Callable, *sizes: int):
        """Return ``make(self, *sizes)``, arrays and views of them that are made once."""


class ConvolutionKernel(ABC):
    """A way to compute a convolution and its gradients, for images of one size.

    Parameters
    ----------
    windows : Windows
    channels, filters : int
    groups : int
        Number of groups of channels, and of filters that see one of them each.
    has_bias : bool
        Whether a number is added to each result of a filter.
    """

    reads_images = True
    """Whether the backward pass reads the images; else it is given None in their place."""

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
        """Return the number of elements of scratch memory that one image takes."""

    @abstractmethod
    def prepare(self, weight: np.ndarray, bias: np.ndarray | None):
        """Return weight and bias as the passes need them.

        Parameters
        ----------
        weight : ndarray of shape (kh, kw, channels / groups, filters)
        bias : ndarray of shape (filters,), or None where there is none
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
            C-contiguous; receives the result.
        scratch : Memory
            To use within the call.
        kept : Memory
            To keep what ``backward`` can use.

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
            Receives the gradient of the images; None if it is not wanted.
        scratch : Memory
            To use within the call.
        kept : Memory
            As ``forward`` left it.

        Returns
        -------
        out : ndarray or None
        """

    @abstractmethod
    def gradients(self, total: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return what was collected.

        Parameters
        ----------
        total : ndarray of shape ``gradient_shape``
            The sum of what ``backward`` wrote.

        Returns
        -------
        weight : ndarray of shape (kh, kw, channels / groups, filters)
        bias : ndarray of shape (filters,), or None where there is none
        """
