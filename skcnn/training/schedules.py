"""Learning rates as functions of the progress of training."""

import math
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass

SMALLEST_RATE = 1e-6
"""The adaptive schedule does not lower learning rates at or below this value."""


@dataclass(frozen=True)
class Position:
    """The progress of training before a step.

    Attributes
    ----------
    step : int
        Number of complete steps: in this call of ``fit`` for a schedule with a horizon, else over all calls.
    steps_per_epoch : int
    n_samples_seen : int
        Number of samples seen in training before the epoch, repetitions included.
    n_plateaus : int
        How often training has stopped improving and continued with a lower learning rate.
    """

    step: int
    steps_per_epoch: int
    n_samples_seen: int = 0
    n_plateaus: int = 0


class Schedule(ABC):
    """Base class of learning rate schedules.

    Parameters
    ----------
    initial : float
        The parameter ``learning_rate_init``.
    n_epochs : int
        Epochs of the call of ``fit``, the horizon.
    warmup : float, default=0.0
        Number of epochs over which the rate first rises linearly to ``initial``.

    References
    ----------
    Goyal et al. (2017), "Accurate, large minibatch SGD: training ImageNet in 1 hour", arXiv:1706.02677,
    for the warm-up.
    """

    hyperparameters: tuple[str, ...] = ()
    """Names of further parameters of the constructor, as the estimator calls them."""

    has_horizon = False
    """Whether the rate depends on the number of remaining epochs."""

    def __init__(self, initial: float, *, n_epochs: int, warmup: float = 0.0):
        self.initial = initial
        self.n_epochs = n_epochs
        self.warmup = warmup
        if self.has_horizon and warmup >= n_epochs:
            raise ValueError(f"warmup={warmup} must be less than the {n_epochs} epochs that max_iter allows")

    def rate(self, position: Position) -> float:
        """Return the learning rate of a step as a python float; numpy's would turn float32 into float64."""
        n_warmup = round(min(self.warmup * position.steps_per_epoch, sys.maxsize))
        if position.step < n_warmup:
            return float(self.initial * (position.step + 1) / n_warmup)
        n_steps = self.n_epochs * position.steps_per_epoch - n_warmup
        return float(self.rate_after_warmup(position, position.step - n_warmup, n_steps))

    @abstractmethod
    def rate_after_warmup(self, position: Position, step: int, n_steps: int) -> float:
        """Return the learning rate of a step; ``step`` and ``n_steps`` count from the end of the warm-up."""

    def goes_on_after_plateau(self, rate: float) -> bool:
        """Whether training continues after it has stopped improving at this learning rate."""
        return False


class ConstantRate(Schedule):
    """The initial learning rate throughout.

    Examples
    --------
    >>> from skcnn.training.schedules import ConstantRate, Position
    >>> schedule = ConstantRate(0.1, n_epochs=20, warmup=1.0)
    >>> schedule.rate(Position(step=0, steps_per_epoch=10)), schedule.rate(Position(50, 10))
    (0.01, 0.1)
    """

    def rate_after_warmup(self, position, step, n_steps):
        return self.initial


class InverseScalingRate(Schedule):
    """The initial learning rate divided by the square root of the number of samples seen.

    Notes
    -----
    As in scikit-learn's MLPClassifier: ``initial / (t + 1) ** 0.5``, updated after each epoch. Each sample
    counts once, regardless of its weight.

    Examples
    --------
    >>> from skcnn.training.schedules import InverseScalingRate, Position
    >>> InverseScalingRate(0.1, n_epochs=20).rate(Position(1, 1, n_samples_seen=99))
    0.01
    """

    def rate_after_warmup(self, position, step, n_steps):
        return self.initial / (position.n_samples_seen + 1) ** 0.5


class AdaptiveRate(Schedule):
    """The initial learning rate, divided by five whenever training stops improving.

    Notes
    -----
    As in scikit-learn's MLPClassifier. Training ends at the first plateau with a rate of at most 1e-6.

    Examples
    --------
    >>> from skcnn.training.schedules import AdaptiveRate, Position
    >>> AdaptiveRate(0.5, n_epochs=20).rate(Position(1, 1, n_plateaus=1))
    0.1
    """

    def rate_after_warmup(self, position, step, n_steps):
        return self.initial / 5**position.n_plateaus

    def goes_on_after_plateau(self, rate):
        return rate > SMALLEST_RATE


class StepRate(Schedule):
    """The initial learning rate, multiplied by a factor every few epochs.

    Parameters
    ----------
    initial, n_epochs, warmup
        As for :class:`Schedule`.
    step_size : int, default=10
        Epochs between two changes; epochs of the warm-up count.
    step_factor : float, default=0.1
        Factor of the rate at each change.

    Notes
    -----
    ``initial * step_factor ** (epoch // step_size)`` for epochs counted from 0.

    References
    ----------
    He, Zhang, Ren and Sun (2016), "Deep residual learning for image recognition", CVPR, section 4.2.

    Examples
    --------
    >>> from skcnn.training.schedules import Position, StepRate
    >>> schedule = StepRate(0.5, n_epochs=20, step_size=5, step_factor=0.5)
    >>> schedule.rate(Position(step=49, steps_per_epoch=10)), schedule.rate(Position(50, 10))
    (0.5, 0.25)
    """

    hyperparameters = ("step_size", "step_factor")

    def __init__(self, initial, *, n_epochs, warmup=0.0, step_size: int = 10, step_factor: float = 0.1):
        super().__init__(initial, n_epochs=n_epochs, warmup=warmup)
        self.step_size = step_size
        self.step_factor = step_factor

    def rate_after_warmup(self, position, step, n_steps):
        epoch = position.step // position.steps_per_epoch
        return self.initial * self.step_factor ** (epoch // self.step_size)


class CosineRate(Schedule):
    r"""Falls from the initial learning rate to zero along half a cosine.

    Notes
    -----
    :math:`\eta_t = \eta_0 (1 + \cos(\pi t / T)) / 2` for step :math:`t` of :math:`T` after the warm-up.

    References
    ----------
    Loshchilov and Hutter (2017), "SGDR: stochastic gradient descent with warm restarts", ICLR.

    Examples
    --------
    >>> from skcnn.training.schedules import CosineRate, Position
    >>> round(CosineRate(0.1, n_epochs=20).rate(Position(step=100, steps_per_epoch=10)), 12)
    0.05
    """

    has_horizon = True

    def rate_after_warmup(self, position, step, n_steps):
        return along_cosine(self.initial, 0.0, step / n_steps)


class OneCycleRate(Schedule):
    """Rises from a 25th of the initial learning rate, then falls to a 250,000th of it, along half cosines.

    Notes
    -----
    The initial learning rate is the largest one. As in PyTorch's ``OneCycleLR``, it is reached after 30 % of
    the steps; here momentum stays constant.

    References
    ----------
    Smith and Topin (2019), "Super-convergence: very fast training of neural networks using large learning
    rates", Artificial intelligence and machine learning for multi-domain operations applications.

    Examples
    --------
    >>> from skcnn.training.schedules import OneCycleRate, Position
    >>> schedule = OneCycleRate(0.1, n_epochs=10)
    >>> [round(schedule.rate(Position(step, steps_per_epoch=10)), 6) for step in (0, 29, 99)]
    [0.004, 0.1, 0.0]
    """

    has_horizon = True
    rising_share = 0.3
    first_divisor = 25
    last_divisor = 25e4

    def __init__(self, initial, *, n_epochs, warmup=0.0):
        if warmup:
            raise ValueError(f"learning_rate='one_cycle' warms up by itself: set warmup=0, got {warmup}")
        super().__init__(initial, n_epochs=n_epochs)

    def rate_after_warmup(self, position, step, n_steps):
        if n_steps == 1:
            return self.initial  # no room for a rise and a fall
        peak, last = self.rising_share * n_steps - 1, n_steps - 1
        if step <= peak:
            return along_cosine(self.initial / self.first_divisor, self.initial, step / peak)
        return along_cosine(self.initial, self.initial / self.last_divisor, (step - peak) / (last - peak))


def along_cosine(start: float, end: float, share: float) -> float:
    """Return the value at a share of the way from start to end along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


SCHEDULES = {
    "constant": ConstantRate,
    "invscaling": InverseScalingRate,
    "adaptive": AdaptiveRate,
    "step": StepRate,
    "cosine": CosineRate,
    "one_cycle": OneCycleRate,
}
"""Schedules by their names in the ``learning_rate`` parameter."""
