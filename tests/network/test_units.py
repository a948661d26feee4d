"""Tests of the units of work: what a unit offers to a layer, and how long its memory lives."""

import gc
import threading
import weakref

import numpy as np
import pytest
from seeds import SEED, generator

from skcnn.layers import Conv2D, Dense, Flatten, Layer, MaxPool2D, ReLU, Residual
from skcnn.network.cut import Cut
from skcnn.network.executor import Batch, Executor
from skcnn.network.graph import compile_nodes
from skcnn.network.losses import LinearLoss
from skcnn.network.memory import Slabs
from skcnn.network.network import init_network
from skcnn.network.threads import WorkerPool


def do_nothing(*arguments):
    pass


class Probe(Layer):
    """Calls functions of the test with its unit; results and gradients are twice what comes in."""

    def __init__(
        self, on_forward=do_nothing, on_backward=do_nothing, on_finish=do_nothing, backward_reads=()
    ):
        self.on_forward, self.on_backward, self.on_finish = on_forward, on_backward, on_finish
        self.backward_reads = backward_reads

    def forward(self, params, X, unit, *, training, out):
        self.on_forward(unit, X)
        return np.multiply(X, 2, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        self.on_backward(unit, dY)
        return np.multiply(dY, 2, out=out)

    def finish(self, params, unit):
        self.on_finish(unit)


class Weighted(Probe):
    """A probe with a parameter, so that a backward pass reaches the layers after it."""

    def init_params(self, input_shape, *, activation, dtype, rng):
        return {"weight": np.zeros(2, dtype)}


CUT = Cut(min_shards=2, chunk_bytes=0, min_chunk=3)
"""Ten rows are the shards 0-5 and 5-10, and these the chunks 0-3 and 3-5."""

N_ROWS, SHAPE = 10, (2, 3, 1)
X = generator(0).standard_normal((N_ROWS, *SHAPE))
TURNED = X.transpose(1, 2, 0, 3)


def read_images(rows, out):
    np.copyto(out, TURNED[:, :, rows])


def executor_of(*layers, n_threads=1, seed=0):
    named = [(f"layer{index}", layer) for index, layer in enumerate(layers)]
    network = init_network(compile_nodes(named, SHAPE), dtype=np.float64, seed=SEED)
    return Executor(network, WorkerPool(n_threads, CUT), training=True, seed=SEED + seed)


def run(executor, weights=None, number=0):
    ones = np.ones((N_ROWS, executor.network.n_outputs))
    executor.gradients(Batch(N_ROWS, read_images, ones, np.ones(N_ROWS), weights, number), LinearLoss())


def test_a_buffer_keeps_its_contents_from_forward_to_backward():
    """Each layer and each piece has its own, the same at every step, although all use one name."""
    seen, addresses = {2: [], 4: []}, []

    def write(unit, values):
        np.copyto(unit.kept("kept", values.shape), values)
        addresses.append(unit.kept("kept", values.shape).ctypes.data)

    def check(unit, dY):
        seen[dY.ndim].append(unit.kept("kept", dY.shape).copy())

    executor = executor_of(Weighted(write, check), Probe(write, check), Flatten(), Probe(write, check))
    run(executor)
    np.testing.assert_array_equal(np.concatenate(seen[2]), 4 * X.reshape(N_ROWS, -1))
    assert [kept.shape[2] for kept in seen[4]] == [3, 3, 2, 2, 3, 3, 2, 2]
    np.testing.assert_array_equal(np.concatenate(seen[4][0::2], axis=2), 2 * TURNED)
    np.testing.assert_array_equal(np.concatenate(seen[4][1::2], axis=2), TURNED)
    run(executor)
    assert addresses[:10] == addresses[10:]
    assert len(set(addresses)) == 10


def test_scratch_is_shared_by_layers_and_pieces_of_a_thread():
    addresses = []

    def note(unit, values):
        addresses.append(unit.scratch("temporary", values.shape).ctypes.data)

    run(executor_of(Weighted(note), Probe(note), Flatten(), Probe(note)))
    assert len(addresses) == 2 * 2 * 2 + 2
    # the vectors of a shard are more than the images of a chunk: the memory grows once
    assert len(set(addresses)) <= 2


def test_threads_have_scratch_of_their_own():
    barrier = threading.Barrier(2, timeout=30)
    addresses = {}

    def note(unit, values):
        addresses[threading.get_ident()] = unit.scratch("temporary", values.shape).ctypes.data
        barrier.wait()  # one thread cannot take both shards

    executor = executor_of(Flatten(), Weighted(note), n_threads=2)
    run(executor)
    executor.pool.close()
    assert len(set(addresses.values())) == len(addresses) == 2


def totals_of(add):
    """Return the accumulators "rows" of two numbers of the shards of two steps, to which a function adds."""
    totals = []

    def finish(unit):
        totals.append(unit.accumulator("rows", (2,)).copy())
        unit.accumulator("rows", (2,))[:] = np.nan

    executor = executor_of(Weighted(on_backward=add, on_finish=finish), Flatten())
    for _ in range(2):
        run(executor)
    return totals


def test_an_accumulator_is_zero_before_backward_and_shared_until_finish():
    before = []

    def add(unit, dY):
        total = unit.accumulator("rows", (2,))
        before.append(total[0])
        total += dY.shape[2]

    np.testing.assert_array_equal(totals_of(add), [[5, 5]] * 4)
    assert before == [0, 3] * 4


def test_an_accumulator_that_no_unit_has_added_to_is_zero():
    np.testing.assert_array_equal(totals_of(do_nothing), [[0, 0]] * 4)


@pytest.mark.parametrize("kind", ["handed out", "an array of its own", "a view"])
def test_addends_are_summed_over_the_chunks_of_a_shard(kind):
    """Three rows and two are a shard; the memory of an addend holds anything, here the one before."""

    def add(unit, dY):
        addend = np.empty(2) if kind == "an array of its own" else unit.addend("rows", (2,))
        addend[:] = dY.shape[2], 1
        unit.add("rows", addend[:] if kind == "a view" else addend)

    np.testing.assert_array_equal(totals_of(add), [[5, 2]] * 4)


def test_the_first_addend_of_a_shard_is_the_accumulator():
    """Which spares passes over it; further ones are scratch memory."""
    are_accumulators = []

    def add(unit, dY):
        addend = unit.addend("rows", (2,))
        addend[:] = 0
        unit.add("rows", addend)
        are_accumulators.append(addend is unit.accumulator("rows", (2,)))

    totals_of(add)
    assert are_accumulators == [True, False] * 4


def test_weights_are_those_of_the_rows_of_a_unit():
    """And None where all rows weigh the same."""
    seen = {2: [], 4: []}

    def note(unit, values):
        seen[values.ndim].append(unit.weights)

    weights, executor = np.arange(N_ROWS) + 0.5, executor_of(Weighted(note), Flatten(), Probe(note))
    run(executor, weights)
    assert [len(part) for part in seen[4]] == [3, 2, 3, 2]
    assert [len(part) for part in seen[2]] == [5, 5]
    for parts in seen.values():
        np.testing.assert_array_equal(np.concatenate(parts), weights)
        parts.clear()
    run(executor)
    assert seen == {2: [None] * 2, 4: [None] * 4}


def test_the_generator_is_keyed_by_step_layer_and_first_row():
    draws = []

    def note(unit, values):
        draws.append((unit.rng.random(), unit.rng.random()))

    executor = executor_of(Weighted(note), Probe(note), Flatten(), Probe(note))
    for number in (0, 1):
        run(executor, number=number)
    assert all(first != again for first, again in draws)  # one generator throughout a pass
    values = [first for first, _ in draws]
    assert len(set(values)) == len(values) == 2 * (4 + 4 + 2)
    run(executor, number=0)
    assert [first for first, _ in draws[len(values) :]] == values[: len(values) // 2]
    other = executor_of(Weighted(note), Probe(note), Flatten(), Probe(note), seed=1)
    run(other)
    assert not set(values) & {first for first, _ in draws[-10:]}


@pytest.mark.parametrize("reads", [(), ("X",), ("Y",), ("X", "Y")])
def test_backward_sees_the_input_and_output_that_it_asks_for(reads):
    """With other layers around, so that memory is used again where it may be."""
    seen = []

    def note(unit, dY):
        seen.append([array if array is None else array.copy() for array in (unit.X, unit.Y)])

    run(executor_of(Weighted(), Probe(on_backward=note, backward_reads=reads), Probe(), Probe(), Flatten()))
    for kind, factor, parts in zip("XY", (2, 4), zip(*seen, strict=True), strict=True):
        if kind in reads:
            np.testing.assert_array_equal(np.concatenate(parts, axis=2), factor * TURNED)
        else:
            assert parts == (None,) * 4


def test_prepared_is_what_prepare_returned_at_this_step():
    seen = []

    class Prepared(Weighted):
        def prepare(self, params, plan, *, training, memory):
            assert training
            return params["weight"].copy()

    executor = executor_of(Prepared(lambda unit, _: seen.append(unit.prepared[0])), Flatten())
    for value in (1, 2):
        executor.network.vector[...] = value
        run(executor)
    assert seen == [1] * 4 + [2] * 4


@pytest.mark.parametrize(("value", "total"), [(None, 11), (5.0, 16)])
def test_the_first_gradient_is_written_and_further_ones_are_added(value, total):
    """Whatever the memory holds from the step before, and zero where none is written."""
    A, B = np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])

    class Product(Probe):
        def init_params(self, input_shape, *, activation, dtype, rng):
            return {"weight": np.zeros((1, 1), dtype), "other": np.zeros(2, dtype)}

    def add(unit, dY):
        if value is not None:
            unit.add_gradient("weight", np.array([[value]]))
        unit.add_gradient_product("weight", A, B)

    executor = executor_of(Product(on_backward=add), Flatten())
    for _ in range(2):
        run(executor)
        np.testing.assert_array_equal(np.sort(executor.reduce()), [0, 0, 4 * total])
        executor.reduce().fill(np.nan)


def test_memory_is_free_as_soon_as_the_executor_is_gone(monkeypatch):
    """Without the garbage collector: there are no cycles."""
    arrays = []

    class Noting(Slabs):
        def __call__(self, size, dtype):
            array = super().__call__(size, dtype)
            arrays.append(weakref.ref(array))
            return array

    monkeypatch.setattr("skcnn.network.executor.Slabs", Noting)
    gc.disable()
    try:
        executor = executor_of(Conv2D(16), Conv2D(16), MaxPool2D(), Residual([ReLU()]), Flatten(), Dense(3))
        run(executor)
        assert len(arrays) > 15
        executor.pool.close()
        del executor
        assert [array for array in arrays if array() is not None] == []
    finally:
        gc.enable()
