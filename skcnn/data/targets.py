"""Numbers to predict: their validation, and their scaling."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.validation import check_consistent_length

from skcnn.data.arrays import refuse_masked
from skcnn.encoding import register_dataclass
from skcnn.kernels.reductions import near_one


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
    refuse_masked(y, name)
    try:
        numbers = check_array(y, ensure_2d=False, dtype=np.float64, input_name=name, ensure_min_samples=0)
    except (ValueError, TypeError) as error:  # the lines after the first show the contents of y
        raise ValueError(
            f"{name} must be an array of finite numbers: {str(error).splitlines()[0]}"
        ) from error
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
        Outputs whose scale is known. The others were constant so far, and have a scale of one.
    """

    mean: np.ndarray
    scale: np.ndarray
    has_varied: np.ndarray

    def apply(self, y: np.ndarray) -> np.ndarray:
        """Return scaled numbers of shape (n_samples, n_outputs)."""
        return (y - self.mean) / self.scale

    def undo(self, scaled: np.ndarray) -> np.ndarray:
        """Return the numbers for scaled ones, shape (n_samples,) for a single output."""
        y = self.mean + self.scale * scaled.astype(np.float64)
        return y[:, 0] if y.shape[1] == 1 else y

    def update(self, later: "TargetScaling") -> "TargetScaling":
        """Return the scaling with the scale of later numbers for outputs that were constant so far."""
        return TargetScaling(
            np.where(self.has_varied, self.mean, later.mean),
            np.where(self.has_varied, self.scale, later.scale),
            self.has_varied | later.has_varied,
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
    has_varied = np.ptp(y, axis=0) > 0
    mean = np.where(has_varied, weights @ y, y[0])
    if not is_centred:
        return TargetScaling(np.zeros_like(mean), np.where(mean > 0, mean, 1.0), mean > 0)
    errors = y - mean
    largest = np.where(has_varied, np.abs(errors).max(axis=0), 1.0)
    deviation = largest * np.sqrt(weights @ np.square(errors / largest))  # squares that do not overflow
    return TargetScaling(mean, np.where(has_varied, deviation, 1.0), has_varied)
