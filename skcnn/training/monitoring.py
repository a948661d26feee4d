"""What happens after each epoch: validation, records, and whether training continues."""

import copy
import math
import warnings
from dataclasses import dataclass, field, replace
from inspect import signature
from numbers import Real
from typing import Any

import numpy as np
from sklearn.metrics import brier_score_loss, check_scoring, d2_log_loss_score, log_loss

from skcnn._sklearn import metric, response_method
from skcnn.data.samples import Samples, mean_of_weights
from skcnn.encoding import register_dataclass
from skcnn.kernels.table import NUMPY
from skcnn.network.executor import Batch, Executor
from skcnn.network.losses import dense_targets
from skcnn.network.model import Model
from skcnn.network.network import Network
from skcnn.network.threads import current_numpy_state
from skcnn.training.loop import DivergenceError
from skcnn.training.state import Objective, TrainingState
from skcnn.training.time_limit import TimeLimit

LOSSES_OF_ONE_CLASS = (log_loss, brier_score_loss, d2_log_loss_score)
"""Metrics that take a matrix of labels for probabilities of classes, of which each image has one."""


class Progress:
    """Keeps the best value of a quantity, and tells when it has stopped improving.

    Parameters
    ----------
    tol : float
        Smallest change that counts as an improvement.
    patience : int or inf
        Epochs in a row that may pass without improvement.

    Attributes
    ----------
    best : float
        Largest value so far.
    n_stale : int
        Number of epochs in a row without improvement.
    """

    def __init__(self, tol: float, patience: float):
        self.tol = tol
        self.patience = patience
        self.best = -math.inf
        self.n_stale = 0

    def update(self, value: float) -> bool:
        """Take a new value (larger is better), and return whether it is the best so far."""
        self.n_stale = 0 if value >= self.best + self.tol else self.n_stale + 1
        is_best = value > self.best
        if is_best:
            self.best = value
        return is_best

    @property
    def is_stuck(self) -> bool:
        """Whether more than ``patience`` epochs in a row brought no improvement."""
        return self.n_stale > self.patience

    def reset(self) -> None:
        """Forget the epochs without improvement."""
        self.n_stale = 0


class Monitor:
    """Keeps the records of training, and decides when it ends.

    Parameters
    ----------
    objective : Objective
    state : TrainingState
    limit : TimeLimit
    verbose : bool
        Whether to print a line for each epoch.

    Attributes
    ----------
    batch_losses : list of float
        Of all minibatches.
    records : list of dict
        One for each epoch; "step" counts the minibatches since the monitor started.
    best : object or None
        Snapshot of the network with the best score.
    best_score : float or None
        The best score.
    """

    def __init__(self, objective: Objective, state: TrainingState, *, limit: TimeLimit, verbose: bool):
        self.records, self.batch_losses = [], []
        self.best: Any = None
        self.best_score: float | None = None
        self._objective = objective
        self._state = state
        self._progress = Progress(objective.tol, objective.patience)
        self._limit = limit
        self._verbose = verbose
        self._n_digits = len(str(state.epoch + objective.n_epochs))

    def begin(self, network: Network, score: float) -> None:
        """Start with the weights of an earlier call as the best so far."""
        self.best = network.snapshot()
        self.best_score = self._progress.best = score

    def memory(self) -> dict:
        """Return all that the monitor knows of the epochs so far, for :meth:`recall`."""
        progress = {"best": self._progress.best, "n_stale": self._progress.n_stale}
        names = ("records", "batch_losses", "best", "best_score")
        return {name: getattr(self, name) for name in names} | {"progress": progress}

    def recall(self, memory: dict) -> None:
        """Go on from the epochs that another monitor has seen."""
        progress = memory["progress"]
        self._progress.best, self._progress.n_stale = progress["best"], progress["n_stale"]
        vars(self).update({name: value for name, value in memory.items() if name != "progress"})

    def goes_on(self, record: dict, scored: Network | None = None) -> bool:
        """Take the record of an epoch, and return whether another epoch follows.

        Parameters
        ----------
        record : dict
            As :func:`skcnn.training.loop.train_epochs` yields it; with validation, also "validation_score".
        scored : Network or None
            The network that has this score.
        """
        quality = -record["loss"] if scored is None else record["validation_score"]
        self.batch_losses += record.pop("batch_losses")
        record["step"] = len(self.batch_losses)
        self.records.append(record)
        if self._verbose:
            print(line_of(record, self._n_digits))
        if self._progress.update(quality) and scored is not None:
            self.best, self.best_score = scored.snapshot(), quality
        if self._progress.is_stuck:
            schedule = self._objective.schedule
            if schedule is None or not schedule.goes_on_after_plateau(record["learning_rate"]):
                return False
            self._state.n_plateaus += 1
            self._progress.reset()
        return len(self.records) < self._objective.n_epochs and not self._limit.ends_training()

    def take_back(self) -> None:
        """Remove the records of the last epoch, if its weights prove useless."""
        self.records.pop()
        del self.batch_losses[self.records[-1]["step"] if self.records else 0 :]


@register_dataclass
@dataclass(frozen=True)
class History:
    """The course of training since the initial weights, over all calls.

    Attributes
    ----------
    mean_weight : float
        Mean of sample weight times class weight in the last ``fit``. Weights are divided by it, in later
        calls of ``partial_fit``, too.
    objective : str
        Losses of two calls can be compared if these strings are equal.
    init_report : dict or None
        Which initial weights came from ``init``; None without ``init``.
    history, loss_curve, batch_losses, validation_scores, best_validation_score, best_loss, loss, n_iter, t
        As the attributes of :class:`skcnn.ConvNetClassifier` with these names and an underscore.
    """

    mean_weight: float
    objective: str
    init_report: dict[str, list[str]] | None = None
    history: list[dict] = field(default_factory=list)
    loss_curve: list[float] = field(default_factory=list)
    batch_losses: list[float] = field(default_factory=list)
    validation_scores: list[float] | None = None
    best_validation_score: float | None = None
    best_loss: float | None = None
    loss: float = math.nan
    n_iter: int = 0
    t: int = 0

    def with_aim(self, mean_weight: float, objective: str) -> "History":
        """Return a history for the next call, without a best loss if the objective has changed."""
        best_loss = self.best_loss if self.objective == objective else None
        return replace(self, mean_weight=mean_weight, objective=objective, best_loss=best_loss)

    def extend(self, monitor: Monitor, n_samples_seen: int) -> "History":
        """Return a history with the records of a monitor appended; all lists are new."""
        n_before = len(self.batch_losses)  # unfinished epochs do not count
        records = [record | {"step": n_before + record["step"]} for record in monitor.records]
        losses = [record["loss"] for record in monitor.records]
        scores = [record["validation_score"] for record in monitor.records if "validation_score" in record]
        loss_curve = [*self.loss_curve, *losses]
        extended = replace(
            self,
            history=[*self.history, *records],
            loss_curve=loss_curve,
            batch_losses=[*self.batch_losses, *monitor.batch_losses],
            loss=loss_curve[-1] if loss_curve else math.nan,
            n_iter=len(monitor.records),
            t=n_samples_seen,
        )
        if scores:
            # the best score may belong to the weights of an earlier call
            best = max(scores) if monitor.best_score is None else monitor.best_score
            return replace(
                extended,
                validation_scores=[*(self.validation_scores or []), *scores],
                best_validation_score=best,
                best_loss=None,
            )
        if losses:
            best = min(losses if self.best_loss is None else [self.best_loss, *losses])
            return replace(extended, best_validation_score=None, best_loss=best)
        return extended


def line_of(record: dict, n_digits: int = 4) -> str:
    """Return a record as a line of text; lines of records with the same keys are aligned.

    Parameters
    ----------
    record : dict
        As in ``history_``.
    n_digits : int, default=4
        Digits of the largest epoch number.

    Examples
    --------
    >>> print(line_of({"epoch": 9, "loss": 0.5, "seconds": 2.0}))
    epoch    9  loss     0.50000      2.00 s
    >>> print(line_of({"epoch": 10, "loss": 2e-9, "seconds": 10.0}))
    epoch   10  loss   2.000e-09     10.00 s
    """
    score = f"  validation score {column(record['validation_score'])}" if "validation_score" in record else ""
    epoch = f"{record['epoch']:{max(4, n_digits)}d}"
    return f"epoch {epoch}  loss {column(record['loss'])}{score}  {record['seconds']:8.2f} s"


def column(number: float) -> str:
    """Return a number of any size in eleven characters, with at least three significant digits.

    Examples
    --------
    >>> [column(number) for number in (0.0, -98.7654321, 12345.678, 1e-9, -1.234e-100)]
    ['    0.00000', '  -98.76543', '  1.235e+04', '  1.000e-09', '-1.234e-100']
    """
    return f"{number:11.5f}" if number == 0 or 1e-3 <= abs(number) < 9999 else f"{number:11.3e}"


class ModelWithScores(Model):
    """A model that gives fixed scores for all images.

    Parameters
    ----------
    model : Model
        Gives all other attributes.
    scores : ndarray of shape (n_samples, n_outputs)
    """

    def __init__(self, model: Model, scores: np.ndarray):
        super().__init__(**vars(model))
        self._scores = scores

    def scores(self, X, changes=(), kernels=NUMPY):
        """Return the fixed scores."""
        return self._scores


class Validation:
    """Scores a network on validation samples after each epoch.

    Parameters
    ----------
    estimator : estimator
        Scorers get a copy of it, with the network to score.
    model : Model
    samples : Samples
    class_weight : ndarray of shape (n_classes,) or None
    label_smoothing : float
        As for the training loss.

    Attributes
    ----------
    n_samples : int

    Raises
    ------
    ValueError
        If the scorer needs probabilities and the loss gives none, if it is for one class of each image and
        there are several labels, or if a scorer of scikit-learn fails even
        for a model that predicts all samples right. Other scorers are not tried before training.
    """

    def __init__(
        self,
        estimator,
        model: Model,
        samples: Samples,
        class_weight: np.ndarray | None,
        label_smoothing: float,
    ):
        self._estimator, self._model = estimator, model
        self._scoring = estimator.scoring
        mean_weight = mean_of_weights(samples.loss_weights(class_weight))
        self._data = samples.training_data(model.format, class_weight, mean_weight, model.target_scaling)
        self.n_samples = len(samples)
        self._label_smoothing = label_smoothing
        self._users_numpy_state = current_numpy_state()  # for scorers, in place of the state of training
        if self._scoring is None:
            return
        self._scorer = check_scoring(estimator, scoring=self._scoring)
        # only scikit-learn's scorers tell which method they call
        method = response_method(self._scorer)
        if method == "predict_proba" and not model.loss.gives_probabilities:
            raise ValueError(
                f"scoring={self._scoring!r} needs probabilities, which loss={estimator.loss!r} does not give"
            )
        if model.loss.kind == "labels" and metric(self._scorer) in LOSSES_OF_ONE_CLASS:
            raise ValueError(
                f"scoring={self._scoring!r} is for one class of each image: scoring=None is the negative log "
                "loss, summed over the labels"
            )
        self._X = samples.rows_of(samples.X)
        self._y = samples.y
        self._scorer_weights = self._weights_for_scorer(samples)
        if method is not None:
            self._rehearse()

    def score(self, network: Network, pool) -> float:
        """Return the score of the model with this network; larger is better.

        Raises
        ------
        ValueError
            If the scorer does not return a number.
        DivergenceError
            If the loss is not finite.
        """
        if self._scoring is None:
            return -self._loss(network, pool)
        return self._score_of(self._model.replace(network=network))

    def _score_of(self, model):
        """Return the score of a model; raise a ValueError if it is not a number."""
        probe = copy.copy(self._estimator)
        probe.model_ = model
        with self._users_numpy_state():
            score = self._scorer(probe, self._X, self._y, **self._scorer_weights)
        message = f"scoring={self._scoring!r} gave {score!r} on the validation samples, not a number"
        if isinstance(score, np.ndarray) and score.ndim == 0:
            score = score.item()
        if not isinstance(score, Real) or math.isnan(score):
            raise ValueError(message)
        return float(score)

    def _rehearse(self):
        """Raise a ValueError if the scorer fails even for a model that predicts all samples right."""
        model = self._model
        scores = model.loss.right_scores(self._dense_targets(label_smoothing=0.0))
        try:
            with warnings.catch_warnings():  # warnings about this model do not concern the user
                warnings.simplefilter("ignore")
                self._score_of(ModelWithScores(model, scores))
        except Exception as error:  # any error would end training after the first epoch
            is_classified = model.loss.kind == "classes"
            missing = np.setdiff1d(model.classes, self._y).tolist() if is_classified else []
            others = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
            lacking = f", which lack class {missing[0]!r}{others}" if missing else ""
            raise ValueError(
                f"scoring={self._scoring!r} cannot score the validation samples{lacking}: "
                f"{' '.join(str(error).split())}"
            ) from error

    def _weights_for_scorer(self, samples):
        """Return ``sample_weight`` as a keyword, if the user gave weights and the scorer accepts them."""
        if not samples.given_weights:
            return {}
        try:
            parameters = signature(metric(self._scorer)).parameters.values()
        except ValueError:  # a builtin function has no signature
            return {}
        takes_weights = any(
            parameter.name == "sample_weight" or parameter.kind == parameter.VAR_KEYWORD
            for parameter in parameters
        )
        if not takes_weights:
            return {}
        weights = samples.weights[samples.rows]
        with np.errstate(over="ignore"):
            if not np.isfinite(weights.sum()):
                raise ValueError(
                    "the sum of sample_weight over the validation samples is not finite, but "
                    f"scoring={self._scoring!r} needs it: divide the weights by the largest"
                )
        return {"sample_weight": weights}

    def _loss(self, network, pool):
        data = self._data
        scores = np.empty((len(data.images), network.n_outputs), network.dtype)
        Executor(network, pool, training=False).predict(Batch(len(scores), data.images.read), scores)
        losses = self._model.loss.values(scores, self._dense_targets(label_smoothing=self._label_smoothing))
        mean_loss = float(np.average(losses, weights=data.loss_weights))
        if not math.isfinite(mean_loss):
            raise DivergenceError(f"the validation loss became {mean_loss}")
        return mean_loss

    def _dense_targets(self, *, label_smoothing):
        network = self._model.network
        return dense_targets(
            self._data.targets, network.n_outputs, label_smoothing=label_smoothing, dtype=network.dtype
        )
