"""Averages of the weights over the course of training, which often predict better than the last weights."""

from abc import ABC, abstractmethod

import numpy as np


class Averaging(ABC):
    """Base class of averages of weights."""

    hyperparameters: tuple[str, ...]
    """Names of the parameters of the constructor, as the estimator calls them."""

    has_horizon = False
    """Whether the average depends on the number of remaining epochs."""

    each_step = False
    """Whether to average the weights of every step, not those at the end of epochs."""

    def takes_epoch(self, epoch: int, n_epochs: int) -> bool:
        """Whether to average the weights at the end of this epoch (from 1 to ``n_epochs``)."""
        return False

    @abstractmethod
    def share(self, n_averaged: int) -> float:
        """Return the share of new weights in their average with ``n_averaged`` earlier ones."""

    def update(self, average: np.ndarray, weights: np.ndarray, n_averaged: int) -> None:
        """Add weights to the average of ``n_averaged`` earlier ones, in place.

        Parameters
        ----------
        average : ndarray of shape (n,)
            Updated.
        weights : ndarray of shape (n,)
        n_averaged : int
        """
        if n_averaged == 0:
            np.copyto(average, weights)
            return
        difference = np.subtract(weights, average)
        np.multiply(difference, self.share(n_averaged), out=difference)
        np.add(average, difference, out=average)


class ExponentialAverage(Averaging):
    r"""Exponential moving average over steps.

    Parameters
    ----------
    averaging_decay : float, default=0.999
        Share of the average that a step keeps, in [0, 1).

    Notes
    -----
    :math:`a \leftarrow d a + (1 - d) w` with :math:`d = \min(\text{decay}, (1 + n) / (10 + n))` after
    :math:`n` steps: the average soon forgets the first weights.

    References
    ----------
    Szegedy, Vanhoucke, Ioffe, Shlens and Wojna (2016), "Rethinking the Inception architecture for computer
    vision", CVPR, section 8; the growing decay is from TensorFlow's ``ExponentialMovingAverage``.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.training.weight_averaging import ExponentialAverage
    >>> average = np.zeros(1)
    >>> for n, weight in enumerate([4.0, 4.0, 1.0]):
    ...     ExponentialAverage(averaging_decay=0.25).update(average, np.array([weight]), n)
    >>> average
    array([1.75])
    """

    hyperparameters = ("averaging_decay",)
    each_step = True

    def __init__(self, averaging_decay: float = 0.999):
        self.averaging_decay = float(averaging_decay)

    def share(self, n_averaged):
        return 1 - min(self.averaging_decay, (1 + n_averaged) / (10 + n_averaged))


class StochasticWeightAverage(Averaging):
    """Plain average of the weights at the end of each of the last epochs.

    Parameters
    ----------
    averaging_start : float, default=0.75
        Share of the epochs after which averaging starts, in [0, 1).

    References
    ----------
    Izmailov, Podoprikhin, Garipov, Vetrov and Wilson (2018), "Averaging weights leads to wider optima and
    better generalization", UAI.
    Polyak and Juditsky (1992), "Acceleration of stochastic approximation by averaging", SIAM Journal on
    Control and Optimization.

    Examples
    --------
    >>> from skcnn.training.weight_averaging import StochasticWeightAverage
    >>> averaging = StochasticWeightAverage(averaging_start=0.75)
    >>> [epoch for epoch in range(1, 9) if averaging.takes_epoch(epoch, 8)]
    [7, 8]
    """

    hyperparameters = ("averaging_start",)
    has_horizon = True

    def __init__(self, averaging_start: float = 0.75):
        self.averaging_start = float(averaging_start)

    def takes_epoch(self, epoch, n_epochs):
        return epoch > self.averaging_start * n_epochs

    def share(self, n_averaged):
        return 1 / (n_averaged + 1)


AVERAGING = {"ema": ExponentialAverage, "swa": StochasticWeightAverage}
"""Averages by their names in the ``averaging`` parameter."""
