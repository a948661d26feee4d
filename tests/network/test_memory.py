"""Tests of the memory: arenas, and the slabs that their arrays are cut from."""

import threading

import numpy as np
import pytest

from skcnn.network.memory import ALIGNMENT, SLAB_BYTES, Arena, Slabs


def test_an_arena_hands_out_the_same_memory_again():
    arena = Arena(np.float64)
    first = arena("a", (3, 4))
    first[...] = 7
    again = arena("a", (3, 4))
    assert again.shape == (3, 4)
    assert np.shares_memory(first, again)
    np.testing.assert_array_equal(again, 7)


def test_names_have_memory_of_their_own():
    arena = Arena(np.float64)
    assert not np.shares_memory(arena("a", (3,)), arena("b", (3,)))
    assert not np.shares_memory(arena((1, "a"), (3,)), arena((2, "a"), (3,)))


def test_a_smaller_shape_gets_a_contiguous_view_of_the_beginning():
    arena = Arena(np.float64)
    large = arena("a", (10, 4))
    large[...] = np.arange(40).reshape(10, 4)
    small = arena("a", (3, 5))
    assert small.flags.c_contiguous
    np.testing.assert_array_equal(small.ravel(), np.arange(15))
    assert np.shares_memory(arena("a", (10, 4)), large)


def test_a_larger_shape_gets_new_memory_that_smaller_ones_then_share():
    arena = Arena(np.float64)
    small = arena("a", (3,))
    large = arena("a", (30,))
    assert not np.shares_memory(small, large)
    assert np.shares_memory(arena("a", (3,)), large)


def test_shapes_without_elements_are_handed_out():
    assert Arena(np.float64)("a", (0, 3)).shape == (0, 3)


@pytest.mark.parametrize("default", [np.float32, np.dtype("float64")])
def test_the_dtype_is_the_default_unless_one_is_asked_for(default):
    arena = Arena(default)
    assert arena("a", (3,)).dtype == np.dtype(default)
    assert arena("a", (3,), bool).dtype == bool
    assert arena("a", (3,), np.uint8).dtype == np.uint8
    assert not np.shares_memory(arena("a", (3,)), arena("a", (3,), bool))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (None, np.float32),
        (None, np.dtype("float32")),
        (np.float32, np.dtype("float32")),
        (bool, np.bool_),
        ("uint8", np.uint8),
    ],
)
def test_one_dtype_is_one_memory_however_it_is_written(written, read):
    """What forward writes under one spelling, backward finds under the other."""
    arena = Arena(np.float32)
    first = arena("a", (3,), written)
    first[...] = 1
    assert np.shares_memory(first, arena("a", (3,), read))


def test_arrays_are_cut_from_slabs_one_after_the_other():
    """Each at the start of a line of the cache, none over another, large ones apart."""
    slabs, quarter = Slabs(), SLAB_BYTES // 4
    sizes = [3, 1000, 0, 17, 3 * SLAB_BYTES, 5, quarter, quarter - 1, quarter, quarter + 1, quarter, 64]
    arrays = [slabs(size, np.dtype(dtype)) for size, dtype in zip(sizes, "dfBdBfBBBBBd", strict=True)]
    for number, array in enumerate(arrays):
        assert array.ctypes.data % ALIGNMENT == 0 or array.nbytes > quarter
        array.fill(number)
    for number, (size, array) in enumerate(zip(sizes, arrays, strict=True)):
        assert array.shape == (size,)
        assert (array == number).all()
    assert arrays[1].ctypes.data - arrays[0].ctypes.data == ALIGNMENT


def test_threads_share_slabs_without_overlap():
    slabs, n_threads, n_arrays = Slabs(), 8, 200
    taken = [[] for _ in range(n_threads)]
    barrier = threading.Barrier(n_threads, timeout=30)

    def take(own):
        barrier.wait()
        own.extend(slabs(size, np.dtype(np.uint8)) for size in range(n_arrays))

    threads = [threading.Thread(target=take, args=(own,)) for own in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
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
