"""Tests of the losses against naive loops over samples and classes, and against finite differences."""

import inspect
import math

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from seeds import SEED, generator

from skcnn.gradient_check import loss_gradient_error
from skcnn.network.losses import LOSSES, FocalLoss, Hinge, LogLoss, Loss, SquaredHinge, dense_targets

EXTREME = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, 1e4], [1e4, 1e4, 1e4], [-1e4, 0.0, 1e-3]])
"""Scores whose exponentials overflow or vanish in float64."""


def naive_softmax(scores):
    powers = [math.exp(score - max(scores)) for score in scores]
    return [power / math.fsum(powers) for power in powers]


def naive_log_loss(scores, code):
    return -math.log(naive_softmax(scores)[code])


def naive_focal(gamma):
    def loss(scores, code):
        probabilities = naive_softmax(scores)
        rest = math.fsum(p for k, p in enumerate(probabilities) if k != code)
        return rest**gamma * naive_log_loss(scores, code)

    return loss


def naive_hinge(power):
    def loss(scores, code):
        total = 0.0
        for k in range(len(scores)):
            if k != code:
                total += max(0.0, 1 + scores[k] - scores[code]) ** power
        return total

    return loss


TABLE = [
    (LogLoss(), naive_log_loss),
    (FocalLoss(focal_gamma=0), naive_log_loss),
    (FocalLoss(focal_gamma=0.5), naive_focal(0.5)),
    (FocalLoss(focal_gamma=1), naive_focal(1)),
    (FocalLoss(focal_gamma=2), naive_focal(2)),
    (FocalLoss(focal_gamma=3.7), naive_focal(3.7)),
    (Hinge(), naive_hinge(1)),
    (SquaredHinge(), naive_hinge(2)),
]
"""Losses, and the loss of one sample of a class by the definition."""


def name_of(loss):
    return "-".join([type(loss).__name__, *map(str, vars(loss).values())])


each_loss = pytest.mark.parametrize("loss", [loss for loss, _ in TABLE], ids=name_of)
each_focal_loss = pytest.mark.parametrize(
    "loss", [loss for loss, _ in TABLE if isinstance(loss, FocalLoss)], ids=name_of
)
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
            math.fsum(share * naive(row, code) for code, share in enumerate(shares) if share)
            for row, shares in zip(scores.tolist(), targets.tolist(), strict=True)
        ]
    )


def gradient_of(loss, scores, targets, weights=None):
    """Return the loss and the gradient, of memory that held something else before."""
    out = np.full_like(scores, np.nan)
    weights = np.ones(len(scores), scores.dtype) if weights is None else weights
    return loss.gradient(scores, targets, weights, out=out), out


# --- targets ---


def test_dense_targets_by_hand():
    targets = dense_targets(np.array([2, 0]), 4, label_smoothing=0.2, dtype=np.float64)
    np.testing.assert_allclose(targets, [[0.05, 0.05, 0.85, 0.05], [0.85, 0.05, 0.05, 0.05]], rtol=1e-15)


@each_dtype
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
def test_dense_targets_are_distributions_of_the_dtype(dtype, label_smoothing):
    codes = np.array([0, 6, 3, 3])
    targets = dense_targets(codes, 7, label_smoothing=label_smoothing, dtype=dtype)
    assert targets.dtype == dtype
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=7 * np.finfo(dtype).eps)
    if label_smoothing == 0:
        np.testing.assert_array_equal(targets, np.eye(7)[codes])


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
@pytest.mark.parametrize("n_outputs", [2, 4, 10])
def test_values_equal_the_definition(loss, naive, n_outputs):
    for seed in range(3):
        scores, targets, _ = problem(n_outputs=n_outputs, seed=seed)
        np.testing.assert_allclose(
            loss.values(scores, targets), naive_values(naive, scores, targets), rtol=1e-13
        )


@each_entry
def test_gradient_returns_the_weighted_sum_of_the_values(loss, naive):
    for seed in range(3):
        scores, targets, weights = problem(seed=seed)
        total, _ = gradient_of(loss, scores, targets, weights)
        assert type(total) is float
        assert total == pytest.approx(float(weights @ naive_values(naive, scores, targets)), rel=1e-13)


@each_loss
@pytest.mark.parametrize("n_outputs", [2, 10])
def test_gradient_agrees_with_finite_differences(loss, n_outputs):
    """The scores drawn are further from the bends of the hinge than the differences are long."""
    assert loss_gradient_error(loss, n_outputs=n_outputs, random_state=SEED) < 1e-7


def test_finite_differences_notice_a_wrong_gradient():
    class WrongLoss(LogLoss):
        def gradient(self, scores, targets, weights, out):
            loss = super().gradient(scores, targets, weights, out)
            out[:, 0] *= 1.01
            return loss

    assert loss_gradient_error(WrongLoss(), random_state=SEED) > 1e-4


@each_loss
@pytest.mark.parametrize("label_smoothing", [0.1, 1.0])
def test_the_loss_of_a_smoothed_label_is_the_mean_over_classes_by_their_shares(loss, label_smoothing):
    """So are its gradients; 1e-13 is relative to losses and gradients of the order of ten."""
    scores, _, weights = problem()
    codes = np.array([0, 3, 1, 2, 2, 0])
    targets = dense_targets(codes, 4, label_smoothing=label_smoothing, dtype=np.float64)
    total, gradient = gradient_of(loss, scores, targets, weights)
    values, sums, slopes = np.zeros(6), 0.0, np.zeros_like(scores)
    for code in range(4):
        shares = np.where(codes == code, 1 - label_smoothing, 0) + label_smoothing / 4
        certain = np.broadcast_to(np.eye(4)[code], scores.shape)
        values += shares * loss.values(scores, certain)
        part, part_of_gradient = gradient_of(loss, scores, certain, weights * shares)
        sums += part
        slopes += part_of_gradient
    np.testing.assert_allclose(loss.values(scores, targets), values, rtol=1e-13)
    assert total == pytest.approx(sums, rel=1e-13)
    np.testing.assert_allclose(gradient, slopes, rtol=0, atol=1e-13 * 10)


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
def test_a_weight_of_zero_removes_a_row(loss):
    scores, targets, weights = problem()
    weights[2] = 0
    total, gradient = gradient_of(loss, scores, targets, weights)
    kept = np.arange(len(scores)) != 2
    total_of_rest, gradient_of_rest = gradient_of(loss, scores[kept], targets[kept], weights[kept])
    assert total == pytest.approx(total_of_rest, rel=1e-15)
    np.testing.assert_array_equal(gradient[kept], gradient_of_rest)
    assert not gradient[2].any()


@each_loss
@pytest.mark.parametrize("factor", [2, 3])
def test_a_weight_equals_repetition(loss, factor):
    scores, targets, _ = problem()
    repeats = np.array([1, factor, 1, 1, factor, 1])
    total, gradient = gradient_of(loss, scores, targets, repeats.astype(float))
    rows = np.repeat(np.arange(6), repeats)
    repeated_total, repeated_gradient = gradient_of(loss, scores[rows], targets[rows])
    assert total == pytest.approx(repeated_total, rel=1e-14)
    summed = np.zeros_like(gradient)
    np.add.at(summed, rows, repeated_gradient)
    np.testing.assert_allclose(gradient, summed, rtol=1e-14)


@each_loss
def test_a_shift_of_all_scores_changes_nothing(loss):
    """The shift rounds scores to units of 1024 * 2 ** -53; no slope exceeds 3 * 2 * 15."""
    scores, targets, weights = problem()
    tolerance = 90 * 4 * 1024 * 2**-53
    values, shifted_values = (loss.values(s, targets) for s in (scores, scores + 1024.0))
    np.testing.assert_allclose(shifted_values, values, rtol=0, atol=tolerance)
    (_, gradient), (_, shifted) = (gradient_of(loss, s, targets, weights) for s in (scores, scores + 1024.0))
    np.testing.assert_allclose(shifted, gradient, rtol=0, atol=tolerance)
    np.testing.assert_allclose(gradient.sum(axis=1), 0, rtol=0, atol=1e-13)


@each_entry
def test_float32_scores_give_float32_values_and_gradients(loss, naive):
    """The oracle gets the same rounded scores, so what is left is the rounding of the computation."""
    arrays = problem(dtype=np.float32)
    expected = naive_values(naive, *(array.astype(np.float64) for array in arrays[:2]))
    values = loss.values(*arrays[:2])
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, expected, rtol=32 * 2**-24)
    total, gradient = gradient_of(loss, *arrays)
    assert gradient.dtype == np.float32
    assert total == pytest.approx(float(arrays[2].astype(np.float64) @ expected), rel=1e-6)
    _, precise = gradient_of(loss, *(array.astype(np.float64) for array in arrays))
    np.testing.assert_allclose(gradient, precise, rtol=0, atol=32 * 2**-24 * np.abs(precise).max())


@each_loss
@each_dtype
@pytest.mark.parametrize("label_smoothing", [0.0, 0.3])
def test_extreme_scores_give_finite_losses_and_gradients(loss, dtype, label_smoothing):
    """Warnings of overflow or of invalid values would be errors."""
    for codes in ([1, 2, 0, 0], [0, 0, 0, 2], [2, 1, 1, 1]):
        targets = dense_targets(np.array(codes), 3, label_smoothing=label_smoothing, dtype=dtype)
        values = loss.values(EXTREME.astype(dtype), targets)
        total, gradient = gradient_of(loss, EXTREME.astype(dtype), targets)
        assert np.isfinite(values).all()
        assert (values >= 0).all()
        assert total == pytest.approx(float(values.astype(np.float64).sum()), rel=1e-6)
        assert np.isfinite(gradient).all()


@each_loss
def test_no_samples_have_no_loss(loss):
    total, gradient = gradient_of(loss, np.empty((0, 3)), np.empty((0, 3)))
    assert (total, gradient.shape, loss.values(gradient, gradient).shape) == (0.0, (0, 3), (0,))


# --- log loss ---


@pytest.mark.parametrize("seed", range(3))
def test_gradient_of_the_log_loss_is_weight_times_probability_minus_target(seed):
    scores, targets, weights = problem(seed=seed)
    _, gradient = gradient_of(LogLoss(), scores, targets, weights)
    expected = weights[:, np.newaxis] * (softmax(scores, axis=1) - targets)
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-15 * 8)


@each_dtype
def test_extreme_scores_give_exact_log_losses_and_gradients(dtype):
    scores = EXTREME.astype(dtype)
    targets = np.eye(3, dtype=dtype)[[1, 2, 0, 0]]
    expected = np.array([2e4, 0.0, np.log(3), 1e4 + 1e-3 + np.log1p(np.exp(-1e-3))])
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(LogLoss().values(scores, targets), expected, rtol=2 * eps)
    total, gradient = gradient_of(LogLoss(), scores, targets)
    assert total == pytest.approx(expected.sum(), rel=2 * eps)
    probabilities = softmax(scores.astype(np.float64), axis=1)
    np.testing.assert_allclose(gradient, probabilities - targets, rtol=0, atol=2 * eps)


@each_dtype
def test_extreme_scores_with_smoothed_targets_give_exact_log_losses(dtype):
    scores = EXTREME.astype(dtype)
    targets = dense_targets(np.array([0, 0, 0, 2]), 3, label_smoothing=0.3, dtype=dtype)
    logs = log_softmax(scores.astype(np.float64), axis=1)
    expected = -(targets.astype(np.float64) * logs).sum(axis=1)
    rtol = 4 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(LogLoss().values(scores, targets), expected, rtol=rtol)
    assert gradient_of(LogLoss(), scores, targets)[0] == pytest.approx(expected.sum(), rel=rtol)


# --- losses of the softmax ---


@pytest.mark.parametrize("loss", [LogLoss(), FocalLoss()], ids=name_of)
def test_probabilities_of_scores_whose_difference_overflows(loss):
    """A warning would be an error."""
    scores = np.array([[1e308, -1e308]])
    np.testing.assert_array_equal(loss.probabilities(scores), [[1, 0]])
    np.testing.assert_array_equal(loss.log_probabilities(scores), [[0, np.finfo(float).min]])


@each_dtype
@pytest.mark.parametrize("loss", [LogLoss(), FocalLoss()], ids=name_of)
def test_probabilities_equal_scipy_and_keep_the_dtype(loss, dtype):
    scores = np.concatenate([EXTREME, problem(n_outputs=3)[0]]).astype(dtype)
    probabilities = loss.probabilities(scores)
    assert probabilities.dtype == dtype
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(
        probabilities, softmax(scores.astype(np.float64), axis=1), atol=4 * eps, rtol=0
    )
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=2 * eps)


@each_dtype
@pytest.mark.parametrize("loss", [LogLoss(), FocalLoss()], ids=name_of)
def test_log_probabilities_are_exact_where_the_softmax_underflows(loss, dtype):
    scores = np.concatenate([EXTREME, problem(n_outputs=3)[0]]).astype(dtype)
    logs = loss.log_probabilities(scores)
    assert logs.dtype == dtype
    assert (loss.probabilities(scores) == 0).any()
    expected = log_softmax(scores.astype(np.float64), axis=1)
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(logs, expected, rtol=2 * eps, atol=2 * eps * np.abs(expected[4:]).max())


# --- focal loss ---


@each_dtype
def test_the_focal_loss_with_gamma_zero_is_the_log_loss(dtype):
    """Extreme scores among the samples, where 0 ** 0 comes up."""
    scores, targets, weights = problem(10, 3, dtype=dtype)
    scores[:4] = EXTREME
    targets[:4] = np.eye(3)[[0, 2, 0, 1]]
    focal, plain = FocalLoss(focal_gamma=0), LogLoss()
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(focal.values(scores, targets), plain.values(scores, targets), rtol=8 * eps)
    (total, gradient), (expected, expected_gradient) = (
        gradient_of(loss, scores, targets, weights) for loss in (focal, plain)
    )
    assert total == pytest.approx(expected, rel=8 * eps)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=0, atol=8 * eps)


@each_dtype
@pytest.mark.parametrize("gamma", [0.01, 0.25, 0.5, 0.999, 1.0, 2.0])
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


@each_focal_loss
def test_a_hopeless_sample_weighs_as_in_the_log_loss(loss):
    """Where p is zero, so is what the focal loss takes away."""
    scores, targets = np.array([[-1e4, 1e4]]), np.array([[1.0, 0.0]])
    total, gradient = gradient_of(loss, scores, targets)
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


@pytest.mark.parametrize("loss", [Hinge(), SquaredHinge()], ids=name_of)
def test_with_two_classes_the_hinge_is_that_of_the_difference_of_scores(loss):
    """As in a support vector machine with labels of -1 and 1."""
    scores, _, _ = problem(40, 2)
    codes = np.arange(40) % 2
    violations = np.maximum(0, 1 - (2 * codes - 1) * (scores[:, 1] - scores[:, 0]))
    expected = violations if type(loss) is Hinge else violations**2
    np.testing.assert_allclose(loss.values(scores, np.eye(2)[codes]), expected, rtol=1e-13, atol=1e-15)
