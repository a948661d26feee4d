"""Tests of how work is cut: all rows once, in pieces of the sizes that are meant."""

import pytest

from skcnn.network.cut import SECTION, Cut, chunk_bounds, sections


def assert_covers(bounds, n_rows):
    assert [row for start, stop in bounds for row in range(start, stop)] == list(range(n_rows))
    assert all(start < stop for start, stop in bounds)


@pytest.mark.parametrize("multiply_adds", [0, 1, 10**6, 10**7, 10**9])
def test_shards_cover_all_rows_once_and_are_nearly_equal(multiply_adds):
    cut = Cut()
    for n_rows in [*range(1, 20), 64, 127, 128, 1000]:
        bounds = cut.shard_bounds(n_rows, multiply_adds)
        assert_covers(bounds, n_rows)
        sizes = [stop - start for start, stop in bounds]
        assert len(sizes) <= cut.max_shards
        assert max(sizes) - min(sizes) <= 1
        assert sizes[0] == max(sizes)  # whose scratch memory serves those that follow
        assert (len(sizes) > 1) == (n_rows > 1 and n_rows * multiply_adds >= cut.second_shard)
        assert len(sizes) <= 2 or n_rows * multiply_adds >= len(sizes) * cut.further_shard
        assert len(sizes) <= 2 or sizes[-1] >= cut.shard_rows


def test_a_number_of_shards_can_be_asked_for():
    cut = Cut(min_shards=3, max_shards=3)
    for multiply_adds in (0, 10**9):
        assert cut.shard_bounds(11, multiply_adds) == [(0, 4), (4, 8), (8, 11)]
        assert cut.shard_bounds(2, multiply_adds) == [(0, 1), (1, 2)]


@pytest.mark.parametrize("chunk_target", [1, 10, 15, 1000])
def test_longer_chunks_never_make_more_shards_of_rows_to_predict(chunk_target):
    """So threads enough for the most shards are enough."""
    cut = Cut(prediction_rows=10)
    for n_rows in range(1, 200):
        bounds = cut.prediction_bounds(n_rows, chunk_target)
        assert_covers(bounds, n_rows)
        assert len(bounds) <= len(cut.prediction_bounds(n_rows))


@pytest.mark.parametrize("target", [1, 3, 20, 1000])
def test_chunks_cover_all_rows_once_and_are_close_to_the_target(target):
    for n_rows in range(1, 100):
        bounds = chunk_bounds(n_rows, target)
        assert_covers(bounds, n_rows)
        sizes = [stop - start for start, stop in bounds]
        assert len(set(sizes[:-1])) <= 1
        assert sizes[-1] <= sizes[0]
        assert sizes[0] <= max(1.5 * target, 1)
        assert len(sizes) == 1 or sizes[0] >= 2 * target / 3 - 1


def test_a_chunk_fills_its_memory():
    """A few images may take four times as much; it is one image at least, or as many as are asked for."""
    assert Cut().chunk_target(1000) == Cut().chunk_bytes // 1000
    long_chunk = Cut().long_chunk
    for images, expected in [(long_chunk + 1, long_chunk + 1), (long_chunk - 1, long_chunk), (3, 12)]:
        assert Cut(chunk_bytes=1000 * images).chunk_target(1000) == expected
    assert Cut(chunk_bytes=1).chunk_target(1000) == 1
    assert Cut(chunk_bytes=0, min_chunk=3).chunk_target(1000) == 3


def test_sections_cover_a_vector_once():
    for size in [0, 1, SECTION, SECTION + 1, 3 * SECTION + 7]:
        cuts = sections(size)
        assert [cut.start for cut in cuts] == list(range(0, size, SECTION))
        assert [cut.stop for cut in cuts] == [*range(SECTION, size, SECTION), size][: len(cuts)]
