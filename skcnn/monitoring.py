"""What happens after each epoch: validation, the record, and whether training goes on."""

import copy
import math
import time
from collections.abc import Callable
from inspect import signature

import numpy as np
from sklearn.metrics import check_scoring

from skcnn.execution import Batch, Executor
from skcnn.losses import dense_targets
from skcnn.network import Network
from skcnn.samples import Samples, mean_of_weights
from skcnn.training import DivergenceError, Objective, TrainingState


class Progress:
    """Keeps the best value of a quantity and says when it has stopped to improve.

    Parameters
    ----------
    tol : float
        Improvement that counts.
    patience : int
        Epochs without improvement after which training has stopped to improve.

    Attributes
    ----------
    best : float
        Largest value so far.
    """

    def __init__(self, tol: float, patience: int):
        self.tol = tol
        self.patience = patience
        self.best = -math.inf
        self._n_stale = 0

    def update(self, value: float) -> bool:
        """Take a new value, larger is better, and return whether it is the best so far."""
        self._n_stale = 0 if value >= self.best + self.tol else self._n_stale + 1
        is_best = value > self.best
        if is_best:
            self.best = value
        return is_best

    @property
    def is_stuck(self) -> bool:
        """Whether more than ``patience`` epochs in a row brought no improvement."""
        return self._n_stale > self.patience

    def reset(self) -> None:
        """Forget the epochs without improvement."""
        self._n_stale = 0


class Monitor:
    """Keeps the record of training, scores each epoch, and says when to end.

    Parameters
    ----------
    model : ConvNetClassifier
        Whose record it keeps.
    objective : Objective
    state : TrainingState
    validation : Validation or None
    current_network : callable
        Returns the network to score: with the weights of the last step, or their average.
    pool : WorkerPool
    deadline : float
        Value of ``time.perf_counter`` at which training ends.

    Attributes
    ----------
    best : object or None
        Snapshot of the network with the best score.
    """

    def __init__(
        self,
        model,
        objective: Objective,
        state: TrainingState,
        validation: "Validation | None",
        current_network: Callable[[], Network],
        *,
        pool,
        deadline: float,
    ):
        self.best = None
        self._model = model
        self._objective = objective
        self._state = state
        self._validation = validation
        self._current_network = current_network
        self._pool = pool
        self._deadline = deadline
        self._progress = Progress(model.tol, model.n_iter_no_change)

    def begin(self) -> None:
        """Score the weights of an earlier call, which may turn out to be the best."""
        if self._validation is not None and self._model.best_validation_score_ is not None:
            network = self._model.network_
            self.best = network.snapshot()
            self._progress.best = self._validation.score(self._model, network, self._pool)

    def goes_on(self, record: dict) -> bool:
        """Take the record of an epoch and return whether there is to be another one."""
        quality, score = -record["loss"], None
        if self._validation is not None:
            network = self._current_network()
            quality = score = self._validation.score(self._model, network, self._pool)
        self._model._add_record(record, score)
        if self._progress.update(quality) and score is not None:
            self.best = network.snapshot()
        if self._progress.is_stuck:
            schedule = self._objective.schedule
            if schedule is None or not schedule.goes_on_after_plateau(record["learning_rate"]):
                return False
            self._state.n_plateaus += 1
            self._progress.reset()
        return self._model.n_iter_ < self._objective.n_epochs and time.perf_counter() < self._deadline


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
        mean_weight = mean_of_weights(samples.loss_weights(class_weight))
        self._data = samples.training_data(model._image_format, class_weight, mean_weight)
        self._scorer = None if model.scoring is None else check_scoring(model, scoring=model.scoring)
        self._scorer_weights = self._weights_for_scorer()
        self._errstate = np.geterr()  # scorers see the user's, not that of training
        if self._scorer is not None:
            self._X = samples.X if len(samples) == len(samples.X) else samples.X[samples.rows]
            self._y = model.classes_[self._data.codes]

    def score(self, model, network: Network, pool) -> float:
        """Return the score of a model with this network, the larger the better."""
        if self._scorer is None:
            return -self._loss(model, network, pool)
        probe = copy.copy(model)
        probe.network_ = network
        vars(probe).pop("feature_names_in_", None)  # the arrays have none any more
        with np.errstate(**self._errstate):
            score = float(self._scorer(probe, self._X, self._y, **self._scorer_weights))
        if math.isnan(score):
            raise ValueError(f"scoring={model.scoring!r} gave {score} on the validation samples")
        return score

    def _weights_for_scorer(self):
        """Return the weights as a keyword, where they were given and the scorer takes them."""
        if self._scorer is None or not self._samples.given_weights:
            return {}
        parameters = signature(self._scorer).parameters.values()
        if not any(
            parameter.name == "sample_weight" or parameter.kind == parameter.VAR_KEYWORD
            for parameter in parameters
        ):
            return {}
        return {"sample_weight": self._samples.weights[self._samples.rows]}

    def _loss(self, model, network, pool):
        data = self._data
        scores = np.empty((len(data.images), network.n_outputs), network.dtype)
        Executor(network, pool, training=False).predict(Batch(len(scores), data.images.read), scores)
        targets = dense_targets(
            data.codes, network.n_outputs, label_smoothing=model.label_smoothing, dtype=network.dtype
        )
        losses = model._loss.values(scores, targets)
        mean_loss = float(np.average(losses, weights=data.loss_weights))
        if not math.isfinite(mean_loss):
            raise DivergenceError(f"the validation loss became {mean_loss}")
        return mean_loss
