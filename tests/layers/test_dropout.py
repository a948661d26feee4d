"""Tests of the dropout layers."""

from itertools import combinations

import numpy as np
import pytest
from reference import run_backward, run_forward
from seeds import SEED, generator
from small_networks import NOT_FRACTIONS, assert_refused

from skcnn.layers import Dropout, Flatten, SpatialDropout2D
from skcnn.network.cut import Cut
from skcnn.network.executor import Batch, Executor
from skcnn.network.graph import compile_nodes
from skcnn.network.losses import LinearLoss
from skcnn.network.network import init_network
from skcnn.network.threads import worker_pool


def factors(*layers, input_shape=(2, 1, 1000), n_samples=6, seed=0, numbers=(0,), cut=None):
    """Return what each step of training multiplies images by, which is the gradient of their sum."""
    named = [(f"layer{index}", layer) for index, layer in enumerate([*layers, Flatten()])]
    network = init_network(compile_nodes(named, input_shape), dtype=np.float64, seed=SEED + seed)
    targets, weights = np.ones((n_samples, network.n_outputs)), np.ones(n_samples)
    with worker_pool(cut) as pool:
        executor = Executor(network, pool, training=True, seed=SEED + seed, input_gradient=True)
        results = []
        for number in numbers:
            batch = Batch(n_samples, lambda rows, out: out.fill(1), targets, weights, number=number)
            loss = executor.gradients(batch, LinearLoss())
            results.append(executor.input_gradient())
            # the sum of the results is that of the factors: backward uses the mask of forward
            assert loss == pytest.approx(results[-1].sum(), rel=1e-12)
        return results


each_kind = pytest.mark.parametrize("dropout", [Dropout, SpatialDropout2D])


@each_kind
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.9])
def test_share_and_scale_of_what_is_kept(rate, dtype, dropout):
    """Of n = 100,000 channels (1 - rate) n are kept, within five deviations sqrt(n rate (1 - rate))."""
    X = generator(0).uniform(1, 2, (1, 1, 200, 500)).astype(dtype)
    Y, _ = run_forward(dropout(rate), {}, X, training=True, seed=3)
    kept = Y != 0
    assert abs(kept.sum() - (1 - rate) * X.size) <= 5 * np.sqrt(X.size * rate * (1 - rate))
    np.testing.assert_allclose(Y[kept], X[kept] / (1 - rate), rtol=4 * np.finfo(dtype).eps)


@each_kind
def test_neighbours_are_dropped_independently(dropout):
    """Both of two images or channels with probability rate squared; five deviations."""
    Y, _ = run_forward(dropout(0.4), {}, np.ones((1, 1, 500, 400)), training=True, seed=5)
    dropped = Y[0, 0] == 0
    for both in (dropped[1:] & dropped[:-1], dropped[:, 1:] & dropped[:, :-1]):
        # neighbouring pairs share an element, which at most doubles the variance
        assert abs(both.mean() - 0.16) < 5 * np.sqrt(2 * 0.16 * 0.84 / both.size)


@each_kind
def test_backward_drops_and_scales_as_forward_did(dropout):
    X = np.ones((3, 2, 30, 20))
    Y, unit = run_forward(dropout(0.25), {}, X, training=True)
    dY = generator(1).standard_normal(X.shape)
    dX = run_backward(dropout(0.25), {}, unit, dY)
    np.testing.assert_allclose(dX, dY * Y, rtol=1e-15)


@each_kind
def test_rate_from_a_numpy_array_gives_the_same_bits(dropout):
    """A grid from np.linspace holds np.float64, which must not turn a float32 computation into float64."""
    X = generator(0).standard_normal((2, 1, 40, 50)).astype(np.float32)
    expected, _ = run_forward(dropout(0.3), {}, X, training=True)
    Y, _ = run_forward(dropout(np.float64(0.3)), {}, X, training=True)
    np.testing.assert_array_equal(Y, expected)


def test_all_pixels_of_a_channel_are_dropped_or_none():
    shape = (5, 4, 30, 20)
    Y, _ = run_forward(SpatialDropout2D(0.4), {}, np.ones(shape), training=True)
    assert set(Y[0, 0].ravel()) == {0, 1 / (1 - 0.4)}
    np.testing.assert_array_equal(Y, np.broadcast_to(Y[0, 0], shape))


def test_mask_is_that_of_its_key():
    """Seed, step and layer fix the mask; what was drawn before does not matter."""
    first, second, third = factors(Dropout(0.5), numbers=(0, 1, 2))
    np.testing.assert_array_equal(factors(Dropout(0.5), numbers=(1,)), [second])
    np.testing.assert_array_equal(factors(Dropout(0.5), numbers=(2, 0)), [third, first])


@each_kind
def test_masks_of_images_steps_and_seeds_differ(dropout):
    """Of shards and of chunks of one image, too; independent masks of rate 0.5 agree on half of 1000."""
    cut = Cut(min_shards=3, chunk_bytes=0)
    steps = [*factors(dropout(0.5), numbers=(0, 1), cut=cut), *factors(dropout(0.5), seed=1, cut=cut)]
    masks = [mask == 0 for step in steps for mask in step[0, 0]]
    assert len(masks) == 18
    for one, other in combinations(masks, 2):
        assert abs((one == other).mean() - 0.5) < 5 * 0.5 / np.sqrt(1000)


def test_mask_changes_with_the_layer():
    """Two layers of rate 0.5 keep a quarter; with the same mask they would keep a half."""
    (both,) = factors(Dropout(0.5), Dropout(0.5))
    assert abs((both != 0).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / both.size)
    assert set(both.ravel()) == {0, 4}


@each_kind
def test_wrong_rate(dropout):
    assert_refused(dropout, "rate", NOT_FRACTIONS, (4, 4, 1))
