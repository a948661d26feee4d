"""Losses of scores against dense targets."""

from abc import ABC, abstractmethod

import numpy as np
from scipy.special import expit, log_expit


def dense_targets(targets: np.ndarray, n_outputs: int, *, label_smoothing: float, dtype) -> np.ndarray:
    r"""Return targets as losses take them: class codes as distributions, all others as they are.

    Parameters
    ----------
    targets : ndarray of shape (n_samples,), integers in [0, n_outputs), or of shape (n_samples, n_outputs)
        Class codes; or distributions over the classes, labels as 0 and 1, or numbers.
    n_outputs : int
    label_smoothing : float
        Share of the target that is spread evenly over all classes.
    dtype : numpy.dtype

    Returns
    -------
    targets : ndarray of shape (n_samples, n_outputs)

    Notes
    -----
    :math:`t_k = (1 - s) [k = y] + s / K`.

    References
    ----------
    Szegedy, Vanhoucke, Ioffe, Shlens and Wojna (2016), "Rethinking the Inception architecture for
    computer vision", CVPR.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.network.losses import dense_targets
    >>> dense_targets(np.array([1, 0]), 2, label_smoothing=0.5, dtype=float)
    array([[0.25, 0.75],
           [0.75, 0.25]])
    """
    if targets.ndim == 2:
        dense = targets.astype(dtype)
        return dense if label_smoothing == 0 else (1 - label_smoothing) * dense + label_smoothing / n_outputs
    dense = np.full((len(targets), n_outputs), label_smoothing / n_outputs, dtype)
    dense[np.arange(len(targets)), targets] += 1 - label_smoothing
    return dense


class Loss(ABC):
    """Base class of losses.

    Targets of classifiers are distributions over the classes, one row per sample. Their loss is linear in
    them, so smoothed and mixed labels need no special case.
    """

    out_activation: str
    """Function that turns scores into probabilities or predictions, "identity" if there is none."""

    kind = "classes"
    """What scores are for, as in :class:`skcnn.data.samples.Outputs`."""

    hyperparameters: tuple[str, ...] = ()
    """Names of the constructor's parameters, which the estimator has, too."""

    gives_probabilities = False
    """Whether the loss has ``probabilities`` and ``log_probabilities``."""

    @abstractmethod
    def values(self, scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the loss of every sample.

        Parameters
        ----------
        scores, targets : ndarray of shape (n_samples, n_outputs)

        Returns
        -------
        losses : ndarray of shape (n_samples,)
        """

    @abstractmethod
    def gradient(
        self, scores: np.ndarray, targets: np.ndarray, weights: np.ndarray, out: np.ndarray
    ) -> float:
        """Compute the weighted sum of the losses and its gradient.

        Parameters
        ----------
        scores, targets : ndarray of shape (n_samples, n_outputs)
        weights : ndarray of shape (n_samples,)
            Factors of the losses.
        out : ndarray of shape (n_samples, n_outputs)
            Receives the gradient with respect to the scores.

        Returns
        -------
        loss : float
        """

    def right_scores(self, targets: np.ndarray) -> np.ndarray:
        """Return scores of a model that predicts all targets right."""
        return targets


class SoftmaxLoss(Loss):
    """Base class of losses of the softmax of the scores."""

    out_activation = "softmax"
    gives_probabilities = True

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Return the softmax of scores of shape (n_samples, n_outputs)."""
        with np.errstate(over="ignore"):  # if a difference overflows, its exponential is zero all the same
            probabilities = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.divide(probabilities, probabilities.sum(axis=1, keepdims=True), out=probabilities)

    def log_probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Return the logarithm of the softmax, exact if the softmax underflows, finite for finite scores."""
        with np.errstate(over="ignore"):
            shifted = scores - scores.max(axis=1, keepdims=True)
        np.maximum(shifted, np.finfo(scores.dtype).min, out=shifted)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


class LogLoss(SoftmaxLoss):
    r"""Softmax cross-entropy.

    Notes
    -----
    For scores :math:`s` and targets :math:`t` that sum to one,

    .. math:: L = -\sum_k t_k \log p_k, \quad p_k = e^{s_k} / \sum_j e^{s_j},
        \quad \partial L / \partial s_k = p_k - t_k.

    References
    ----------
    Bishop (2006), "Pattern recognition and machine learning", section 4.3.4.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.network.losses import LogLoss
    >>> LogLoss().values(np.zeros((1, 2)), np.array([[0.0, 1.0]])).round(3)
    array([0.693])
    """

    def values(self, scores, targets):
        return -np.einsum("nk,nk->n", targets, self.log_probabilities(scores))

    def gradient(self, scores, targets, weights, out):
        np.subtract(scores, scores.max(axis=1, keepdims=True), out=out)
        losses = -np.einsum("nk,nk->n", targets, out)
        np.exp(out, out=out)
        totals = out.sum(axis=1, keepdims=True)
        losses += np.log(totals[:, 0])
        np.divide(out, totals, out=out)
        np.subtract(out, targets, out=out)
        np.multiply(out, weights[:, np.newaxis], out=out)
        return weighted_sum(losses, weights)


class FocalLoss(SoftmaxLoss):
    r"""Softmax cross-entropy with less weight on well-classified samples.

    Parameters
    ----------
    focal_gamma : float, default=2.0
        Strength of the effect, >= 0; 0 is the cross-entropy.

    Notes
    -----
    With the softmax :math:`p` of the scores and targets :math:`t` that sum to one,

    .. math:: L = -\sum_k t_k (1 - p_k)^\gamma \log p_k, \quad
        \frac{\partial L}{\partial s_j} = a_j - p_j \sum_k a_k, \quad
        a_k = t_k \left(\gamma p_k (1 - p_k)^{\gamma - 1} \log p_k - (1 - p_k)^\gamma\right).

    This is the softmax form of the paper's loss. The probabilities of the classes do not minimize it: the
    minimum is mostly at a less certain softmax.

    References
    ----------
    Lin, Goyal, Girshick, He and Dollár (2017), "Focal loss for dense object detection", ICCV.
    Charoenphakdee, Vongkulbhisal, Chairatanakul and Sugiyama (2021), "On focal loss for class-posterior
    probability estimation: a theoretical perspective", CVPR.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.network.losses import FocalLoss
    >>> FocalLoss(focal_gamma=2.0).values(np.zeros((1, 2)), np.array([[0.0, 1.0]])).round(3)
    array([0.173])
    """

    hyperparameters = ("focal_gamma",)

    def __init__(self, focal_gamma: float = 2.0):
        self.focal_gamma = float(focal_gamma)

    def values(self, scores, targets):
        logarithms = self.log_probabilities(scores)
        return -np.einsum("nk,nk,nk->n", targets, self._focus(logarithms), logarithms)

    def gradient(self, scores, targets, weights, out):
        logarithms = self.log_probabilities(scores)
        probabilities, focus = np.exp(logarithms), self._focus(logarithms)
        losses = -np.einsum("nk,nk,nk->n", targets, focus, logarithms)
        rest = -np.expm1(logarithms)
        # log(p) / (1 - p) tends to -1 as p tends to 1
        ratio = np.divide(logarithms, rest, out=np.full_like(rest, -1), where=rest > 0)
        slopes = targets * focus * (self.focal_gamma * probabilities * ratio - 1)
        np.subtract(slopes, probabilities * slopes.sum(axis=1, keepdims=True), out=out)
        np.multiply(out, weights[:, np.newaxis], out=out)
        return weighted_sum(losses, weights)

    def _focus(self, logarithms):
        """Return ``(1 - p) ** gamma`` from the logarithms of the probabilities."""
        return np.power(-np.expm1(logarithms), self.focal_gamma)


class Hinge(Loss):
    r"""Multiclass hinge loss of a support vector machine, in the form of Weston and Watkins.

    Notes
    -----
    For scores :math:`s` and targets :math:`t` that sum to one, with margin 1,

    .. math:: L = \sum_y t_y \sum_{k \ne y} \max(0, 1 + s_k - s_y).

    Where a score just keeps the margin, the derivative is taken as 0.

    References
    ----------
    Weston and Watkins (1999), "Support vector machines for multi-class pattern recognition", ESANN.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.network.losses import Hinge
    >>> Hinge().values(np.array([[0.0, 0.5, 3.0]]), np.array([[0.0, 1.0, 0.0]]))
    array([4.])
    """

    out_activation = "identity"

    def values(self, scores, targets):
        losses = np.zeros(len(scores), scores.dtype)
        for _, shares, violations in self._violations(scores, targets):
            losses += shares * self._penalties(violations).sum(axis=1)
        return losses

    def gradient(self, scores, targets, weights, out):
        losses = np.zeros(len(scores), scores.dtype)
        out.fill(0)
        for where, shares, violations in self._violations(scores, targets):
            losses += shares * self._penalties(violations).sum(axis=1)
            slopes = self._slopes(violations) * shares[:, np.newaxis]
            np.add(out, slopes, out=out)
            out[where] -= slopes.sum(axis=1)
        np.multiply(out, weights[:, np.newaxis], out=out)
        return weighted_sum(losses, weights)

    def _penalties(self, violations):
        return violations

    def _slopes(self, violations):
        return (violations > 0).astype(violations.dtype)

    def _violations(self, scores, targets):
        """Yield the largest target of every sample, then the second largest, and so on.

        Yields
        ------
        where : (ndarray, ndarray)
            Index of these targets.
        shares : ndarray of shape (n_samples,)
            The targets.
        violations : ndarray of shape (n_samples, n_outputs)
            How much each other score violates the margin to the score of the target.
        """
        order = np.argsort(-targets, axis=1, kind="stable")
        rows = np.arange(len(scores))
        for rank in range(int(np.count_nonzero(targets, axis=1).max(initial=0))):
            where = rows, order[:, rank]
            violations = np.maximum(scores - (scores[where] - 1)[:, np.newaxis], 0)
            violations[where] = 0
            yield where, targets[where], violations


class SquaredHinge(Hinge):
    r"""Multiclass hinge loss with squared violations of the margin.

    Notes
    -----
    For scores :math:`s` and targets :math:`t` that sum to one, with margin 1,

    .. math:: L = \sum_y t_y \sum_{k \ne y} \max(0, 1 + s_k - s_y)^2.

    This squares the hinges of Weston and Watkins; Tang squares the hinges of one class against the rest.

    References
    ----------
    Weston and Watkins (1999), "Support vector machines for multi-class pattern recognition", ESANN.
    Tang (2013), "Deep learning using linear support vector machines", arXiv:1306.0239.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.network.losses import SquaredHinge
    >>> SquaredHinge().values(np.array([[0.0, 0.5, 3.0]]), np.array([[0.0, 1.0, 0.0]]))
    array([12.5])
    """

    def _penalties(self, violations):
        return violations**2

    def _slopes(self, violations):
        return 2 * violations


class BinaryLogLoss(Loss):
    r"""Sum of the cross-entropies of several labels, each of which a sample has or has not.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Share of the target of each label that is spread evenly over yes and no.
    label_weights : array-like of shape (n_labels,), default=None
        Factors of the labels; None for ones.

    Notes
    -----
    For scores :math:`s` and targets :math:`t` of K labels with weights :math:`w`,

    .. math:: L = -\sum_k w_k (t_k \log p_k + (1 - t_k) \log (1 - p_k)), \quad
        p_k = 1 / (1 + e^{-s_k}), \quad \partial L / \partial s_k = w_k (p_k - t_k).

    With smoothing :math:`a`, :math:`t` is replaced by :math:`(1 - a) t + a / 2`.

    References
    ----------
    Bishop (2006), "Pattern recognition and machine learning", section 4.3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.network.losses import BinaryLogLoss
    >>> BinaryLogLoss().values(np.zeros((1, 2)), np.array([[0.0, 1.0]])).round(3)
    array([1.386])
    """

    kind = "labels"
    out_activation = "logistic"
    gives_probabilities = True
    hyperparameters: tuple[str, ...] = ("label_smoothing",)

    def __init__(self, label_smoothing: float = 0.0, label_weights=None):
        self.label_smoothing = float(label_smoothing)
        self.label_weights = label_weights

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Return the probability of each label, shape (n_samples, n_labels)."""
        return expit(scores)

    def log_probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Return the logarithms of the probabilities, exact if these underflow."""
        return log_expit(scores)

    def values(self, scores, targets):
        targets = self._smooth(targets)
        losses = -(targets * log_expit(scores) + (1 - targets) * log_expit(-scores))
        return losses.sum(axis=1) if self.label_weights is None else losses @ self._weights(scores)

    def gradient(self, scores, targets, weights, out):
        losses = self.values(scores, targets)
        np.subtract(expit(scores), self._smooth(targets), out=out)
        if self.label_weights is not None:
            np.multiply(out, self._weights(scores), out=out)
        np.multiply(out, weights[:, np.newaxis], out=out)
        return weighted_sum(losses, weights)

    def right_scores(self, targets):
        return 2 * targets - 1

    def _smooth(self, targets):
        return targets + self.label_smoothing * (0.5 - targets) if self.label_smoothing else targets

    def _weights(self, scores):
        return np.asarray(self.label_weights, scores.dtype)


class LinearLoss:
    """Sum of scores times fixed coefficients, the targets. Its gradient covers all outputs at once."""

    def gradient(self, scores, targets, weights, *, out):
        """Return the loss and write its gradient to ``out``, as :meth:`Loss.gradient` does."""
        np.copyto(out, targets)
        return float((scores * targets).sum())


def weighted_sum(losses: np.ndarray, weights: np.ndarray) -> float:
    """Return the weighted sum of the losses, computed in float64."""
    return float(np.dot(losses.astype(np.float64), weights.astype(np.float64)))


LOSSES: dict[str, type[Loss]] = {
    "log_loss": LogLoss,
    "focal": FocalLoss,
    "hinge": Hinge,
    "squared_hinge": SquaredHinge,
}
"""Losses by value of the ``loss`` parameter."""
