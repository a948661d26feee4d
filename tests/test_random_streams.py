"""Tests of the random streams: what is drawn depends on the seed, the purpose and the position alone."""

import pickle

import numpy as np
import pytest
from seeds import SEED

from skcnn.random_streams import GOLDEN_GAMMA, PURPOSES, RandomStreams, splitmix64


def draws(streams, purpose="dropout", *position, size=8):
    return streams.generator(purpose, *position).integers(2**63, size=size)


def test_numbers_do_not_depend_on_what_was_drawn_before():
    fresh, used = RandomStreams(SEED), RandomStreams(SEED)
    used.generator("dropout", 5).random(1000)
    used.generator("shuffle", 4).random(1000)
    used.integer("split")
    np.testing.assert_array_equal(draws(fresh, "dropout", 5), draws(used, "dropout", 5))


def test_seeds_purposes_and_positions_give_different_numbers():
    positions = [(), (1,), (2,), (0, 1), (1, 1), (0, 0, 1), (2**64 - 1,)]
    rows = [
        draws(RandomStreams(seed), purpose, *position)
        for seed in (SEED, SEED + 1, SEED + 2**100)
        for purpose in PURPOSES
        for position in positions
    ]
    flat = np.concatenate(rows)
    assert len(np.unique(flat)) == len(flat) == 3 * len(PURPOSES) * len(positions) * 8


def test_streams_of_neighbouring_positions_do_not_overlap():
    """A long draw at one position holds no number of the next one."""
    streams = RandomStreams(SEED)
    here = draws(streams, "dropout", 4, 1, 0, size=20_000)
    for position in [(4, 1, 1), (4, 2, 0), (5, 1, 0)]:
        assert not np.isin(draws(streams, "dropout", *position, size=64), here).any()


def test_neighbouring_positions_are_uncorrelated():
    """The correlation of n pairs of uniforms has a deviation of about 1 / sqrt(n)."""
    streams = RandomStreams(SEED)
    n_draws = 10_000
    uniforms = [streams.generator("dropout", step, 2, 0).random(n_draws) for step in range(4)]
    correlations = np.corrcoef(uniforms)[np.triu_indices(4, 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(n_draws)
    assert np.abs(np.mean(uniforms, axis=1) - 0.5).max() < 5 * np.sqrt(1 / 12 / n_draws)


@pytest.mark.parametrize(
    ("purpose", "position", "error"),
    [
        ("dropout", (1, 2, 3, 4), ValueError),
        ("lottery", (), KeyError),
        *[("dropout", (-1,), OverflowError), ("dropout", (2**64,), OverflowError)],
    ],
)
def test_purposes_and_positions_that_are_none_are_refused(purpose, position, error):
    with pytest.raises(error):
        RandomStreams(SEED).generator(purpose, *position)


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**127 + 1])
def test_integer_is_a_random_state_for_scikit_learn(seed):
    value = RandomStreams(seed).integer("split")
    assert type(value) is int
    assert 0 <= value < 2**31 - 1
    assert value == RandomStreams(seed).integer("split")
    np.random.RandomState(value)


def test_pickle_keeps_the_streams_and_holds_the_seed_only():
    streams = RandomStreams(2**100)
    data = pickle.dumps(streams)
    assert len(data) < 200
    np.testing.assert_array_equal(draws(pickle.loads(data), "dropout", 9), draws(streams, "dropout", 9))


def test_splitmix64_gives_the_numbers_of_its_reference():
    """The first five for the seed 1234567, by the published C program."""
    states = np.uint64([1234567]) + GOLDEN_GAMMA * np.arange(5, dtype=np.uint64)
    assert splitmix64(states).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_uniforms_of_a_row_do_not_depend_on_others():
    streams = RandomStreams(SEED)
    together = streams.uniforms("augmentation", 2, np.arange(9), 4)
    np.testing.assert_array_equal(streams.uniforms("augmentation", 2, np.array([7, 3]), 4), together[[7, 3]])
    np.testing.assert_array_equal(streams.uniforms("augmentation", 2, np.arange(9), 2), together[:, :2])


def test_uniforms_are_uniform_and_unrelated():
    """Means of n numbers deviate by 1 / sqrt(12 n), correlations by 1 / sqrt(n)."""
    rows = np.arange(5_000)
    draws = [
        RandomStreams(SEED + change).uniforms("augmentation", epoch, rows, 2, lane=lane)
        for change, epoch, lane in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 2, 0)]
    ]
    columns = np.concatenate([*draws, draws[0][np.roll(rows, 1)]], axis=1)
    assert columns.min() >= 0 and columns.max() < 1
    assert np.abs(columns.mean(axis=0) - 0.5).max() < 5 / np.sqrt(12 * len(rows))
    correlations = np.corrcoef(columns.T)[np.triu_indices(columns.shape[1], 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(len(rows))
