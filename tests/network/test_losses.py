"""Tests of the losses against naive loops over samples and classes, and against finite differences."""

import inspect
import math

import numpy as np
import pytest
from reference import softmax
from scipy.special import log_softmax
from seeds import SEED, generator

from skcnn.gradient_check import loss_gradient_error
from skcnn.network.losses import (
    LOSSES,
    BinaryLogLoss,
    FocalLoss,
    Hinge,
    LogLoss,
    Loss,
    SquaredHinge,
    dense_targets,
)

EXTREME = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, 1e4], [1e4, 1e4, 1e4], [-1e4, 0.0, 1e-3]])
"""Scores whose exponentials overflow or vanish in float64."""


def naive_log_loss(scores, code):
    return -math.log(softmax(scores)[code])


def naive_focal(gamma):
    def loss(scores, code):
        rest = math.fsum(np.delete(softmax(scores), code))
        return rest**gamma * naive_log_loss(scores, code)

    return loss


def naive_hinge(power):
    def loss(scores, code):
        others = (k for k in range(len(scores)) if k != code)
        return sum(max(0.0, 1 + scores[k] - scores[code]) ** power for k in others)

    return loss


TABLE = [
    (LogLoss(), naive_log_loss),
    (FocalLoss(focal_gamma=0), naive_log_loss),
    (FocalLoss(focal_gamma=0.5), naive_focal(0.5)),
    (FocalLoss(focal_gamma=1), naive_focal(1)),
    (FocalLoss(focal_gamma=3.7), naive_focal(3.7)),
    (Hinge(), naive_hinge(1)),
    (SquaredHinge(), naive_hinge(2)),
]
"""Losses, and the loss of one sample of a class by the definition."""


def name_of(loss):
    return "-".join([type(loss).__name__, *map(str, vars(loss).values())])


each_loss = pytest.mark.parametrize("loss", [loss for loss, _ in TABLE], ids=name_of)
each_entry = pytest.mark.parametrize(("loss", "naive"), TABLE, ids=[name_of(loss) for loss, _ in TABLE])
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def problem(n_samples=6, n_outputs=4, seed=0, dtype=np.float64):
    rng = generator(seed)
    scores = 3 * rng.standard_normal((n_samples, n_outputs))
    targets = rng.dirichlet(np.ones(n_outputs), n_samples)
    weights = rng.uniform(0.5, 2, n_samples)
    return tuple(array.astype(dtype) for array in (scores, targets, weights))


def naive_values(naive, scores, targets):
    return np.array(
        [
            math.fsum(share * naive(row, code) for code, share in enumerate(shares))
            for row, shares in zip(scores, targets, strict=True)
        ]
    )


def gradient_of(loss, scores, targets, weights=None):
    """Return the loss and the gradient, of memory that held something else before."""
    out = np.full_like(scores, np.nan)
    weights = np.ones(len(scores), scores.dtype) if weights is None else weights
    return loss.gradient(scores, targets, weights, out=out), out


@each_dtype
def test_dense_targets_by_hand(dtype):
    targets = dense_targets(np.array([2, 0]), 4, label_smoothing=0.2, dtype=dtype)
    assert targets.dtype == dtype
    expected = [[0.05, 0.05, 0.85, 0.05], [0.85, 0.05, 0.05, 0.05]]
    np.testing.assert_allclose(targets, expected, rtol=4 * np.finfo(dtype).eps)
    codes = np.array([0, 6, 3, 3])
    plain = dense_targets(codes, 7, label_smoothing=0.0, dtype=dtype)
    np.testing.assert_array_equal(plain, np.eye(7)[codes])


# --- what holds for every loss ---


def test_every_loss_is_in_the_table():
    assert {type(loss) for loss, _ in TABLE} == set(LOSSES.values())
    assert list(LOSSES) == ["log_loss", "focal", "hinge", "squared_hinge"]


@each_loss
def test_hyperparameters_name_the_arguments_of_the_constructor(loss):
    assert isinstance(loss, Loss)
    assert tuple(inspect.signature(type(loss)).parameters) == loss.hyperparameters
    assert all(type(getattr(loss, name)) is float for name in loss.hyperparameters)


@each_loss
def test_what_gives_probabilities_says_so(loss):
    """And says how scores become what ``predict_proba`` returns."""
    has_probabilities = hasattr(loss, "probabilities") and hasattr(loss, "log_probabilities")
    assert loss.gives_probabilities is has_probabilities is not isinstance(loss, Hinge)
    assert loss.out_activation == ("softmax" if has_probabilities else "identity")


@each_entry
@pytest.mark.parametrize("n_outputs", [2, 10])
def test_values_and_their_weighted_sum_equal_the_definition(loss, naive, n_outputs):
    for seed in range(3):
        scores, targets, weights = problem(n_outputs=n_outputs, seed=seed)
        expected = naive_values(naive, scores, targets)
        np.testing.assert_allclose(loss.values(scores, targets), expected, rtol=1e-13)
        total, _ = gradient_of(loss, scores, targets, weights)
        assert type(total) is float
        assert total == pytest.approx(float(weights @ expected), rel=1e-13)


@each_loss
@pytest.mark.parametrize("n_outputs", [2, 10])
def test_gradient_agrees_with_finite_differences(loss, n_outputs):
    """The scores drawn are further from the bends of the hinge than the differences are long."""
    assert loss_gradient_error(loss, n_outputs=n_outputs, random_state=SEED) < 1e-7


@each_loss
def test_inputs_are_left_as_they_are(loss):
    arrays = problem()
    copies = [array.copy() for array in arrays]
    gradient_of(loss, *arrays)
    loss.values(*arrays[:2])
    if loss.gives_probabilities:
        loss.probabilities(arrays[0])
        loss.log_probabilities(arrays[0])
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@each_loss
def test_a_weight_equals_repetition(loss):
    scores, targets, _ = problem()
    repeats = np.array([1, 2, 0, 1, 3, 1])
    total, gradient = gradient_of(loss, scores, targets, repeats.astype(float))
    rows = np.repeat(np.arange(6), repeats)
    repeated_total, repeated_gradient = gradient_of(loss, scores[rows], targets[rows])
    assert total == pytest.approx(repeated_total, rel=1e-14)
    summed = np.zeros_like(gradient)
    np.add.at(summed, rows, repeated_gradient)
    np.testing.assert_allclose(gradient, summed, rtol=1e-14)


@each_entry
def test_float32_scores_give_float32_values_and_gradients(loss, naive):
    """The oracle gets the same rounded scores, so what is left is the rounding of the computation."""
    arrays = problem(dtype=np.float32)
    exact = [array.astype(np.float64) for array in arrays]
    expected = naive_values(naive, *exact[:2])
    values = loss.values(*arrays[:2])
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, expected, rtol=32 * 2**-24)
    total, gradient = gradient_of(loss, *arrays)
    assert gradient.dtype == np.float32
    assert total == pytest.approx(float(exact[2] @ expected), rel=1e-6)
    _, precise = gradient_of(loss, *exact)
    np.testing.assert_allclose(gradient, precise, rtol=0, atol=32 * 2**-24 * np.abs(precise).max())


@each_loss
@each_dtype
def test_extreme_scores_give_finite_losses_and_gradients(loss, dtype):
    """Warnings of overflow or of invalid values would be errors."""
    scores = EXTREME.astype(dtype)
    for label_smoothing in (0.0, 0.3):
        for codes in ([1, 2, 0, 0], [0, 0, 0, 2], [2, 1, 1, 1]):
            targets = dense_targets(np.array(codes), 3, label_smoothing=label_smoothing, dtype=dtype)
            values = loss.values(scores, targets)
            total, gradient = gradient_of(loss, scores, targets)
            assert np.isfinite(values).all()
            assert (values >= 0).all()
            assert total == pytest.approx(float(values.astype(np.float64).sum()), rel=1e-6)
            assert np.isfinite(gradient).all()


@each_loss
def test_no_samples_have_no_loss(loss):
    total, gradient = gradient_of(loss, np.empty((0, 3)), np.empty((0, 3)))
    assert (total, gradient.shape, loss.values(gradient, gradient).shape) == (0.0, (0, 3), (0,))


# --- losses of the softmax ---


@each_dtype
@pytest.mark.parametrize(("label_smoothing", "ulps"), [(0.0, 2), (0.3, 4)])
def test_extreme_scores_give_exact_log_losses_and_gradients(dtype, label_smoothing, ulps):
    scores, eps = EXTREME.astype(dtype), float(np.finfo(dtype).eps)
    targets = dense_targets(np.array([1, 2, 0, 0]), 3, label_smoothing=label_smoothing, dtype=dtype)
    expected = -(targets.astype(np.float64) * log_softmax(scores.astype(np.float64), axis=1)).sum(axis=1)
    np.testing.assert_allclose(LogLoss().values(scores, targets), expected, rtol=ulps * eps)
    total, gradient = gradient_of(LogLoss(), scores, targets)
    assert total == pytest.approx(expected.sum(), rel=ulps * eps)
    np.testing.assert_allclose(gradient, softmax(scores) - targets, rtol=0, atol=2 * eps)


def test_probabilities_of_scores_whose_difference_overflows():
    scores = np.array([[1e308, -1e308]])
    np.testing.assert_array_equal(LogLoss().probabilities(scores), [[1, 0]])
    np.testing.assert_array_equal(LogLoss().log_probabilities(scores), [[0, np.finfo(float).min]])


@each_dtype
def test_probabilities_and_their_logarithms_are_exact_and_keep_the_dtype(dtype):
    scores = np.concatenate([EXTREME, problem(n_outputs=3)[0]]).astype(dtype)
    probabilities, logs = LogLoss().probabilities(scores), LogLoss().log_probabilities(scores)
    assert probabilities.dtype == logs.dtype == dtype
    assert (probabilities == 0).any()
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(probabilities, softmax(scores), atol=4 * eps, rtol=0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=2 * eps)
    expected = log_softmax(scores.astype(np.float64), axis=1)
    np.testing.assert_allclose(logs, expected, rtol=2 * eps, atol=2 * eps * np.abs(expected[4:]).max())


@each_dtype
@pytest.mark.parametrize("gamma", [0.01, 0.5, 2.0])
def test_near_certainty_the_focal_loss_and_its_gradient_vanish(dtype, gamma):
    """The derivative of (1 - p) ** gamma is infinite at p = 1 for gamma below 1, that of the loss is not.

    For the odds q of all other classes the loss is about q ** (1 + gamma), and its gradient 1 + gamma times
    that; beyond 1 / eps the odds are lost in rounding.
    """
    margins = np.array([3.0, 8.0, 15.0, 30.0, 38.0, 60.0, 120.0, 1e4])
    scores = np.stack([margins, np.zeros(8)], axis=1).astype(dtype)
    targets = np.broadcast_to(np.array([1.0, 0.0], dtype), (8, 2))
    _, gradient = gradient_of(FocalLoss(focal_gamma=gamma), scores, targets)
    bound = np.exp(-margins) ** (1 + gamma) * (1 + gamma)
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient) <= 1.01 * bound[:, np.newaxis] + 4 * np.finfo(dtype).eps).all()
    values = FocalLoss(focal_gamma=gamma).values(scores, targets)
    assert (values >= 0).all()
    assert (np.diff(values) <= 0).all()


def test_a_hopeless_sample_weighs_as_in_the_log_loss():
    """Where p is zero, so is what the focal loss takes away."""
    total, gradient = gradient_of(FocalLoss(), np.array([[-1e4, 1e4]]), np.array([[1.0, 0.0]]))
    assert total == 2e4
    np.testing.assert_array_equal(gradient, [[-1.0, 1.0]])


# --- hinge losses ---


@pytest.mark.parametrize("loss", [Hinge(), SquaredHinge()], ids=name_of)
def test_where_the_margin_is_just_kept_the_derivative_is_zero(loss):
    """All differences are exact. A score a little larger violates the margin."""
    targets = np.array([[0.0, 1.0, 0.0]])
    total, gradient = gradient_of(loss, np.array([[1.0, 2.0, 1.0]]), targets)
    assert total == 0
    np.testing.assert_array_equal(gradient, np.zeros((1, 3)))
    total, gradient = gradient_of(loss, np.array([[1.0, 2.0, 1.0 + 2**-20]]), targets)
    assert total > 0
    assert gradient[0, 0] == 0
    assert gradient[0, 2] == -gradient[0, 1] > 0


@pytest.mark.parametrize(
    ("loss", "expected_loss", "expected"),
    [(Hinge(), 6.0, [1, -2, 1, 0]), (SquaredHinge(), 20.0, [4, -12, 8, 0])],
    ids=["hinge", "squared_hinge"],
)
def test_hinge_losses_by_hand(loss, expected_loss, expected):
    """Margins are missed by 2, 4 and nothing."""
    total, gradient = gradient_of(loss, np.array([[1.0, 0.0, 3.0, -5.0]]), np.array([[0.0, 1, 0, 0]]))
    assert total == expected_loss
    np.testing.assert_array_equal(gradient, [expected])


# --- the loss of labels ---

LABEL_LOSSES = [
    BinaryLogLoss(),
    BinaryLogLoss(label_smoothing=0.3),
    BinaryLogLoss(label_smoothing=0.1, label_weights=[0.5, 0.0, 2.0, 1.0]),
]
each_label_loss = pytest.mark.parametrize("loss", LABEL_LOSSES, ids=name_of)


def naive_label_losses(loss, scores, targets):
    """Return the sum over the labels of the loss of each, for all samples."""
    smoothing, weights = loss.label_smoothing, loss.label_weights or [1.0] * scores.shape[1]
    losses = []
    for row, own in zip(scores, targets, strict=True):
        terms = []
        for score, target, weight in zip(row, own, weights, strict=True):
            target = (1 - smoothing) * target + smoothing / 2
            yes = 1 / (1 + math.exp(-score))
            terms.append(-weight * (target * math.log(yes) + (1 - target) * math.log(1 - yes)))
        losses.append(math.fsum(terms))
    return np.array(losses)


@each_label_loss
@each_dtype
def test_losses_of_labels_equal_the_definition(loss, dtype):
    scores, targets, weights = problem(dtype=dtype)
    targets[1::2] = targets[1::2] > 0.2  # labels, and shares of mixed images
    expected = naive_label_losses(loss, scores.astype(float), targets.astype(float))
    values = loss.values(scores, targets)
    assert values.dtype == dtype
    np.testing.assert_allclose(values, expected, rtol=32 * np.finfo(dtype).eps)
    total, gradient = gradient_of(loss, scores, targets, weights)
    assert total == pytest.approx(float(weights @ expected), rel=32 * float(np.finfo(dtype).eps))
    assert gradient.dtype == dtype


@each_label_loss
def test_gradients_of_losses_of_labels_agree_with_finite_differences(loss):
    assert loss_gradient_error(loss, n_outputs=4, random_state=SEED) < 1e-7


@each_label_loss
@each_dtype
def test_large_scores_of_labels_give_finite_losses_and_gradients(loss, dtype):
    scores = np.array([[1e4, -1e4, 60.0, -60.0], [-1e4, 1e4, -60.0, 60.0]], dtype)
    targets = np.array([[1, 0, 1, 0], [1, 0, 1, 0]], dtype)
    values = loss.values(scores, targets)
    _, gradient = gradient_of(loss, scores, targets)
    assert np.isfinite(values).all() and np.isfinite(gradient).all()
    assert (values >= 0).all() and values[0] < values[1]
    if not loss.label_smoothing:
        np.testing.assert_allclose(values[1], 2 * 1e4 + 2 * 60, rtol=1e-6)


@each_dtype
def test_small_losses_of_labels_are_exact(dtype):
    """The loss of a label beyond doubt does not come from the difference of two large numbers."""
    scores = np.linspace(5, 60, 99, dtype=dtype)[:, np.newaxis]
    for target, sign in ((1, 1), (0, -1)):
        values = BinaryLogLoss().values(sign * scores, np.full_like(scores, target))
        expected = np.log1p(np.exp(-scores[:, 0].astype(np.float64)))
        np.testing.assert_allclose(values, expected, rtol=8 * np.finfo(dtype).eps)
