"""Every loss against PyTorch, on batches that Hypothesis draws."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from parity import in_torch
from parity.drawing import SEEDS, hypothesis, one_of, options, sizes, st
from parity.in_torch import functional, torch

from skcnn.network.losses import (
    LOSSES,
    BinaryLogLoss,
    FocalLoss,
    Hinge,
    LogLoss,
    SquaredHinge,
    dense_targets,
)
from skcnn.network.regression_losses import (
    REGRESSION_LOSSES,
    AbsoluteError,
    Huber,
    Poisson,
    Quantile,
    SquaredError,
)

DRAWS = {each: st.builds(each) for each in (LogLoss, Hinge, SquaredHinge)}
DRAWS[FocalLoss] = st.builds(FocalLoss, focal_gamma=one_of(options(0, 0.5, 1, 2), st.floats(0, 5)))
SHARES = st.floats(0, 1)

each_loss = pytest.mark.parametrize("loss_class", DRAWS, ids=lambda loss_class: loss_class.__name__)


class Batch:
    """Scores, codes and weights, and a loss."""

    def __init__(self, loss, n_samples, n_outputs, scale, seed):
        self.rng = np.random.default_rng(seed)
        self.loss, self.torch_loss = loss, in_torch.LOSSES[type(loss)]
        self.n_samples, self.n_outputs = n_samples, n_outputs
        self.scores = self.rng.normal(0, scale, (n_samples, n_outputs))
        self.codes = self.rng.integers(0, n_outputs, n_samples)
        self.weights = self.rng.uniform(0, 3, n_samples)

    def check(self, targets, torch_losses):
        """Hold values, weighted sum and gradient against the losses that PyTorch gives for the scores."""
        scores = torch.tensor(self.scores, requires_grad=True)
        expected = torch_losses(scores)
        total = (torch.tensor(self.weights) * expected).sum()
        total.backward()
        out = np.full_like(self.scores, np.nan)
        values = self.loss.values(self.scores, targets)
        assert_allclose(values, expected.detach().numpy(), rtol=1e-10, atol=1e-10)
        weighted = self.loss.gradient(self.scores, targets, self.weights, out)
        assert weighted == pytest.approx(total.item(), rel=1e-10, abs=1e-10)
        assert_allclose(out, scores.grad.numpy(), rtol=1e-8, atol=1e-8)

    def losses_by_class(self, scores):
        """Return the losses of all samples as if each were of each class, by PyTorch."""
        classes = [torch.full((self.n_samples,), code) for code in range(self.n_outputs)]
        return torch.stack([self.torch_loss(self.loss, scores, codes) for codes in classes], dim=1)

    def smoothed(self, share):
        options = {"label_smoothing": share, "dtype": np.dtype(np.float64)}
        return dense_targets(self.codes, self.n_outputs, **options)


def batches(loss):
    return st.builds(Batch, loss, sizes(11), sizes(10, 2), options(0.1, 1, 4), SEEDS)


def test_every_loss_is_held_against_pytorch():
    assert set(DRAWS) == set(in_torch.LOSSES) == set(LOSSES.values())


@each_loss
@hypothesis.given(data=st.data())
def test_losses_of_classes_are_those_of_pytorch(loss_class, data):
    batch = data.draw(batches(DRAWS[loss_class]))
    codes = torch.tensor(batch.codes)
    batch.check(batch.smoothed(0.0), lambda scores: batch.torch_loss(batch.loss, scores, codes))


@each_loss
@hypothesis.given(data=st.data(), smoothing=SHARES, share=SHARES)
def test_losses_of_smoothed_and_mixed_targets_are_sums_of_those_of_pytorch(
    loss_class, data, smoothing, share
):
    """Smoothed labels, mixtures of two of them, and any distribution."""
    batch = data.draw(batches(DRAWS[loss_class]))
    smoothed = batch.smoothed(smoothing)
    mixed = share * smoothed + (1 - share) * smoothed[::-1]
    drawn = batch.rng.dirichlet(np.full(batch.n_outputs, 0.5), batch.n_samples)
    for targets in (smoothed, mixed, drawn):
        shares = torch.tensor(targets)
        batch.check(targets, lambda scores, shares=shares: (shares * batch.losses_by_class(scores)).sum(1))


@hypothesis.given(batch=batches(st.builds(LogLoss)), smoothing=SHARES)
def test_the_log_loss_of_smoothed_and_drawn_targets_is_the_cross_entropy_of_pytorch(batch, smoothing):
    codes, options = torch.tensor(batch.codes), {"reduction": "none", "label_smoothing": smoothing}
    batch.check(batch.smoothed(smoothing), lambda scores: functional.cross_entropy(scores, codes, **options))
    drawn = batch.rng.dirichlet(np.ones(batch.n_outputs), batch.n_samples)
    batch.check(drawn, lambda scores: functional.cross_entropy(scores, torch.tensor(drawn), reduction="none"))


@hypothesis.given(
    sizes(11), sizes(10, 2), options(0.1, 1, 4, 30), st.sampled_from([0.0, 0.2]), st.booleans(), SEEDS
)
def test_the_loss_of_labels_is_the_binary_cross_entropy_of_pytorch(
    n_samples, n_labels, scale, smoothing, has_weights, seed
):
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, scale, (n_samples, n_labels))
    labels = rng.integers(0, 2, scores.shape).astype(float)
    weights, of_labels = rng.uniform(0, 3, n_samples), rng.uniform(0, 3, n_labels) if has_weights else None
    loss, out = BinaryLogLoss(smoothing, of_labels), np.full_like(scores, np.nan)
    variable = torch.tensor(scores, requires_grad=True)
    losses = functional.binary_cross_entropy_with_logits(
        variable,
        torch.tensor((1 - smoothing) * labels + smoothing / 2),
        weight=None if of_labels is None else torch.tensor(of_labels),
        reduction="none",
    ).sum(dim=1)
    total = (torch.tensor(weights) * losses).sum()
    total.backward()
    assert_allclose(loss.values(scores, labels), losses.detach().numpy(), rtol=1e-10, atol=1e-10)
    assert loss.gradient(scores, labels, weights, out) == pytest.approx(total.item(), rel=1e-10, abs=1e-10)
    assert_allclose(out, variable.grad.numpy(), rtol=1e-8, atol=1e-8)


REGRESSION = {
    SquaredError: (st.builds(SquaredError), lambda loss, scores, targets: (scores - targets) ** 2 / 2),
    AbsoluteError: (st.builds(AbsoluteError), lambda loss, scores, targets: (scores - targets).abs()),
    Huber: (
        st.builds(Huber, huber_delta=st.floats(0.1, 3)),
        lambda loss, scores, targets: functional.huber_loss(
            scores, targets, reduction="none", delta=loss.huber_delta
        ),
    ),
    Poisson: (
        st.builds(Poisson),
        lambda loss, scores, targets: (
            functional.poisson_nll_loss(scores, targets, reduction="none")
            + torch.special.xlogy(targets, targets)
            - targets
        ),
    ),
    Quantile: (
        st.builds(Quantile, quantile=st.floats(0, 1)),
        lambda loss, scores, targets: torch.maximum(
            loss.quantile * (targets - scores), (loss.quantile - 1) * (targets - scores)
        ),
    ),
}
"""How each loss of numbers is drawn, and what PyTorch computes."""


@pytest.mark.parametrize("loss_class", REGRESSION, ids=lambda loss_class: loss_class.__name__)
def test_losses_of_numbers(loss_class):
    assert set(REGRESSION) == set(REGRESSION_LOSSES.values())
    drawn, in_pytorch = REGRESSION[loss_class]

    @hypothesis.given(drawn, sizes(11), sizes(5), SEEDS)
    def check(loss, n_samples, n_outputs, seed):
        rng = np.random.default_rng(seed)
        numbers = rng.normal(0, 2, (2, n_samples, n_outputs))
        scores, targets = numbers if loss.is_centred else (numbers[0], rng.poisson(1.0, numbers[0].shape))
        weights, out = rng.uniform(0, 3, n_samples), np.empty(scores.shape)
        variable = torch.tensor(scores, requires_grad=True)
        losses = in_pytorch(loss, variable, torch.tensor(targets, dtype=torch.float64)).mean(dim=1)
        total = (torch.tensor(weights) * losses).sum()
        total.backward()
        found = loss.gradient(scores, targets.astype(float), weights, out)
        assert found == pytest.approx(total.item(), rel=1e-10, abs=1e-10)
        assert_allclose(out, variable.grad.numpy(), rtol=1e-8, atol=1e-8)

    check()
