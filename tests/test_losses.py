"""Tests of the losses against SciPy's log-softmax and against finite differences."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from skcnn.gradient_check import loss_gradient_error
from skcnn.losses import LOSSES, LogLoss, dense_targets

EXTREME = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, 1e4], [1e4, 1e4, 1e4], [-1e4, 0.0, 1e-3]])
"""Scores whose exponentials overflow or vanish in float64."""


def problem(n_samples=6, n_outputs=4, seed=0):
    rng = np.random.default_rng(seed)
    scores = 3 * rng.standard_normal((n_samples, n_outputs))
    targets = rng.dirichlet(np.ones(n_outputs), n_samples)
    weights = rng.uniform(0.5, 2, n_samples)
    return scores, targets, weights


def naive_values(scores, targets):
    return np.array(
        [
            -sum(t * s for t, s in zip(*row, strict=True))
            for row in zip(targets, log_softmax(scores, axis=1), strict=True)
        ]
    )


def gradient_of(scores, targets, weights, loss=None):
    """Return the loss and the gradient, of memory that held something else before."""
    out = np.full_like(scores, np.nan)
    return (loss or LogLoss()).gradient(scores, targets, weights, out=out), out


def test_dense_targets_by_hand():
    targets = dense_targets(np.array([2, 0]), 4, label_smoothing=0.2, dtype=np.float64)
    np.testing.assert_allclose(targets, [[0.05, 0.05, 0.85, 0.05], [0.85, 0.05, 0.05, 0.05]], rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
def test_dense_targets_are_distributions_of_the_dtype(dtype, label_smoothing):
    codes = np.array([0, 6, 3, 3])
    targets = dense_targets(codes, 7, label_smoothing=label_smoothing, dtype=dtype)
    assert targets.dtype == dtype
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=7 * np.finfo(dtype).eps)
    if label_smoothing == 0:
        np.testing.assert_array_equal(targets, np.eye(7)[codes])


@pytest.mark.parametrize("seed", range(3))
def test_values_equal_the_definition(seed):
    scores, targets, _ = problem(seed=seed)
    np.testing.assert_allclose(LogLoss().values(scores, targets), naive_values(scores, targets), rtol=1e-13)


@pytest.mark.parametrize("seed", range(3))
def test_gradient_returns_the_weighted_sum_of_the_values(seed):
    scores, targets, weights = problem(seed=seed)
    loss, _ = gradient_of(scores, targets, weights)
    assert type(loss) is float
    assert loss == pytest.approx(float(weights @ naive_values(scores, targets)), rel=1e-13)


@pytest.mark.parametrize("seed", range(3))
def test_gradient_is_weight_times_probability_minus_target(seed):
    scores, targets, weights = problem(seed=seed)
    _, gradient = gradient_of(scores, targets, weights)
    expected = weights[:, np.newaxis] * (softmax(scores, axis=1) - targets)
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-15 * 8)


@pytest.mark.parametrize("name", sorted(LOSSES))
@pytest.mark.parametrize("n_outputs", [2, 10])
def test_gradient_agrees_with_finite_differences(name, n_outputs):
    assert loss_gradient_error(LOSSES[name](), n_outputs=n_outputs) < 1e-7


def test_finite_differences_notice_a_wrong_gradient():
    class WrongLoss(LogLoss):
        def gradient(self, scores, targets, weights, out):
            loss = super().gradient(scores, targets, weights, out)
            out[:, 0] *= 1.01
            return loss

    assert loss_gradient_error(WrongLoss()) > 1e-4


def test_inputs_are_left_as_they_are():
    arrays = problem()
    copies = [array.copy() for array in arrays]
    gradient_of(*arrays)
    LogLoss().values(*arrays[:2])
    LogLoss().probabilities(arrays[0])
    LogLoss().log_probabilities(arrays[0])
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_a_weight_of_zero_removes_a_row():
    scores, targets, weights = problem()
    weights[2] = 0
    loss, gradient = gradient_of(scores, targets, weights)
    kept = np.arange(len(scores)) != 2
    loss_of_rest, gradient_of_rest = gradient_of(scores[kept], targets[kept], weights[kept])
    assert loss == pytest.approx(loss_of_rest, rel=1e-15)
    np.testing.assert_array_equal(gradient[kept], gradient_of_rest)
    assert not gradient[2].any()


@pytest.mark.parametrize("factor", [2, 3])
def test_a_weight_equals_repetition(factor):
    scores, targets, _ = problem()
    repeats = np.array([1, factor, 1, 1, factor, 1])
    loss, gradient = gradient_of(scores, targets, repeats.astype(float))
    rows = np.repeat(np.arange(6), repeats)
    repeated_loss, repeated_gradient = gradient_of(scores[rows], targets[rows], np.ones(len(rows)))
    assert loss == pytest.approx(repeated_loss, rel=1e-14)
    summed = np.zeros_like(gradient)
    np.add.at(summed, rows, repeated_gradient)
    np.testing.assert_allclose(gradient, summed, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_scores_give_exact_losses_and_gradients(dtype):
    scores = EXTREME.astype(dtype)
    targets = np.eye(3, dtype=dtype)[[1, 2, 0, 0]]
    expected = np.array([2e4, 0.0, np.log(3), 1e4 + 1e-3 + np.log1p(np.exp(-1e-3))])
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(LogLoss().values(scores, targets), expected, rtol=2 * eps)
    loss, gradient = gradient_of(scores, targets, np.ones(4, dtype))
    assert loss == pytest.approx(expected.sum(), rel=2 * eps)
    probabilities = softmax(scores.astype(np.float64), axis=1)
    np.testing.assert_allclose(gradient, probabilities - targets, rtol=0, atol=2 * eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_scores_with_smoothed_targets(dtype):
    scores = EXTREME.astype(dtype)
    targets = dense_targets(np.array([0, 0, 0, 2]), 3, label_smoothing=0.3, dtype=dtype)
    expected = naive_values(scores.astype(np.float64), targets.astype(np.float64))
    rtol = 4 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(LogLoss().values(scores, targets), expected, rtol=rtol)
    assert gradient_of(scores, targets, np.ones(4, dtype))[0] == pytest.approx(expected.sum(), rel=rtol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probabilities_equal_scipy_and_keep_the_dtype(dtype):
    scores = np.concatenate([EXTREME, problem(n_outputs=3)[0]]).astype(dtype)
    probabilities = LogLoss().probabilities(scores)
    assert probabilities.dtype == dtype
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(
        probabilities, softmax(scores.astype(np.float64), axis=1), atol=4 * eps, rtol=0
    )
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=2 * eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_probabilities_are_exact_where_the_softmax_underflows(dtype):
    scores = np.concatenate([EXTREME, problem(n_outputs=3)[0]]).astype(dtype)
    logs = LogLoss().log_probabilities(scores)
    assert logs.dtype == dtype
    assert (LogLoss().probabilities(scores) == 0).any()
    expected = log_softmax(scores.astype(np.float64), axis=1)
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(logs, expected, rtol=2 * eps, atol=2 * eps * np.abs(expected[4:]).max())


def test_a_shift_of_all_scores_changes_nothing():
    scores, targets, _ = problem()
    shifted = scores + 1024.0
    np.testing.assert_allclose(
        LogLoss().values(shifted, targets), LogLoss().values(scores, targets), rtol=0, atol=4 * 1024 * 2**-52
    )


def test_float32_scores_give_float32_gradients():
    arrays = [array.astype(np.float32) for array in problem()]
    loss, gradient = gradient_of(*arrays)
    assert gradient.dtype == np.float32
    expected = naive_values(arrays[0].astype(np.float64), arrays[1].astype(np.float64))
    assert loss == pytest.approx(float(arrays[2].astype(np.float64) @ expected), rel=1e-6)
