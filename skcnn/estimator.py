"""The abstract estimator: what all estimators of this package share, from hyperparameters to a fit."""

import copy
import math
import time
from abc import ABC, abstractmethod
from dataclasses import replace
from functools import cache, partial
from itertools import zip_longest
from numbers import Integral, Real
from operator import attrgetter

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer_names
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skcnn._sklearn import (
    CallbackSupportMixin,
    FiniteInterval,
    Interval,
    Options,
    StrOptions,
    VisualBlock,
    check_hyperparameters,
)
from skcnn.architecture import NORMALIZATION, POOLING, compact_layers, complete_layers, explicit_layers
from skcnn.data.arrays import check_images
from skcnn.data.augmenter import Augmenter, augmentations_of, changes_of_views
from skcnn.data.images import (
    ImageFormat,
    ImageSource,
    resolve_image_shape,
    standardize,
    warn_of_layout,
)
from skcnn.data.samples import mean_of_weights, split_validation
from skcnn.layers.activation import ACTIVATIONS
from skcnn.layers.base import Activation
from skcnn.layers.naming import NamedPartsMixin, name_layers
from skcnn.network.diagram import draw_stack
from skcnn.network.graph import Graph, Node, compile_graph
from skcnn.network.losses import LOSSES
from skcnn.network.model import Model
from skcnn.network.network import init_network
from skcnn.network.summary import ASSUMED_DTYPE, summary_of_network, summary_of_nodes, with_unknown_output
from skcnn.training.callbacks import begin_fit, copy_without_callbacks
from skcnn.training.fit import Fit, Mode, Outcome
from skcnn.training.monitoring import History, Validation
from skcnn.training.optimizers import OPTIMIZERS
from skcnn.training.schedules import SCHEDULES
from skcnn.training.state import Objective, TrainingState
from skcnn.training.weight_averaging import AVERAGING
from skcnn.user_warnings import warn_user
from skcnn.versions import VersionedMixin, versions

FLOAT32 = np.dtype(np.float32)

NOT_NEGATIVE = FiniteInterval(with_zero=True)
POSITIVE = FiniteInterval(with_zero=False)
COUNT = Interval(Integral, 1, None, closed="left")
SIZES = [list, tuple, np.ndarray, COUNT]


class ReadFrom:
    """A fitted attribute that is read from an object which ``fit`` sets, unless somebody has set it.

    Parameters
    ----------
    holder : str
        Attribute with the object.
    path : str
        Where in the object the value is.
    """

    def __init__(self, holder: str, path: str):
        self._holder, self._path = holder, path

    def __set_name__(self, owner, name):
        self._name = name

    def __get__(self, estimator, owner=None):
        if estimator is None:
            return self
        if self._holder not in vars(estimator):
            raise AttributeError(f"{type(estimator).__name__!r} object has no attribute {self._name!r}")
        return attrgetter(self._path)(vars(estimator)[self._holder])


class BaseConvNet(NamedPartsMixin, VersionedMixin, CallbackSupportMixin, BaseEstimator, ABC):
    """Abstract base class of estimators with a convolutional network.

    A subclass lists the hyperparameters, and says what targets are and which losses suit them. What a call of
    ``fit`` leaves behind are three objects: the model, which is all that prediction needs, the history, and
    where training may go on, its state. All other fitted attributes are read from them.

    Attributes
    ----------
    model_ : Model
    """

    _prefixed_lists = ("augmentation", "tta")

    image_shape_ = ReadFrom("model_", "format.image_shape")
    n_features_in_ = ReadFrom("model_", "format.n_features")
    layers_ = ReadFrom("model_", "layers")
    network_ = ReadFrom("model_", "network")
    n_params_ = ReadFrom("model_", "network.n_params")
    n_outputs_ = ReadFrom("model_", "network.n_outputs")
    out_activation_ = ReadFrom("model_", "loss.out_activation")

    history_ = ReadFrom("_history", "history")
    loss_curve_ = ReadFrom("_history", "loss_curve")
    batch_losses_ = ReadFrom("_history", "batch_losses")
    validation_scores_ = ReadFrom("_history", "validation_scores")
    best_validation_score_ = ReadFrom("_history", "best_validation_score")
    best_loss_ = ReadFrom("_history", "best_loss")
    loss_ = ReadFrom("_history", "loss")
    n_iter_ = ReadFrom("_history", "n_iter")
    t_ = ReadFrom("_history", "t")

    _parameter_constraints: dict = {
        "layers": [list, tuple, None],
        "conv_layer_sizes": [StrOptions({"auto"}), *SIZES],
        "kernel_size": SIZES,
        "pool_size": SIZES,
        "pooling": [StrOptions(set(POOLING)), None],
        "normalization": [StrOptions(set(NORMALIZATION)), None],
        "hidden_layer_sizes": SIZES,
        "activation": [StrOptions({*ACTIVATIONS, "identity"} - {"softmax"}), Activation],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "image_shape": [list, tuple, np.ndarray, None],
        "data_format": [StrOptions({"channels_last", "channels_first"})],
        "input_scaling": [StrOptions({"standardize"}), None],
        "init_scaling": [StrOptions({"unit_variance"}), None],
        "dtype": [StrOptions({"auto", "float32", "float64"})],
        "augmentation": [StrOptions({"auto"}), list, tuple, None],
        "tta": [StrOptions({"flip"}), list, tuple, None],
        "solver": [StrOptions({*OPTIMIZERS, "lbfgs"})],
        "alpha": [NOT_NEGATIVE, StrOptions({"auto"})],
        "batch_size": [StrOptions({"auto"}), COUNT],
        "learning_rate": [StrOptions(set(SCHEDULES))],
        "learning_rate_init": [POSITIVE],
        "warmup": [NOT_NEGATIVE],
        "step_size": [COUNT],
        "step_factor": [Interval(Real, 0, 1, closed="right")],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "nesterovs_momentum": ["boolean"],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [POSITIVE],
        "clip_norm": [POSITIVE, None],
        "averaging": [StrOptions(set(AVERAGING)), None],
        "averaging_decay": [Interval(Real, 0, 1, closed="left")],
        "averaging_start": [Interval(Real, 0, 1, closed="left")],
        "max_iter": [COUNT, None],
        "tol": [NOT_NEGATIVE],
        "n_iter_no_change": [COUNT, Options(Real, {np.inf})],
        "shuffle": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "max_time": [POSITIVE, None],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # What a subclass says

    @abstractmethod
    def _check_samples(self, X, y, sample_weight, classes=None, *, suffix="", may_be_empty=False):
        """Return validated samples, and their classes.

        Parameters
        ----------
        X : ndarray of shape (n_samples, ...)
            Images.
        y, sample_weight : array-like of shape (n_samples,)
            As given.
        classes : ndarray, default=None
            The classes to expect. None: those of y.
        suffix : str, default=""
            What comes after the names of y and sample_weight in messages.
        may_be_empty : bool, default=False
            Whether all weights may be zero.
        """

    @abstractmethod
    def _class_weights(self, samples, classes):
        """Return the factor of the loss for each class."""

    @abstractmethod
    def _smoothing(self, loss):
        """Return the label smoothing of a loss."""

    @abstractmethod
    def _aim(self, loss):
        """Return what decides whether losses can be compared, as a string."""

    @abstractmethod
    def _count_outputs(self, X, y):
        """Return the number of scores that y asks for, checked as in ``fit``, of images X or None."""

    # A fit

    def _fit(self, X, y, sample_weight, mode, *, classes=None, given_validation=None):
        """Validate, build, train, and take over what came of it if all went well."""
        deadline = math.inf if self.max_time is None else time.perf_counter() + self.max_time
        draft = copy_without_callbacks(self)  # has the names of these features, while nothing is certain yet
        previous = None if mode.is_fresh else self.model_
        images = check_images(draft, X, y, reset=mode.is_fresh, format=previous and previous.format)
        samples, classes = self._check_samples(
            images,
            y,
            sample_weight,
            previous.classes if previous else classes,
            may_be_empty=mode is Mode.CHUNK,
        )
        class_weight = self._class_weights(samples, classes)
        state = self._next_state(mode)
        if mode is Mode.CHUNK and not samples.loss_weights(class_weight).any():
            return self  # there is nothing to learn from
        format = previous.format if previous else self._format_of(images.shape, images.dtype)
        if not previous and self.image_shape is None:
            warn_of_layout(images.shape, channels_first=format.channels_first)
        samples, held_out = draft._split(samples, classes, format, given_validation, state.seed)
        if mode is Mode.CHUNK:  # calls share one scale, or the weights of a chunk would be lost
            mean_weight = self._history.mean_weight
        else:
            mean_weight = mean_of_weights(samples.loss_weights(class_weight))
        model = self._next_model(mode, samples, classes, format, mean_weight, state.seed)
        history = self._next_history(mode, model.loss, mean_weight)
        data = self._training_data(mode, samples, model, class_weight, mean_weight, state.seed)
        validation = draft._validation(model, history, held_out, class_weight)
        objective = self._objective(model, len(samples), 1 if mode.is_partial else None)
        watch = begin_fit(
            self,
            draft._describe_for_callbacks(X, samples, classes),
            partial(draft._with_result, mode),
            task_name="partial-fit" if mode.is_partial else "fit",
            n_epochs=objective.n_epochs,
        )
        fit = Fit(
            mode,
            model,
            data,
            validation,
            objective,
            state,
            history,
            watch,
            previous,
            unit_variance=self.init_scaling == "unit_variance",
            deadline=deadline,
            verbose=self.verbose,
        )
        return self._carry_out(fit, draft)

    def _carry_out(self, fit, draft):
        """Run a fit and take over its result, also after an interrupt by the user."""
        try:
            fit.run()
            fit.watch.end(fit.result.copy)
        except KeyboardInterrupt:
            if fit.has_progressed and fit.result is not None:
                self._take_over(draft._with_result(fit.mode, fit.result))
                warn_user("Training was interrupted; the weights of the last complete step are kept")
            raise
        self._warn_of(fit)
        self._take_over(draft._with_result(fit.mode, fit.result))
        return self

    def _with_result(self, mode, result):
        """Return a copy of a draft that is fitted with a result."""
        fitted = copy.copy(self)
        fitted._drop_fitted(keep=("feature_names_in_",))
        fitted.model_, fitted._history = result.model, result.history
        if mode.is_partial or self.warm_start:
            fitted._training_state = result.state
        return fitted

    def _take_over(self, fitted):
        """Take over the fitted attributes of a copy."""
        names = ("model_", "_history", "_training_state", "feature_names_in_")
        taken = {name: value for name, value in vars(fitted).items() if name in names}
        self._drop_fitted(keep=taken)
        self.__dict__.update(taken)

    def _drop_fitted(self, *, keep):
        """Remove what a fit has left, and what others have set in the place of what is read from it."""
        for name in list(vars(self)):
            is_fitted = name in ("_training_state", "feature_names_in_")
            if name not in keep and (is_fitted or isinstance(getattr(type(self), name, None), ReadFrom)):
                delattr(self, name)

    def _warn_of(self, fit):
        """Warn where training diverged, or an average was wanted and none was taken."""
        if fit.outcome is Outcome.DIVERGED:
            advice = (
                "Other images or input_scaling"
                if self.solver == "lbfgs"
                else f"A smaller learning_rate_init than {self.learning_rate_init} or clip_norm"
            )
            if fit.result.history.n_iter:
                kept = "The weights of the last good epoch are kept"
            elif fit.mode.is_fresh:
                kept = "No epoch was good: the weights are the initial ones"
            else:
                kept = "The weights of before this call are kept"
            warn_user(
                f"Training diverged: {fit.divergence}. {kept}. {advice} may help.",
                ConvergenceWarning,
            )
        elif fit.objective.averaging and not fit.state.n_averaged:
            warn_user(
                f"averaging={self.averaging!r} averaged nothing: training ended after "
                f"{fit.result.history.n_iter} epochs, before averaging_start={self.averaging_start} of "
                f"{fit.objective.n_epochs} epochs was reached"
            )

    # What a fit is made of

    def _format_of(self, shape, dtype=FLOAT32):
        """Return how images of an array of a shape and dtype become inputs, scaling left out."""
        channels_first = self.data_format == "channels_first"
        dtype = "float64" if dtype.kind == "f" and dtype.itemsize >= 8 else "float32"
        return ImageFormat(
            resolve_image_shape(shape, self.image_shape, channels_first=channels_first),
            channels_first,
            np.dtype(dtype if self.dtype == "auto" else self.dtype),
        )

    def _format_without_images(self):
        """Return what the parameters say about images that are not there; taken for float32 by default."""
        if self.image_shape is None:
            raise ValueError("the shape of the images is not known before fit: give X, or set image_shape")
        return self._format_of((0, *self.image_shape))

    def _next_state(self, mode):
        """Return a copy of the last training state, or a new one that goes on counting.

        Of a new one, an average goes on from the fitted weights as if it were one of all steps that led to
        them, for the first steps of a new optimizer are large.
        """
        if not mode.is_fresh and hasattr(self, "_training_state"):
            return self._training_state.copy()
        state = TrainingState(int.from_bytes(check_random_state(self.random_state).bytes(16), "little"))
        if not mode.is_fresh:
            state.epoch, state.n_samples_seen = len(self.history_), self.t_
            state.n_averaged = len(self.batch_losses_)
            state.slots["average"] = self.network_.vector.copy()
        return state

    def _next_history(self, mode, loss, mean_weight):
        """Return the history of the calls before, with the scale of the weights and losses of this one."""
        aim = self._aim(loss)
        return History(mean_weight, aim) if mode.is_fresh else self._history.with_aim(mean_weight, aim)

    def _split(self, samples, classes, format, given, seed):
        """Return training samples, and validation samples or None."""
        if given is None or not self.early_stopping:
            return samples, None
        if given["X_val"] is None:
            return split_validation(samples, self.validation_fraction, seed)
        X = check_images(self, given["X_val"], format=format)
        y, weights = given["y_val"], given["sample_weight_val"]
        return samples, self._check_samples(X, y, weights, classes, suffix="_val")[0]

    def _next_model(self, mode, samples, classes, format, mean_weight, seed):
        """Return a model to train: with initial weights, or a copy of that of the last call."""
        loss = self._make(LOSSES[self.loss])
        if not mode.is_fresh:
            if not mode.is_partial:  # each partial_fit is to be cheap
                self._check_architecture()
            if mode is Mode.CHUNK and format.moments is not None:
                format = self._scale_format(samples, format, mean_weight)
            network = self.network_.copy()
            return self.model_.replace(network=network, format=format, loss=loss, made_with=versions())
        layers, nodes = self._layers(format.image_shape, len(classes))
        if self.input_scaling == "standardize":
            format = self._scale_format(samples, format, mean_weight)
        network = init_network(nodes, dtype=format.dtype, seed=seed)
        return Model(layers, network, format, classes, loss, seed=seed, made_with=versions())

    def _scale_format(self, samples, format, mean_weight):
        """Return a format scaled by samples and, in a stream, by all samples before them."""
        weights = samples.weights[samples.rows]
        with np.errstate(over="ignore"):
            total = min((weights / mean_weight).sum(), 1e100)  # however large, it is finite
        source = ImageSource(samples.X, format, samples.rows)
        return standardize(source, None if np.ptp(weights) == 0 else weights, total=total)

    def _layers(self, image_shape, n_outputs):
        """Return the complete layers that the hyperparameters describe, and their nodes."""
        if self.layers is None:
            layers = compact_layers(
                image_shape,
                conv_layer_sizes=self.conv_layer_sizes,
                kernel_size=self.kernel_size,
                pool_size=self.pool_size,
                pooling=self.pooling,
                normalization=self.normalization,
                hidden_layer_sizes=self.hidden_layer_sizes,
                activation=self.activation,
                dropout=self.dropout,
            )
        else:
            layers = explicit_layers(self.layers, self.get_params(deep=False))
        return complete_layers(layers, image_shape, n_outputs)

    def _check_architecture(self):
        """Raise a ValueError if the layers are no longer those that the network was built of."""
        blank = Node("none", None, (), (), ())
        _, nodes = self._layers(self.image_shape_, self.n_outputs_)
        for node, built in zip_longest(nodes, self.network_.nodes, fillvalue=blank):
            if (node.name, node.inputs, repr(node.layer)) != (built.name, built.inputs, repr(built.layer)):
                raise ValueError(
                    f"training cannot go on: layer {built.name!r} was {built.layer!r} when the network was "
                    f"built, {node.name!r} is {node.layer!r} now; set warm_start=False to start anew"
                )

    def _training_data(self, mode, samples, model, class_weight, mean_weight, seed):
        """Return the samples as training takes them, with what changes their images."""
        data = samples.training_data(model.format, class_weight, mean_weight)
        data.is_representative = samples.are_representative or not mode.is_partial
        augmentations = augmentations_of(self.augmentation, model.format.image_shape)
        if augmentations:
            data.augmenter = Augmenter(augmentations, seed, data.weights)
        return data

    def _validation(self, model, history, samples, class_weight):
        """Return what scores a network on validation samples, None where there are none."""
        if samples is None:
            return None
        scored = copy.copy(self)
        scored.model_, scored._history = model, history
        scored.__dict__.pop("feature_names_in_", None)  # arrays of samples have none any more
        return Validation(scored, model, samples, class_weight, self._smoothing(model.loss))

    def _describe_for_callbacks(self, X, samples, classes):
        """Return what callbacks may ask for of the training samples, of which parts are copied only then."""
        with_names = X if hasattr(self, "feature_names_in_") else samples.X  # predictions warn without names

        def metadata():
            return {"sample_weight": samples.weights[samples.rows]} if samples.given_weights else None

        return {
            "X": cache(lambda: samples.rows_of(with_names)),
            "y": cache(lambda: classes[samples.codes[samples.rows]]),
            "metadata": metadata,
        }

    # What is minimised, and how

    def _objective(self, model, n_samples, n_epochs=None):
        """Return what the hyperparameters ask to minimise, and how."""
        n_epochs = self._n_epochs(n_samples) if n_epochs is None else n_epochs
        objective = Objective(
            loss=model.loss,
            label_smoothing=self._smoothing(model.loss),
            alpha=self._alpha(),
            n_epochs=n_epochs,
            batch_size=self._batch_size(n_samples),
            shuffle=self.shuffle,
            tol=self.tol,
            patience=self.n_iter_no_change,
        )
        if self.solver == "lbfgs":
            return objective
        dtype = model.network.dtype
        smallest = np.finfo(dtype).smallest_subnormal
        if "epsilon" in OPTIMIZERS[self.solver].hyperparameters and self.epsilon < smallest:
            raise ValueError(f"epsilon={self.epsilon} is zero in {dtype}, expected at least {smallest}")
        schedule, averaging = SCHEDULES[self.learning_rate], AVERAGING.get(self.averaging)
        return replace(
            objective,
            optimizer=self._make(OPTIMIZERS[self.solver]),
            schedule=self._make(
                schedule, float(self.learning_rate_init), n_epochs=n_epochs, warmup=float(self.warmup)
            ),
            clip_norm=None if self.clip_norm is None else float(self.clip_norm),
            averaging=None if averaging is None else self._make(averaging),
        )

    def _make(self, component, *arguments, **options):
        """Return an object of a class with the hyperparameters that it names."""
        own = {name: getattr(self, name) for name in component.hyperparameters}
        return component(*arguments, **options, **own)

    def _alpha(self):
        """Return how strongly weights decay, a function of the parameter and the solver alone."""
        if self.alpha == "auto":
            return 0.5 if self.solver == "adamw" else 1e-4
        return float(self.alpha)

    def _batch_size(self, n_samples):
        """Return the samples of a minibatch, a function of the parameter and n_samples alone."""
        if self.batch_size == "auto":
            return min(64, n_samples) if n_samples <= 10_000 else 128
        return min(self.batch_size, n_samples)

    def _n_epochs(self, n_samples):
        """Return the largest number of epochs, a function of the parameter and n_samples alone."""
        if self.max_iter is None:
            return min(max(10, -(-200_000 // n_samples)), 50)
        return self.max_iter

    # Parameters that do not go together

    def _begin_call(self, *, is_partial=False, given_validation=None):
        """Return which call it is, if its parameters suit it and one another."""
        is_fitted = hasattr(self, "model_")
        if is_partial:
            mode = Mode.CHUNK if is_fitted else Mode.FIRST_CHUNK
        else:
            mode = Mode.WARM_FIT if is_fitted and self.warm_start else Mode.FIT
            self._check_validation_arguments(given_validation)
        if mode is Mode.CHUNK:
            check_hyperparameters(self)  # which scikit-learn does in the first call only
        self._check_parameters()
        if is_partial:
            self._check_needs_no_foresight()
        return mode

    def _check_validation_arguments(self, given):
        """Raise a ValueError unless validation data are complete and wanted."""
        X_val, y_val, weights = given.values()
        if (X_val is None) != (y_val is None):
            missing = "y_val" if y_val is None else "X_val"
            raise ValueError(f"X_val and y_val must be given together, but {missing} is missing")
        if weights is not None and X_val is None:
            raise ValueError("sample_weight_val is given, but X_val and y_val are missing")
        if X_val is not None and not self.early_stopping:
            raise ValueError(
                "X_val and y_val are given, but early_stopping=False: set it to True to use them"
            )

    def _check_parameters(self):
        """Raise a ValueError for what does not go together with the solver, or is no augmentation."""
        augmentations = augmentations_of(self.augmentation, (1, 1, 1))  # some, whatever the shape
        if self.solver == "lbfgs" and augmentations:
            raise ValueError(
                f"augmentation={self.augmentation!r} changes images from epoch to epoch, which "
                "solver='lbfgs' cannot follow: set augmentation=None or choose another solver"
            )
        if self.solver == "adamw" and self.learning_rate_init * self._alpha() >= 1:
            raise ValueError(
                "solver='adamw' multiplies weights by 1 - learning_rate_init * alpha, which must be "
                f"positive, got learning_rate_init={self.learning_rate_init} and alpha={self._alpha()}"
            )
        changes_of_views(self.tta)

    def _check_needs_no_foresight(self):
        """Raise a ValueError for what needs to know more than partial_fit can."""
        if SCHEDULES[self.learning_rate].has_horizon:
            raise ValueError(
                f"learning_rate={self.learning_rate!r} is not supported by partial_fit, which does not know "
                "how many epochs are to come: choose 'constant' or 'step', or call fit"
            )
        if self.averaging is not None and AVERAGING[self.averaging].has_horizon:
            raise ValueError(
                f"averaging={self.averaging!r} is not supported by partial_fit, which does not know how many "
                "epochs are to come: choose 'ema', or call fit"
            )

    # Prediction

    def _score_images(self, X):
        """Return the model, which another thread may replace meanwhile, and its scores of images."""
        check_is_fitted(self, "model_")
        model = self.model_
        X = check_images(self, X, format=model.format)
        return model, model.scores(X, changes_of_views(self.tta))

    # Pictures of the layers

    def summary(self, X=None, y=None):
        """Return a table of the layers: shapes, parameters, multiply-adds and sizes of activations.

        Of a fitted estimator, it is that of ``network_``. Before, it is that of the network which
        ``fit(X, y)`` would build, worked out from shapes alone: nothing is trained, no weights are made (but
        by layers of your own without a ``param_shapes``), and the estimator stays as it is.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), default=None
            Images, checked as in ``fit``, or after it as in ``predict``. None: the parameter ``image_shape``
            says what they are before ``fit``.
        y : array-like of shape (n_samples,), default=None
            Class labels, checked as in ``fit``. None: the size of the output layer is not known before
            ``fit``, and left out of the totals.

        Returns
        -------
        summary : NetworkSummary
            Prints as a table; ``summary.records`` is a list of dicts.

        Raises
        ------
        ValueError
            If a parameter, a layer or the data are invalid, with the message of ``fit``, which may find
            more when it trains; if nothing says what shape images have.
        TypeError
            If X is sparse or holds objects that are not numbers.

        Examples
        --------
        >>> from skcnn import ConvNetClassifier
        >>> clf = ConvNetClassifier(image_shape=(8, 8))
        >>> clf.summary(y=range(10)).totals["trained"]
        53098
        """
        if not hasattr(self, "model_"):
            return self._plan_summary(X, y)
        if X is not None:
            X = check_images(self, X, format=self.model_.format)
        if y is not None:
            self._count_outputs(X, y)
        return summary_of_network(self.network_)

    def _plan_summary(self, X, y):
        """Return the summary of the network that fit would build."""
        check_hyperparameters(self)
        self._check_parameters()
        if X is None:
            format = self._format_without_images()
        else:
            X = check_images(copy.copy(self), X, reset=True)
            format = self._format_of(X.shape, X.dtype)
        _, nodes = self._layers(format.image_shape, 1 if y is None else self._count_outputs(X, y))
        summary = summary_of_nodes(nodes, format.dtype)
        if X is None and self.dtype == "auto":
            summary = replace(summary, notes=(ASSUMED_DTYPE,))
        return with_unknown_output(summary) if y is None else summary

    @available_if(lambda estimator: VisualBlock is not None)
    def _sk_visual_block_(self):
        """Return the visual block of the layers as far as they are known, else of the estimator alone."""
        layers, nodes = self._find_layers()
        if not layers:
            return VisualBlock("single", self, names=type(self).__name__, name_details=str(self))
        visual = draw_stack(layers, nodes, searchable=self.get_params().keys())
        visual.dash_wrapped = True
        return visual

    def _find_layers(self):
        """Return the layers by name and the nodes, those of the network if there is one."""
        if hasattr(self, "model_"):
            return self.layers_, self.network_.nodes
        try:
            check_hyperparameters(self)
            layers, nodes = self._layers(self._format_without_images().image_shape, 1)
        except Exception:  # whatever is wrong or missing is for fit to say
            return name_layers(self.layers), ()
        return layers[:-1], nodes  # without the output layer, whose size is not known

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def plan_graph(estimator: BaseConvNet, shape: tuple[int, ...] | None) -> Graph | None:
    """Return the graph of the layers that ``fit`` would build for images in an array of a shape.

    Parameters
    ----------
    estimator : BaseConvNet
    shape : tuple of int or None
        None: what the parameter ``image_shape`` says.

    Returns
    -------
    graph : Graph or None
        None where nothing says what shape the images have.

    Raises
    ------
    ValueError
        As ``fit``, if a parameter is invalid or a layer does not fit.
    """
    check_hyperparameters(estimator)
    if shape is None and estimator.image_shape is None:
        return None
    image_shape = (estimator._format_of(shape) if shape else estimator._format_without_images()).image_shape
    layers, _ = estimator._layers(image_shape, 1)
    return compile_graph(layers, image_shape)
