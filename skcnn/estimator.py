"""The abstract estimator: what all estimators of this package share."""

import copy
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import get_scorer_names
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skcnn._sklearn import (
    CallbackSupportMixin,
    FiniteInterval,
    HasMethods,
    Interval,
    Options,
    StrOptions,
    VisualBlock,
    check_hyperparameters,
)
from skcnn.architecture import NORMALIZATION, POOLING, compact_layers, complete_layers, explicit_layers
from skcnn.data.arrays import as_image_array, check_images
from skcnn.data.augmenter import Augmenter, augmentations_of, changes_of_views
from skcnn.data.images import (
    ImageFormat,
    fixed_scaling,
    resolve_image_shape,
    standardize,
    warn_of_layout,
)
from skcnn.data.samples import (
    Samples,
    check_validation_arguments,
    check_weights_and_rows,
    divide,
    mean_of_weights,
    split_by,
    split_validation,
)
from skcnn.fitted_attributes import ReadFrom, drop_fitted
from skcnn.kernels.backends import BACKENDS, kernels_of, kernels_or_numpy
from skcnn.layers.activation import ACTIVATIONS
from skcnn.layers.base import Activation
from skcnn.layers.naming import NamedPartsMixin, name_layers
from skcnn.network.diagram import draw_stack
from skcnn.network.graph import Graph, check_same_nodes, compile_graph
from skcnn.network.losses import Loss
from skcnn.network.model import Model
from skcnn.network.named_nodes import factors_of_nodes
from skcnn.network.network import init_network
from skcnn.network.summary import ASSUMED_DTYPE, summary_of_network, summary_of_nodes, with_unknown_output
from skcnn.network.transfer import check_holds_model, layers_taken, take_over, weights_by_name, with_weights
from skcnn.training.callbacks import begin_fit, copy_without_callbacks, samples_for_callbacks
from skcnn.training.checkpoint import Checkpoint, CheckpointFile, fingerprint_of, some_rows
from skcnn.training.fit import Fit, Mode
from skcnn.training.monitoring import History, Validation
from skcnn.training.objective import check_has_no_horizon, check_solver, make_objective
from skcnn.training.optimizers import OPTIMIZERS
from skcnn.training.schedules import SCHEDULES
from skcnn.training.state import TrainingState
from skcnn.training.weight_averaging import AVERAGING
from skcnn.user_warnings import warn_user
from skcnn.versions import VersionedMixin, versions

FLOAT32 = np.dtype(np.float32)

NOT_NEGATIVE = FiniteInterval(with_zero=True)
POSITIVE = FiniteInterval(with_zero=False)
SHARE = Interval(Real, 0, 1, closed="left")
COUNT = Interval(Integral, 1, None, closed="left")
FITTED = ("model_", "_history", "_training_state", "feature_names_in_")
"""Attributes that a fit sets."""

SIZES = [list, tuple, np.ndarray, COUNT]


class BaseConvNet(NamedPartsMixin, VersionedMixin, CallbackSupportMixin, BaseEstimator, ABC):
    """Abstract base class of estimators with a convolutional network.

    A subclass lists the hyperparameters, and defines what targets are and which losses suit them. ``fit``
    leaves three objects behind: the model, which is all that prediction needs, the history and, if training
    may continue, its state. All other fitted attributes are read from these objects.

    Attributes
    ----------
    model_ : Model
    """

    model_: Model

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
    init_report_ = ReadFrom("_history", "init_report")

    _parameter_constraints: dict = {
        **dict.fromkeys(
            ["dropout", "momentum", "beta_1", "beta_2", "averaging_decay", "averaging_start"], [SHARE]
        ),
        **dict.fromkeys(["kernel_size", "pool_size", "hidden_layer_sizes"], SIZES),
        **dict.fromkeys(["learning_rate_init", "epsilon"], [POSITIVE]),
        **dict.fromkeys(["clip_norm", "max_time"], [POSITIVE, None]),
        **dict.fromkeys(["warmup", "tol"], [NOT_NEGATIVE]),
        **dict.fromkeys(["nesterovs_momentum", "shuffle", "early_stopping", "warm_start"], ["boolean"]),
        "layers": [list, tuple, None],
        "conv_layer_sizes": [StrOptions({"auto"}), *SIZES],
        "pooling": [StrOptions(set(POOLING)), None],
        "normalization": [StrOptions(set(NORMALIZATION)), None],
        "activation": [StrOptions({*ACTIVATIONS, "identity"} - {"softmax"}), Activation],
        "image_shape": [list, tuple, np.ndarray, None],
        "data_format": [StrOptions({"channels_last", "channels_first"})],
        "input_scaling": [StrOptions({"standardize"}), tuple, list, None],
        "init_scaling": [StrOptions({"unit_variance"}), None],
        "init": [Mapping, FrozenEstimator, None],
        "dtype": [StrOptions({"auto", "float32", "float64"})],
        "augmentation": [StrOptions({"auto"}), list, tuple, None],
        "tta": [StrOptions({"flip"}), list, tuple, None],
        "solver": [StrOptions({*OPTIMIZERS, "lbfgs"})],
        "alpha": [NOT_NEGATIVE, StrOptions({"auto"})],
        "batch_size": [StrOptions({"auto"}), COUNT],
        "learning_rate": [StrOptions(set(SCHEDULES))],
        "learning_rate_factors": [Mapping, None],
        "step_size": [COUNT],
        "step_factor": [Interval(Real, 0, 1, closed="right")],
        "averaging": [StrOptions(set(AVERAGING)), None],
        "max_iter": [COUNT, None],
        "n_iter_no_change": [COUNT, Options(Real, {np.inf})],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "validation_split": [HasMethods(["split", "get_n_splits"]), None],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "backend": [StrOptions(set(BACKENDS))],
        "checkpoint": [Checkpoint, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def _assign(self, hyperparameters):
        """Set the hyperparameters: the ``locals()`` of a constructor that has no other variables."""
        for name, value in hyperparameters.items():
            if name != "self":
                setattr(self, name, value)

    def _all_params(self):
        """Return the hyperparameters, those of the constructor and others; some may be properties."""
        return vars(self) | self.get_params(deep=False)

    # What a subclass defines

    _losses: Mapping[str, type[Loss]]
    """Losses by value of the parameter ``loss``."""

    _kinds: tuple[str, ...]
    """Kinds of outputs, as in :class:`skcnn.data.samples.Outputs`."""

    @abstractmethod
    def _check_targets(self, y, n_samples, rows=slice(None), known=None, *, name="y", **options):
        """Return targets of the loss, and the outputs that they are for.

        Parameters
        ----------
        y : array-like of shape (n_samples, ...)
        n_samples : int or None
            Expected length; None for any.
        rows : ndarray of int or slice
            The rows that are used.
        known : Outputs or None
            What scores are for. None: what y says.
        name : str
            Name of y for messages.
        **options : dict
            Further arguments of a call about targets.
        """

    def _check_samples(self, X, y, sample_weight, known=None, *, suffix="", may_be_empty=False, **options):
        """Return samples of validated images; ``suffix`` follows the names of y and weights in messages."""
        name = f"sample_weight{suffix}"
        weights, rows = check_weights_and_rows(sample_weight, len(X), name=name, may_be_empty=may_be_empty)
        targets, outputs = self._check_targets(y, len(X), rows, known, name=f"y{suffix}", **options)
        return Samples(X, targets, weights, rows, outputs, given_weights=sample_weight is not None)

    def _class_weights(self, samples):
        """Return the factor of the loss for each class, or None if all are one."""

    def _make_loss(self, samples):
        """Return the loss."""
        kind = self._losses[self.loss]
        return kind(**{name: getattr(self, name) for name in kind.hyperparameters})

    def _smoothing(self, loss):
        """Return the label smoothing of a loss."""
        return 0.0

    def _target_scaling(self, samples, loss, known=None):
        """Return the scaling of numbers to predict, which updates a known one; None for classes."""

    def _aim(self, loss):
        """Return everything except the data that the loss of an epoch depends on, as a string."""
        parts = [self.loss, vars(loss), self.alpha, self.solver]
        factors = self.learning_rate_factors or {}
        if 0 in factors.values():  # the penalty leaves out what is frozen
            parts += sorted((key, factor != 0) for key, factor in factors.items())
        return repr(parts)

    # A fit

    def _fit(self, X, y, sample_weight, mode, *, given_validation=None, **options):
        """Validate, build and train; take over the result only if all goes well."""
        deadline = math.inf if self.max_time is None else time.perf_counter() + float(self.max_time)
        kernels = kernels_of(self.backend)
        draft = copy_without_callbacks(self)  # gets the names of the features, as the checks may still fail
        previous = None if mode.is_fresh else self.model_
        images = check_images(draft, X, y, reset=mode.is_fresh, format=previous.format if previous else None)
        known = previous.outputs if previous else None
        samples = self._check_samples(
            images, y, sample_weight, known, may_be_empty=mode is Mode.CHUNK, **options
        )
        class_weight = self._class_weights(samples)
        state = self._next_state(mode)
        file = self._checkpoint_file(mode, samples, state.seed, given_validation, options)
        saved = None if file is None else file.begin()
        if saved is not None:
            state.seed = saved.state.seed
        if mode is Mode.CHUNK and not samples.loss_weights(class_weight).any():
            return self  # no sample counts
        format = previous.format if previous else self._format_of(images.shape, images.dtype)
        if not previous and self.image_shape is None:
            warn_of_layout(images.shape, channels_first=format.channels_first)
        loss = self._make_loss(samples)
        samples, held_out = draft._split(samples, format, given_validation, state.seed)
        if mode is Mode.CHUNK:  # all calls use one scale, so that the weight of a chunk as a whole counts
            mean_weight = self._history.mean_weight
        else:
            mean_weight = mean_of_weights(samples.loss_weights(class_weight))
        model = self._next_model(mode, samples, format, loss, mean_weight, state.seed)
        history = self._next_history(mode, model, mean_weight)
        if mode.is_fresh and self.init is not None:
            history = replace(history, init_report=self._take_over_weights(model))
        data = self._training_data(mode, samples, model, class_weight, mean_weight, state.seed)
        validation = draft._validation(model, history, held_out, class_weight)
        objective = self._objective(mode, model, len(samples))
        watch = begin_fit(
            self,
            samples_for_callbacks(X if hasattr(draft, "feature_names_in_") else samples.X, samples),
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
            given=layers_taken(history.init_report),
            deadline=deadline,
            kernels=kernels,
            verbose=self.verbose,
            file=file,
            saved=saved,
        )
        return self._carry_out(fit, draft)

    def _carry_out(self, fit, draft):
        """Run a fit and take over its result, also after Ctrl-C."""
        try:
            fit.run()
            fit.watch.end(fit.result.copy)
        except KeyboardInterrupt:
            if fit.has_progressed and fit.result is not None:
                self._take_over(draft._with_result(fit.mode, fit.result))
                warn_user("Training was interrupted; the weights of the last complete step are kept")
            raise
        fit.warn(self)
        self._take_over(draft._with_result(fit.mode, fit.result))
        if fit.file is not None:
            fit.file.remove()
        return self

    def _with_result(self, mode, result):
        """Return a fitted copy of a draft, with a result of training."""
        fitted = copy.copy(self)
        drop_fitted(fitted, keep=("feature_names_in_",))
        fitted.model_, fitted._history = result.model, result.history
        if mode.is_partial or self.warm_start:
            fitted._training_state = result.state
        return fitted

    def _take_over(self, fitted):
        """Take over the fitted attributes of a fitted copy."""
        taken = {name: value for name, value in vars(fitted).items() if name in FITTED}
        drop_fitted(self, keep=taken)
        self.__dict__.update(taken)

    # Parts of a fit

    def _format_of(self, shape, dtype=FLOAT32):
        """Return the format of images in an array of this shape and dtype, without scaling."""
        channels_first = self.data_format == "channels_first"
        dtype = "float64" if dtype.kind == "f" and dtype.itemsize >= 8 else "float32"
        return ImageFormat(
            resolve_image_shape(shape, self.image_shape, channels_first=channels_first),
            channels_first,
            np.dtype(dtype if self.dtype == "auto" else self.dtype),
        )

    def _format_without_images(self):
        """Return the format that the parameters define without X; ``dtype="auto"`` then means float32."""
        if self.image_shape is None:
            raise ValueError("the shape of the images is unknown before fit: give X, or set image_shape")
        return self._format_of((0, *self.image_shape))

    def _next_state(self, mode):
        """Return a copy of the last training state, or a new state that continues its counts.

        A new state continues the average from the fitted weights, and counts them as an average of all
        earlier steps: the first steps of a new optimizer are large and would distort a new average.
        """
        if not mode.is_fresh and hasattr(self, "_training_state"):
            return self._training_state.copy()
        state = TrainingState(int.from_bytes(check_random_state(self.random_state).bytes(16), "little"))
        if not mode.is_fresh:
            state.epoch, state.n_samples_seen = len(self.history_), self.t_
            state.n_averaged = len(self.batch_losses_)
            state.slots["average"] = self.network_.vector.copy()
        return state

    def _checkpoint_file(self, mode, samples, seed, given_validation, options):
        """Return the file of a fit; None if there is none."""
        if self.checkpoint is None or mode.is_partial:
            return None
        before = copy_without_callbacks(self)
        parameters = self._all_params() | {"class": type(self).__name__, "shape of X": samples.X.shape}
        if mode.is_fresh:
            for name in FITTED:
                vars(before).pop(name, None)
        else:
            parameters["last call"] = [vars(self).get(name) for name in FITTED]
        if self.random_state is not None or not mode.is_fresh:
            parameters["random_state"] = seed
        arrays = {"y": samples.targets, "sample_weight": samples.weights}
        for name, value in {"X": samples.X, **(given_validation or {}), **options}.items():
            if value is not None and name in ("X", "X_val"):
                arrays[name] = some_rows(as_image_array(value, estimator=self))
            elif value is not None:
                arrays[name] = np.asarray(value)
        return CheckpointFile(self.checkpoint, before, fingerprint_of(parameters, arrays))

    def _next_history(self, mode, model, mean_weight):
        """Return the history of the earlier calls, with the mean weight and the aim of this call."""
        aim = self._aim(model.loss)
        if model.target_scaling is not None:
            aim += repr(model.target_scaling.scale.tolist())
        return History(mean_weight, aim) if mode.is_fresh else self._history.with_aim(mean_weight, aim)

    def _split(self, samples, format, given, seed):
        """Return the training samples, and the validation samples or None."""
        if given is None or not self.early_stopping:
            return samples, None
        if given["X_val"] is None and self.validation_split is not None:
            return split_by(samples, self.validation_split, given["groups"])
        if given["X_val"] is None:
            return split_validation(samples, self.validation_fraction, seed)
        X = check_images(self, given["X_val"], format=format)
        y, weights = given["y_val"], given["sample_weight_val"]
        return samples, self._check_samples(X, y, weights, samples.outputs, suffix="_val")

    def _next_model(self, mode, samples, format, loss, mean_weight, seed):
        """Return a model to train: with initial weights, or a copy of the fitted model."""
        if not mode.is_fresh:
            return self._continued_model(mode, samples, format, loss, mean_weight)
        classes = samples.outputs.classes
        layers, nodes = self._layers(format.image_shape, len(classes))
        format = self._first_scaling(samples, format, mean_weight)
        network = init_network(nodes, dtype=format.dtype, seed=seed)
        model = Model(layers, network, format, classes, loss, seed=seed, made_with=versions())
        return self._with_first_target_scaling(model, samples)

    def _continued_model(self, mode, samples, format, loss, mean_weight):
        """Return a copy of the fitted model to train on."""
        if not mode.is_partial:  # partial_fit must be cheap
            check_same_nodes(self._layers(self.image_shape_, self.n_outputs_)[1], self.network_.nodes)
        if mode is Mode.CHUNK and format.moments is not None:
            format = self._scale_format(samples, format, mean_weight)
        model = self.model_.replace(
            network=self.network_.copy(),
            format=format,
            loss=loss,
            target_scaling=self._target_scaling(samples, loss, self.model_.target_scaling),
            made_with=versions(),
        )
        if not model.has_outputs_of(self.model_):
            raise ValueError(
                f"training cannot continue with loss={self.loss!r}, for which the fitted scores mean "
                "something else: call fit with warm_start=False to start anew"
            )
        return model

    def _with_first_target_scaling(self, model, samples):
        """Return a model with the scaling of numbers to predict, which it first predicts by their mean."""
        known = None
        if isinstance(self.init, FrozenEstimator) and model.has_outputs_of(self.init.model_):
            known = self.init.model_.target_scaling
        scaling = self._target_scaling(samples, model.loss, known)
        output = model.layers[-1][0]
        if scaling is not None and self._factors(model).get(output) != 0:
            model.network.params[output]["weight"].fill(0)
        return model.replace(target_scaling=scaling)

    def _first_scaling(self, samples, format, mean_weight):
        """Return the format with the scaling of a first call."""
        if self.input_scaling is None:
            return format
        if not isinstance(self.input_scaling, str):
            return fixed_scaling(format, self.input_scaling, samples.X.dtype)
        if isinstance(self.init, FrozenEstimator):
            known = self.init.model_.format
            if known.mean is None:
                return format
            if len(known.mean) == format.image_shape[-1]:
                return fixed_scaling(format, (known.mean, known.deviation), samples.X.dtype)
        return self._scale_format(samples, format, mean_weight)

    def _take_over_weights(self, model):
        """Give a model the weights of ``init``, and return the report for ``init_report_``."""
        if not isinstance(self.init, FrozenEstimator):
            return take_over(model.network, self.init)
        known = self.init.model_
        output = frozenset() if model.has_outputs_of(known) else {model.layers[-1][0]}
        return take_over(model.network, weights_by_name(known.network), left_out=output)

    def _freeze(self, model):
        """Freeze layers of factor 0, but not all layers, and return the factors of the learning rate."""
        factors = self._factors(model)
        model.network.frozen = frozenset(name for name, factor in factors.items() if factor == 0)
        if not model.network.trained:
            raise ValueError(
                f"learning_rate_factors={self.learning_rate_factors} freezes all layers: nothing is left to "
                "train"
            )
        return factors

    def _factors(self, model):
        """Return the factors of the learning rate by layer."""
        given = self.learning_rate_factors or {}
        return factors_of_nodes(model.graph, given, parameter="learning_rate_factors")

    def _scale_format(self, samples, format, mean_weight):
        """Return the format with the scaling of these samples and, in a stream, all earlier ones."""
        weights = samples.weights[samples.rows]
        with np.errstate(over="ignore"):
            total = min(divide(weights, mean_weight).sum(), 1e100)  # always finite
        return standardize(samples.source(format), None if np.ptp(weights) == 0 else weights, total=total)

    def _layers(self, image_shape, n_outputs):
        """Return all layers that the hyperparameters define, and their nodes."""
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

    def _training_data(self, mode, samples, model, class_weight, mean_weight, seed):
        """Return the training data: samples, weights and augmentation."""
        data = samples.training_data(model.format, class_weight, mean_weight, model.target_scaling)
        data.is_representative = samples.are_representative or not mode.is_partial
        augmentations = augmentations_of(self.augmentation, model.format.image_shape)
        if augmentations:
            data.augmenter = Augmenter(augmentations, seed, data.weights)
        return data

    def _objective(self, mode, model, n_samples):
        """Freeze layers of factor 0, and return what is minimised, how, and until when."""
        return make_objective(
            self._all_params(),
            model.loss,
            label_smoothing=self._smoothing(model.loss),
            dtype=model.network.dtype,
            n_samples=n_samples,
            n_epochs=1 if mode.is_partial else None,
            factors=self._freeze(model),
        )

    def _validation(self, model, history, samples, class_weight):
        """Return the validation, or None without validation samples."""
        if samples is None:
            return None
        scored = copy.copy(self)
        scored.model_, scored._history = model, history
        scored.__dict__.pop("feature_names_in_", None)  # the samples are arrays now, without names
        return Validation(scored, model, samples, class_weight, self._smoothing(model.loss))

    # Checks of parameters

    def _begin_call(self, *, is_partial=False, given_validation=None):
        """Return the mode of a call, after checks that its parameters fit the mode and each other."""
        is_fitted = hasattr(self, "model_")
        if is_partial:
            mode = Mode.CHUNK if is_fitted else Mode.FIRST_CHUNK
        else:
            mode = Mode.WARM_FIT if is_fitted and self.warm_start else Mode.FIT
            check_validation_arguments(self, given_validation)
        if mode is Mode.CHUNK:
            check_hyperparameters(self)  # scikit-learn does this in the first call only
        self._check_parameters()
        if is_partial:
            self._check_needs_no_foresight()
        return mode

    def _check_parameters(self):
        """Raise a ValueError for invalid augmentation, tta or init, or for what the solver cannot use."""
        augmentations = augmentations_of(self.augmentation, (1, 1, 1))  # here any shape will do
        check_solver(self._all_params(), has_augmentation=bool(augmentations))
        if self.checkpoint is not None:
            check_hyperparameters(self.checkpoint)
            if self.solver == "lbfgs":
                raise ValueError("solver='lbfgs' cannot go on from a checkpoint: set checkpoint=None")
        changes_of_views(self.tta)
        if isinstance(self.init, FrozenEstimator):
            check_holds_model(self.init)

    def _check_needs_no_foresight(self):
        """Raise a ValueError for parameters that need to know all samples or epochs in advance."""
        check_has_no_horizon(self.learning_rate, self.averaging)

    # Prediction

    def _score_images(self, X):
        """Return the model and its scores of images; another thread may replace the model meanwhile."""
        check_is_fitted(self, "model_")
        model = self.model_
        X = check_images(self, X, format=model.format)
        return model, model.scores(X, changes_of_views(self.tta), kernels_or_numpy(self.backend))

    # Weights

    def get_weights(self):
        """Return a copy of the weights, including running statistics.

        Returns
        -------
        weights : dict of str to ndarray
            By "layer/parameter", such as "conv1/weight".

        Raises
        ------
        NotFittedError
            Before ``fit``.

        Examples
        --------
        >>> import numpy as np
        >>> from skcnn import ConvNetClassifier
        >>> clf = ConvNetClassifier([], max_iter=1).fit(np.eye(4), [0, 1, 0, 1])
        >>> {name: value.shape for name, value in clf.get_weights().items()}
        {'output/weight': (4, 2), 'output/bias': (2,)}
        """
        check_is_fitted(self, "model_")
        return {name: value.copy() for name, value in weights_by_name(self.network_).items()}

    def set_weights(self, weights):
        """Replace weights of a fitted network; later training starts with a new optimizer.

        Parameters
        ----------
        weights : mapping of str to array-like
            By "layer/parameter". All other weights stay.

        Returns
        -------
        self : estimator instance

        Raises
        ------
        NotFittedError
            Before ``fit``.
        TypeError
            If ``weights`` is no mapping.
        ValueError
            If there is no such weight, or it has another shape or values that are not finite; the message
            lists all that do not fit. Then all weights stay.
        """
        check_is_fitted(self, "model_")
        self.model_ = self.model_.replace(network=with_weights(self.network_, weights))
        self.__dict__.pop("_training_state", None)
        return self

    # Pictures of the layers

    def summary(self, X=None, y=None):
        """Return a table of the layers: shapes, parameters, multiply-adds and sizes of activations.

        After ``fit``, the table shows ``network_``. Before ``fit``, it shows the network that ``fit(X, y)``
        would build. Shapes alone are enough for this: nothing is trained, no weights are created (except by
        custom layers without ``param_shapes``), and the estimator stays unchanged.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), default=None
            Images, checked as in ``fit`` or, after ``fit``, as in ``predict``. None: before ``fit``, the
            parameter ``image_shape`` gives their shape.
        y : array-like of shape (n_samples, ...), default=None
            Targets, checked as in ``fit``. None: before ``fit``, the size of the output layer is
            unknown, and the totals leave it out.

        Returns
        -------
        summary : NetworkSummary
            Prints as a table; ``summary.records`` is a list of dicts.

        Raises
        ------
        ValueError
            If a parameter, a layer or the data are invalid, with the message of ``fit``; ``fit`` itself may
            find more errors in training. If neither X nor ``image_shape`` is given.
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
            self._check_targets(y, None if X is None else len(X), known=self.model_.outputs)
        return summary_of_network(self.network_)

    def _plan_summary(self, X, y):
        """Return the summary of the network that ``fit`` would build."""
        check_hyperparameters(self)
        self._check_parameters()
        if X is None:
            format = self._format_without_images()
        else:
            X = check_images(copy.copy(self), X, reset=True)
            format = self._format_of(X.shape, X.dtype)
        classes = [0] if y is None else self._check_targets(y, None if X is None else len(X))[1].classes
        _, nodes = self._layers(format.image_shape, len(classes))
        summary = summary_of_nodes(nodes, format.dtype)
        if X is None and self.dtype == "auto":
            summary = replace(summary, notes=(ASSUMED_DTYPE,))
        return with_unknown_output(summary) if y is None else summary

    @available_if(lambda estimator: VisualBlock is not None)
    def _sk_visual_block_(self):
        """Return the visual block of the layers or, if they are unknown, of the estimator alone."""
        layers, nodes = self._find_layers()
        if not layers:
            return VisualBlock("single", self, names=type(self).__name__, name_details=str(self))
        visual = draw_stack(layers, nodes, searchable=self.get_params().keys())
        visual.dash_wrapped = True
        return visual

    def _find_layers(self):
        """Return the named layers and the nodes of the network, or of the one that ``fit`` would build."""
        if hasattr(self, "model_"):
            return self.layers_, self.network_.nodes
        try:
            check_hyperparameters(self)
            layers, nodes = self._layers(self._format_without_images().image_shape, 1)
        except Exception:  # fit reports what is wrong or missing
            return name_layers(self.layers), ()
        return layers[:-1], nodes  # without the output layer, as its size is unknown

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def plan_graph(estimator: BaseConvNet, shape: tuple[int, ...] | None) -> Graph | None:
    """Return the graph of the layers that ``fit`` would build for an array of images of this shape.

    Parameters
    ----------
    estimator : BaseConvNet
    shape : tuple of int or None
        None: the parameter ``image_shape`` gives the shape of an image.

    Returns
    -------
    graph : Graph or None
        None if the shape of the images is unknown.

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
