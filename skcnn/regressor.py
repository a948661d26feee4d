"""The regressor: its hyperparameters, its targets and its public methods."""

from numbers import Real

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if

from skcnn._sklearn import Interval, StrOptions, fit_context
from skcnn.data.samples import Outputs
from skcnn.data.targets import check_numbers, scaling_of
from skcnn.encoding import register
from skcnn.estimator import POSITIVE, BaseConvNet
from skcnn.network.model import finite_rows
from skcnn.network.regression_losses import REGRESSION_LOSSES
from skcnn.training.objective import is_stochastic


@register
class ConvNetRegressor(RegressorMixin, BaseConvNet):
    """Convolutional network regressor.

    Predicts one or several numbers for each image. Training minimises a loss of targets that are scaled to
    a mean of zero and a standard deviation of one, so that the defaults suit targets of any unit.

    Parameters
    ----------
    layers, conv_layer_sizes, kernel_size, pool_size, pooling, normalization, hidden_layer_sizes, \
activation, dropout
        The layers, as in :class:`ConvNetClassifier`.
    image_shape, data_format, input_scaling, dtype, augmentation, tta
        The images, as in :class:`ConvNetClassifier`. Augmentations that mix images mix their targets, too.
        With ``tta``, scores are averaged over the views: with the Poisson loss, logarithms of predictions.
    init_scaling, init
        The initial weights, as in :class:`ConvNetClassifier`. The weights of the output layer start at zero,
        so that the first predictions are the mean. With ``FrozenEstimator(regressor)``, the output layer is
        taken over from a regressor with as many outputs, and with it the scaling of the targets.
    loss : {"squared_error", "absolute_error", "huber", "poisson", "quantile"}, default="squared_error"
        Loss to minimise, the mean over the outputs. "squared_error": half of the squared error; predicts the
        mean.
        "absolute_error": predicts the median. "huber": the first for small errors, the second for large
        ones. "poisson": half of the Poisson deviance, for counts and rates; y must not be negative, and the
        predictions, exponentials of the scores, are positive. "quantile": predicts the ``quantile``.
    quantile : float, default=0.5
        The quantile that "quantile" predicts, in [0, 1].
    huber_delta : float, default=1.0
        Error from which "huber" is linear, in standard deviations of the targets.
    solver, alpha, batch_size, learning_rate, learning_rate_init, learning_rate_factors, warmup, \
step_size, step_factor, momentum, nesterovs_momentum, beta_1, beta_2, epsilon, clip_norm
        The steps of training, as in :class:`ConvNetClassifier`.
    averaging, averaging_decay, averaging_start
        The average of the weights, as in :class:`ConvNetClassifier`.
    max_iter, tol, n_iter_no_change, shuffle, early_stopping, validation_fraction, validation_split, \
scoring, max_time, backend, checkpoint, warm_start, random_state, verbose
        The course of training, as in :class:`ConvNetClassifier`. The split of validation samples is not
        stratified.

    Attributes
    ----------
    model_, n_features_in_, feature_names_in_, image_shape_, layers_, network_, n_params_, loss_, \
best_loss_, loss_curve_, batch_losses_, validation_scores_, best_validation_score_, history_, n_iter_, t_, \
init_report_
        As in :class:`ConvNetClassifier`. Losses are those of the scaled targets.
    n_outputs_ : int
        Number of outputs.
    out_activation_ : str
        "identity", or "exp" with "poisson".

    See Also
    --------
    ConvNetClassifier : Explains the hyperparameters.
    sklearn.neural_network.MLPRegressor : Network of fully connected layers.

    Notes
    -----
    Each output is scaled by the mean and the standard deviation of its targets, weighted by
    ``sample_weight``; with "poisson", it is divided by the mean alone. Constant targets have a scale of one.
    A few targets far from all others make the deviation large, and all others small: no loss mends that.
    ``warm_start``, and ``init`` from a regressor, keep the scaling, so y must keep its unit.
    What :class:`ConvNetClassifier` says of sample weights, reproducibility and callbacks holds here, too.

    Examples
    --------
    >>> from skcnn import ConvNetRegressor
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> brightness = X.mean(axis=1)
    >>> regressor = ConvNetRegressor(max_iter=5, random_state=0).fit(X[:1000], brightness[:1000])
    >>> regressor.score(X[1000:], brightness[1000:]) > 0.9
    True
    """

    _parameter_constraints: dict = {
        **BaseConvNet._parameter_constraints,
        "loss": [StrOptions(set(REGRESSION_LOSSES))],
        "quantile": [Interval(Real, 0, 1, closed="both")],
        "huber_delta": [POSITIVE],
    }

    _losses, _kinds = REGRESSION_LOSSES, ("numbers",)

    def __init__(
        self,
        layers=None,
        *,
        conv_layer_sizes="auto",
        kernel_size=3,
        pool_size=2,
        pooling="max",
        normalization="batch",
        hidden_layer_sizes=(128,),
        activation="relu",
        dropout=0.0,
        image_shape=None,
        data_format="channels_last",
        input_scaling="standardize",
        init_scaling=None,
        init=None,
        dtype="auto",
        augmentation=None,
        tta=None,
        loss="squared_error",
        quantile=0.5,
        huber_delta=1.0,
        solver="adamw",
        alpha="auto",
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=3e-3,
        learning_rate_factors=None,
        warmup=0.0,
        step_size=10,
        step_factor=0.1,
        momentum=0.9,
        nesterovs_momentum=True,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        clip_norm=None,
        averaging="ema",
        averaging_decay=0.999,
        averaging_start=0.75,
        max_iter=None,
        tol=1e-4,
        n_iter_no_change=10,
        shuffle=True,
        early_stopping=False,
        validation_fraction=0.1,
        validation_split=None,
        scoring=None,
        max_time=None,
        backend="numpy",
        checkpoint=None,
        warm_start=False,
        random_state=None,
        verbose=False,
    ):
        self._assign(locals())

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None, groups=None):
        """Train on images and numbers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n, h, w), (n, h, w, c) or (n, c, h, w)
            Images, as in :meth:`ConvNetClassifier.fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Numbers to predict.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights. None: equal weights.
        X_val : array-like of shape (n_validation, ...), default=None
            Validation images, in any layout that X may have. They need ``early_stopping=True``.
        y_val : array-like of shape (n_validation,) or (n_validation, n_outputs), default=None
            Validation targets.
        sample_weight_val : array-like of shape (n_validation,), default=None
            Validation weights.
        groups : array-like of shape (n_samples,), default=None
            Groups of the samples, such as patients, for ``validation_split``.

        Returns
        -------
        self : ConvNetRegressor

        Raises
        ------
        ValueError
            If a parameter or the data are invalid. The estimator stays unchanged.
        TypeError
            If X is sparse or holds objects that are not numbers.

        Warns
        -----
        UserWarning, ConvergenceWarning
            As :meth:`ConvNetClassifier.fit`.
        """
        given = {"X_val": X_val, "y_val": y_val, "sample_weight_val": sample_weight_val, "groups": groups}
        mode = self._begin_call(given_validation=given)
        return self._fit(X, y, sample_weight, mode, given_validation=given)

    @available_if(is_stochastic)
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch, from where the last call stopped, as in :meth:`ConvNetClassifier.partial_fit`.

        Targets keep the scaling of the first call, or of the first call in which they vary; with "poisson",
        of the first call in which they are not all zero.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n, h, w), (n, h, w, c) or (n, c, h, w)
            Images.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Numbers to predict.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, relative to the mean weight of the first call or the last ``fit``. If all
            are zero, nothing is trained; in the first call, at least one must be positive.

        Returns
        -------
        self : ConvNetRegressor

        Raises
        ------
        ValueError
            If a parameter or the data are invalid. The estimator stays unchanged.
        TypeError
            If X is sparse or holds objects that are not numbers.
        """
        return self._fit(X, y, sample_weight, self._begin_call(is_partial=True))

    def predict(self, X):
        """Predict numbers.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Images, in any layout of ``image_shape_``.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs), float64

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If X is empty, has images of another shape, or has values so large that a prediction is not
            finite.
        """
        model, scores = self._score_images(X)
        with np.errstate(over="ignore"):
            predictions = model.target_scaling.undo(model.loss.predictions(scores))
        finite_rows(predictions.reshape(len(scores), -1), "the predictions for")
        return predictions

    def _check_targets(self, y, n_samples, rows=slice(None), known=None, *, name="y"):
        """Return numbers to predict, and the numbers of the outputs."""
        numbers = check_numbers(y, n_samples, name=name)
        n_outputs = numbers.shape[1]
        if known is not None and n_outputs != len(known.classes):
            why = "as in the last call" if name == "y" else "as y has"
            raise ValueError(f"{name} has {n_outputs} outputs, expected {len(known.classes)} {why}")
        if self.loss == "poisson" and (numbers[rows] < 0).any():
            raise ValueError(f"loss='poisson' needs {name} >= 0, got {numbers[rows].min()}")
        return numbers, Outputs("numbers", np.arange(n_outputs))

    def _target_scaling(self, samples, loss, known=None):
        """Return the scaling of the targets of the first call, or of the first in which they vary."""
        rows = samples.rows
        found = scaling_of(samples.targets[rows], samples.weights[rows], is_centred=loss.is_centred)
        return found if known is None else known.update(found)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = self.loss == "poisson"
        return tags
