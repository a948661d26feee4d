"""What fit and partial_fit do: validate, build, train a copy of the estimator, and take it over."""

import copy
import functools
import math
import time
import warnings
from itertools import zip_longest

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from skcnn.architecture import compact_layers, complete_layers, explicit_layers
from skcnn.augmentation import Augmentation, Mixing, auto_augmentation
from skcnn.data.augmented import Augmenter, changes_of_views, entries_of
from skcnn.data.images import (
    ImageFormat,
    ImageSource,
    as_image_array,
    check_image_layout,
    resolve_image_shape,
    standardized,
)
from skcnn.data.samples import (
    Samples,
    check_classes,
    check_labels,
    check_sample_weight,
    class_weights,
    encode_labels,
    mean_of_weights,
    split_validation,
)
from skcnn.network.graph import Step
from skcnn.network.losses import LOSSES
from skcnn.network.network import Network
from skcnn.network.threads import worker_pool
from skcnn.random_streams import RandomStreams
from skcnn.training.averaged import VALIDATED_SAMPLES, averaged_network
from skcnn.training.averaging import AVERAGING
from skcnn.training.callbacks import begin_fit, callback_attributes, copy_without_callbacks
from skcnn.training.lbfgs import minimize_lbfgs
from skcnn.training.loop import DivergenceError, train_epochs
from skcnn.training.monitoring import Monitor, Validation
from skcnn.training.optimizers import OPTIMIZERS
from skcnn.training.schedules import SCHEDULES
from skcnn.training.starts import start_from_data
from skcnn.training.state import Objective, TrainingState

NO_WEIGHT = "{} is zero for every sample: at least one must be positive"


class FittingMixin:
    """The private side of an estimator's ``fit``, in the order in which it is called."""

    def _fit(self, X, y, sample_weight, *, fresh, classes=None, given_validation=None, partial=False):
        """Train a copy, and take over its attributes when all went well."""
        model = copy_without_callbacks(self)
        samples = model._check_samples(X, y, sample_weight, fresh=fresh, partial=partial, classes=classes)
        model._continue_state(fresh)
        state = model._training_state
        by_class = class_weights(
            self.class_weight, model.classes_, samples.codes[samples.rows], samples.weights[samples.rows]
        )
        if partial and not fresh and not samples.loss_weights(by_class).any():
            return self  # there is nothing to learn from
        validation_samples = None
        if self.early_stopping and not partial:
            samples, validation_samples = model._split(samples, given_validation, state.seed)
        if fresh or not partial:  # calls of partial_fit share one scale, or a chunk's weights would be lost
            model._mean_weight = mean_of_weights(samples.loss_weights(by_class))
        if fresh:
            model._build(samples, state.seed)
        else:
            if not partial:  # each partial_fit is to be cheap
                model._check_architecture()
            model.network_ = model.network_.copy()
        model._set_loss()
        data = samples.training_data(model._image_format, by_class, model._mean_weight)
        data.augmenter = model._augmenter(data, state.seed)
        validation = None if validation_samples is None else Validation(model, validation_samples, by_class)

        n_epochs = 1 if partial else self._n_epochs(len(data.images))
        tasks = begin_fit(
            self,
            model._seen_by_callbacks(X, samples),
            task_name="partial-fit" if partial else "fit",
            n_epochs=n_epochs,
        )
        steps_before = state.step
        try:
            with worker_pool() as pool:
                model._train(data, validation, pool, tasks, n_epochs, fresh=fresh, partial=partial)
            tasks.end(model._independent_copy)
        except KeyboardInterrupt:
            if state.step > steps_before:
                self._take_over(model)
                warnings.warn(
                    "Training was interrupted; the weights of the last complete step are kept", stacklevel=4
                )
            raise
        self._take_over(model)
        return self

    def _seen_by_callbacks(self, X, samples):
        """Return what callbacks may ask for of the training samples, of which parts are copied only then."""
        with_names = X if hasattr(self, "feature_names_in_") else samples.X  # predictions warn without names

        def metadata():
            return {"sample_weight": samples.weights[samples.rows]} if samples.given_weights else None

        return {
            "X": functools.cache(lambda: samples.rows_of(with_names)),
            "y": functools.cache(lambda: self.classes_[samples.codes[samples.rows]]),
            "metadata": metadata,
        }

    def _set_loss(self):
        """Set the loss; values of another one are not comparable."""
        self._loss = self._make(LOSSES[self.loss])
        self.out_activation_ = self._loss.out_activation
        parts = (
            self.loss,
            vars(self._loss),
            self.label_smoothing,
            self.class_weight,
            self.alpha,
            self.solver,
        )
        before, self._loss_kind = getattr(self, "_loss_kind", None), repr(parts)
        if before != self._loss_kind:
            self.best_loss_ = None

    def _continue_state(self, fresh):
        """Set the training state to a copy of the last one, or to a new one that goes on counting.

        Of a new one, an average goes on from the fitted weights as if it were one of all steps that led to
        them, for the first steps of a new optimizer are large.
        """
        if not fresh and hasattr(self, "_training_state"):
            self._training_state = self._training_state.copy()
            return
        seed = int.from_bytes(check_random_state(self.random_state).bytes(16), "little")
        state = self._training_state = TrainingState(seed)
        if not fresh:
            state.epoch, state.n_samples_seen = len(self.history_), self.t_
            state.n_averaged = len(self.batch_losses_)
            state.slots["average"] = self.network_.vector.copy()

    def _take_over(self, model):
        """Become the trained copy, but for the callbacks, which it has no part in."""
        self.__dict__ = vars(model) | callback_attributes(self)

    def _check_validation_arguments(self, given):
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

    def _check_solver(self):
        """Raise a ValueError for parameters that do not go together with the solver."""
        if self.solver == "lbfgs" and (self.augmentation == "auto" or self._augmentations()):
            raise ValueError(
                f"augmentation={self.augmentation!r} changes images from epoch to epoch, which "
                "solver='lbfgs' cannot follow: set augmentation=None or choose another solver"
            )
        if self.solver == "adamw" and self.learning_rate_init * self.alpha >= 1:
            raise ValueError(
                "solver='adamw' multiplies weights by 1 - learning_rate_init * alpha, which must be "
                f"positive, got learning_rate_init={self.learning_rate_init} and alpha={self.alpha}"
            )

    def _check_augmentation(self):
        """Raise a ValueError for lists of what are no augmentations."""
        self._augmentations()
        changes_of_views(self.tta)

    def _augmentations(self):
        """Return the entries of a list of augmentations; none where there is no list."""
        given = self.augmentation if isinstance(self.augmentation, list | tuple) else []
        return entries_of(given, (Augmentation, Mixing), parameter="augmentation")

    def _check_needs_no_foresight(self):
        """Raise a ValueError for what needs to know more than partial_fit can."""
        if isinstance(self.class_weight, str) and self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' is not supported by partial_fit, which does not see all samples: "
                "give the weights as a dict"
            )
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

    def _check_samples(self, X, y, sample_weight, *, fresh, partial, classes):
        """Validate training samples; on a fresh start, set what follows from them."""
        X = self._check_images(X, y, reset=fresh)
        y = check_labels(y, len(X))
        weights = check_sample_weight(sample_weight, len(X))
        rows = np.flatnonzero(weights)
        if not len(rows) and not (partial and not fresh):
            raise ValueError(NO_WEIGHT.format("sample_weight"))
        if fresh:
            self.classes_ = check_classes(y[rows], type(self).__name__) if classes is None else classes
            self._image_format = self._format_of(X.shape, X.dtype)
            self.image_shape_ = self._image_format.image_shape
            self.n_features_in_ = int(np.prod(self.image_shape_))
        codes = np.zeros(len(X), np.intp)
        codes[rows] = encode_labels(y[rows], self.classes_)
        return Samples(X, codes, weights, rows, given_weights=sample_weight is not None)

    def _check_images(self, X, y="no_validation", *, reset):
        """Return X as an array of images, with feature names checked."""
        validate_data(self, X, y, reset=reset, skip_check_array=True, ensure_2d=False)
        X = as_image_array(X, estimator=self)
        if not reset:
            check_image_layout(X.shape, self._image_format, estimator=self)
        return X

    def _format_of(self, shape, dtype):
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
        return self._format_of((0, *self.image_shape), np.dtype(np.float32))

    def _split(self, samples, given, seed):
        """Return training samples and validation samples or None."""
        if given["X_val"] is None:
            return split_validation(samples, self.validation_fraction, RandomStreams(seed).integer("split"))
        X_val = self._check_images(given["X_val"], reset=False)
        y_val = check_labels(given["y_val"], len(X_val), name="y_val")
        weights = check_sample_weight(given["sample_weight_val"], len(X_val), name="sample_weight_val")
        rows = np.flatnonzero(weights)
        if not len(rows):
            raise ValueError(NO_WEIGHT.format("sample_weight_val"))
        codes = np.zeros(len(X_val), np.intp)
        codes[rows] = encode_labels(y_val[rows], self.classes_, name="y_val")
        given_weights = given["sample_weight_val"] is not None
        return samples, Samples(X_val, codes, weights, rows, given_weights=given_weights)

    def _build(self, samples, seed):
        """Set scaling, layers and a network with initial weights."""
        self._initial_seed = seed  # with which the initial weights can be drawn again
        self.layers_, steps = self._layers(self.image_shape_, len(self.classes_))
        if self.input_scaling == "standardize":
            weights = samples.weights[samples.rows]
            source = ImageSource(samples.X, self._image_format, samples.rows)
            self._image_format = standardized(source, None if np.ptp(weights) == 0 else weights)
        self.network_ = Network(steps, dtype=self._image_format.dtype, streams=RandomStreams(seed))
        self.n_params_ = self.network_.n_params
        self.n_outputs_ = self.network_.n_outputs
        self._start_record()

    def _layers(self, image_shape, n_outputs):
        """Return the complete layers that the hyperparameters describe, and their steps."""
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

    def _planned(self, shape):
        """Return a copy with the layers that fit would build for images in an array of a shape.

        The parameters must have been validated.
        """
        planned = copy.copy(self)
        planned.image_shape_ = self._format_of(shape, np.dtype(np.float32)).image_shape
        planned.layers_, _ = self._layers(planned.image_shape_, 1)
        return planned

    def _augmenter(self, data, seed):
        """Return what changes the training images, or None."""
        if self.augmentation is None:
            return None
        is_auto = isinstance(self.augmentation, str)
        augmentations = auto_augmentation(self.image_shape_) if is_auto else self._augmentations()
        return Augmenter(augmentations, seed, data.weights)

    def _check_architecture(self):
        """Raise a ValueError if the layers are no longer those that the network was built of."""
        blank = Step("none", None, (), (), ())
        _, steps = self._layers(self.image_shape_, len(self.classes_))
        for step, built in zip_longest(steps, self.network_.steps, fillvalue=blank):
            if (step.name, step.inputs, repr(step.layer)) != (built.name, built.inputs, repr(built.layer)):
                raise ValueError(
                    f"training cannot go on: layer {built.name!r} was {built.layer!r} when the network was "
                    f"built, {step.name!r} is {step.layer!r} now; set warm_start=False to start anew"
                )

    def _train(self, data, validation, pool, tasks, n_epochs, *, fresh, partial):
        """Train the network and keep the record, until one of the reasons to end."""
        state, objective = self._training_state, self._objective(n_epochs)
        options = {"batch_size": self._batch_size(len(data.images)), "pool": pool}
        deadline = math.inf if self.max_time is None else time.perf_counter() + self.max_time
        if fresh:
            unit_variance, streams = self.init_scaling == "unit_variance", RandomStreams(state.seed)
            start_from_data(self.network_, data, unit_variance=unit_variance, streams=streams, **options)
        before, first_step = None if fresh else self.network_.copy(), state.step
        averaged = self._averager(data, objective, few_samples=partial and not fresh, **options)
        monitor = Monitor(
            objective,
            state,
            validation,
            lambda: averaged(n_samples=VALIDATED_SAMPLES),
            tol=self.tol,
            patience=self.n_iter_no_change,
            pool=pool,
            deadline=deadline,
            verbose=self.verbose,
        )

        def ended_copy():
            copied = self._independent_copy()
            copied._end(monitor, averaged, objective, partial=partial)
            return copied

        is_complete = has_diverged = False
        try:
            if validation is not None and self.validation_scores_ is not None:
                monitor.begin(self.network_)
            goes_on = tasks.begin_epochs(monitor.goes_on, ended_copy)
            self._minimize(data, objective, goes_on, deadline=deadline, **options)
            is_complete = True
        except DivergenceError as error:
            self._warn_of_divergence(error)
            is_complete = has_diverged = True
        finally:
            if has_diverged and not fresh and state.step == first_step:
                self._end(monitor, lambda: before, objective, partial=partial)
            else:  # no average on an interrupt, since it takes time
                kept = averaged if is_complete else lambda: self.network_
                self._end(monitor, kept, objective, partial=partial)
        tasks.end_epochs()
        if objective.averaging and not state.n_averaged and not has_diverged:
            warnings.warn(
                f"averaging={self.averaging!r} averaged nothing: training ended after {self.n_iter_} epochs, "
                f"before averaging_start={self.averaging_start} of {objective.n_epochs} epochs was reached",
                stacklevel=5,
            )

    def _independent_copy(self):
        """Return a copy that shares nothing that may change."""
        copied = copy.copy(self)
        copied.network_ = self.network_.copy()
        if hasattr(self, "_training_state"):
            copied._training_state = self._training_state.copy()
        return copied

    def _end(self, monitor, current_network, objective, *, partial):
        """Keep the record, the weights to predict with, and what training may go on from."""
        state = self._training_state
        self._take_records(monitor)
        self.t_ = state.n_samples_seen
        kept = current_network().snapshot() if monitor.best is None else monitor.best
        if objective.averaging and state.trained is None:  # training goes on from the last weights
            state.trained = self.network_.vector.copy()
        self.network_.restore(kept)
        if not (partial or self.warm_start):
            del self._training_state

    def _averager(self, data, objective, *, few_samples, batch_size, pool):
        """Return a function that gives the network to predict with, of averaged weights if that is wanted.

        It takes ``n_samples``, how many of them are to give running statistics, all if None.
        Where the samples may be too few for statistics of their own, those that are there are carried on.
        """
        state, options = self._training_state, {"batch_size": batch_size, "pool": pool}
        if objective.averaging is None:
            return lambda n_samples=None: self.network_
        if self.shuffle:  # batches of one class, where samples are sorted, would have too small a variance
            generator = RandomStreams(state.seed).generator("shuffle", 0, 1)
            options["order"] = generator.permutation(len(data.images))
        if few_samples:
            options["statistics"] = self.network_.copy().state()
        return functools.partial(averaged_network, self.network_, data, state, objective, **options)

    def _warn_of_divergence(self, error):
        advice = (
            "Other images or input_scaling"
            if self.solver == "lbfgs"
            else f"A smaller learning_rate_init than {self.learning_rate_init} or clip_norm"
        )
        warnings.warn(
            f"Training diverged: {error}. The weights of the last good epoch are kept. {advice} may help.",
            ConvergenceWarning,
            stacklevel=6,
        )

    def _minimize(self, data, objective, goes_on, *, batch_size, deadline, pool):
        """Let the solver work until ``goes_on`` says of the record of an epoch that it is enough."""
        state = self._training_state
        if objective.optimizer is None:
            minimize_lbfgs(self.network_, data, state, objective, tol=self.tol, pool=pool, goes_on=goes_on)
            return
        records = train_epochs(
            self.network_,
            data,
            state,
            objective,
            batch_size=batch_size,
            shuffle=self.shuffle,
            pool=pool,
            out_of_time=lambda: time.perf_counter() >= deadline,
        )
        for record in records:
            if not goes_on(record):
                break

    def _objective(self, n_epochs):
        """Return what the hyperparameters ask to minimise, and how."""
        options = {
            "loss": self._loss,
            "label_smoothing": self._smoothing_of_targets(),
            "alpha": float(self.alpha),
            "n_epochs": n_epochs,
        }
        if self.solver == "lbfgs":
            return Objective(**options)
        smallest = np.finfo(self.network_.dtype).smallest_subnormal
        if "epsilon" in OPTIMIZERS[self.solver].hyperparameters and self.epsilon < smallest:
            raise ValueError(
                f"epsilon={self.epsilon} is zero in {self.network_.dtype}, expected at least {smallest}"
            )
        schedule, averaging = SCHEDULES[self.learning_rate], AVERAGING.get(self.averaging)
        return Objective(
            **options,
            optimizer=self._make(OPTIMIZERS[self.solver]),
            schedule=self._make(
                schedule, float(self.learning_rate_init), n_epochs=n_epochs, warmup=float(self.warmup)
            ),
            clip_norm=None if self.clip_norm is None else float(self.clip_norm),
            averaging=None if averaging is None else self._make(averaging),
        )

    def _make(self, component, *arguments, **options):
        """Return an object of a class with the hyperparameters that it names."""
        return component(
            *arguments, **options, **{name: getattr(self, name) for name in component.hyperparameters}
        )

    def _batch_size(self, n_samples):
        """Return the samples of a minibatch, a function of the parameter and n_samples alone."""
        if self.batch_size == "auto":
            return min(64, n_samples) if n_samples <= 10_000 else 128
        return min(self.batch_size, n_samples)

    def _smoothing_of_targets(self):
        """Return the label smoothing, nil where targets are margins."""
        return float(self.label_smoothing) if self._loss.gives_probabilities else 0.0

    def _n_epochs(self, n_samples):
        """Return the largest number of epochs, a function of the parameter and n_samples alone."""
        if self.max_iter is None:
            return min(max(10, -(-600_000 // n_samples)), 50)
        return self.max_iter

    def _start_record(self):
        """Set the attributes that record the course of training to their beginning."""
        self.history_ = []
        self.loss_curve_ = []
        self.batch_losses_ = []
        self.validation_scores_ = self.best_validation_score_ = self.best_loss_ = None
        self.loss_ = math.nan
        self.n_iter_ = self.t_ = 0

    def _take_records(self, monitor):
        """Add what was recorded, in new lists that the estimator before does not share."""
        self.n_iter_ = len(monitor.records)
        n_before = len(self.batch_losses_)  # without those of an epoch that was broken off
        self.batch_losses_ = [*self.batch_losses_, *monitor.batch_losses]
        records = [record | {"step": n_before + record["step"]} for record in monitor.records]
        self.history_ = [*self.history_, *records]
        losses = [record["loss"] for record in monitor.records]
        scores = [record["validation_score"] for record in monitor.records if "validation_score" in record]
        self.loss_curve_ = [*self.loss_curve_, *losses]
        self.loss_ = self.loss_curve_[-1] if self.loss_curve_ else math.nan
        if scores:
            self.validation_scores_ = [*(self.validation_scores_ or []), *scores]
            self.best_validation_score_, self.best_loss_ = max(scores), None
            if monitor.best_score is not None:  # of these epochs or of the weights before them
                self.best_validation_score_ = monitor.best_score
        elif losses:
            self.best_validation_score_ = None
            self.best_loss_ = min(losses if self.best_loss_ is None else [self.best_loss_, *losses])
