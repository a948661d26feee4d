"""What a fitted estimator predicts."""

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skcnn.data.augmented import changes_of_views, prediction_readers
from skcnn.data.images import ImageSource
from skcnn.network.executor import Batch, Executor
from skcnn.network.frozen import finite_scores
from skcnn.network.losses import LOSSES, LogLoss
from skcnn.network.threads import worker_pool


def gives_probabilities(estimator) -> bool:
    """Whether the loss gives probabilities; else an AttributeError."""
    fitted = getattr(estimator, "_loss", None)
    loss = LOSSES.get(estimator.loss, LogLoss) if fitted is None else type(fitted)
    if not loss.gives_probabilities:
        name = next(name for name, known in LOSSES.items() if known is loss)
        raise AttributeError(
            f"probabilities are not available with loss={name!r}: use decision_function, or "
            "CalibratedClassifierCV"
        )
    return True


class PredictionMixin:
    """The methods of an estimator that predict; none changes the estimator."""

    def predict(self, X):
        """Predict class labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Images, in any layout of ``image_shape_``.

        Returns
        -------
        y : ndarray of shape (n_samples,)

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If X is not made of such images, or so large that a score is not finite.
        """
        scores = self._scores(X)
        return self.classes_[scores.argmax(axis=1)]

    @available_if(gives_probabilities)
    def predict_proba(self, X):
        """Predict class probabilities; not there with a hinge loss.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Images, in any layout of ``image_shape_``.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes), of the dtype computed in
            Columns in the order of ``classes_``.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If X is not made of such images, or so large that a score is not finite.
        """
        scores = self._scores(X)
        return self._loss.probabilities(scores)

    @available_if(gives_probabilities)
    def predict_log_proba(self, X):
        """Predict logarithms of class probabilities, finite where probabilities underflow.

        Not there with a hinge loss.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Images, in any layout of ``image_shape_``.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes), of the dtype computed in
            Columns in the order of ``classes_``.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If X is not made of such images, or so large that a score is not finite.
        """
        scores = self._scores(X)
        return self._loss.log_probabilities(scores)

    def decision_function(self, X):
        """Return the scores that the predicted class is the largest of.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Images, in any layout of ``image_shape_``.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes) or (n_samples,)
            With two classes, the score of ``classes_[1]`` minus that of ``classes_[0]``.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If X is not made of such images, or so large that a score is not finite.
        """
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def _scores(self, X):
        """Return the scores of the network, shape (n_samples, n_classes)."""
        check_is_fitted(self, "network_")
        X = self._check_images(X, reset=False)
        readers = prediction_readers(ImageSource(X, self._image_format), changes_of_views(self.tta))
        scores = np.zeros((len(X), self.n_outputs_), self.network_.dtype)
        of_view = np.empty_like(scores)
        with worker_pool() as pool:
            executor = Executor(self.network_, pool, training=False)
            for read in readers:
                executor.predict(Batch(len(X), read), of_view)
                np.add(scores, of_view, out=scores)
        return finite_scores(np.divide(scores, len(readers), out=scores))
