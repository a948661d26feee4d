"""Random augmentation of minibatches, and views of images for test-time augmentation."""

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from itertools import product
from numbers import Real

import numpy as np

from skcnn._sklearn import check_hyperparameters
from skcnn.augmentation import Augmentation, Mixing, RandomFlip, auto_augmentation
from skcnn.kernels.reductions import near_one
from skcnn.layers.base import is_integer
from skcnn.layers.contract import ERRORS, check_array, kind_of, name_error
from skcnn.layers.naming import check_names, is_passthrough, name_layers
from skcnn.random_streams import RandomStreams


class Augmenter:
    """Augments the images of minibatches, and mixes their targets.

    Augmentations of single images come first, in their order, then those that mix images. The images that
    are mixed in go through the augmentations of single images, too.

    Parameters
    ----------
    augmentations : list of Augmentation or Mixing
    seed : int
        Seed of the training.
    weights : ndarray of shape (n_samples,) or None
        Weights of the training samples, proportional to the probability that a sample is mixed into another;
        None for equal ones.
    """

    def __init__(self, augmentations, seed: int, weights: np.ndarray | None = None):
        self._changes = [each for each in augmentations if isinstance(each, Augmentation)]
        self._mixings = [each for each in augmentations if isinstance(each, Mixing)]
        self._streams = RandomStreams(seed)
        self._cumulated = None
        if weights is not None:
            weights = near_one(weights)  # keeps the sum finite
            self._cumulated = np.cumsum(weights) / np.sum(weights)

    def minibatch(self, source, rows: np.ndarray, epoch: int, targets_of: Callable):
        """Return a reader of the images, and the targets, of a minibatch.

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
            ``read(chunk, out)`` writes the images of a slice of the rows into ``out``.
        targets : ndarray of shape (n_rows, n_outputs)
        """
        targets, mixtures = targets_of(rows), []
        for number, mixing in enumerate(self._mixings):
            draws = self._streams.uniforms("augmentation", epoch, rows, 1 + mixing.n_draws, lane=1 + number)
            others = self._others(draws[:, 0], len(source))
            draws = draws[:, 1:]
            shares = shares_of(mixing, draws, source.format.image_shape[:2])
            shares = shares.astype(targets.dtype)[:, np.newaxis]
            targets = shares * targets + (1 - shares) * targets_of(others)
            mixtures.append((mixing, others, draws))

        def read(chunk, out):
            self._read(source, rows[chunk], epoch, out)
            for mixing, others, draws in mixtures:
                other_images = self._read(source, others[chunk], epoch, np.empty_like(out))
                mix(mixing, out, other_images, draws[chunk])
            return out

        return read, targets

    def _others(self, draws, n_samples):
        if self._cumulated is None:
            return np.floor(draws * n_samples).astype(int)
        return np.searchsorted(self._cumulated, draws, side="right").clip(max=n_samples - 1)

    def _read(self, source, rows, epoch, out):
        """Read single images and change them."""
        source.read(rows, out)
        return apply_changes(out, self._changes, self._draws_of_changes(rows, epoch))

    def _draws_of_changes(self, rows, epoch):
        """Return the draws of each change for some samples."""
        ends = np.cumsum([change.n_draws for change in self._changes], dtype=int)
        alternating = [index for index, change in enumerate(self._changes) if change.alternate]

        def draw(number):
            draws = self._streams.uniforms("augmentation", number, rows, sum(ends[-1:]))
            return np.split(draws, ends, axis=1)[:-1]

        draws = draw(epoch)
        first = draw(0) if alternating else []
        for index in alternating:
            with name_errors(self._changes[index]):
                draws[index] = self._changes[index].moved_on(first[index], epoch)
                check_array(draws[index], first[index], "moved_on must return")
        return draws


@contextmanager
def name_errors(augmentation):
    """Name an augmentation in errors that it raises within a with statement."""
    try:
        yield
    except ERRORS as error:
        raise name_error(error, f"augmentation {augmentation!r}") from error


def apply_changes(images: np.ndarray, changes: Sequence[Augmentation], draws: list[np.ndarray]) -> np.ndarray:
    """Apply several augmentations with their draws to images, in place.

    Raises
    ------
    ValueError
        If an augmentation does not return images of the same shape; the message names it.
    """
    result = images
    for change, own in zip(changes, draws, strict=True):
        with name_errors(change):
            latest = change.apply(result, own)
            check_array(latest, images, "apply must return")
        if latest.dtype == images.dtype:
            result = latest
        else:
            np.copyto(images, latest)
            result = images
    if result is not images:
        np.copyto(images, result)
    return images


def shares_of(mixing: Mixing, draws: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Return the share of its own target that each sample keeps.

    Raises
    ------
    ValueError
        If the augmentation does not return a number from [0, 1] for each; the message names it.
    """
    with name_errors(mixing):
        shares = mixing.shares(draws, image_size)
        check_array(shares, np.empty(len(draws)), "shares must return")
        outside = ~((shares >= 0) & (shares <= 1))
        if outside.any():
            raise ValueError(f"shares must return numbers from 0 to 1, got {shares[outside][0]}")
    return shares


def mix(mixing: Mixing, images: np.ndarray, others: np.ndarray, draws: np.ndarray) -> None:
    """Mix others into images, in place.

    Raises
    ------
    ValueError
        If the augmentation returns other images instead; the message names it.
    """
    with name_errors(mixing):
        apply: Callable = mixing.apply  # a user's class may return something
        result = apply(images, others, draws)
        if result is not None and result is not images:
            raise ValueError(f"apply must change images in place and return None, got {kind_of(result)}")


def entries_of(augmentations, kinds, *, parameter: str) -> list:
    """Return the augmentations of a list, without names and without "passthrough".

    Parameters
    ----------
    augmentations : list or tuple
        Augmentations, "passthrough", or pairs of a name and one of these.
    kinds : type or tuple of type
        Accepted base classes.
    parameter : str
        Name for messages.

    Raises
    ------
    ValueError
        If an entry is something else or has an invalid hyperparameter, or if a name is empty, contains "__"
        or is not unique.
    """
    named = name_layers(augmentations)
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
            if not is_integer(entry.n_draws) or entry.n_draws < 0:
                raise ValueError(f"n_draws must be an int >= 0, got {entry.n_draws!r}")
        except ValueError as error:
            raise ValueError(f"{parameter}[{position}], {entry!r}: {error}") from error
    return [entry for _, entry in named if not is_passthrough(entry)]


def augmentations_of(augmentation, image_shape: tuple[int, int, int]) -> list[Augmentation | Mixing]:
    """Return the augmentations for a value of the parameter ``augmentation``.

    Parameters
    ----------
    augmentation : None, "auto" or list
    image_shape : tuple of int
        ``(height, width, channels)``, for "auto".

    Raises
    ------
    ValueError
        As for :func:`entries_of`.
    """
    if augmentation is None:
        return []
    if isinstance(augmentation, str):
        return auto_augmentation(image_shape)
    return entries_of(augmentation, (Augmentation, Mixing), parameter="augmentation")


def changes_of_views(tta) -> list[Augmentation]:
    """Return the augmentations whose views test-time augmentation uses.

    Parameters
    ----------
    tta : None, "flip" or list of Augmentation

    Returns
    -------
    changes : list of Augmentation

    Raises
    ------
    ValueError
        If ``tta`` is something else, or an entry is not an augmentation or has no valid views.
    """
    if tta is None:
        return []
    if tta == "flip":
        return [RandomFlip()]
    if not isinstance(tta, list | tuple):
        raise ValueError(f"tta must be None, 'flip' or a list of augmentations, got {tta!r}")
    changes = entries_of(tta, Augmentation, parameter="tta")
    for change in changes:
        views = change.views()
        if not views:
            raise ValueError(f"tta has {change!r}, which has no views to predict with")
        if not isinstance(views, list | tuple) or not all(is_view(view, change.n_draws) for view in views):
            raise ValueError(
                f"tta has {change!r}, whose views must be a list of tuples of {change.n_draws} number(s) "
                f"from [0, 1), got {views!r}"
            )
    return changes


def is_view(draws, n_draws: int) -> bool:
    """Whether ``draws`` are valid draws of an augmentation for one image."""
    return (
        isinstance(draws, tuple | list)
        and len(draws) == n_draws
        and all(isinstance(draw, Real) and not draw < 0 and draw < 1 for draw in draws)
    )


def prediction_readers(source, changes: Sequence[Augmentation]) -> list[Callable]:
    """Return a reader for each view over which predictions are averaged.

    Parameters
    ----------
    source : ImageSource
    changes : list of Augmentation
        There is a view for each combination of their views.

    Returns
    -------
    readers : list of callable
        ``read(rows, out)`` writes images into ``out``.
    """

    def reader(view):
        def read(rows, out):
            source.read(rows, out)
            return apply_changes(out, changes, [np.tile(draws, (out.shape[2], 1)) for draws in view])

        return read

    return [reader(view) for view in product(*(change.views() for change in changes))]
