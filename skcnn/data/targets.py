"""Targets: validation and encoding of labels, and validation and scaling of numbers."""

from collections.abc import Set, Sized
from dataclasses import dataclass
from numbers import Real

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length

from skcnn._sklearn import FiniteInterval
from skcnn.data.arrays import as_numbers, describe, refuse_masked, shorten
from skcnn.encoding import register_dataclass
from skcnn.kernels.reductions import near_one

# Labels


def check_class_probabilities(
    probabilities, n_samples: int, rows: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """Return probabilities of classes as float64, with sums of exactly one, and zeros in unused rows.

    Parameters
    ----------
    probabilities : array-like of shape (n_samples, n_classes)
    n_samples : int
        Expected length.
    rows : ndarray of int
        The rows that are used; all others may hold anything.
    classes : ndarray of shape (n_classes,)
        The sorted classes.

    Raises
    ------
    ValueError
        If the shape is wrong, the columns of a data frame are the classes in another order, a value is no
        number from 0 to 1, or a sum differs from one by more than 1e-3.
    """
    name, slack, shape = "class_probabilities", 1e-3, (n_samples, len(classes))
    numbers = as_numbers(probabilities, name, allow_nan=True)
    if numbers.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, a column for each class of y, got {numbers.shape}")
    columns, labels = list(getattr(probabilities, "columns", ())), classes.tolist()
    if _is_permuted(columns, labels) or _is_permuted([*map(str, columns)], [*map(str, labels)]):
        raise ValueError(
            f"{name} must have its columns in the order of the classes, {shorten(labels)}, got "
            f"{shorten(columns)}"
        )
    used, shares = numbers[rows], np.zeros(shape)
    wrong = used[~((used >= 0) & (used <= 1 + slack))]
    if wrong.size:
        raise ValueError(f"{name} must hold numbers from 0 to 1, got {wrong[0]}")
    totals = used.sum(axis=1)
    wrong = totals[np.abs(totals - 1) > slack]
    if wrong.size:
        raise ValueError(f"rows of {name} must sum to 1, got a sum of {wrong[0]:.6g}")
    shares[rows] = used / totals[:, np.newaxis]
    return shares


def _is_permuted(columns, labels):
    """Whether columns have the names of all labels, in another order."""
    return columns != labels and all(label in columns for label in labels)


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
        raise ValueError(f"{name} must have one label per sample, got shape {labels.shape}")
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


def check_targets(y, n_samples: int | None, rows=slice(None), *, name: str = "y") -> np.ndarray:
    """Return class labels as a vector, or a matrix that tells which labels each sample has.

    Parameters
    ----------
    y : array-like of shape (n_samples,), or array-like or sparse matrix of shape (n_samples, n_labels)
    n_samples : int or None
        Expected length; None for any.
    rows : ndarray of int or slice, default=slice(None)
        The rows that are used; a matrix may hold anything in all others.
    name : str
        Named in messages.

    Returns
    -------
    y : ndarray of shape (n_samples,), or (n_samples, n_labels) of int, 0 and 1

    Raises
    ------
    ValueError
        If y is neither, or has the wrong length.
    """
    if issparse(y):
        y = y.toarray()
    _refuse_collections(y, name)
    refuse_masked(y, name)
    try:
        shape: tuple[int, ...] = getattr(y, "shape", ())
        if isinstance(y, list | tuple):
            shape = np.shape(y[:1])
        matrix = None
        if len(shape) == 2 and shape[1] > 1:
            matrix = check_array(
                y, dtype=None, ensure_all_finite=False, input_name=name, ensure_min_samples=0
            )
    except ValueError as error:  # the lines after the first show the contents of y
        raise ValueError(f"{name} must be an array of labels: {str(error).splitlines()[0]}") from error
    if matrix is None:
        return check_labels(y, n_samples, name=name)
    if n_samples is not None:
        check_consistent_length(np.empty(n_samples), matrix)
    used, labels = matrix[rows], np.zeros(matrix.shape, np.intp)
    if matrix.dtype.kind in "biuf":
        is_label = (used == 0) | (used == 1)
    else:  # such as columns of bool and of int
        is_label = [isinstance(value, Real | np.bool_) and value in (0, 1) for value in used.flat]
        is_label = np.array(is_label, bool).reshape(used.shape)
    if not is_label.all():
        wrong = used[~is_label]
        got = f"dtype {wrong.dtype}" if wrong.dtype.kind in "mM" else shorten(wrong.tolist()[0])
        raise ValueError(
            f"{name} has several columns, so all values must be 0 or 1 and say which labels an image has, "
            f"got {got}; for the names of these labels, use "
            "sklearn.preprocessing.MultiLabelBinarizer, for several columns of classes "
            "sklearn.multioutput.MultiOutputClassifier, for probabilities of classes labels as y, and "
            "class_probabilities"
        )
    labels[rows] = used == 1
    return labels


def _refuse_collections(y, name):
    """Raise a ValueError for the labels of each image as a set or, unless all have one length, a list."""
    is_list = isinstance(y, list | tuple)
    has_entries = is_list or (getattr(y, "ndim", None) == 1 and y.dtype == object)
    first = next(iter(y), None) if has_entries else None
    if not isinstance(first, list | tuple | Set):
        return
    if (
        isinstance(first, Set)
        or not is_list
        or len({len(entry) if isinstance(entry, Sized) else 0 for entry in y}) > 1
    ):
        raise ValueError(
            f"{name} holds a {type(first).__name__} for each image: expected a class, or a matrix of 0 and 1 "
            "that says which labels an image has, as sklearn.preprocessing.MultiLabelBinarizer gives it"
        )


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
    codes : ndarray of shape (n_samples,) or (n_samples, n_classes)
        Indices of the classes; labels as 0 and 1, or the share of each class.
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
        if codes.ndim == 2:
            totals = near_one(sample_weight) @ codes
        else:
            totals = np.bincount(codes, weights=near_one(sample_weight), minlength=len(classes))
        totals[totals == 0] = totals.sum() or 1.0  # a class without samples: any finite weight will do
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


# Numbers


def check_numbers(y, n_samples: int | None, *, name: str = "y") -> np.ndarray:
    """Return numbers to predict as an array of two axes.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    n_samples : int or None
        Expected length; None for any.
    name : str
        Named in messages.

    Returns
    -------
    y : ndarray of shape (n_samples, n_outputs), float64

    Raises
    ------
    ValueError
        If y has another shape, or values that are missing, masked, not finite or no numbers.
    """
    numbers = as_numbers(y, name)
    if numbers.ndim not in (1, 2) or 0 in numbers.shape[1:]:
        raise ValueError(
            f"{name} must have shape (n_samples,) or (n_samples, n_outputs), got shape {numbers.shape}"
        )
    if n_samples is not None:
        check_consistent_length(np.empty(n_samples), numbers)
    if numbers.ndim == 2 and numbers.shape[1] == 1:
        numbers = column_or_1d(numbers, warn=True)
    return numbers.reshape(len(numbers), -1)


@register_dataclass
@dataclass(frozen=True)
class TargetScaling:
    """How numbers to predict become targets of the loss, ``(y - mean) / scale``, and back.

    Attributes
    ----------
    mean, scale : ndarray of shape (n_outputs,), float64
    has_varied : ndarray of shape (n_outputs,), bool
        Outputs whose scale is known. The others were constant, and have a scale of one.
    """

    mean: np.ndarray
    scale: np.ndarray
    has_varied: np.ndarray

    def apply(self, y: np.ndarray) -> np.ndarray:
        """Return scaled numbers of shape (n_samples, n_outputs)."""
        with np.errstate(over="ignore"):
            return (y - self.mean) / self.scale

    def undo(self, scaled: np.ndarray) -> np.ndarray:
        """Return the numbers for scaled ones, shape (n_samples,) for a single output."""
        y = self.mean + self.scale * scaled.astype(np.float64)
        return y[:, 0] if y.shape[1] == 1 else y

    def update(self, later: "TargetScaling") -> "TargetScaling":
        """Return the scaling with the scale of later numbers for outputs that were constant so far.

        If these are constant, too, but another constant, the step from one to the other is the scale.
        """
        step = np.abs(later.mean - self.mean)
        has_stepped = ~later.has_varied & (step > 0)
        return TargetScaling(
            np.where(self.has_varied | has_stepped, self.mean, later.mean),
            np.where(self.has_varied, self.scale, np.where(has_stepped, step, later.scale)),
            self.has_varied | later.has_varied | has_stepped,
        )


def scaling_of(y: np.ndarray, weights: np.ndarray, *, is_centred: bool) -> TargetScaling:
    """Return the scaling to a mean of zero and a deviation of one or, without centring, a mean of one.

    Parameters
    ----------
    y : ndarray of shape (n_samples, n_outputs), float64
    weights : ndarray of shape (n_samples,)
        Weights for mean and deviation.
    is_centred : bool
        Whether the mean is subtracted. If not, numbers are divided by it; they are not negative.

    Examples
    --------
    >>> import numpy as np
    >>> scaling = scaling_of(np.array([[1.0], [3.0]]), np.ones(2), is_centred=True)
    >>> scaling.apply(np.array([[1.0], [2.0]])).ravel(), scaling.undo(np.array([[1.0]]))
    (array([-1.,  0.]), array([3.]))
    """
    weights = near_one(weights)
    weights = weights / weights.sum()
    mean = np.where(y.min(axis=0) < y.max(axis=0), weights @ y, y[0])
    if not is_centred:
        return TargetScaling(np.zeros_like(mean), np.where(mean > 0, mean, 1.0), mean > 0)
    largest = np.maximum(np.abs(y).max(axis=0), np.finfo(float).tiny)
    # squares that do not overflow; what is no more than rounding is no variation
    deviation = np.sqrt(weights @ np.square(y / largest - mean / largest))
    has_varied = deviation > 10 * np.finfo(float).eps
    return TargetScaling(mean, np.where(has_varied, deviation * largest, 1.0), has_varied)
