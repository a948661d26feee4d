"""What every augmentation says, and how its draws become numbers."""

import numpy as np
from sklearn.base import BaseEstimator

from skcnn.encoding import register

LARGEST_DRAW = np.nextafter(1.0, 0.0)


class Augmentation(BaseEstimator):
    """Base class of what changes images and leaves their classes alone.

    Attributes
    ----------
    n_draws : int
        Uniform numbers that an image takes.
    alternate : bool
        Whether an image is drawn for once, and :meth:`moved_on` gives the draws of later epochs.
    """

    n_draws = 1
    alternate = False
    _parameter_constraints: dict = {}

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        register(cls)

    def apply(self, images: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Change images, each by draws of its own.

        Parameters
        ----------
        images : ndarray of shape (height, width, n, channels)
            May be overwritten.
        draws : ndarray of shape (n, n_draws)
            Numbers from [0, 1).

        Returns
        -------
        images : ndarray of shape (height, width, n, channels)
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how it changes images")

    def moved_on(self, draws: np.ndarray, epoch: int) -> np.ndarray:
        """Return the draws of an epoch from those of the first: one half further in every other one.

        Parameters
        ----------
        draws : ndarray of shape (n, n_draws)
        epoch : int
            Number of the epoch, from zero.

        Returns
        -------
        draws : ndarray of shape (n, n_draws)
        """
        return (draws + epoch % 2 / 2) % 1

    def views(self) -> list[tuple[float, ...]]:
        """Return the draws whose results test-time augmentation averages over: the middle and both ends."""
        return [(draw,) * self.n_draws for draw in (0.5, 0.0, LARGEST_DRAW)]


class Mixing(BaseEstimator):
    """Base class of what mixes an image, and its target, with those of another sample.

    Attributes
    ----------
    n_draws : int
        Uniform numbers that an image takes.
    """

    n_draws = 1
    _parameter_constraints: dict = {}

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        register(cls)

    def shares(self, draws: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
        """Return the share of its own target that each sample keeps.

        Parameters
        ----------
        draws : ndarray of shape (n, n_draws)
            Numbers from [0, 1).
        image_size : (height, width)

        Returns
        -------
        shares : ndarray of shape (n,)
            Numbers from [0, 1].
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how it mixes targets")

    def apply(self, images: np.ndarray, others: np.ndarray, draws: np.ndarray) -> None:
        """Mix others into images, in place.

        Parameters
        ----------
        images, others : ndarray of shape (height, width, n, channels)
        draws : ndarray of shape (n, n_draws)
            Numbers from [0, 1).
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how it mixes images")


def whole_numbers(draws: np.ndarray, largest: int) -> np.ndarray:
    """Return integers from -largest to largest, all as likely, in place of draws from [0, 1)."""
    return np.floor(draws * (2 * largest + 1)).astype(int) - largest
