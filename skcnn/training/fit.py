"""One call of ``fit`` or ``partial_fit``: from the validated data to the weights that stay."""

import math
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skcnn.data.samples import TrainingData
from skcnn.kernels.table import NUMPY, Kernels
from skcnn.network.model import Model
from skcnn.network.network import Network
from skcnn.network.threads import worker_pool
from skcnn.random_streams import RandomStreams
from skcnn.training.callbacks import UnwatchedFit, WatchedFit
from skcnn.training.checkpoint import CheckpointFile, SavedTraining
from skcnn.training.data_initialization import initialize_from_data
from skcnn.training.lbfgs import minimize_lbfgs
from skcnn.training.loop import (
    DivergenceError,
    has_finite_parameters,
    has_finite_scores,
    hold_frozen,
    runs_of,
    train_epochs,
)
from skcnn.training.monitoring import History, Monitor, Validation
from skcnn.training.recalibration import VALIDATED_SAMPLES, make_averaged_network
from skcnn.training.state import Objective, TrainingState
from skcnn.training.time_limit import TimeLimit
from skcnn.user_warnings import warn_user

TIMED_SAMPLES = 1_000
"""Number of samples that training reserves time for, to compute the running statistics of an average; with
more time, more are used. About a thousand are enough, according to the second reference of
:func:`skcnn.training.recalibration.make_averaged_network`."""


class Mode(Enum):
    """Kind of a call, which decides whether training starts from initial weights."""

    FIT = "fit"
    WARM_FIT = "fit with a warm start"
    FIRST_CHUNK = "first partial_fit"
    CHUNK = "later partial_fit"

    @property
    def is_fresh(self) -> bool:
        """Whether training starts from initial weights."""
        return self in (Mode.FIT, Mode.FIRST_CHUNK)

    @property
    def is_partial(self) -> bool:
        """Whether the call is one of ``partial_fit``."""
        return self in (Mode.FIRST_CHUNK, Mode.CHUNK)


class Outcome(Enum):
    """How training ended, which decides which weights stay.

    With early stopping, the weights of the best epoch always stay.
    """

    COMPLETE = "complete"
    """The last weights stay, or their average."""

    DIVERGED = "diverged"
    """The weights of the last good epoch stay; without one, the weights from before the call."""

    INTERRUPTED = "interrupted"
    """The weights of the last complete step stay, not their average, which would take time."""


class Result(NamedTuple):
    """What a fit leaves behind; it shares no memory with the training.

    Attributes
    ----------
    model : Model
    state : TrainingState
        What training needs to continue.
    history : History
        Of this call and all earlier ones.
    """

    model: Model
    state: TrainingState
    history: History

    def copy(self) -> "Result":
        """Return a copy with parameters and a state of its own."""
        return Result(self.model.replace(network=self.model.network.copy()), self.state.copy(), self.history)


@dataclass
class Fit:
    """One call of ``fit`` or ``partial_fit``, with everything that lives only during the call.

    Attributes
    ----------
    mode : Mode
    model : Model
        Its network is trained in place.
    data : TrainingData
    validation : Validation or None
    objective : Objective
    state : TrainingState
        Updated in place.
    history : History
        Of earlier calls.
    watch : UnwatchedFit or WatchedFit
        Informs the callbacks.
    previous : Model or None
        The model of earlier calls; None if training starts from initial weights.
    unit_variance : bool
        Whether the data scale the initial weights.
    given : frozenset of str
        Layers with given initial weights, which the data do not change.
    deadline : float
        Value of ``time.perf_counter`` at which the fit must end.
    kernels : Kernels
        What layers and optimizers compute with.
    verbose : bool
        Whether to print a line for each epoch.
    file : CheckpointFile or None
        Where the state is written after an epoch.
    saved : SavedTraining or None
        Where an interrupted fit has stopped, from which this one goes on.
    outcome : Outcome or None
        None until training has ended.
    divergence : str or None
        Why training diverged, None if it did not.
    result : Result or None
        None until training has ended.
    """

    mode: Mode
    model: Model
    data: TrainingData
    validation: Validation | None
    objective: Objective
    state: TrainingState
    history: History
    watch: UnwatchedFit | WatchedFit
    previous: Model | Any = None
    unit_variance: bool = False
    given: frozenset[str] = frozenset()
    deadline: float = math.inf
    kernels: Kernels = NUMPY
    verbose: bool = False
    file: CheckpointFile | None = None
    saved: SavedTraining | None = None
    outcome: Outcome | None = None
    divergence: str | None = None
    result: Result | None = None

    def __post_init__(self):
        self._first_step, self._first_epoch = self.state.step, self.state.epoch
        self._limit = self._limit_of_time()
        self._last = None

    @property
    def has_progressed(self) -> bool:
        """Whether this call has completed a step."""
        return self.state.step > self._first_step

    def run(self) -> None:
        """Train until an end criterion holds; set outcome and result.

        Raises
        ------
        KeyboardInterrupt
            On Ctrl-C. Outcome and result are set, except after a second Ctrl-C.
        """
        self._monitor = Monitor(self.objective, self.state, limit=self._limit, verbose=self.verbose)
        announced = self.kernels.announced if self.verbose else nullcontext
        with announced(), worker_pool(kernels=self.kernels) as self._pool:
            try:
                self._end(self._train())
            except KeyboardInterrupt:
                self._end(Outcome.INTERRUPTED)
                raise
            self.watch.end_epochs()

    def _train(self) -> Outcome:
        """Train until an end criterion holds, and return how training ended."""
        try:
            self._start()
            self._minimize()
        except DivergenceError as error:
            self.divergence = str(error)
            return Outcome.DIVERGED
        return Outcome.COMPLETE

    def _end(self, outcome: Outcome) -> None:
        """Set outcome and result from the trained network and state."""
        self.outcome = outcome
        self.result = self._make_result(self.model.network, self.state)

    def warn(self, estimator) -> None:
        """Warn if training diverged, or ended before the average started.

        Parameters
        ----------
        estimator : estimator
            Has the hyperparameters, for messages.
        """
        n_epochs = len(self._monitor.records)
        if self.outcome is Outcome.DIVERGED:
            advice = (
                "Other images or input_scaling"
                if self.objective.optimizer is None
                else f"A smaller learning_rate_init than {estimator.learning_rate_init} or clip_norm"
            )
            if n_epochs:
                kept = "The weights of the last good epoch are kept"
            elif self.mode.is_fresh:
                kept = "No epoch was good, so the initial weights are kept"
            else:
                kept = "The weights from before this call are kept"
            warn_user(f"Training diverged: {self.divergence}. {kept}. {advice} may help.", ConvergenceWarning)
        elif self.objective.averaging and not self.state.n_averaged:
            warn_user(
                f"averaging={estimator.averaging!r} averaged nothing: training ended after {n_epochs} "
                f"epochs, before averaging_start={estimator.averaging_start} of {self.objective.n_epochs} "
                "epochs was reached"
            )

    def copy_result(self) -> Result:
        """Return the result that the fit has if training ends now."""
        return self._make_result(self.model.network.copy(), self.state.copy())

    def _make_result(self, network: Network, state: TrainingState) -> Result:
        """Return the result; network and state are overwritten and become its parts."""
        if self.objective.averaging and state.trained is None:
            state.trained = network.vector.copy()  # training continues from the last weights
        history = self.history.extend(self._monitor, state.n_samples_seen)
        if self.outcome is Outcome.DIVERGED and self.previous is not None and not self.has_progressed:
            return Result(self.previous, state, history)
        network.restore(self._monitor.best or self._choose_network().snapshot())
        network.frozen = frozenset()  # the next call decides anew
        return Result(self.model.replace(network=network), state, history)

    def _choose_network(self):
        """Return the network whose weights stay without early stopping."""
        if self.outcome is Outcome.INTERRUPTED:
            return self.model.network
        if self.outcome is Outcome.DIVERGED:
            with suppress(DivergenceError):
                return self._average()
            return self.model.network
        return self._last or self._average()

    def _average(self, n_samples: int | None = None) -> Network:
        """Return the network for prediction, with averaged weights if the objective has an average.

        Its running statistics come from about ``n_samples`` samples (None: all), or as many as time allows.
        A later ``partial_fit`` may have too few samples for statistics of its own, and updates those from
        before the call. A DivergenceError is raised if the average gives scores that are not finite, although
        the weights themselves do not.
        """
        if self.objective.averaging is None:
            return self.model.network
        averaged = make_averaged_network(
            self.model.network,
            self.data,
            self.state,
            self.objective,
            pool=self._pool,
            order=self._order_of_averaging(),
            n_samples=n_samples,
            statistics=self.previous.network.buffers() if self.mode is Mode.CHUNK else None,
            limit=self._limit,
        )
        near = (self.previous or self.model).network.vector
        rows = np.arange(min(len(self.data.images), self.objective.batch_size))
        if not (
            has_finite_parameters(averaged)
            and has_finite_scores(averaged, self.data, rows, self._pool, near=near)
        ):
            raise DivergenceError("the average of the weights gives no finite scores")
        return averaged

    def _limit_of_time(self):
        """Return the time limit, with the work that must follow training."""
        has_statistics = self.objective.averaging is not None and self.model.network.buffers()
        return TimeLimit(
            self.deadline,
            n_validated=0 if self.validation is None else self.validation.n_samples,
            n_averaged=min(len(self.data.images), TIMED_SAMPLES) if has_statistics else 0,
        )

    def _order_of_averaging(self):
        """Return a random order of the samples, as sorted ones give minibatches of one class; else None."""
        if not self.objective.shuffle:
            return None
        generator = RandomStreams(self.state.seed).generator("shuffle", 0, 1)
        return np.concatenate(runs_of(self.data, self._pool.cut, generator))

    def _start(self):
        """Begin with parameters from the data, with those of an earlier call, or where a fit has stopped."""
        network = self.model.network
        if self.saved is not None:
            network.restore(self.saved.snapshot)
            vars(self.state).update(vars(self.saved.state))
            self._first_epoch = self.saved.first_epoch
            self._monitor.recall(self.saved.monitor)
        elif self.mode.is_fresh:
            initialize_from_data(
                network,
                self.data,
                unit_variance=self.unit_variance,
                given=self.given,
                batch_size=self.objective.batch_size,
                seed=self.state.seed,
                pool=self._pool,
            )
        else:
            hold_frozen(network, self.state)
            if self.validation is not None and self.history.validation_scores is not None:
                self._monitor.begin(network, self.validation.score(network, self._pool))
        self.watch.begin_epoch(self.copy_result)

    def _minimize(self):
        """Run the solver until the last epoch."""
        problem = self.model.network, self.data, self.state, self.objective
        if self.objective.optimizer is None:
            minimize_lbfgs(*problem, pool=self._pool, goes_on=self._end_epoch)
            return
        first_epoch = None if self.saved is None else self._first_epoch
        epochs = train_epochs(*problem, pool=self._pool, limit=self._limit, first_epoch=first_epoch)
        for record in epochs:
            try:
                goes_on = self._end_epoch(record)
            except DivergenceError as error:
                epochs.throw(error)  # the generator restores network and state
            if not goes_on:
                break

    def _end_epoch(self, record: dict) -> bool:
        """Validate, keep the record, and return whether another epoch follows; if not, average."""
        scored = None
        if self.validation is not None:
            scored = self._average(n_samples=VALIDATED_SAMPLES)
            record["validation_score"] = self.validation.score(scored, self._pool)
        goes_on = self.watch.end_epoch(self._monitor.goes_on(record, scored), self.copy_result)
        if goes_on and self.file is not None:
            self.file.save(self._first_epoch, self.model.network, self.state, self._monitor)
        if not goes_on and self._monitor.best is None:
            try:
                self._last = self._average()
            except DivergenceError:
                self._monitor.take_back()
                raise
        return goes_on
