"""Tests of the losses of regressors against scikit-learn's metrics, and against finite differences."""

import inspect

import numpy as np
import pytest
from seeds import SEED, generator
from sklearn.metrics import (
    mean_absolute_error,
    mean_pinball_loss,
    mean_poisson_deviance,
    mean_squared_error,
)

from skcnn.gradient_check import loss_gradient_error
from skcnn.network.regression_losses import (
    REGRESSION_LOSSES,
    AbsoluteError,
    Huber,
    Poisson,
    Quantile,
    SquaredError,
)


def huber(delta):
    """Return the definition, of numbers, for loops."""

    def loss(targets, predictions):
        errors = [abs(t - p) for t, p in zip(targets.tolist(), predictions.tolist(), strict=True)]
        return np.mean([e**2 / 2 if e <= delta else delta * (e - delta / 2) for e in errors])

    return loss


TABLE = [
    (SquaredError(), lambda targets, predictions: mean_squared_error(targets, predictions) / 2),
    (AbsoluteError(), mean_absolute_error),
    (Huber(), huber(1.0)),
    (Huber(huber_delta=0.3), huber(0.3)),
    (Poisson(), lambda targets, predictions: mean_poisson_deviance(targets, predictions) / 2),
    (Quantile(), lambda targets, predictions: mean_pinball_loss(targets, predictions)),
    (Quantile(quantile=0.9), lambda targets, predictions: mean_pinball_loss(targets, predictions, alpha=0.9)),
    (Quantile(quantile=0.0), lambda targets, predictions: mean_pinball_loss(targets, predictions, alpha=0.0)),
]
"""Losses, and the loss of the outputs of one sample by the definition."""

each_loss = pytest.mark.parametrize(("loss", "oracle"), TABLE, ids=lambda each: type(each).__name__)


def problem(loss, n_outputs=3, dtype=np.float64):
    rng = generator(n_outputs)
    scores = rng.normal(0, 2, (9, n_outputs))
    targets = rng.normal(0, 2, (9, n_outputs)) if loss.is_centred else rng.poisson(1.0, (9, n_outputs))
    return scores.astype(dtype), targets.astype(dtype), rng.uniform(0.5, 2, 9).astype(dtype)


def test_every_loss_is_in_the_table():
    assert {type(loss) for loss, _ in TABLE} == set(REGRESSION_LOSSES.values())
    for loss in REGRESSION_LOSSES.values():
        assert tuple(inspect.signature(loss).parameters) == loss.hyperparameters


@each_loss
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_values_and_their_weighted_sum_equal_the_definition(loss, oracle, n_outputs):
    scores, targets, weights = problem(loss, n_outputs)
    expected = [oracle(t, p) for t, p in zip(targets, loss.predictions(scores), strict=True)]
    np.testing.assert_allclose(loss.values(scores, targets), expected, rtol=1e-12, atol=1e-13)
    out = np.full_like(scores, np.nan)
    assert loss.gradient(scores, targets, weights, out) == pytest.approx(weights @ expected, rel=1e-12)


@each_loss
@pytest.mark.parametrize("n_outputs", [1, 4])
def test_gradient_agrees_with_finite_differences(loss, oracle, n_outputs):
    assert loss_gradient_error(loss, n_outputs=n_outputs, random_state=SEED) < 1e-7


@each_loss
def test_the_weighted_gradient_is_that_of_repeated_samples_and_inputs_stay(loss, oracle):
    scores, targets, _ = problem(loss)
    repeats = generator(1).integers(0, 4, len(scores))
    arrays = scores, targets, repeats.astype(float)
    copies = [array.copy() for array in arrays]
    out, repeated = np.empty_like(scores), np.empty((repeats.sum(), 3))
    total = loss.gradient(*arrays, out)
    rows = np.repeat(np.arange(len(scores)), repeats)
    assert total == pytest.approx(loss.gradient(scores[rows], targets[rows], np.ones(len(rows)), repeated))
    summed = np.zeros_like(out)
    np.add.at(summed, rows, repeated)
    np.testing.assert_allclose(out, summed, rtol=1e-14, atol=1e-15)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@each_loss
def test_float32_stays_float32(loss, oracle):
    scores, targets, weights = problem(loss, dtype=np.float32)
    out, exact = np.empty_like(scores), np.empty(scores.shape)
    values = loss.values(scores, targets)
    assert values.dtype == loss.predictions(scores).dtype == np.float32
    loss.gradient(scores, targets, weights, out)
    loss.gradient(*(array.astype(float) for array in (scores, targets, weights)), exact)
    np.testing.assert_allclose(out, exact, rtol=0, atol=32 * 2**-24 * np.abs(exact).max())


@pytest.mark.parametrize("loss", [AbsoluteError(), Quantile(quantile=0.9)])
def test_the_gradient_of_an_exact_prediction_is_zero(loss):
    out = np.full((2, 1), np.nan)
    loss.gradient(np.ones((2, 1)), np.ones((2, 1)), np.ones(2), out)
    np.testing.assert_array_equal(out, 0)


@each_loss
def test_right_scores_predict_the_targets(loss, oracle):
    _, targets, _ = problem(loss)
    tiny = np.finfo(float).tiny  # the smallest rate of which the Poisson loss has a logarithm
    np.testing.assert_allclose(
        loss.predictions(loss.right_scores(targets)), targets, rtol=1e-13, atol=2 * tiny
    )


def test_scores_too_large_for_poisson_give_an_infinite_loss_without_a_warning():
    scores, targets = np.array([[1e4]]), np.array([[1.0]])
    assert Poisson().gradient(scores, targets, np.ones(1), np.empty((1, 1))) == np.inf
    assert Poisson().predictions(scores) == np.inf
