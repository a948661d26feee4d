"""Minibatches whose images are changed at random, and predictions from several views of an image."""

from collections.abc import Callable
from itertools import product

import numpy as np

from skcnn._sklearn import check_hyperparameters
from skcnn.augmentation import Augmentation, Mixing, RandomFlip, auto_augmentation
from skcnn.kernels.reductions import near_one
from skcnn.layers.naming import check_names, is_passthrough, named_layers
from skcnn.random_streams import RandomStreams


class Augmenter:
    """Changes the images of minibatches, and mixes their targets.

    First come the augmentations that work on single images, in their order, then those that mix; the other
    images have been through the former, too.

    Parameters
    ----------
    augmentations : list of Augmentation or Mixing
    seed : int
        Seed of the training.
    weights : ndarray of shape (n_samples,) or None
        Weights of the training samples, by which they are drawn to be mixed into others; None for equal ones.
    """

    def __init__(self, augmentations, seed: int, weights: np.ndarray | None = None):
        self._changes = [each for each in augmentations if isinstance(each, Augmentation)]
        self._mixings = [each for each in augmentations if isinstance(each, Mixing)]
        self._streams = RandomStreams(seed)
        self._cumulated = None
        if weights is not None:
            weights = near_one(weights)  # so that the sum is finite
            self._cumulated = np.cumsum(weights) / np.sum(weights)

    def minibatch(self, source, rows: np.ndarray, epoch: int, targets_of: Callable):
        """Return reader and targets of a minibatch.

        Parameters
        ----------
        source : ImageSource
            The training images.
        rows : ndarray of int
            The samples of the minibatch.
        epoch : int
        targets_of : callable
            ``targets_of(rows)`` returns the targets of some samples, an array of shape (n, n_outputs).

        Returns
        -------
        read : callable
            ``read(part, out)`` writes the images of a slice of the rows into ``out``.
        targets : ndarray of shape (n_rows, n_outputs)
        """
        targets, mixtures = targets_of(rows), []
        for number, mixing in enumerate(self._mixings):
            draws = self._streams.uniforms("augmentation", epoch, rows, 1 + mixing.n_draws, lane=1 + number)
            others = self._others(draws[:, 0], len(source))
            draws = draws[:, 1:]
            shares = mixing.shares(draws, source.format.image_shape[:2]).astype(targets.dtype)[:, np.newaxis]
            targets = shares * targets + (1 - shares) * targets_of(others)
            mixtures.append((mixing, others, draws))

        def read(part, out):
            self._read(source, rows[part], epoch, out)
            for mixing, others, draws in mixtures:
                other_images = self._read(source, others[part], epoch, np.empty_like(out))
                mixing.apply(out, other_images, draws[part])
            return out

        return read, targets

    def _others(self, draws, n_samples):
        if self._cumulated is None:
            return np.floor(draws * n_samples).astype(int)
        return np.searchsorted(self._cumulated, draws, side="right").clip(max=n_samples - 1)

    def _read(self, source, rows, epoch, out):
        """Read single images and change them."""
        source.read(rows, out)
        return changed(out, self._changes, self._draws_of_changes(rows, epoch))

    def _draws_of_changes(self, rows, epoch):
        """Return the draws of each change for some samples."""
        ends = np.cumsum([change.n_draws for change in self._changes], dtype=int)
        alternating = [index for index, change in enumerate(self._changes) if change.alternate]

        def drawn(number):
            draws = self._streams.uniforms("augmentation", number, rows, sum(ends[-1:]))
            return np.split(draws, ends, axis=1)[:-1]

        draws = drawn(epoch)
        first = drawn(0) if alternating else []
        for index in alternating:
            draws[index] = self._changes[index].moved_on(first[index], epoch)
        return draws


def changed(images: np.ndarray, changes: list[Augmentation], draws: list[np.ndarray]) -> np.ndarray:
    """Change images in place, by several augmentations with their draws."""
    result = images
    for change, own in zip(changes, draws, strict=True):
        result = change.apply(result, own)
    if result is not images:
        np.copyto(images, result)
    return images


def entries_of(augmentations, kinds, *, parameter: str) -> list:
    """Return the augmentations of a list, without names and without "passthrough".

    Parameters
    ----------
    augmentations : list or tuple
        Augmentations, "passthrough", or pairs of a name and one of these.
    kinds : type or tuple of type
        Base classes to expect.
    parameter : str
        Named in messages.

    Raises
    ------
    ValueError
        If an entry is something else, or has an invalid hyperparameter, or a name is empty, contains "__" or
        comes twice.
    """
    named = named_layers(augmentations)
    check_names(named, parameter)
    for position, (_, entry) in enumerate(named):
        if is_passthrough(entry):
            continue
        if not isinstance(entry, kinds):
            raise ValueError(
                f"{parameter}[{position}] must be an augmentation such as RandomShift(2), 'passthrough' or a "
                f"pair of a name and one of these, got {entry!r}"
            )
        try:
            check_hyperparameters(entry)
        except ValueError as error:
            raise ValueError(f"{parameter}[{position}], {entry!r}: {error}") from error
    return [entry for _, entry in named if not is_passthrough(entry)]


def augmentations_of(augmentation, image_shape: tuple[int, int, int]) -> list[Augmentation | Mixing]:
    """Return the augmentations that the parameter ``augmentation`` asks for.

    Parameters
    ----------
    augmentation : None, "auto" or list
    image_shape : tuple of int
        ``(height, width, channels)``, for "auto".

    Raises
    ------
    ValueError
        As :func:`entries_of`.
    """
    if augmentation is None:
        return []
    if isinstance(augmentation, str):
        return auto_augmentation(image_shape)
    return entries_of(augmentation, (Augmentation, Mixing), parameter="augmentation")


def changes_of_views(tta) -> list[Augmentation]:
    """Return the augmentations that test-time augmentation takes its views from.

    Parameters
    ----------
    tta : None, "flip" or list of Augmentation

    Returns
    -------
    changes : list of Augmentation

    Raises
    ------
    ValueError
        If it is something else, an entry is no augmentation, or one that is of no use in prediction.
    """
    if tta is None:
        return []
    if tta == "flip":
        return [RandomFlip()]
    if not isinstance(tta, list | tuple):
        raise ValueError(f"tta must be None, 'flip' or a list of augmentations, got {tta!r}")
    changes = entries_of(tta, Augmentation, parameter="tta")
    for change in changes:
        if not change.views():
            raise ValueError(f"tta has {change!r}, which offers no views to predict with")
    return changes


def prediction_readers(source, changes: list[Augmentation]) -> list[Callable]:
    """Return a reader for each view of the images that predictions are averaged over.

    Parameters
    ----------
    source : ImageSource
    changes : list of Augmentation
        All combinations of their views are taken.

    Returns
    -------
    readers : list of callable
        ``read(rows, out)`` writes images into ``out``.
    """

    def reader(view):
        def read(rows, out):
            source.read(rows, out)
            return changed(out, changes, [np.tile(draws, (out.shape[2], 1)) for draws in view])

        return read

    return [reader(view) for view in product(*(change.views() for change in changes))]
