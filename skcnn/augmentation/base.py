"""The protocol that every augmentation follows."""

import numpy as np
from sklearn.base import BaseEstimator

from skcnn.encoding import register

LARGEST_DRAW = np.nextafter(1.0, 0.0)


class Augmentation(BaseEstimator):
    """Base class of augmentations that change single images and keep their targets.

    Attributes
    ----------
    n_draws : int
        Number of uniform random numbers that each image needs.
    alternate : bool
        Whether each image has draws for the first epoch alone, which :meth:`moved_on` turns into those of
        later epochs.
    """

    n_draws = 1
    alternate = False
    _parameter_constraints: dict = {}

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        register(cls)

    def apply(self, images: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Change each image according to its draws.

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
        raise NotImplementedError(f"{type(self).__name__} must define apply, which changes images")

    def moved_on(self, draws: np.ndarray, epoch: int) -> np.ndarray:
        """Return the draws of an epoch: those of the first, plus one half (modulo one) in every other epoch.

        Parameters
        ----------
        draws : ndarray of shape (n, n_draws)
            The draws of the first epoch.
        epoch : int
            Number of the epoch, from zero.

        Returns
        -------
        draws : ndarray of shape (n, n_draws)
        """
        return (draws + epoch % 2 / 2) % 1

    def views(self) -> list[tuple[float, ...]]:
        """Return the draws of the views in test-time augmentation: the middle of [0, 1) and both ends."""
        return [(draw,) * self.n_draws for draw in (0.5, 0.0, LARGEST_DRAW)]


class Mixing(BaseEstimator):
    """Base class of augmentations that mix an image and its target with those of another sample.

    Attributes
    ----------
    n_draws : int
        Number of uniform random numbers that each image needs.
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
        raise NotImplementedError(f"{type(self).__name__} must define shares, for mixing targets")

    def apply(self, images: np.ndarray, others: np.ndarray, draws: np.ndarray) -> None:
        """Mix others into images, in place.

        Parameters
        ----------
        images, others : ndarray of shape (height, width, n, channels)
        draws : ndarray of shape (n, n_draws)
            Numbers from [0, 1).
        """
        raise NotImplementedError(f"{type(self).__name__} must define apply, which mixes images")


def whole_numbers(draws: np.ndarray, largest: int) -> np.ndarray:
    """Turn draws from [0, 1) into integers from -largest to largest, all equally likely."""
    return np.floor(draws * (2 * largest + 1)).astype(int) - largest
