"""A fitted step in front of a network, and how its results change with its images."""

from functools import cached_property

import numpy as np
from scipy.sparse import issparse

from skcnn.data.images import as_image_array

BLOCK_VALUES = 4_000_000
"""Numbers of the images that a step transforms at a time while its derivatives are taken."""

N_DIRECTIONS = 4
"""Directions that derivatives are looked over in."""


def has_columns(X) -> bool:
    """Return whether X is a DataFrame, which steps may look into by the names of its columns."""
    return hasattr(X, "columns")


def in_container_of(given, X: np.ndarray):
    """Return images as a DataFrame with the columns of the given one, if that is one, else as they are."""
    if not has_columns(given):
        return X
    return type(given)(dict(zip(given.columns, X.reshape(len(X), -1).T, strict=True)))


class Stage:
    """A fitted step in front of the network, and the images that reach it.

    Parameters
    ----------
    name : str
    transformer : estimator
    given : array-like of shape (n, ...), DataFrame or sparse array
        What reaches it, as it is: what the step may take is its own affair.
    """

    def __init__(self, name: str, transformer, given):
        self.name = name
        self.transformer = transformer
        self._given = given

    @cached_property
    def X(self):  # noqa: N802, the field's name for arrays
        """What reaches the step as an array of numbers, of which some may be missing.

        Raises
        ------
        ValueError
            If it is none; where it is sparse, the message names the step.
        """
        if issparse(self._given):
            raise ValueError(f"{self} is given a sparse array, where dense images are needed")
        return as_image_array(self._given, estimator=self.transformer, allow_nan=True)

    def transformed(self, images: np.ndarray) -> np.ndarray:
        """Return what the step makes of images, each flat, shape (n, n_values).

        Raises
        ------
        ValueError
            If that is sparse; the message names the step.
        """
        X = in_container_of(self._given, images.reshape(len(images), *self.X.shape[1:]))
        results = self.transformer.transform(X)
        if issparse(results):
            raise ValueError(f"{self} returns a sparse array, where dense images are needed")
        return np.asarray(results).reshape(len(images), -1)

    def inverted(self, behind: np.ndarray) -> np.ndarray:
        """Return the images that the step makes these of.

        Raises
        ------
        ValueError
            If the step cannot be inverted; the message names it.
        """
        transformer = self.transformer
        has_func = getattr(transformer, "func", None) is not None
        has_no_inverse = has_func and getattr(transformer, "inverse_func", transformer) is None
        if has_no_inverse or not hasattr(transformer, "inverse_transform"):
            raise ValueError(
                f"{self} cannot be inverted: there is no way back through it to the input of the pipeline"
            )
        return np.asarray(transformer.inverse_transform(behind))

    def gradient_back(self, gradient: np.ndarray) -> np.ndarray:
        """Return the gradient in front of the step from that behind it, by central differences in float64.

        Raises
        ------
        ValueError
            If the step has no derivatives; the message names it.
        """
        found = np.empty(self.X.shape)
        for row, (image, behind) in enumerate(zip(self.X, gradient, strict=True)):
            found[row] = self._image_gradient_back(image, behind.ravel()).reshape(image.shape)
        if gradient.any() and not found.any():
            raise ValueError(f"{self} does not pass on small changes of its input: the gradient ends there")
        return found

    def changes_values_apart(self, image: np.ndarray) -> bool:
        """Return whether each value of the result depends on the value at the same place alone."""
        image = np.nan_to_num(image.ravel().astype(np.float64))
        (before,) = self.transformed(image[np.newaxis])
        if before.size != image.size:
            return False
        numbers = np.arange(image.size)
        bits = [numbers >> bit & 1 for bit in range(max(1, (image.size - 1).bit_length()))]
        moved = np.array([*bits, *(1 - np.array(bits))], bool)  # a bit tells any two values apart
        mirrored = image.min() + image.max() - image  # far enough for steps that round, within the range
        mirrored = np.where(mirrored == image, image + 1, mirrored)
        moved_images = [image + moved * self._small_steps(image), np.where(moved, mirrored, image)]
        with np.errstate(all="ignore"):
            after = self.transformed(np.concatenate(moved_images))
        return not ((after != before) & ~np.tile(moved, (2, 1))).any()

    def _image_gradient_back(self, image, gradient):
        """Return the gradient of an image, flat."""
        image = image.ravel().astype(np.float64)
        steps = self._small_steps(image)
        if self.changes_values_apart(image):
            found = gradient * self._differences(image, steps[np.newaxis])[0] / (2 * steps)
        else:
            found = np.empty(image.size)
            n_rows = max(1, BLOCK_VALUES // image.size)
            for start in range(0, image.size, n_rows):
                values = np.arange(start, min(start + n_rows, image.size))
                moves = np.zeros((len(values), image.size))
                moves[np.arange(len(values)), values] = steps[values]
                found[values] = self._differences(image, moves) @ gradient / (2 * steps[values])
        self._check_differentiable(image, gradient, found, steps)
        return found

    def _differences(self, image, moves):
        """Return the results for an image moved forward minus those for it moved back, a row each."""
        with np.errstate(all="ignore"):  # what is not finite is found by the caller
            above, below = self.transformed(np.concatenate([image + moves, image - moves])).reshape(
                2, len(moves), -1
            )
            return above - below

    def _check_differentiable(self, image, gradient, found, steps):
        """Raise a ValueError unless steps of an eighth, in all values at once, say the same about a gradient.

        Where there is a jump, the differences do not become smaller with the steps.
        """
        moves = np.random.default_rng(0).choice([-0.125, 0.125], (N_DIRECTIONS, image.size)) * steps
        with np.errstate(all="ignore"):
            expected = 2 * moves @ found
            error = np.abs(self._differences(image, moves) @ gradient - expected).max()
            size = np.linalg.norm(steps * found) / 8
            rounding = 10 * self._rounding * np.linalg.norm(self.transformed(image[np.newaxis]))
        if not np.isfinite(found).all() or not error <= size + rounding * np.linalg.norm(gradient):
            raise ValueError(f"{self} has no derivative at a value of X: the gradient ends there")

    @cached_property
    def _rounding(self):
        """Relative rounding error of results."""
        X = in_container_of(self._given, self.X[:1].astype(np.float64))
        dtype = np.asarray(self.transformer.transform(X)).dtype
        return np.finfo(dtype if dtype.kind == "f" else np.float64).eps

    def _small_steps(self, image):
        """Return steps for differences: the cube root of the rounding, in proportion to the values."""
        return np.cbrt(self._rounding) * np.maximum(1, np.abs(image))

    def __str__(self):
        return f"step {self.name!r}, {' '.join(repr(self.transformer).split())},"
