"""What happens after each epoch: validation, the record, and whether training goes on."""

import copy
import math
import time
from collections.abc import Callable
from inspect import signature
from numbers import Real

import numpy as np
from sklearn.metrics import check_scoring

from skcnn.data.samples import Samples, mean_of_weights
from skcnn.network.executor import Batch, Executor
from skcnn.network.losses import dense_targets
from skcnn.network.network import Network
from skcnn.network.threads import current_numpy_state
from skcnn.training.loop import DivergenceError
from skcnn.training.state import Objective, TrainingState


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
    """Keeps the records of a training, scores each epoch, and says when to end.

    Parameters
    ----------
    objective : Objective
    state : TrainingState
    validation : Validation or None
    current_network : callable
        Returns the network to score: with the weights of the last step, or their average.
    tol : float
        Improvement of the loss, or of the score, that counts.
    patience : int
        Epochs without improvement after which training has stopped to improve.
    pool : WorkerPool
    deadline : float
        Value of ``time.perf_counter`` at which training ends.
    verbose : bool
        Whether to print a line for each epoch.

    Attributes
    ----------
    batch_losses : list of float
        Of all minibatches.
    records : list of dict
        One an epoch, with the validation score; its step counts the minibatches of this monitor's epochs.
    best : object or None
        Snapshot of the network with the best score.
    best_score : float or None
        Its score.
    """

    def __init__(
        self,
        objective: Objective,
        state: TrainingState,
        validation: "Validation | None",
        current_network: Callable[[], Network],
        *,
        tol: float,
        patience: int,
        pool,
        deadline: float,
        verbose: bool,
    ):
        self.records, self.batch_losses = [], []
        self.best = self.best_score = None
        self._objective = objective
        self._state = state
        self._validation = validation
        self._current_network = current_network
        self._progress = Progress(tol, patience)
        self._pool = pool
        self._deadline = deadline
        self._verbose = verbose
        self._n_digits = len(str(state.epoch + objective.n_epochs))

    def begin(self, network: Network) -> None:
        """Score the weights of an earlier call, which may turn out to be the best."""
        self.best = network.snapshot()
        self.best_score = self._progress.best = self._validation.score(network, self._pool)

    def goes_on(self, record: dict) -> bool:
        """Take the record of an epoch and return whether there is to be another one."""
        quality = -record["loss"]
        if self._validation is not None:
            network = self._current_network()
            quality = record["validation_score"] = self._validation.score(network, self._pool)
        self.batch_losses += record.pop("batch_losses")
        record["step"] = len(self.batch_losses)
        self.records.append(record)
        if self._verbose:
            print(line_of(record, self._n_digits))
        if self._progress.update(quality) and self._validation is not None:
            self.best, self.best_score = network.snapshot(), quality
        if self._progress.is_stuck:
            schedule = self._objective.schedule
            if schedule is None or not schedule.goes_on_after_plateau(record["learning_rate"]):
                return False
            self._state.n_plateaus += 1
            self._progress.reset()
        return len(self.records) < self._objective.n_epochs and time.perf_counter() < self._deadline


def line_of(record: dict, n_digits: int = 4) -> str:
    """Return a line that shows a record; those of records with the same keys are aligned.

    Parameters
    ----------
    record : dict
        As in ``history_``.
    n_digits : int, default=4
        Digits of the largest number of an epoch.

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
    """Return a number of any size in eleven characters, with three digits at least that tell something.

    Examples
    --------
    >>> [column(number) for number in (0.0, -98.7654321, 12345.678, 1e-9, -1.234e-100)]
    ['    0.00000', '  -98.76543', '  1.235e+04', '  1.000e-09', '-1.234e-100']
    """
    return f"{number:11.5f}" if number == 0 or 1e-3 <= abs(number) < 9999 else f"{number:11.3e}"


class Validation:
    """Scores a model on validation samples after each epoch.

    Parameters
    ----------
    model : ConvNetClassifier
        With the attributes that prediction needs; left as it is.
    samples : Samples
    class_weight : ndarray of shape (n_classes,)

    Raises
    ------
    ValueError
        If the scorer needs probabilities and the loss gives none.
    """

    def __init__(self, model, samples: Samples, class_weight: np.ndarray):
        self._model = model
        self._samples = samples
        mean_weight = mean_of_weights(samples.loss_weights(class_weight))
        self._data = samples.training_data(model._image_format, class_weight, mean_weight)
        self._scorer = None if model.scoring is None else check_scoring(model, scoring=model.scoring)
        self._scorer_weights = self._weights_for_scorer()
        self._users_numpy_state = current_numpy_state()  # which scorers see, not that of training
        if self._scorer is not None:
            # scorers made from names say what they call; any other raises an error of its own
            needs_probabilities = getattr(self._scorer, "_response_method", None) == "predict_proba"
            if needs_probabilities and not model._loss.gives_probabilities:
                raise ValueError(
                    f"scoring={model.scoring!r} needs probabilities, which loss={model.loss!r} does not give"
                )
            self._X = samples.rows_of(samples.X)
            self._y = model.classes_[self._data.codes]

    def score(self, network: Network, pool) -> float:
        """Return the score of the model with this network, the larger the better.

        Raises
        ------
        ValueError
            If the scorer gives no number.
        DivergenceError
            If the loss is not finite.
        """
        if self._scorer is None:
            return -self._loss(network, pool)
        probe = copy.copy(self._model)
        probe.network_ = network
        vars(probe).pop("feature_names_in_", None)  # the arrays have none any more
        with self._users_numpy_state():
            score = self._scorer(probe, self._X, self._y, **self._scorer_weights)
        message = f"scoring={self._model.scoring!r} gave {score!r} on the validation samples, not a number"
        if isinstance(score, np.ndarray) and score.ndim == 0:
            score = score.item()
        if not isinstance(score, Real) or math.isnan(score):
            raise ValueError(message)
        return float(score)

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

    def _loss(self, network, pool):
        data = self._data
        scores = np.empty((len(data.images), network.n_outputs), network.dtype)
        Executor(network, pool, training=False).predict(Batch(len(scores), data.images.read), scores)
        smoothing = self._model._smoothing_of_targets()
        targets = dense_targets(data.codes, network.n_outputs, label_smoothing=smoothing, dtype=network.dtype)
        losses = self._model._loss.values(scores, targets)
        mean_loss = float(np.average(losses, weights=data.loss_weights))
        if not math.isfinite(mean_loss):
            raise DivergenceError(f"the validation loss became {mean_loss}")
        return mean_loss
