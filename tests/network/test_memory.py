"""Tests of the memory: arenas, and the slabs that their arrays are cut from."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from skcnn.network.memory import ALIGNMENT, SLAB_BYTES, Arena, Slabs


def test_an_arena_hands_out_the_same_memory_again():
    """Each name has its own; a larger shape gets new memory, which smaller ones then share."""
    arena = Arena(np.float64)
    first = arena("a", (3, 4))
    first[...] = np.arange(12).reshape(3, 4)
    assert not np.shares_memory(first, arena("b", (3, 4)))
    assert not np.shares_memory(arena((1, "a"), (3,)), arena((2, "a"), (3,)))
    np.testing.assert_array_equal(arena("a", (3, 4)), np.arange(12).reshape(3, 4))
    small = arena("a", (5, 2))
    assert small.flags.c_contiguous
    np.testing.assert_array_equal(small.ravel(), np.arange(10))
    large = arena("a", (30,))
    assert not np.shares_memory(first, large)
    assert np.shares_memory(arena("a", (3, 4)), large)
    assert arena("a", (0, 3)).shape == (0, 3)


@pytest.mark.parametrize(
    ("default", "written", "read"),
    [
        (np.float32, None, np.dtype("float32")),
        (np.dtype("float64"), None, np.float64),
        (np.float32, bool, np.bool_),
        (np.float32, "uint8", np.uint8),
    ],
)
def test_one_dtype_is_one_memory_however_it_is_written(default, written, read):
    arena = Arena(default)
    first = arena("a", (3,), written)
    assert first.dtype == np.dtype(read)
    assert np.shares_memory(first, arena("a", (3,), read))
    assert not np.shares_memory(first, arena("a", (3,), np.int16))


def test_arrays_are_cut_from_slabs_one_after_the_other():
    """Each at the start of a line of the cache, none over another, large ones apart."""
    slabs, quarter = Slabs(), SLAB_BYTES // 4
    sizes = [3, 1000, 0, 17, 3 * SLAB_BYTES, 5, quarter, quarter - 1, quarter, quarter + 1, quarter, 64]
    arrays = [slabs(size, np.dtype(dtype)) for size, dtype in zip(sizes, "dfBdBfBBBBBd", strict=True)]
    for number, array in enumerate(arrays):
        assert array.ctypes.data % ALIGNMENT == 0
        array.fill(number)
    for number, (size, array) in enumerate(zip(sizes, arrays, strict=True)):
        assert array.shape == (size,)
        assert (array == number).all()
    assert arrays[1].ctypes.data - arrays[0].ctypes.data == ALIGNMENT


def test_threads_share_slabs_without_overlap():
    slabs, n_threads, n_arrays = Slabs(), 8, 200
    barrier = threading.Barrier(n_threads, timeout=30)

    def take(_):
        barrier.wait()
        return [slabs(size, np.dtype(np.uint8)) for size in range(n_arrays)]

    with ThreadPoolExecutor(n_threads) as pool:
        taken = list(pool.map(take, range(n_threads)))
    ranges = sorted((array.ctypes.data, array.size) for own in taken for array in own if array.size)
    assert len(ranges) == n_threads * (n_arrays - 1)
    for (start, size), (following, _) in zip(ranges, ranges[1:], strict=False):
        assert start + size <= following


def test_an_arena_takes_its_memory_where_it_is_told_to():
    asked = []

    def allocate(size, dtype):
        asked.append((size, dtype))
        return np.empty(size, dtype)

    arena = Arena(np.float32, allocate)
    arena("a", (2, 3))
    arena("a", (3, 1))
    arena("b", (4,), bool)
    assert asked == [(6, np.float32), (4, np.bool_)]


def test_a_workspace_is_made_once_and_anew_when_memory_has_grown():
    arena = Arena(np.float64)
    made = []

    def make(memory, n):
        made.append(n)
        return memory("a", (n,))

    first = arena.workspace(make, 3)
    assert arena.workspace(make, 3) is first
    larger = arena.workspace(make, 5)
    assert np.shares_memory(arena.workspace(make, 3), larger)
    assert made == [3, 5, 3]
