"""Images that are read when they are needed: from a dataset in a file, or by a class of one's own."""

from abc import ABC, abstractmethod
from math import prod

import numpy as np
from scipy.sparse import issparse

from skcnn.layers.base import is_integer


class LazyImages(ABC):
    """Images that are read when they are needed.

    Rows, chosen as in an array, are a view, for which nothing is read; ``numpy.asarray`` reads them.

    Parameters
    ----------
    n_images : int
    image_shape : tuple of int
        Shape of one image.
    dtype : numpy.dtype
    """

    def __init__(self, n_images: int, image_shape: tuple[int, ...], dtype: np.dtype):
        self._rows: range | np.ndarray = range(n_images)
        self._image_shape = image_shape
        self.dtype = dtype

    block = 1
    """Number of neighbouring images that are read as fast as one."""

    @abstractmethod
    def _read(self, rows: np.ndarray) -> np.ndarray:
        """Return some images as an array, by their numbers among all images; several threads may call it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of images, and the shape of one."""
        return len(self._rows), *self._image_shape

    @property
    def size(self) -> int:
        """Number of pixels times channels of all images."""
        return prod(self.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self):
        return len(self._rows)

    def __iter__(self):
        return (self[row] for row in range(len(self)))

    def __getitem__(self, key):
        """Return one image as an array, or a view of several.

        Parameters
        ----------
        key : int, slice, array of int or bool, or list of these
            Also as the first of a tuple, before ``...`` or ``:``.
        """
        if isinstance(key, tuple):
            key, *others = key
            if not all(other is Ellipsis or other == slice(None) for other in others):
                raise IndexError(f"only rows can be chosen, as in X[rows], got X[..., {others}]")
        rows = self._rows[key] if isinstance(key, slice) else self._all_rows()[key]
        if np.ndim(rows) == 0:
            return self._read(np.array([rows]))[0]
        view = object.__new__(type(self))
        vars(view).update(vars(self), _rows=rows)
        return view

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError(f"{type(self).__name__} cannot become an array without a copy")
        images = self._read(self._all_rows())
        return images if dtype is None else images.astype(dtype, copy=False)

    def _all_rows(self):
        """Return the numbers of the images among those of which this is a view."""
        rows = self._rows
        return np.arange(rows.start, rows.stop, rows.step) if isinstance(rows, range) else rows


class DatasetImages(LazyImages):
    """Images in a dataset of HDF5 or zarr, or in anything else with a shape, a dtype and slices.

    Parameters
    ----------
    dataset : object
        As accepted by :func:`is_dataset`. It gets slices, and sorted arrays of indices without repetition,
        because HDF5 takes nothing else.
    """

    def __init__(self, dataset):
        super().__init__(len(dataset), tuple(map(int, dataset.shape[1:])), dataset.dtype)
        self._dataset = getattr(dataset, "oindex", dataset)  # zarr's indices of one axis
        chunks = getattr(dataset, "chunks", None)
        if chunks:  # one size for each axis or, of dask, all sizes
            self.block = int(np.max(chunks[0]))

    def _read(self, rows):
        unique, places = np.unique(rows, return_inverse=True)
        if not len(unique):
            return np.empty((0, *self._image_shape), self.dtype)
        first, last = int(unique[0]), int(unique[-1])
        is_run = last - first + 1 == len(unique)
        images = np.asarray(self._dataset[slice(first, last + 1) if is_run else unique])
        return images if np.array_equal(rows, unique) else images[places]


def is_dataset(X) -> bool:
    """Whether images of X are read from elsewhere when it is indexed: it is no array in memory.

    Examples
    --------
    >>> import numpy as np
    >>> is_dataset(np.zeros((2, 3)))
    False
    """
    shape, dtype = getattr(X, "shape", None), getattr(X, "dtype", None)
    return (
        not isinstance(X, np.ndarray | np.generic | LazyImages)
        and not issparse(X)
        and not any(hasattr(X, name) for name in ("__array_interface__", "__dlpack__"))  # arrays in memory
        and isinstance(shape, tuple)
        and 2 <= len(shape) <= 4
        and all(map(is_integer, shape))
        and isinstance(dtype, np.dtype)
        and dtype.kind in "buif"
        and all(hasattr(X, name) for name in ("__getitem__", "__len__"))
    )
