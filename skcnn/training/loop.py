"""The training loop: a generator that yields one record an epoch."""

import math
import signal
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, islice

import numpy as np

from skcnn.data.read_ahead import read_ahead, shuffled_runs
from skcnn.data.samples import TrainingData, constant
from skcnn.kernels.reductions import near_one
from skcnn.network.cut import Cut, sections
from skcnn.network.executor import Batch, Executor
from skcnn.network.losses import dense_targets
from skcnn.network.network import Network
from skcnn.random_streams import RandomStreams
from skcnn.training.schedules import Position
from skcnn.training.state import Objective, TrainingState
from skcnn.training.time_limit import TimeLimit

FAR = 0.1
"""Change of a weight since scores were last known to be finite, above which the scores are checked again.
Changes of this size in whole layers raise scores by some orders of magnitude, not by the 38 of float32."""


class DivergenceError(ArithmeticError):
    """The loss, the scores or the weights are no longer finite."""


def train_epochs(
    network: Network,
    data: TrainingData,
    state: TrainingState,
    objective: Objective,
    *,
    pool,
    limit: TimeLimit,
    first_epoch: int | None = None,
) -> Generator[dict]:
    """Train a network epoch by epoch, endlessly.

    If the network holds averaged weights, training continues from the weights in the state.

    Parameters
    ----------
    network : Network
        Updated in place, step by step.
    data : TrainingData
    state : TrainingState
        Updated in place.
    objective : Objective
    pool : WorkerPool
    limit : TimeLimit
        May end the epoch early, after the current minibatch.
    first_epoch : int, default=None
        Number of epochs before the training that this one goes on with. None: it begins now.

    Yields
    ------
    record : dict
        ``epoch``, ``loss`` (mean over the epoch, penalty included), ``batch_losses`` (of each minibatch),
        ``learning_rate`` (of the last minibatch), ``seconds``.

    Raises
    ------
    DivergenceError
        If a loss, weight or running statistic is not finite, or the scores at the end of an epoch are not, or
        if the caller throws the error into the generator. Network and state are then restored from the last
        epoch start at which the loss was finite.
    """
    prepare_state(network, state, objective, goes_on=first_epoch is not None)
    executor = Executor(network, pool, training=True, seed=state.seed)
    averaging, schedule = objective.averaging, objective.schedule
    n_batches = -(-len(data.images) // objective.batch_size)
    first_epoch = state.epoch if first_epoch is None else first_epoch
    last_good = LastGood(network, state)
    minibatches = minibatches_of_epochs(data, state, objective, n_batches, pool)
    while True:
        start_time = time.perf_counter()
        first_step = (state.epoch - (first_epoch if schedule.has_horizon else 0)) * n_batches
        position = Position(first_step, n_batches, state.n_samples_seen, state.n_plateaus)
        losses, loss_sum, n_seen = [], 0.0, 0
        for index, (rows, loaded) in enumerate(islice(minibatches, n_batches)):
            rate = schedule.rate(replace(position, step=first_step + index))
            with hold_interrupts(), last_good.restore_on_divergence():
                loss, gradient = loss_and_gradient(executor, loaded, rows, state, objective)
                if index == 0:
                    last_good.save()
                update(executor, gradient, state, objective, rate)
                state.n_samples_seen += len(rows)
            losses.append(loss)
            loss_sum += loss * len(rows)
            n_seen += len(rows)
            limit.measure(time.perf_counter() - start_time, n_seen)
            if limit.ends_training():
                break
        with last_good.restore_on_divergence():
            if not has_finite_scores(network, loaded, rows, pool, near=last_good.weights):
                raise DivergenceError(f"the scores are no longer finite at step {state.step}")
            state.epoch += 1
            if averaging and averaging.takes_epoch(state.epoch - first_epoch, objective.n_epochs):
                averaging.update(state.slots["average"], network.vector, state.n_averaged)
                state.n_averaged += 1
            yield {
                "epoch": state.epoch,
                "loss": loss_sum / n_seen,
                "batch_losses": losses,
                "learning_rate": rate,
                "seconds": time.perf_counter() - start_time,
            }


def prepare_state(network: Network, state: TrainingState, objective: Objective, *, goes_on: bool) -> None:
    """Create missing slots of the optimizer and the average, and give the network its trained weights.

    An average that needs to know the last epoch begins anew, unless training goes on within a fit.
    """
    optimizer, averaging = objective.optimizer, objective.averaging
    frozen = "".join(f" -{name}" for name in sorted(network.frozen))
    state.change_solver(optimizer.slot_kind + frozen)
    if averaging is None or (averaging.has_horizon and not goes_on):
        state.forget_average()
    for name in (*optimizer.slot_names, *(("average",) if averaging else ())):
        state.slots.setdefault(name, np.zeros_like(network.vector))
    resume(network, state)


def runs_of(data: TrainingData, cut: Cut, generator: np.random.Generator | None) -> list[np.ndarray]:
    """Return the samples in parts that are read at a time; in random order if there is a generator."""
    return shuffled_runs(data.images, generator, run_bytes=cut.run_bytes, window_bytes=cut.window_bytes)


def minibatches_of_epochs(
    data: TrainingData, state: TrainingState, objective: Objective, n_batches: int, pool
) -> Iterator[tuple[np.ndarray, TrainingData]]:
    """Yield minibatches endlessly; nothing is read ahead beyond the epochs that the objective has."""
    streams, sizes = RandomStreams(state.seed), np.array_split(constant(0, len(data.images)), n_batches)

    def runs_of_epoch(epoch):
        return runs_of(data, pool.cut, streams.generator("shuffle", epoch) if objective.shuffle else None)

    while True:
        epochs = range(state.epoch, state.epoch + objective.n_epochs)
        runs = chain.from_iterable(map(runs_of_epoch, epochs))
        yield from read_ahead(
            data, runs, chain.from_iterable(map(len, sizes) for _ in epochs), pool.n_threads
        )


def hold_frozen(network: Network, state: TrainingState) -> None:
    """Let frozen layers keep the weights of the network, averaged or not, when training continues."""
    views = network.views_of(network.vector)
    for array in (state.trained, state.slots.get("average")):
        if network.frozen and array is not None:
            for layer, own in network.views_of(array).items():
                if layer in network.frozen:
                    for name, value in own.items():
                        np.copyto(value, views[layer][name])


def resume(network: Network, state: TrainingState) -> None:
    """If a network holds averaged weights, replace them by those from which training continues."""
    if state.trained is not None:
        np.copyto(network.vector, state.trained)
        state.trained = None


def loss_and_gradient(
    executor: Executor, data: TrainingData, rows: np.ndarray, state: TrainingState, objective: Objective
) -> tuple[float, np.ndarray]:
    """Return the loss of a minibatch and its gradient, penalty included; the executor owns the gradient.

    Raises
    ------
    DivergenceError
        If the loss is not finite.
    """
    network = executor.network
    batch = make_batch(data, rows, network, objective, number=state.n_samples_seen, epoch=state.epoch)
    loss = executor.gradients(batch, objective.loss)
    gradient = executor.reduce()
    if not objective.optimizer.decouples_decay:
        loss += add_penalty(network, gradient, objective)
    if not math.isfinite(loss):
        raise DivergenceError(f"the loss became {loss} at step {state.step + 1}")
    return loss, gradient


def update(
    executor: Executor,
    gradient: np.ndarray,
    state: TrainingState,
    objective: Objective,
    learning_rate: float,
) -> None:
    """Take a step: update the weights, the running statistics, the state and the average.

    Raises
    ------
    DivergenceError
        If an updated weight or a running statistic is not finite.
    """
    network, optimizer, averaging = executor.network, objective.optimizer, objective.averaging
    if objective.clip_norm is not None:
        clip_norm(gradient, objective.clip_norm)
    decays = optimizer.decouples_decay and objective.alpha != 0
    number, rules = state.n_updates + 1, executor.pool.kernels.updates

    def update_section(section_and_factor):
        section, factor = section_and_factor
        slots = {name: slot[section] for name, slot in state.slots.items()}
        weights, rate = network.vector[section], factor * learning_rate
        if decays and section.start < network.n_decayed:
            decayed = weights[: network.n_decayed - section.start]
            np.multiply(decayed, 1 - rate * objective.alpha, out=decayed)
        if factor != 0:
            optimizer.update(weights, gradient[section], slots, step=number, learning_rate=rate, rules=rules)
        if averaging and averaging.each_step:
            averaging.update(slots["average"], weights, state.n_averaged)
        check_is_finite(weights)

    def check_is_finite(values):
        if not is_finite(values):
            raise DivergenceError(
                f"a weight or running statistic is no longer finite at step {state.step + 1}"
            )

    size = executor.pool.cut.section
    executor.pool.run(update_section, network.factors_of_sections(objective.factors, size))
    network.set_buffers(executor.buffers)
    for values in network.buffers().values():
        check_is_finite(values)
    state.step += 1
    state.n_updates += 1
    if averaging and averaging.each_step:
        state.n_averaged += 1


def make_batch(
    data: TrainingData, rows: np.ndarray, network: Network, objective: Objective, *, number: int, epoch: int
) -> Batch:
    """Return some samples as a minibatch of an epoch; its loss is the mean over these samples."""

    def targets_of(samples):
        return dense_targets(
            data.targets[samples],
            network.n_outputs,
            label_smoothing=objective.label_smoothing,
            dtype=network.dtype,
        )

    if data.augmenter is None:
        read, targets = data.reader(rows), targets_of(rows)
    else:
        read, targets = data.augmenter.minibatch(data.images, rows, epoch, targets_of)
    return Batch(
        n_rows=len(rows),
        read=read,
        targets=targets,
        loss_weights=(data.loss_weights[rows] / len(rows)).astype(network.dtype),
        weights=None if data.weights is None else near_one(data.weights[rows]),
        number=number,
        part=data.part(len(rows)),
    )


class LastGood:
    """A copy of the weights and the state, to restore when training diverges.

    Parameters
    ----------
    network : Network
    state : TrainingState
    """

    def __init__(self, network: Network, state: TrainingState):
        self._network, self._state = network, state
        self._snapshot, self._copy = network.snapshot(), state.copy()

    @property
    def weights(self) -> np.ndarray:
        """The saved vector of weights."""
        return self._snapshot[0]

    def save(self) -> None:
        """Save network and state again, in the same memory."""
        vector, buffers = self._snapshot
        np.copyto(vector, self._network.vector)
        for where, value in self._network.buffers().items():
            np.copyto(buffers[where], value)
        slots = self._copy.slots
        for name, slot in self._state.slots.items():
            np.copyto(slots[name], slot)
        self._copy = replace(self._state, slots=slots)

    @contextmanager
    def restore_on_divergence(self):
        """Restore network and state if training diverges within the with statement."""
        try:
            yield
        except DivergenceError:
            self._network.restore(self._snapshot)
            vars(self._state).update(vars(self._copy))
            raise


def has_finite_scores(
    network: Network, data: TrainingData, rows: np.ndarray, pool, *, near: np.ndarray
) -> bool:
    """Whether a network gives finite scores.

    Parameters
    ----------
    network : Network
        With finite parameters.
    data : TrainingData
    rows : ndarray of int
        Samples for the check.
    pool : WorkerPool
    near : ndarray of shape (n_params,)
        Weights that give finite scores; the check is skipped if the weights of the network are close to them.
    """
    if all(np.abs(network.vector[section] - near[section]).max() <= FAR for section in sections(near.size)):
        return True
    scores = np.empty((len(rows), network.n_outputs), network.dtype)
    Executor(network, pool, training=False).predict(Batch(len(rows), data.reader(rows)), scores)
    return bool(np.isfinite(scores).all())


def add_penalty(network: Network, gradient: np.ndarray, objective: Objective) -> float:
    """Return the penalty ``alpha / 2 * sum(weight ** 2)`` without frozen weights, and add its gradient."""
    alpha, squares = objective.alpha, 0.0
    if alpha == 0:
        return 0.0
    for section, factor in network.factors_of_sections(objective.factors):
        weights = network.vector[section][: max(0, network.n_decayed - section.start)]
        if factor != 0 and len(weights):
            squares += float(np.dot(weights, weights))
            of_weights = gradient[section][: len(weights)]
            np.add(of_weights, alpha * weights, out=of_weights)
    return alpha / 2 * squares


def clip_norm(gradient: np.ndarray, largest: float) -> None:
    """Scale a gradient in place to a Euclidean norm of at most ``largest``."""
    norm = math.sqrt(
        sum(
            float(np.square(gradient[section], dtype=np.float64).sum()) for section in sections(gradient.size)
        )
    )
    if norm > largest:
        np.multiply(gradient, largest / norm, out=gradient)


def is_finite(vector: np.ndarray) -> bool:
    """Whether all elements are finite."""
    return all(np.isfinite(vector.reshape(-1)[section]).all() for section in sections(vector.size))


def has_finite_parameters(network: Network) -> bool:
    """Whether all weights and running statistics are finite."""
    return all(is_finite(values) for values in (network.vector, *network.buffers().values()))


@contextmanager
def hold_interrupts():
    """Delay Ctrl-C until the with statement ends, to complete a step."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    received = []
    signal.signal(signal.SIGINT, lambda *arguments: received.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if received:
            handler(*received[0])
