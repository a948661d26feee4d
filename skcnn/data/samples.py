"""Training samples: validation and encoding of labels and weights, and the validation split."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from numbers import Real
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length

from skcnn._sklearn import FiniteInterval, safe_indexing
from skcnn.data.arrays import describe, refuse_masked, shorten
from skcnn.data.augmenter import Augmenter
from skcnn.data.images import ImageSource
from skcnn.data.targets import TargetScaling
from skcnn.kernels.reductions import near_one
from skcnn.random_streams import RandomStreams
from skcnn.user_warnings import warn_user

FEWEST_SAMPLES = 8
"""Smallest number of samples of a chunk that can represent its stream."""

USUAL_SAMPLES = 64
"""Size of a usual minibatch, to which other chunks are compared."""

NO_WEIGHT = "{} is zero for every sample: at least one must be positive"


def check_labels(y, n_samples: int | None, *, name: str = "y", are_classes: bool = False) -> np.ndarray:
    """Return labels as a vector.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
    n_samples : int or None
        Expected length; None for any.
    name : str
        Named in messages.
    are_classes : bool, default=False
        Whether they are a list of classes: that many differ is then no sign of a regression.

    Returns
    -------
    y : ndarray of shape (n_samples,)

    Raises
    ------
    ValueError
        If labels are continuous, missing, masked, bytes, multilabel or one-hot, or have the wrong length.
    """
    refuse_masked(y, name)
    try:
        labels = check_array(y, ensure_2d=False, dtype=None, input_name=name, ensure_min_samples=0)
    except ValueError as error:  # the lines after the first show the contents of y
        raise ValueError(f"{name} must be an array of labels: {str(error).splitlines()[0]}") from error
    if labels.ndim == 0:
        raise ValueError(f"{name} must be an array of labels, got {describe(y)}")
    if n_samples is not None:
        check_consistent_length(np.empty(n_samples), labels)
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise ValueError(
            f"{name} must have one label per sample, got shape {labels.shape}. Multilabel and multioutput "
            f"targets are not supported; if {name} is one-hot, use {name}.argmax(axis=1)."
        )
    labels = column_or_1d(labels, warn=True)
    _check_kind(np.repeat(labels, 2) if are_classes else labels, name)
    return labels


def _check_kind(labels, name):
    """Raise a ValueError unless labels can be classes."""
    if labels.dtype.kind == "S" or (
        labels.dtype.kind == "O" and any(isinstance(label, bytes) for label in labels)
    ):
        raise ValueError(
            f"the labels in {name} are bytes, which are not supported: convert them to strings, "
            f"{name}=[label.decode() for label in {name}]"
        )
    try:
        check_classification_targets(labels)
    except TypeError as error:
        raise ValueError(
            f"the labels in {name} must all be numbers or all be strings, and none may be missing"
        ) from error
    except ValueError as error:
        raise ValueError(f"{name} must be an array of labels: {error}") from error


def encode_labels(y: np.ndarray, classes: np.ndarray, *, name: str = "y") -> np.ndarray:
    """Return the indices of labels in the sorted classes.

    Raises
    ------
    ValueError
        If a label is not one of the classes.

    Examples
    --------
    >>> import numpy as np
    >>> encode_labels(np.array(["b", "a"]), np.array(["a", "b", "c"]))
    array([1, 0])
    """
    unknown = np.setdiff1d(y, classes)
    if unknown.size:
        raise ValueError(
            f"{name} contains labels {shorten(unknown.tolist())} that are not among the classes "
            f"{shorten(classes.tolist())}"
        )
    return np.searchsorted(classes, y)


def check_classes(labels: np.ndarray, estimator_name: str) -> np.ndarray:
    """Return the sorted classes of labels.

    Raises
    ------
    ValueError
        If there are fewer than two classes.
    """
    classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError(
            f"{estimator_name} needs samples of at least 2 classes, got 1 class: {classes.tolist()}"
        )
    return classes


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
    refuse_masked(sample_weight, name)
    if sample_weight is None or isinstance(sample_weight, Real):
        sample_weight = np.full(n_samples, 1.0 if sample_weight is None else sample_weight)
    if getattr(getattr(sample_weight, "dtype", None), "kind", None) in ("m", "M"):
        raise ValueError(f"{name} must hold finite numbers, got dtype {sample_weight.dtype}")
    try:
        sample_weight = check_array(
            sample_weight, ensure_2d=False, dtype=np.float64, input_name=name, ensure_min_samples=0
        )
    except (ValueError, TypeError, OverflowError) as error:  # the lines after the first show the contents
        raise ValueError(f"{name} must hold finite numbers: {str(error).splitlines()[0]}") from error
    if sample_weight.shape != (n_samples,):
        raise ValueError(
            f"{name} must have shape ({n_samples},), one weight per sample, got {sample_weight.shape}"
        )
    if sample_weight.size and sample_weight.min() < 0:
        raise ValueError(f"{name} must not be negative, got {sample_weight.min()}")
    return sample_weight


def class_weights(
    class_weight, classes: np.ndarray, codes: np.ndarray, sample_weight: np.ndarray
) -> np.ndarray:
    """Return a weight for each class.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
        Weights by label; other classes have weight 1. "balanced": inversely proportional to the
        total sample weight of the class, so all classes count equally.
    classes : ndarray of shape (n_classes,)
    codes : ndarray of shape (n_samples,)
    sample_weight : ndarray of shape (n_samples,)

    Returns
    -------
    weights : ndarray of shape (n_classes,), float64

    Raises
    ------
    ValueError
        If a key is no class and a class has no key, a weight is negative or not finite, or all are zero.

    Examples
    --------
    >>> import numpy as np
    >>> class_weights("balanced", np.array([0, 1]), np.array([0, 0, 0, 1]), np.ones(4)).round(2)
    array([0.67, 2.  ])
    """
    if class_weight is None:
        return np.ones(len(classes))
    if isinstance(class_weight, str):
        totals = np.bincount(codes, weights=near_one(sample_weight), minlength=len(classes))
        totals[totals == 0] = totals.sum()  # a class without samples: any finite weight will do
        return totals.sum() / (len(classes) * totals)
    unknown = [label for label in class_weight if label not in classes.tolist()]
    missing = [label for label in classes.tolist() if label not in class_weight]
    if unknown and missing:  # as in scikit-learn: a fold may lack a class, but a mistyped label is an error
        raise ValueError(
            f"class_weight has keys {shorten(unknown)} that are not among the classes "
            f"{shorten(classes.tolist())}, and none for {shorten(missing)}"
        )
    weights = [class_weight.get(label, 1) for label in classes.tolist()]
    if not all(map(FiniteInterval(with_zero=True).is_satisfied_by, weights)):
        raise ValueError(f"class_weight must hold finite weights >= 0, got {shorten(class_weight)}")
    if not any(weights):
        raise ValueError(f"class_weight is zero for every class, got {shorten(class_weight)}")
    return np.array(weights, dtype=np.float64)


def check_validation_arguments(given: Mapping[str, Any], early_stopping: bool) -> None:
    """Raise a ValueError if validation data are incomplete or not used.

    Parameters
    ----------
    given : mapping of str to object
        The arguments X_val, y_val and sample_weight_val of ``fit``.
    early_stopping : bool
    """
    X_val, y_val, weights = given.values()
    if (X_val is None) != (y_val is None):
        missing = "y_val" if y_val is None else "X_val"
        raise ValueError(f"X_val and y_val must be given together, but {missing} is missing")
    if weights is not None and X_val is None:
        raise ValueError("sample_weight_val is given, but X_val and y_val are missing")
    if X_val is not None and not early_stopping:
        raise ValueError("X_val and y_val are given, but early_stopping=False: set it to True to use them")


@dataclass
class TrainingData:
    """Samples for training or validation.

    Attributes
    ----------
    images : ImageSource
    targets : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Indices of the classes, or scaled numbers.
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


class Samples:
    """Validated samples, or a subset of them.

    Parameters
    ----------
    X : ndarray of shape (n, ...)
    targets : ndarray of shape (n,), int, or (n, n_outputs), float64
        Indices of the classes, or numbers to predict.
    weights : ndarray of shape (n,), float64
    rows : ndarray of int
        The rows of the subset.
    given_weights : bool
        Whether the user gave the weights.
    """

    def __init__(self, X, targets, weights, rows, *, given_weights):
        self.X = X
        self.targets = targets
        self.weights = weights
        self.rows = rows
        self.given_weights = given_weights

    def __len__(self):
        return len(self.rows)

    @property
    def are_representative(self) -> bool:
        """Whether the samples represent their stream: they are enough, and their targets differ."""
        return len(self) >= FEWEST_SAMPLES and bool(np.ptp(self.targets[self.rows], axis=0).any())

    @property
    def are_classified(self) -> bool:
        """Whether the targets are indices of classes."""
        return self.targets.ndim == 1

    def subset(self, rows: np.ndarray) -> "Samples":
        """Return the samples with only the given rows."""
        return Samples(self.X, self.targets, self.weights, rows, given_weights=self.given_weights)

    def rows_of(self, X):
        """Return the subset's rows of an array or data frame as long as X; the array itself for all rows."""
        return X if len(self) == len(self.X) else safe_indexing(X, self.rows)

    def y(self, classes: np.ndarray) -> np.ndarray:
        """Return the targets as users give them: labels, or numbers, of one axis for a single output."""
        targets = self.targets[self.rows]
        if self.are_classified:
            return classes[targets]
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
        with np.errstate(over="ignore"):
            products = self.weights[self.rows] * class_weight[self.targets[self.rows]]
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
            loss_weights = self.loss_weights(class_weight) / mean_weight
        if loss_weights.max() > np.finfo(format.dtype).max:
            raise ValueError(
                f"sample_weight is too large compared with {mean_weight}, the mean of sample_weight times "
                f"class_weight: their ratio is not finite in {format.dtype}"
            )
        targets = self.targets[self.rows]
        return TrainingData(
            images=ImageSource(self.X, format, None if len(self) == len(self.X) else self.rows),
            targets=targets if target_scaling is None else target_scaling.apply(targets),
            loss_weights=loss_weights,
            weights=None if np.ptp(weights) == 0 else weights,
        )


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
        return float(largest * (weights / largest).mean())


def split_validation(samples: Samples, fraction: float, seed: int) -> tuple[Samples, Samples | None]:
    """Split off validation samples, stratified by class where targets are classes.

    A sample that is alone in its class stays in the training set; all other classes are in both sets.

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
        None, with a warning, if there are too few samples for one of each class in both sets.
    """
    is_stratified = samples.are_classified
    codes = samples.targets[samples.rows] if is_stratified else np.zeros(len(samples), int)
    splittable = np.bincount(codes)[codes] >= 2
    n_classes = len(np.unique(codes[splittable]))
    n_validation = ceil(fraction * splittable.sum())
    if n_classes < 1 or n_validation < n_classes or splittable.sum() - n_validation < n_classes:
        warn_user(
            f"{len(samples)} samples are too few to split off a validation_fraction of {fraction}: training "
            "without early stopping"
        )
        return samples, None
    random_state = RandomStreams(seed).integer("split")
    training, validation = train_test_split(
        samples.rows[splittable], test_size=fraction, stratify=codes[splittable], random_state=random_state
    )
    if is_stratified:
        give_each_class(validation, training, samples.targets)
        give_each_class(training, validation, samples.targets)
    training = np.sort(np.concatenate([training, samples.rows[~splittable]]))
    return samples.subset(training), samples.subset(np.sort(validation))


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
