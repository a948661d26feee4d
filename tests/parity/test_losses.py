"""Every loss against PyTorch, on batches that Hypothesis draws and in whole trainings."""

from typing import NamedTuple

import numpy as np
import pytest
from parity.drawing import SEEDS, hypothesis, one_of, options, sizes, st
from parity.in_torch import functional, torch
from parity.trainings import train_both

from skcnn.network.losses import LOSSES, FocalLoss, Hinge, LogLoss, SquaredHinge, dense_targets
from skcnn.training.optimizers import Adam


def cross_entropy(loss, scores, codes):
    return functional.cross_entropy(scores, codes, reduction="none")


def focal(loss, scores, codes):
    """Return Lin's formula; PyTorch differentiates it. At p = 1 its derivative is not a number below 1."""
    logarithms = functional.log_softmax(scores, dim=1).gather(1, codes[:, None])[:, 0]
    return -((1 - logarithms.exp()) ** loss.focal_gamma) * logarithms


def multi_margin(power):
    """Return the sum over classes; PyTorch's function returns the mean."""

    def losses(loss, scores, codes):
        mean = functional.multi_margin_loss(scores, codes, p=power, reduction="none")
        return scores.shape[1] * mean

    return losses


class Row(NamedTuple):
    """How a loss is drawn, and what PyTorch computes of scores against codes."""

    draw: object
    torch: object


ROWS = {
    LogLoss: Row(st.builds(LogLoss), cross_entropy),
    FocalLoss: Row(st.builds(FocalLoss, focal_gamma=one_of(options(0, 0.5, 1, 2), st.floats(0, 5))), focal),
    Hinge: Row(st.builds(Hinge), multi_margin(1)),
    SquaredHinge: Row(st.builds(SquaredHinge), multi_margin(2)),
}

SHARES = st.floats(0, 1)

each_loss = pytest.mark.parametrize("loss_class", ROWS, ids=lambda loss_class: loss_class.__name__)


class Batch:
    """Scores, codes and weights, and a loss."""

    def __init__(self, loss, n_samples, n_outputs, scale, seed):
        self.rng = np.random.default_rng(seed)
        self.loss, self.torch_loss = loss, ROWS[type(loss)].torch
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
        np.testing.assert_allclose(values, expected.detach().numpy(), rtol=1e-10, atol=1e-10)
        assert self.loss.gradient(self.scores, targets, self.weights, out) == pytest.approx(
            total.item(), rel=1e-10, abs=1e-10
        )
        np.testing.assert_allclose(out, scores.grad.numpy(), rtol=1e-8, atol=1e-8)

    def losses_by_class(self, scores):
        """Return the losses of all samples as if each were of each class, by PyTorch."""
        return torch.stack(
            [
                self.torch_loss(self.loss, scores, torch.full((self.n_samples,), code))
                for code in range(self.n_outputs)
            ],
            dim=1,
        )


def batches(loss):
    return st.builds(Batch, loss, sizes(11), sizes(10, 2), options(0.1, 1, 4), SEEDS)


def test_every_loss_is_held_against_pytorch():
    assert set(ROWS) == set(LOSSES.values())


@each_loss
@hypothesis.given(data=st.data())
def test_losses_of_classes_are_those_of_pytorch(loss_class, data):
    batch = data.draw(batches(ROWS[loss_class].draw))
    codes = torch.tensor(batch.codes)
    batch.check(
        np.eye(batch.n_outputs)[batch.codes], lambda scores: batch.torch_loss(batch.loss, scores, codes)
    )


@each_loss
@hypothesis.given(data=st.data(), smoothing=SHARES, share=SHARES)
def test_losses_of_smoothed_and_mixed_targets_are_sums_of_those_of_pytorch(
    loss_class, data, smoothing, share
):
    """Smoothed labels, mixtures of two of them, and any distribution."""
    batch = data.draw(batches(ROWS[loss_class].draw))
    smoothed = dense_targets(
        batch.codes, batch.n_outputs, label_smoothing=smoothing, dtype=np.dtype(np.float64)
    )
    mixed = share * smoothed + (1 - share) * smoothed[::-1]
    drawn = batch.rng.dirichlet(np.full(batch.n_outputs, 0.5), batch.n_samples)
    for targets in (smoothed, mixed, drawn):
        batch.check(
            targets,
            lambda scores, targets=targets: (torch.tensor(targets) * batch.losses_by_class(scores)).sum(
                dim=1
            ),
        )


@hypothesis.given(batch=batches(st.builds(LogLoss)), smoothing=SHARES)
def test_the_log_loss_of_smoothed_and_drawn_targets_is_the_cross_entropy_of_pytorch(batch, smoothing):
    codes = torch.tensor(batch.codes)
    smoothed = dense_targets(
        batch.codes, batch.n_outputs, label_smoothing=smoothing, dtype=np.dtype(np.float64)
    )
    batch.check(
        smoothed,
        lambda scores: functional.cross_entropy(scores, codes, reduction="none", label_smoothing=smoothing),
    )
    drawn = batch.rng.dirichlet(np.ones(batch.n_outputs), batch.n_samples)
    batch.check(drawn, lambda scores: functional.cross_entropy(scores, torch.tensor(drawn), reduction="none"))


@pytest.mark.parametrize(
    "loss",
    [LogLoss(), FocalLoss(), FocalLoss(focal_gamma=0.5), Hinge(), SquaredHinge()],
    ids=["log_loss", "focal", "focal_half", "hinge", "squared_hinge"],
)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_a_training_of_fifty_steps_is_that_of_pytorch(loss, weighted, label_smoothing):
    """The loss of each step and the weights at the end; without weights, with batch normalization."""

    def torch_loss(scores, codes):
        row = ROWS[type(loss)]
        certain = row.torch(loss, scores, codes)
        classes = [torch.full_like(codes, code) for code in range(scores.shape[1])]
        spread = sum(row.torch(loss, scores, code) for code in classes) / len(classes)
        return (1 - label_smoothing) * certain + label_smoothing * spread

    weights = np.random.default_rng(2).uniform(0.5, 2, 24) if weighted else None
    network, twin, losses, torch_losses = train_both(
        loss,
        torch_loss,
        Adam(),
        torch.optim.Adam,
        alpha=1e-3,
        rate=0.01,
        label_smoothing=label_smoothing,
        weights=weights,
    )
    np.testing.assert_allclose(losses, torch_losses, rtol=0, atol=1e-9)
    np.testing.assert_allclose(network.vector, twin.vector(), rtol=0, atol=1e-9)
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])
