"""Learning rates as functions of the progress of training."""

SMALLEST_RATE = 1e-6
"""An adaptive learning rate that has come down to this is not lowered any more."""


class ConstantRate:
    """The initial learning rate throughout.

    Parameters
    ----------
    initial : float

    Examples
    --------
    >>> from skcnn.schedules import ConstantRate
    >>> ConstantRate(0.1).rate(n_samples_seen=1000, n_plateaus=0)
    0.1
    """

    def __init__(self, initial: float):
        self.initial = initial

    def rate(self, *, n_samples_seen: int, n_plateaus: int) -> float:
        """Return the learning rate of an epoch.

        Parameters
        ----------
        n_samples_seen : int
            Samples that were trained on before the epoch, repetitions included.
        n_plateaus : int
            How often training had stopped to improve and went on.
        """
        return self.initial

    def goes_on_after_plateau(self, rate: float) -> bool:
        """Whether training goes on when it has stopped to improve at this learning rate."""
        return False


class InverseScalingRate(ConstantRate):
    """The initial learning rate divided by the square root of the number of samples seen.

    Notes
    -----
    As in scikit-learn's MLPClassifier, ``initial / (t + 1) ** 0.5``, renewed after each epoch.

    Examples
    --------
    >>> from skcnn.schedules import InverseScalingRate
    >>> InverseScalingRate(0.1).rate(n_samples_seen=99, n_plateaus=0)
    0.01
    """

    def rate(self, *, n_samples_seen, n_plateaus):
        """Return the learning rate of an epoch; see :meth:`ConstantRate.rate`."""
        return self.initial / (n_samples_seen + 1) ** 0.5


class AdaptiveRate(ConstantRate):
    """The initial learning rate, divided by five whenever training stops to improve.

    Notes
    -----
    As in scikit-learn's MLPClassifier; training ends at the first plateau with a rate of at most 1e-6.

    Examples
    --------
    >>> from skcnn.schedules import AdaptiveRate
    >>> AdaptiveRate(0.5).rate(n_samples_seen=99, n_plateaus=1)
    0.1
    """

    def rate(self, *, n_samples_seen, n_plateaus):
        """Return the learning rate of an epoch; see :meth:`ConstantRate.rate`."""
        return self.initial / 5**n_plateaus

    def goes_on_after_plateau(self, rate):
        """Whether training goes on; see :meth:`ConstantRate.goes_on_after_plateau`."""
        return rate > SMALLEST_RATE


SCHEDULES = {"constant": ConstantRate, "invscaling": InverseScalingRate, "adaptive": AdaptiveRate}
"""Schedules by the names that the ``learning_rate`` parameter takes."""
