"""What one call of fit does with validated samples: split, weigh, train, and watch the score."""

import copy
import math
import time
import warnings
from math import ceil

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split

from skcnn.batches import ImageSource
from skcnn.execution import Batch, Executor
from skcnn.losses import LOSSES, dense_targets
from skcnn.optimizers import SGD, Adam
from skcnn.random_streams import RandomStreams
from skcnn.schedules import SCHEDULES
from skcnn.training import Diverged, Objective, Progress, TrainingData, train_epochs


class Samples:
    """Validated samples, or a part of them.

    Parameters
    ----------
    X : ndarray of shape (n, ...)
    codes : ndarray of shape (n,)
        Indices of the classes.
    weights : ndarray of shape (n,), float64
    rows : ndarray of int
        The rows that count.
    given_weights : bool
        Whether the user gave the weights.
    """

    def __init__(self, X, codes, weights, rows, *, given_weights):
        self.X = X
        self.codes = codes
        self.weights = weights
        self.rows = rows
        self.given_weights = given_weights

    def __len__(self):
        return len(self.rows)

    def part(self, rows: np.ndarray) -> "Samples":
        """Return the samples of some rows."""
        return Samples(self.X, self.codes, self.weights, rows, given_weights=self.given_weights)

    def training_data(self, format, class_weight: np.ndarray) -> TrainingData:
        """Return the samples with the factors of their losses.

        Raises
        ------
        ValueError
            If sample and class weights leave nothing to train on.
        """
        codes, weights = self.codes[self.rows], self.weights[self.rows]
        loss_weights = weights * class_weight[codes]
        if len(self) and not loss_weights.any():
            raise ValueError("sample_weight times class_weight is zero for every sample")
        return TrainingData(
            images=ImageSource(self.X, format, None if len(self) == len(self.X) else self.rows),
            codes=codes,
            loss_weights=loss_weights / loss_weights.mean() if len(self) else loss_weights,
            weights=None if np.ptp(weights) == 0 else weights,
        )


def split_validation(samples: Samples, fraction: float, seed: int) -> tuple[Samples, Samples | None]:
    """Split off validation samples, stratified by class.

    Samples that are alone in their class stay with the training samples.

    Parameters
    ----------
    samples : Samples
    fraction : float
        Share of the validation samples.
    seed : int

    Returns
    -------
    training : Samples
    validation : Samples or None
        None, after a warning, where there are too few samples for one of each class on either side.
    """
    codes = samples.codes[samples.rows]
    splittable = np.bincount(codes)[codes] >= 2
    n_classes = len(np.unique(codes[splittable]))
    n_validation = ceil(fraction * splittable.sum())
    if n_classes < 1 or n_validation < n_classes or splittable.sum() - n_validation < n_classes:
        warnings.warn(
            f"{len(samples)} samples are too few to split off a validation_fraction of {fraction}: training "
            "without early stopping",
            UserWarning,
            stacklevel=5,
        )
        return samples, None
    training, validation = train_test_split(
        samples.rows[splittable], test_size=fraction, stratify=codes[splittable], random_state=seed
    )
    training = np.sort(np.concatenate([training, samples.rows[~splittable]]))
    return samples.part(training), samples.part(np.sort(validation))


class Validation:
    """Scores a model on validation samples after each epoch.

    Parameters
    ----------
    model : ConvNetClassifier
        With the attributes that prediction needs.
    samples : Samples
    class_weight : ndarray of shape (n_classes,)
    """

    def __init__(self, model, samples: Samples, class_weight: np.ndarray):
        self._samples = samples
        self._data = samples.training_data(model._image_format, class_weight)
        self._scorer = None if model.scoring is None else check_scoring(model, scoring=model.scoring)
        if self._scorer is not None:
            self._X = samples.X[samples.rows]
            self._y = model.classes_[self._data.codes]

    def score(self, model, pool) -> float:
        """Return the score, the larger the better."""
        if self._scorer is None:
            return -self._loss(model, pool)
        probe = copy.copy(model)  # the arrays have no feature names any more
        vars(probe).pop("feature_names_in_", None)
        weights = {"sample_weight": self._samples.weights[self._samples.rows]}
        return float(self._scorer(probe, self._X, self._y, **(weights if self._samples.given_weights else {})))

    def _loss(self, model, pool):
        data, network = self._data, model.network_
        scores = np.empty((len(data.images), network.n_outputs), network.dtype)
        Executor(network, pool, training=False).predict(Batch(len(scores), data.images.read), scores)
        targets = dense_targets(
            data.codes, network.n_outputs, label_smoothing=model.label_smoothing, dtype=network.dtype
        )
        losses = LOSSES[model.loss]().values(scores, targets)
        return float(np.average(losses, weights=data.loss_weights))


def objective_of(model) -> Objective:
    """Return what the hyperparameters of an estimator ask to minimise, and how."""
    if model.solver == "sgd":
        optimizer = SGD(model.momentum, model.nesterovs_momentum)
    else:
        optimizer = Adam(model.beta_1, model.beta_2, model.epsilon)
    return Objective(
        loss=LOSSES[model.loss](),
        label_smoothing=float(model.label_smoothing),
        alpha=float(model.alpha),
        optimizer=optimizer,
        schedule=SCHEDULES[model.learning_rate](float(model.learning_rate_init)),
        clip_norm=None if model.clip_norm is None else float(model.clip_norm),
    )


def batch_size_of(model, n_samples: int) -> int:
    """Return the number of samples of a minibatch, a function of the parameter and n_samples alone."""
    if model.batch_size == "auto":
        return min(64, n_samples) if n_samples <= 10_000 else 128
    return min(model.batch_size, n_samples)


def train(model, data: TrainingData, validation: Validation | None, pool, *, max_iter: int, state) -> None:
    """Train the network of an estimator and keep the record in its attributes.

    Parameters
    ----------
    model : ConvNetClassifier
        With ``network_`` and the attributes that :func:`start_record` sets; updated.
    data : TrainingData
    validation : Validation or None
        None: the training loss decides when to end.
    pool : WorkerPool
    max_iter : int
        Largest number of epochs.
    state : TrainingState
        Updated.
    """
    deadline = math.inf if model.max_time is None else time.perf_counter() + model.max_time
    objective = objective_of(model)
    progress = Progress(model.tol, model.n_iter_no_change)
    best = None
    epochs = train_epochs(
        model.network_,
        data,
        state,
        objective,
        batch_size=batch_size_of(model, len(data.images)),
        shuffle=model.shuffle,
        pool=pool,
        out_of_time=lambda: time.perf_counter() >= deadline,
    )
    model.n_iter_ = 0
    try:
        for record in epochs:
            score = -record["loss"] if validation is None else validation.score(model, pool)
            add_record(model, record, None if validation is None else score)
            if progress.update(score) and validation is not None:
                best = model.network_.snapshot()
            if progress.is_stuck:
                if not objective.schedule.goes_on_after_plateau(record["learning_rate"]):
                    break
                state.n_plateaus += 1
                progress.reset()
            if model.n_iter_ == max_iter or time.perf_counter() >= deadline:
                break
    except Diverged as error:
        warnings.warn(
            f"Training diverged: {error}. The weights from before this epoch are kept. A smaller "
            f"learning_rate_init than {model.learning_rate_init} or clip_norm may help.",
            ConvergenceWarning,
            stacklevel=4,
        )
    finally:
        if best is not None:
            model.network_.restore(best)
        model.t_ = state.n_samples_seen


def start_record(model) -> None:
    """Set the attributes that record the course of training to their beginning."""
    model.history_ = []
    model.loss_curve_ = []
    model.validation_scores_ = model.best_validation_score_ = model.best_loss_ = None
    model.loss_ = math.nan
    model.n_iter_ = model.t_ = 0


def add_record(model, record: dict, score: float | None) -> None:
    """Add an epoch to the record of a model, and print it if asked to."""
    model.n_iter_ += 1
    model.loss_ = record["loss"]
    model.loss_curve_ = [*model.loss_curve_, model.loss_]
    if score is None:
        model.best_loss_ = min(model.loss_curve_)
    else:
        record["validation_score"] = score
        model.validation_scores_ = [*(model.validation_scores_ or []), score]
        model.best_validation_score_ = max(model.validation_scores_)
        model.best_loss_ = None
    model.history_ = [*model.history_, record]
    if model.verbose:
        shown = "" if score is None else f"  validation score {score:9.5f}"
        print(f"epoch {record['epoch']:4d}  loss {record['loss']:10.5f}{shown}  {record['seconds']:8.2f} s")


def seed_of(random_state) -> int:
    """Draw once from a RandomState: the seed of all streams."""
    return int.from_bytes(random_state.bytes(16), "little")


def validation_seed(seed: int) -> int:
    """Return the ``random_state`` of the validation split."""
    return RandomStreams(seed).integer("split")
