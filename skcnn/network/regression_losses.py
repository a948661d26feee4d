"""Losses of scores against numbers, the scaled targets of a regressor."""

from abc import abstractmethod

import numpy as np

from skcnn.network.losses import Loss, weighted_sum


class RegressionLoss(Loss):
    """Base class of losses whose targets are numbers; the loss of a sample is the mean over its outputs."""

    kind = "numbers"
    out_activation = "identity"

    is_centred = True
    """Whether the mean of the targets is subtracted before they are scaled."""

    @abstractmethod
    def elements(self, scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the loss of every output of every sample, shape (n_samples, n_outputs)."""

    @abstractmethod
    def slopes(self, scores: np.ndarray, targets: np.ndarray, out: np.ndarray) -> None:
        """Write the derivative of :meth:`elements` with respect to the scores to ``out``."""

    def predictions(self, scores: np.ndarray) -> np.ndarray:
        """Return the predictions that scores stand for, in units of the scaled targets."""
        return scores

    def values(self, scores, targets):
        return self.elements(scores, targets).mean(axis=1)

    def gradient(self, scores, targets, weights, out):
        losses = self.values(scores, targets)
        self.slopes(scores, targets, out)
        np.multiply(out, weights[:, np.newaxis] / scores.shape[1], out=out)
        return weighted_sum(losses, weights)


class SquaredError(RegressionLoss):
    r"""Half of the squared error, whose minimum is the mean.

    Notes
    -----
    For scores :math:`s` and targets :math:`t` of K outputs,

    .. math:: L = \frac{1}{2K} \sum_k (s_k - t_k)^2.

    References
    ----------
    Bishop (2006), "Pattern recognition and machine learning", section 1.5.5.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.network.regression_losses import SquaredError
    >>> SquaredError().values(np.array([[1.0]]), np.array([[3.0]]))
    array([2.])
    """

    def elements(self, scores, targets):
        return np.square(scores - targets) / 2

    def slopes(self, scores, targets, out):
        np.subtract(scores, targets, out=out)


class Quantile(RegressionLoss):
    r"""Pinball loss, whose minimum is a quantile.

    Parameters
    ----------
    quantile : float, default=0.5
        Share of the targets below the prediction, in [0, 1].

    Notes
    -----
    For scores :math:`s` and targets :math:`t` of K outputs, and the quantile :math:`q`,

    .. math:: L = \frac{1}{K} \sum_k \max(q (t_k - s_k), (q - 1) (t_k - s_k)).

    The derivative where score and target are equal is taken as 0.

    References
    ----------
    Koenker and Bassett (1978), "Regression quantiles", Econometrica.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.network.regression_losses import Quantile
    >>> Quantile(quantile=0.9).values(np.array([[1.0], [5.0]]), np.array([[3.0], [3.0]])).round(3)
    array([1.8, 0.2])
    """

    hyperparameters: tuple[str, ...] = ("quantile",)

    def __init__(self, quantile: float = 0.5):
        self.quantile = float(quantile)

    def elements(self, scores, targets):
        errors = targets - scores
        return np.maximum(self.quantile * errors, (self.quantile - 1) * errors)

    def slopes(self, scores, targets, out):
        np.copyto(out, scores > targets)
        np.subtract(out, self.quantile, out=out)
        out[scores == targets] = 0


class AbsoluteError(RegressionLoss):
    r"""Absolute error, whose minimum is the median.

    Notes
    -----
    For scores :math:`s` and targets :math:`t` of K outputs,

    .. math:: L = \frac{1}{K} \sum_k |s_k - t_k|.

    The derivative where score and target are equal is taken as 0.

    References
    ----------
    Koenker and Bassett (1978), "Regression quantiles", Econometrica.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.network.regression_losses import AbsoluteError
    >>> AbsoluteError().values(np.array([[1.0]]), np.array([[3.0]]))
    array([2.])
    """

    def elements(self, scores, targets):
        return np.abs(scores - targets)

    def slopes(self, scores, targets, out):
        np.sign(scores - targets, out=out)


class Huber(RegressionLoss):
    r"""Squared for small errors, and linear for large ones, so that large errors count less.

    Parameters
    ----------
    huber_delta : float, default=1.0
        Error from which the loss is linear, in standard deviations of the targets.

    Notes
    -----
    For the errors :math:`e = s - t` of K outputs, and delta :math:`d`,

    .. math:: L = \frac{1}{K} \sum_k \begin{cases} e_k^2 / 2 & |e_k| \le d \\
        d (|e_k| - d / 2) & |e_k| > d. \end{cases}

    References
    ----------
    Huber (1964), "Robust estimation of a location parameter", Annals of Mathematical Statistics.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.network.regression_losses import Huber
    >>> Huber().values(np.array([[1.0], [1.0]]), np.array([[1.5], [4.0]]))
    array([0.125, 2.5  ])
    """

    hyperparameters: tuple[str, ...] = ("huber_delta",)

    def __init__(self, huber_delta: float = 1.0):
        self.huber_delta = float(huber_delta)

    def elements(self, scores, targets):
        errors = np.abs(scores - targets)
        bounded = np.minimum(errors, self.huber_delta)
        return bounded * (errors - bounded / 2)

    def slopes(self, scores, targets, out):
        np.subtract(scores, targets, out=out)
        np.clip(out, -self.huber_delta, self.huber_delta, out=out)


class Poisson(RegressionLoss):
    r"""Half of the Poisson deviance of rates, whose logarithms are the scores.

    Notes
    -----
    For scores :math:`s` and targets :math:`t \ge 0` of K outputs,

    .. math:: L = \frac{1}{K} \sum_k (e^{s_k} - t_k s_k + t_k \log t_k - t_k).

    References
    ----------
    McCullagh and Nelder (1989), "Generalized linear models", section 2.3.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.network.regression_losses import Poisson
    >>> Poisson().values(np.array([[0.0], [0.0]]), np.array([[1.0], [0.0]]))
    array([0., 1.])
    """

    out_activation = "exp"
    is_centred = False

    def elements(self, scores, targets):
        constants = targets * np.log(np.where(targets > 0, targets, 1)) - targets
        with np.errstate(over="ignore"):  # an infinite loss ends training
            return np.exp(scores) - targets * scores + constants

    def slopes(self, scores, targets, out):
        with np.errstate(over="ignore"):
            np.exp(scores, out=out)
        np.subtract(out, targets, out=out)

    def predictions(self, scores):
        with np.errstate(over="ignore"):
            return np.exp(scores)

    def right_scores(self, targets):
        return np.log(np.maximum(targets, np.finfo(targets.dtype).tiny))


REGRESSION_LOSSES: dict[str, type[RegressionLoss]] = {
    "squared_error": SquaredError,
    "absolute_error": AbsoluteError,
    "huber": Huber,
    "poisson": Poisson,
    "quantile": Quantile,
}
"""Losses of regressors by value of the ``loss`` parameter."""
