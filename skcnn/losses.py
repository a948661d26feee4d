"""Losses of scores against dense targets."""

import numpy as np


def dense_targets(codes: np.ndarray, n_classes: int, *, label_smoothing: float, dtype) -> np.ndarray:
    r"""Return target distributions of class codes.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,), integers in [0, n_classes)
    n_classes : int
    label_smoothing : float
        Share of the target that is spread evenly over all classes.
    dtype : numpy.dtype

    Returns
    -------
    targets : ndarray of shape (n_samples, n_classes)

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
    >>> from skcnn.losses import dense_targets
    >>> dense_targets(np.array([1, 0]), 2, label_smoothing=0.5, dtype=float)
    array([[0.25, 0.75],
           [0.75, 0.25]])
    """
    targets = np.full((len(codes), n_classes), label_smoothing / n_classes, dtype)
    targets[np.arange(len(codes)), codes] += 1 - label_smoothing
    return targets


class LogLoss:
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
    >>> from skcnn.losses import LogLoss
    >>> LogLoss().values(np.zeros((1, 2)), np.array([[0.0, 1.0]])).round(3)
    array([0.693])
    """

    out_activation = "softmax"

    def values(self, scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the loss of every sample.

        Parameters
        ----------
        scores, targets : ndarray of shape (n_samples, n_outputs)

        Returns
        -------
        losses : ndarray of shape (n_samples,)
        """
        return -np.einsum("nk,nk->n", targets, self.log_probabilities(scores))

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
        np.subtract(scores, scores.max(axis=1, keepdims=True), out=out)
        losses = -np.einsum("nk,nk->n", targets, out)
        np.exp(out, out=out)
        totals = out.sum(axis=1, keepdims=True)
        losses += np.log(totals[:, 0])
        np.divide(out, totals, out=out)
        np.subtract(out, targets, out=out)
        np.multiply(out, weights[:, np.newaxis], out=out)
        return float(np.dot(losses.astype(np.float64), weights.astype(np.float64)))

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Return the softmax of scores of shape (n_samples, n_outputs)."""
        probabilities = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.divide(probabilities, probabilities.sum(axis=1, keepdims=True), out=probabilities)

    def log_probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Return the logarithm of the softmax, exact where the softmax underflows."""
        shifted = scores - scores.max(axis=1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


LOSSES = {"log_loss": LogLoss}
"""Losses by the names that the ``loss`` parameter takes."""
