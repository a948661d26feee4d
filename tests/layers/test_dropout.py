"""Tests of the dropout layers."""

import numpy as np
import pytest
from reference import run_backward, run_forward
from seeds import SEED, generator

from skcnn.layers import Dropout, Flatten, SpatialDropout2D
from skcnn.network.cut import Cut
from skcnn.network.executor import Batch, Executor
from skcnn.network.graph import compile_nodes
from skcnn.network.network import init_network
from skcnn.network.threads import worker_pool


class SumOfScores:
    """Loss whose gradient is one everywhere."""

    def gradient(self, scores, targets, weights, out):
        out.fill(1)
        return float(scores.sum())


def factors(*layers, input_shape=(50,), n_samples=6, seed=0, numbers=(0,), cut=None):
    """Return what each step of training multiplies the features by, which is the gradient of their sum."""
    chain = [*layers, Flatten()] if len(input_shape) == 3 else layers
    nodes = compile_nodes([(f"layer{index}", layer) for index, layer in enumerate(chain)], input_shape)
    network = init_network(nodes, dtype=np.float64, seed=SEED + seed)
    targets, weights = np.zeros((n_samples, network.n_outputs)), np.ones(n_samples)
    with worker_pool(cut) as pool:
        executor = Executor(network, pool, training=True, seed=SEED + seed, input_gradient=True)
        results = []
        for number in numbers:
            batch = Batch(n_samples, lambda rows, out: out.fill(1), targets, weights, number=number)
            loss = executor.gradients(batch, SumOfScores())
            results.append(executor.input_gradient())
            # the sum of the results is that of the factors: backward uses the mask of forward
            assert loss == pytest.approx(results[-1].sum(), rel=1e-12)
        return results


BOTH = pytest.mark.parametrize("dropout", [Dropout, SpatialDropout2D])


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(100, 1000), (20, 10, 50, 10)], ids=["vectors", "images"])
def test_share_and_scale_of_what_is_kept(shape, rate, dtype):
    """Of n = 100,000 activations (1 - rate) n are kept, within five deviations sqrt(n rate (1 - rate))."""
    X = generator(0).uniform(1, 2, shape).astype(dtype)
    Y, _ = run_forward(Dropout(rate), {}, X, training=True, seed=3)
    kept = Y != 0
    assert abs(kept.sum() - (1 - rate) * X.size) <= 5 * np.sqrt(X.size * rate * (1 - rate))
    np.testing.assert_allclose(Y[kept], X[kept] / (1 - rate), rtol=4 * np.finfo(dtype).eps)


def test_mean_is_kept_in_expectation():
    """The mean of n results that are 0 or 1 / (1 - rate) has deviation sqrt(rate / (1 - rate) / n)."""
    Y, _ = run_forward(Dropout(0.3), {}, np.ones((1000, 100)), training=True, seed=4)
    assert abs(Y.mean() - 1) < 5 * np.sqrt(0.3 / 0.7 / Y.size)


def test_neighbours_are_dropped_independently():
    """Both of two neighbours, along either axis, with probability rate squared; five deviations."""
    Y, _ = run_forward(Dropout(0.4), {}, np.ones((500, 400)), training=True, seed=5)
    dropped = Y == 0
    for both in (dropped[1:] & dropped[:-1], dropped[:, 1:] & dropped[:, :-1]):
        # neighbouring pairs share an element, which at most doubles the variance
        assert abs(both.mean() - 0.16) < 5 * np.sqrt(2 * 0.16 * 0.84 / both.size)


@BOTH
@pytest.mark.parametrize("rate", [0.0, 0.25, 0.8])
def test_backward_drops_and_scales_as_forward_did(rate, dropout):
    X = np.ones((3, 2, 30, 20))
    Y, unit = run_forward(dropout(rate), {}, X, training=True)
    dY = generator(1).standard_normal(X.shape)
    dX = run_backward(dropout(rate), {}, unit, dY)
    np.testing.assert_allclose(dX, dY * Y, rtol=1e-15)


@BOTH
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
def test_rate_from_a_numpy_array_gives_the_same_bits(dtype, dropout):
    """A grid from np.linspace holds np.float64, which must not turn a float32 computation into float64."""
    X = generator(0).standard_normal((2, 1, 40, 50)).astype(dtype)
    expected, _ = run_forward(dropout(0.3), {}, X, training=True)
    Y, _ = run_forward(dropout(np.float64(0.3)), {}, X, training=True)
    np.testing.assert_array_equal(Y, expected)


@BOTH
def test_prediction_gives_the_input(dropout):
    X = generator(0).standard_normal((3, 4, 5, 2))
    Y, _ = run_forward(dropout(0.9), {}, X, training=False)
    np.testing.assert_array_equal(Y, X)


class TestSpatialDropout2D:
    """Whole channels of an image, each by itself."""

    @pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
    @pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
    def test_share_and_scale_of_the_channels_that_are_kept(self, rate, dtype):
        """Of n = 100,000 channels (1 - rate) n are kept, within five deviations sqrt(n rate (1 - rate))."""
        X = generator(0).uniform(1, 2, (2, 1, 200, 500)).astype(dtype)
        Y, _ = run_forward(SpatialDropout2D(rate), {}, X, training=True, seed=3)
        kept = Y != 0
        assert abs(kept[0].sum() - (1 - rate) * kept[0].size) <= 5 * np.sqrt(kept[0].size * rate * (1 - rate))
        np.testing.assert_allclose(Y[kept], X[kept] / (1 - rate), rtol=4 * np.finfo(dtype).eps)

    @pytest.mark.parametrize("shape", [(5, 4, 30, 20), (1, 7, 30, 20)], ids=str)
    def test_all_pixels_of_a_channel_are_dropped_or_none(self, shape):
        Y, _ = run_forward(SpatialDropout2D(0.4), {}, np.ones(shape), training=True)
        assert set(Y[0, 0].ravel()) == {0, 1 / (1 - 0.4)}
        np.testing.assert_array_equal(Y, np.broadcast_to(Y[0, 0], shape))

    def test_images_and_channels_are_dropped_independently(self):
        """Both of two neighbours, along either axis, with probability rate squared; five deviations."""
        Y, _ = run_forward(SpatialDropout2D(0.4), {}, np.ones((2, 1, 500, 400)), training=True, seed=5)
        dropped = Y[0, 0] == 0
        for both in (dropped[1:] & dropped[:-1], dropped[:, 1:] & dropped[:, :-1]):
            # neighbouring pairs share an element, which at most doubles the variance
            assert abs(both.mean() - 0.16) < 5 * np.sqrt(2 * 0.16 * 0.84 / both.size)

    def test_masks_of_steps_and_chunks_differ(self):
        """Images that go through the layer one at a time do not share a mask."""
        options = {"input_shape": (2, 1, 1000), "numbers": (0, 1), "cut": Cut(chunk_bytes=0)}
        first, second = factors(SpatialDropout2D(0.5), **options)
        masks = [*first.transpose(2, 0, 1, 3), *second.transpose(2, 0, 1, 3)]
        for one, other in zip(masks, masks[1:], strict=False):
            assert abs(agreement(one[0, 0], other[0, 0]) - 0.5) < 5 * 0.5 / np.sqrt(1000)

    def test_vectors_are_refused(self):
        with pytest.raises(ValueError, match=r"layer 'drop'.*expected an image .*, got shape \(64,\)"):
            compile_nodes([("drop", SpatialDropout2D())], (64,))


def test_mask_is_that_of_its_key():
    """Seed, step and layer fix the mask; what was drawn before does not matter."""
    first, second, third = factors(Dropout(0.5), numbers=(0, 1, 2))
    (again,) = factors(Dropout(0.5), numbers=(1,))
    np.testing.assert_array_equal(again, second)
    late, early = factors(Dropout(0.5), numbers=(2, 0))
    np.testing.assert_array_equal(late, third)
    np.testing.assert_array_equal(early, first)


def agreement(one, other):
    """Share of activations that two masks treat alike; 0.5 for independent masks of rate 0.5."""
    return ((one == 0) == (other == 0)).mean()


def test_mask_changes_with_the_step():
    first, second = factors(Dropout(0.5), input_shape=(1000,), numbers=(0, 1))
    assert abs(agreement(first, second) - 0.5) < 5 * 0.5 / np.sqrt(6000)


def test_mask_changes_with_the_seed():
    (first,) = factors(Dropout(0.5), input_shape=(1000,), seed=0)
    (second,) = factors(Dropout(0.5), input_shape=(1000,), seed=1)
    assert abs(agreement(first, second) - 0.5) < 5 * 0.5 / np.sqrt(6000)


def test_mask_changes_with_the_layer():
    """Two layers of rate 0.5 keep a quarter; with the same mask they would keep a half."""
    (both,) = factors(Dropout(0.5), Dropout(0.5), input_shape=(1000,))
    assert abs((both != 0).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 6000)
    assert set(both.ravel()) == {0, 4}


def test_mask_changes_with_the_shard():
    """Samples of different units of work must not share a mask."""
    (mask,) = factors(Dropout(0.5), input_shape=(1000,), cut=Cut(min_shards=6))
    for row in range(5):
        assert abs(agreement(mask[row], mask[row + 1]) - 0.5) < 5 * 0.5 / np.sqrt(1000)


def test_mask_changes_with_the_chunk():
    """The same for the few images that go through a layer at a time, one here."""
    (mask,) = factors(Dropout(0.5), input_shape=(20, 10, 5), cut=Cut(chunk_bytes=0))
    for row in range(5):
        share = agreement(mask[:, :, row], mask[:, :, row + 1])
        assert abs(share - 0.5) < 5 * 0.5 / np.sqrt(1000)


@pytest.mark.parametrize("n_threads", [1, 4])
def test_mask_does_not_depend_on_the_number_of_threads(n_threads, monkeypatch):
    options = {"numbers": (0, 1), "cut": Cut(min_shards=6)}
    monkeypatch.setenv("SKCNN_NUM_THREADS", "2")
    expected = factors(Dropout(0.5), **options)
    monkeypatch.setenv("SKCNN_NUM_THREADS", str(n_threads))
    np.testing.assert_array_equal(factors(Dropout(0.5), **options), expected)


@BOTH
@pytest.mark.parametrize("rate", [1.0, -0.1, 2, "0.5", None, float("nan")], ids=repr)
def test_wrong_hyperparameters(rate, dropout):
    with pytest.raises(ValueError) as info:
        compile_nodes([("drop", dropout(rate))], (4, 4, 1))
    message, name = str(info.value), dropout.__name__
    assert message.startswith(f"layer 'drop', {name}(rate=")
    assert f"'rate' parameter of {name} must be a float in the range [0.0, 1.0). Got {rate!r}" in message
