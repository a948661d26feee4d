"""Training samples: their weights, what a loss gets of them, and the validation split."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from inspect import signature
from math import ceil
from numbers import Real
from textwrap import shorten
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array

from skcnn._sklearn import safe_indexing
from skcnn.data.arrays import as_numbers, refuse_masked
from skcnn.data.augmenter import Augmenter
from skcnn.data.images import ImageFormat, ImageSource
from skcnn.data.targets import TargetScaling
from skcnn.random_streams import RandomStreams
from skcnn.user_warnings import warn_user

FEWEST_SAMPLES = 8
"""Smallest number of samples of a chunk that can represent its stream."""

USUAL_SAMPLES = 64
"""Size of a usual minibatch, to which other chunks are compared."""


class Outputs(NamedTuple):
    """What the scores of a network are for.

    Attributes
    ----------
    kind : {"classes", "labels", "numbers"}
        One class for each image; several labels, each of which an image has or has not; numbers.
    classes : ndarray of shape (n_outputs,)
        The classes, or the numbers of labels or outputs from 0 on.
    """

    kind: str
    classes: np.ndarray


def constant(value: float, n: int) -> np.ndarray:
    """Return a vector of equal float64 numbers, which takes no memory; it cannot be written to."""
    return np.broadcast_to(np.float64(value), n)


def divide(vector: np.ndarray, divisor: float) -> np.ndarray:
    """Return a vector divided by a number; that of a constant takes no memory."""
    if vector.strides == (0,):
        return np.broadcast_to(vector[:1] / divisor, vector.shape)
    return vector / divisor


def check_weights_and_rows(
    sample_weight, n_samples: int, *, name: str, may_be_empty: bool
) -> tuple[np.ndarray, np.ndarray | slice]:
    """Return sample weights as :func:`check_sample_weight` does, and the rows of positive weight.

    These are a slice if they are all rows, as without weights, because large arrays of bytes leave no room
    for more numbers than they hold images.

    Raises
    ------
    ValueError
        If weights are invalid, or all are zero unless that is allowed.
    """
    weights = check_sample_weight(sample_weight, n_samples, name=name)
    if not (may_be_empty or weights.any()):
        raise ValueError(f"{name} is zero for every sample: at least one must be positive")
    return weights, slice(None) if weights.all() else np.flatnonzero(weights)


def check_sample_weight(sample_weight, n_samples: int, *, name: str = "sample_weight") -> np.ndarray:
    """Return sample weights as a float64 vector; None gives ones.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,), float or None
    n_samples : int
    name : str
        Name for messages.

    Returns
    -------
    sample_weight : ndarray of shape (n_samples,), float64

    Raises
    ------
    ValueError
        If a weight is negative, masked or not finite, or the shape is wrong.
    """
    if sample_weight is None:
        return constant(1, n_samples)
    if isinstance(sample_weight, Real):
        sample_weight = np.full(n_samples, sample_weight)
    sample_weight = as_numbers(sample_weight, name)
    if sample_weight.shape != (n_samples,):
        raise ValueError(
            f"{name} must have shape ({n_samples},), one weight per sample, got {sample_weight.shape}"
        )
    if sample_weight.size and sample_weight.min() < 0:
        raise ValueError(f"{name} must not be negative, got {sample_weight.min()}")
    return sample_weight


def check_validation_arguments(estimator, given: Mapping[str, Any]) -> None:
    """Raise a ValueError if validation data or groups are incomplete or not used.

    Parameters
    ----------
    estimator : estimator
        Has ``early_stopping``, ``validation_fraction`` and ``validation_split``.
    given : mapping of str to object
        The arguments X_val, y_val, sample_weight_val and groups of ``fit``.
    """
    splitter, fraction = estimator.validation_split, estimator.validation_fraction
    parameter = signature(type(estimator)).parameters.get("validation_fraction")
    if isinstance(splitter, type):
        raise ValueError(f"validation_split={splitter!r} is a class: expected an object of it")
    if splitter is not None and parameter is not None and fraction != parameter.default:
        raise ValueError(
            f"validation_fraction={fraction} and validation_split={in_one_line(splitter)} exclude each other"
        )
    X_val, y_val, weights = given["X_val"], given["y_val"], given["sample_weight_val"]
    if (X_val is None) != (y_val is None):
        missing = "y_val" if y_val is None else "X_val"
        raise ValueError(f"X_val and y_val must be given together, but {missing} is missing")
    if weights is not None and X_val is None:
        raise ValueError("sample_weight_val is given, but X_val and y_val are missing")
    if X_val is not None and not estimator.early_stopping:
        raise ValueError("X_val and y_val are given, but early_stopping=False: set it to True to use them")
    if X_val is not None and splitter is not None:
        raise ValueError(f"X_val and y_val are given, and validation_split={in_one_line(splitter)}, too")
    if given["groups"] is not None and (splitter is None or not estimator.early_stopping):
        raise ValueError(
            "groups are given, but not used: set early_stopping=True and a validation_split such as "
            "GroupShuffleSplit(1, random_state=0)"
        )


def in_one_line(splitter) -> str:
    """Return a splitter as text for a message."""
    return shorten(repr(splitter), 100)


@dataclass
class TrainingData:
    """Samples for training or validation.

    Attributes
    ----------
    images : ImageSource
    targets : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Indices of the classes; probabilities of the classes, labels as 0 and 1, or scaled numbers.
    loss_weights : ndarray of shape (n_samples,)
        Sample weight times class weight, divided by the mean of this product over the training samples.
    weights : ndarray of shape (n_samples,) or None
        Sample weights; None if all are equal.
    augmenter : Augmenter or None
        Augments the training images.
    is_representative : bool
        Whether statistics over a minibatch represent all future samples.
    """

    images: ImageSource
    targets: np.ndarray
    loss_weights: np.ndarray
    weights: np.ndarray | None
    augmenter: Augmenter | None = None
    is_representative: bool = True

    def part(self, n_rows: int) -> float | None:
        """Return the size of ``n_rows`` rows relative to a usual minibatch; None for representative data."""
        return None if self.is_representative else min(1.0, n_rows / USUAL_SAMPLES)

    def reader(self, rows: np.ndarray) -> Callable:
        """Return a function ``read(chunk, out)`` that reads the images of ``rows[chunk]`` into ``out``."""
        return lambda chunk, out: self.images.read(rows[chunk], out)


@dataclass
class Samples:
    """Validated samples, or a subset of them.

    Attributes
    ----------
    X : ndarray of shape (n, ...)
    targets : ndarray of shape (n,), int, or (n, n_outputs)
        Indices of the classes, labels as 0 and 1, or numbers to predict.
    weights : ndarray of shape (n,), float64
    rows : ndarray of int or slice
        The rows of the subset; a slice of all.
    outputs : Outputs
    given_weights : bool
        Whether the user gave the weights.
    class_probabilities : ndarray of shape (n, n_classes), float64, or None
        Targets of the loss in place of the classes.
    """

    X: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    rows: np.ndarray | slice
    outputs: Outputs
    given_weights: bool = False
    class_probabilities: np.ndarray | None = None

    def __len__(self):
        return len(self.X) if isinstance(self.rows, slice) else len(self.rows)

    @property
    def numbers(self) -> np.ndarray:
        """The rows of the subset, as integers."""
        return np.arange(len(self.X)) if isinstance(self.rows, slice) else self.rows

    def source(self, format: ImageFormat) -> ImageSource:
        """Return the images, to be read in a format."""
        return ImageSource(self.X, format, None if isinstance(self.rows, slice) else self.rows)

    @property
    def are_representative(self) -> bool:
        """Whether the samples represent their stream: they are enough, and their targets differ."""
        targets = self.targets if self.class_probabilities is None else self.class_probabilities
        return len(self) >= FEWEST_SAMPLES and bool(np.ptp(targets[self.rows], axis=0).any())

    def subset(self, rows: np.ndarray) -> "Samples":
        """Return the samples with only the given rows."""
        return replace(self, rows=rows)

    def rows_of(self, X):
        """Return the subset's rows of an array or data frame as long as X; the array itself for all rows."""
        return X if isinstance(self.rows, slice) else safe_indexing(X, self.rows)

    @property
    def y(self) -> np.ndarray:
        """The targets as users give them: classes, a matrix of labels, or numbers."""
        targets = self.targets[self.rows]
        if self.outputs.kind == "classes":
            return self.outputs.classes[targets]
        return targets[:, 0] if targets.shape[1] == 1 else targets

    def loss_weights(self, class_weight: np.ndarray | None) -> np.ndarray:
        """Return sample weight times class weight for each sample, without class weights the former.

        Raises
        ------
        ValueError
            If a product is not finite.
        """
        if class_weight is None:
            return self.weights[self.rows]
        if self.class_probabilities is None:
            of_classes = class_weight[self.targets[self.rows]]
        else:
            of_classes = self.class_probabilities[self.rows] @ class_weight
        with np.errstate(over="ignore"):
            products = self.weights[self.rows] * of_classes
        if not np.isfinite(products).all():
            raise ValueError("sample_weight times class_weight is not finite for every sample")
        return products

    def training_data(
        self,
        format,
        class_weight: np.ndarray | None,
        mean_weight: float,
        target_scaling: TargetScaling | None = None,
    ) -> TrainingData:
        """Return the samples with the weights of their losses, which are relative to ``mean_weight``.

        Raises
        ------
        ValueError
            If a weight is not finite in the dtype of the format.
        """
        weights = self.weights[self.rows]
        with np.errstate(over="ignore"):
            loss_weights = divide(self.loss_weights(class_weight), mean_weight)
        if loss_weights.max() > np.finfo(format.dtype).max:
            raise ValueError(
                f"sample_weight is too large compared with {mean_weight}, the mean of sample_weight times "
                f"class_weight: their ratio is not finite in {format.dtype}"
            )
        targets = self._targets_of_loss(class_weight, target_scaling)
        if target_scaling is not None and not np.abs(targets).max() <= np.finfo(format.dtype).max:
            raise ValueError(
                f"y has values that are not finite in {format.dtype} after division by {target_scaling.scale}"
            )
        return TrainingData(
            images=self.source(format),
            targets=targets,
            loss_weights=loss_weights,
            weights=None if np.ptp(weights) == 0 else weights,
        )

    def _targets_of_loss(self, class_weight, target_scaling):
        """Return codes, labels, scaled numbers or, if there are class probabilities, these.

        Half a sample of each of two classes counts as much as the classes: their weights change the shares.
        """
        if target_scaling is not None:
            return target_scaling.apply(self.targets[self.rows])
        if self.class_probabilities is None:
            return self.targets[self.rows]
        shares = self.class_probabilities[self.rows] * (1 if class_weight is None else class_weight)
        totals = shares.sum(axis=1, keepdims=True)
        return np.divide(shares, totals, out=np.zeros_like(shares), where=totals > 0)


def mean_of_weights(weights: np.ndarray) -> float:
    """Return the mean of weights without overflow.

    Raises
    ------
    ValueError
        If all are zero.
    """
    largest = weights.max()
    if largest == 0:
        raise ValueError("sample_weight times class_weight is zero for every sample")
    with np.errstate(over="ignore"):  # numpy 1 warns if the largest weight is subnormal
        return float(largest * divide(weights, largest).mean())


def split_validation(samples: Samples, fraction: float, seed: int) -> tuple[Samples, Samples | None]:
    """Split off validation samples, stratified by class or by the rarest that labels say of each image.

    A sample that is alone in its stratum stays in the training set; all other strata are in both sets.

    Parameters
    ----------
    samples : Samples
    fraction : float
        Fraction of validation samples.
    seed : int

    Returns
    -------
    training : Samples
    validation : Samples or None
        None, with a warning, if there are too few samples for one of each class in both sets; labels are
        then split at random.
    """
    strata = strata_of(samples)
    splittable = find_splittable(strata[samples.rows], fraction)
    if splittable is None and samples.outputs.kind == "labels":
        strata = np.zeros_like(strata)
        splittable = find_splittable(strata[samples.rows], fraction)
    if splittable is None:
        warn_user(
            f"{len(samples)} samples are too few to split off a validation_fraction of {fraction}: training "
            "without early stopping"
        )
        return samples, None
    rows, random_state = samples.numbers[splittable], RandomStreams(seed).integer("split")
    training, validation = train_test_split(
        rows, test_size=fraction, stratify=strata[rows], random_state=random_state
    )
    give_each_class(validation, training, strata)
    give_each_class(training, validation, strata)
    training = np.sort(np.concatenate([training, samples.numbers[~splittable]]))
    return samples.subset(training), samples.subset(np.sort(validation))


def strata_of(samples: Samples) -> np.ndarray:
    """Return by what a split is stratified, for all rows: classes, or the rarest that labels say of an image.

    They say that an image has a label, or that it has it not. Numbers are not stratified.
    """
    targets, kind = samples.targets, samples.outputs.kind
    if kind == "classes":
        return targets
    if kind == "numbers":
        return np.zeros(len(targets), int)
    said = np.concatenate([targets, 1 - targets], axis=1)
    n_images = said[samples.rows].sum(axis=0)
    return np.where(said, n_images, len(targets) + 1).argmin(axis=1)


def find_splittable(strata: np.ndarray, fraction: float) -> np.ndarray | None:
    """Return which samples are not alone in their strata; None if they are too few for all in both sets."""
    splittable = np.bincount(strata)[strata] >= 2
    n_strata = len(np.unique(strata[splittable]))
    n_validation = ceil(fraction * splittable.sum())
    if n_strata < 1 or n_validation < n_strata or splittable.sum() - n_validation < n_strata:
        return None
    return splittable


def split_by(samples: Samples, splitter, groups) -> tuple[Samples, Samples]:
    """Split off validation samples by the first split of a splitter of scikit-learn.

    Parameters
    ----------
    samples : Samples
    splitter : object with ``split(X, y, groups)``
        It gets no images, which may be too many to copy, but rows without columns. It is copied, so that its
        random draws stay.
    groups : array-like of shape (n,) or None
        Groups of all samples, those without weight included.

    Raises
    ------
    ValueError
        If groups are invalid, there is no split, or a part is empty or shares samples with the other.
    """
    if groups is not None:
        groups = check_groups(groups, len(samples.X))[samples.rows]
    name, n_samples = f"validation_split={in_one_line(splitter)}", len(samples)
    try:
        splits = copy.deepcopy(splitter).split(np.empty((n_samples, 0)), samples.y, groups)
        found = next(iter(splits), None)
        parts = [] if found is None else [np.asarray(part) for part in found]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} cannot split {n_samples} samples: {error}") from error
    if found is None:
        raise ValueError(f"{name} gives no split")
    if len(parts) != 2 or not all(is_index(part, n_samples) for part in parts):
        raise ValueError(f"{name} must give a pair, two arrays of indices from 0 to {n_samples - 1}")
    training, validation = (np.sort(samples.numbers[part.astype(int)]) for part in parts)
    if not len(training) or not len(validation) or np.intersect1d(training, validation).size:
        raise ValueError(
            f"{name} gives {len(training)} training and {len(validation)} validation samples, expected two "
            "parts without common samples"
        )
    return samples.subset(training), samples.subset(validation)


def check_groups(groups, n_samples: int) -> np.ndarray:
    """Return groups as a vector; raise a ValueError unless they are one for each sample and can be sorted."""
    refuse_masked(groups, "groups")
    try:
        groups = check_array(groups, ensure_2d=False, dtype=None, input_name="groups")
        np.unique(groups)
    except (TypeError, ValueError) as error:
        raise ValueError(f"groups must be numbers or strings: {str(error).splitlines()[0]}") from error
    if groups.shape not in ((n_samples,), (n_samples, 1)):
        raise ValueError(f"groups must have shape ({n_samples},), got {groups.shape}")
    return groups.ravel()


def is_index(part: np.ndarray, n_samples: int) -> bool:
    """Whether an array holds indices of samples, or nothing."""
    if part.ndim != 1 or not part.size:
        return part.ndim == 1
    return part.dtype.kind in "iu" and part.min() >= 0 and part.max() < n_samples


def give_each_class(rows: np.ndarray, others: np.ndarray, codes: np.ndarray) -> None:
    """Swap entries of two arrays of rows, in place, until ``rows`` has all classes of ``others``.

    For each missing class, ``rows`` gives a row of its most frequent class.

    Examples
    --------
    >>> import numpy as np
    >>> rows, others = np.array([1, 0]), np.array([2, 3, 4])
    >>> give_each_class(rows, others, np.array([0, 0, 0, 1, 1]))
    >>> rows, others
    (array([3, 0]), array([2, 1, 4]))
    """
    for missing in np.setdiff1d(codes[others], codes[rows]):
        frequent = np.bincount(codes[rows]).argmax()
        given, taken = (codes[rows] == frequent).argmax(), (codes[others] == missing).argmax()
        rows[given], others[taken] = others[taken], rows[given]
