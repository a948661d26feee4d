"""Labels and weights: what is accepted, and how classes become codes."""

from numbers import Real

import numpy as np
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_consistent_length


def check_labels(y, n_samples: int, *, name: str = "y") -> np.ndarray:
    """Return labels as a vector.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
    n_samples : int
        Expected length.
    name : str
        Named in messages.

    Returns
    -------
    y : ndarray of shape (n_samples,)

    Raises
    ------
    ValueError
        If labels are continuous, missing, multilabel or one-hot, or of the wrong length.
    """
    y = check_array(y, ensure_2d=False, dtype=None, input_name=name, ensure_min_samples=0)
    check_consistent_length(np.empty(n_samples), y)
    if y.ndim == 2 and y.shape[1] > 1:
        raise ValueError(
            f"{name} must be one label a sample, got shape {y.shape}. Multilabel and multioutput targets are not "
            f"supported; if {name} is one-hot, use {name}.argmax(axis=1)."
        )
    y = column_or_1d(y, warn=True)
    check_classification_targets(y)
    return y


def encode_labels(y: np.ndarray, classes: np.ndarray, *, name: str = "y") -> np.ndarray:
    """Return the indices of labels in sorted classes.

    Raises
    ------
    ValueError
        If a label is not among the classes.

    Examples
    --------
    >>> import numpy as np
    >>> encode_labels(np.array(["b", "a"]), np.array(["a", "b", "c"]))
    array([1, 0])
    """
    unknown = np.setdiff1d(y, classes)
    if unknown.size:
        raise ValueError(f"{name} contains labels {unknown.tolist()} that are not among the classes {classes.tolist()}")
    return np.searchsorted(classes, y)


def check_classes(labels: np.ndarray, estimator_name: str) -> np.ndarray:
    """Return the sorted classes among labels.

    Raises
    ------
    ValueError
        If there are fewer than two classes, or labels cannot be sorted.
    """
    try:
        classes = np.unique(labels)
    except TypeError as error:
        raise ValueError(f"labels must all be numbers or all be strings, got {type_of_target(labels)}") from error
    if len(classes) < 2:
        raise ValueError(f"{estimator_name} needs samples of at least 2 classes, got 1 class: {classes.tolist()}")
    return classes


def check_sample_weight(sample_weight, n_samples: int, *, name: str = "sample_weight") -> np.ndarray:
    """Return sample weights as a float64 vector, ones where None is given.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,), float or None
    n_samples : int
    name : str
        Named in messages.

    Returns
    -------
    sample_weight : ndarray of shape (n_samples,), float64

    Raises
    ------
    ValueError
        If a weight is negative or not finite, or the shape is wrong.
    """
    if sample_weight is None or isinstance(sample_weight, Real):
        sample_weight = np.full(n_samples, 1.0 if sample_weight is None else sample_weight)
    sample_weight = check_array(
        sample_weight, ensure_2d=False, dtype=np.float64, input_name=name, ensure_min_samples=0
    )
    if sample_weight.shape != (n_samples,):
        raise ValueError(f"{name} must have shape ({n_samples},), one weight a sample, got {sample_weight.shape}")
    if sample_weight.size and sample_weight.min() < 0:
        raise ValueError(f"{name} must not be negative, got {sample_weight.min()}")
    return sample_weight


def class_weights(class_weight, classes: np.ndarray, codes: np.ndarray, sample_weight: np.ndarray) -> np.ndarray:
    """Return a weight for each class.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
        Weights by label, 1 for a label that is missing. "balanced": inversely proportional to the
        total sample weight of the class, so that all classes count the same.
    classes : ndarray of shape (n_classes,)
    codes : ndarray of shape (n_samples,)
    sample_weight : ndarray of shape (n_samples,)

    Returns
    -------
    weights : ndarray of shape (n_classes,), float64

    Raises
    ------
    ValueError
        If a key is not a class, or a weight is negative or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> class_weights("balanced", np.array([0, 1]), np.array([0, 0, 0, 1]), np.ones(4)).round(2)
    array([0.67, 2.  ])
    """
    if class_weight is None:
        return np.ones(len(classes))
    if isinstance(class_weight, str):
        totals = np.bincount(codes, weights=sample_weight, minlength=len(classes))
        return totals.sum() / (len(classes) * totals)
    unknown = [label for label in class_weight if label not in classes.tolist()]
    if unknown:
        raise ValueError(f"class_weight has keys {unknown} that are not among the classes {classes.tolist()}")
    weights = np.array([class_weight.get(label, 1) for label in classes.tolist()], dtype=np.float64)
    if not np.isfinite(weights).all() or weights.min() < 0:
        raise ValueError(f"class_weight must hold finite weights >= 0, got {class_weight}")
    return weights
