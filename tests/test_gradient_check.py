"""Tests of the gradient checker: above all that it fails on wrong gradients."""

import numpy as np
import pytest
from gradients import error_away_from_kinks
from seeds import SEED

from skcnn.gradient_check import layer_gradient_error, loss_gradient_error
from skcnn.layers import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    Layer,
    MaxPool2D,
    ReLU,
    Sequential,
    Tanh,
)
from skcnn.network.losses import LogLoss

RIGHT = 1e-7
WEIGHTS = np.array([0.5, 2.0, 1.0, 0.25, 3.0])

# smooth but for pooling and ReLU
CHAINS = [
    ([Dense(4, activation="tanh"), Dense(3)], (5,)),
    ([Conv2D(3, activation="tanh"), MaxPool2D(), Flatten(), Dense(4)], (6, 6, 2)),
    ([Conv2D(3), BatchNorm(), ReLU(), AvgPool2D(), Conv2D(2), BatchNorm(), GlobalAvgPool2D()], (6, 6, 2)),
    ([Dropout(0.3), Conv2D(2, strides=2), Dropout(0.5), Flatten(), Dense(3), BatchNorm(), Tanh()], (5, 5, 2)),
    ([BatchNorm(), BatchNorm(), Flatten(), BatchNorm()], (3, 3, 2)),
]


@pytest.mark.parametrize(("layers", "input_shape"), CHAINS, ids=lambda value: " ".join(str(value).split()))
def test_chains_of_layers_pass(layers, input_shape):
    """Gradients that pass through several layers, some of which may overwrite them."""
    assert error_away_from_kinks(Sequential(layers), input_shape, weights=WEIGHTS, random_state=SEED) < RIGHT


def wrong(base, *, factor=1.0, bias_share=0.0):
    """Return a class of layers that multiply the input's gradient, and add a share of the bias's to it."""

    class Wrong(base):
        def backward(self, params, dY, unit, *, need_dX, out):
            if bias_share:
                unit.add_gradient("bias", bias_share * dY.sum(axis=tuple(range(dY.ndim - 1))))
            return np.multiply(super().backward(params, dY, unit, need_dX=need_dX, out=out), factor, out=out)

    return Wrong


class WeightOnePercentOff(Dense):
    def backward(self, params, dY, unit, *, need_dX, out):
        unit.add_gradient("weight", 0.01 * unit.X.T @ dY)
        return super().backward(params, dY, unit, need_dX=need_dX, out=out)


class OneElementWrong(Tanh):
    def backward(self, params, dY, unit, *, need_dX, out):
        dX = super().backward(params, dY, unit, need_dX=need_dX, out=out)
        dX[0, 0] *= 1.5
        return dX


class TransposedKernel(Conv2D):
    def finish(self, params, unit):
        total = unit.accumulator("total", unit.plan.gradient_shape)
        weight, bias = unit.plan.gradients(total, unit.scratch)
        unit.add_gradient("weight", weight.swapaxes(0, 1))
        unit.add_gradient("bias", bias)


class ConstantStatistics(BatchNorm):
    """Takes mean and variance for constants, the classical mistake."""

    def backward(self, params, dY, unit, *, need_dX, out):
        return np.multiply(dY, unit.merged["inverse"] * params["scale"], out=out)


class NoGradient(Layer):
    """Claims that nothing depends on anything."""

    def forward(self, params, X, unit, *, training, out):
        return np.multiply(X, 3, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        out.fill(0)
        return out


# layer, input shape, and how large the error must at least be: about that of the mistake. A direction may be
# almost at right angles to the gradient. Of 50, one has a component along it that is more than 0.95 of the
# standard deviation of such components, with probability 1 - 0.66 ** 50, or 1 - 1e-9. How much of the
# gradient is wrong depends on the draw for a doubled bias, one element and constant statistics: the least
# errors of 100 seeds are 0.09, 0.03 and 0.1, about ten times the bounds or more.
WRONG_LAYERS = [
    (wrong(Dense, factor=-1)(3), (4,), 1.9),
    (wrong(Dense, bias_share=-1)(3), (4,), 0.1),
    (wrong(Conv2D, bias_share=1)(3), (5, 4, 2), 0.01),
    (wrong(AvgPool2D, factor=2)(), (6, 4, 2), 0.3),
    (wrong(Conv2D, factor=1.01)(3), (5, 4, 2), 0.005),
    (WeightOnePercentOff(3), (4,), 0.005),
    (OneElementWrong(), (6,), 0.001),
    (TransposedKernel(3), (5, 4, 2), 0.1),
    (ConstantStatistics(), (4, 3, 2), 0.01),
    (NoGradient(), (4,), 0.9),
]


@pytest.mark.parametrize(("layer", "input_shape", "error"), WRONG_LAYERS, ids=str)
def test_wrong_layers_fail(layer, input_shape, error):
    assert layer_gradient_error(layer, input_shape, n_directions=50, random_state=SEED) > error


def test_an_error_of_one_percent_fails():
    """In a thousandth of its size: three components are all smaller with probability 0.0008 ** 3."""
    assert layer_gradient_error(wrong(Conv2D, factor=1.01)(2), (4, 4, 1), random_state=SEED) > 0.01 * 1e-3
    assert layer_gradient_error(WeightOnePercentOff(3), (4,), random_state=SEED) > 0.01 * 1e-3


class WithoutWeights:
    """A unit of work that says that all rows weigh the same."""

    weights = None

    def __init__(self, unit):
        self._unit = unit

    def __getattr__(self, name):
        return getattr(self._unit, name)


class IgnoresWeights(BatchNorm):
    """Right without sample weights only."""

    def backward(self, params, dY, unit, *, need_dX, out):
        return super().backward(params, dY, WithoutWeights(unit), need_dX=need_dX, out=out)


def test_ignored_sample_weights_fail():
    assert error_away_from_kinks(IgnoresWeights(), (4, 3, 2), random_state=SEED) < RIGHT
    options = {"weights": WEIGHTS, "n_directions": 50, "random_state": SEED}
    assert layer_gradient_error(IgnoresWeights(), (4, 3, 2), **options) > 1e-2


@pytest.mark.parametrize(
    "layer", [wrong(Tanh, factor=np.nan)(), wrong(Dense, bias_share=np.nan)(3)], ids=["input", "bias"]
)
def test_gradients_that_are_not_a_number_fail(layer):
    """Whichever of the gradients it is; nothing compares as larger than NaN."""
    assert not layer_gradient_error(layer, (4,), random_state=SEED) < RIGHT


def test_same_seed_gives_the_same_error():
    errors = [layer_gradient_error(Conv2D(2), (4, 4, 1), random_state=SEED + seed) for seed in (0, 0, 1)]
    assert errors[0] == errors[1] != errors[2]


def test_layer_is_left_as_it_was():
    layer = Conv2D(2, activation="tanh")
    before = layer.get_params()
    layer_gradient_error(layer, (4, 4, 1), random_state=SEED)
    assert vars(layer) == before


def test_log_loss_passes():
    assert loss_gradient_error(LogLoss(), random_state=SEED) < RIGHT


def wrong_loss(factor):
    """Return a loss whose gradient is multiplied."""

    class WrongLoss(LogLoss):
        def gradient(self, scores, targets, weights, out):
            loss = super().gradient(scores, targets, weights, out)
            np.multiply(out, factor, out=out)
            return loss

    return WrongLoss()


class UnweightedGradientLoss(LogLoss):
    def gradient(self, scores, targets, weights, out):
        super().gradient(scores, targets, np.ones_like(weights), out)
        return float((self.values(scores, targets) * weights).sum())


class HardTargetsLoss(LogLoss):
    """Right for one-hot targets only."""

    def gradient(self, scores, targets, weights, out):
        hard = np.eye(targets.shape[1])[targets.argmax(axis=1)]
        super().gradient(scores, hard, weights, out)
        return float((self.values(scores, targets) * weights).sum())


@pytest.mark.parametrize(
    ("loss", "error"),
    [
        (wrong_loss(-1), 1.9),
        (wrong_loss(0.99), 0.005),
        (UnweightedGradientLoss(), 0.1),
        (HardTargetsLoss(), 0.1),
    ],
    ids=["sign", "one percent", "weights", "soft targets"],
)
def test_wrong_losses_fail(loss, error):
    """In one of the three directions of each of 17 seeds; see the wrong layers."""
    assert max(loss_gradient_error(loss, random_state=SEED + seed) for seed in range(17)) > error


def test_loss_gradient_that_is_not_a_number_fails():
    assert not loss_gradient_error(wrong_loss(np.nan), random_state=SEED) < RIGHT


class MaskInScratch(ReLU):
    """Keeps its mask where the next chunk overwrites it."""

    backward_reads = ()

    def forward(self, params, X, unit, *, training, out):
        np.greater(X, 0, out=unit.scratch("mask", X.shape, bool))
        return np.maximum(X, 0, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        return np.multiply(dY, unit.scratch("mask", dY.shape, bool), out=out)


class MaskInSelf(MaskInScratch):
    def forward(self, params, X, unit, *, training, out):
        self.mask = X > 0
        return np.maximum(X, 0, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        return np.multiply(dY, self.mask, out=out)


@pytest.mark.parametrize("layer", [MaskInScratch(), MaskInSelf()], ids=lambda layer: type(layer).__name__)
def test_layers_that_forget_what_an_earlier_chunk_needs_fail(layer, monkeypatch):
    monkeypatch.setenv("SKCNN_NUM_THREADS", "1")  # threads would race for the mask
    assert layer_gradient_error(layer, (4, 5, 2), n_directions=50, random_state=SEED) > 0.1


def test_layers_that_write_into_their_input_are_named():
    class Doubling(ReLU):
        def forward(self, params, X, unit, *, training, out):
            np.multiply(X, 2, out=X)
            return np.maximum(X, 0, out=out)

    with pytest.raises(ValueError, match=r"^Doubling\(\) writes into its input"):
        layer_gradient_error(Doubling(), (4, 5, 2), random_state=SEED)


class Overwritten(ReLU):
    """Reads its input once more after it has written the result."""

    works_in_place = True

    def forward(self, params, X, unit, *, training, out):
        np.multiply(X, 0.1, out=out)
        np.maximum(X, out, out=out)
        np.greater(X, 0, out=unit.kept("positive", X.shape, bool))
        return out

    def backward(self, params, dY, unit, *, need_dX, out):
        return np.multiply(dY, np.where(unit.kept("positive", dY.shape, bool), 1, 0.1), out=out)


class Derived(Overwritten):
    """Does not say that it works in place, so it need not."""


def test_layers_that_wrongly_say_that_they_work_in_place_fail():
    assert layer_gradient_error(Overwritten(), (3, 4, 2), n_directions=50, random_state=SEED) > 0.1
    assert error_away_from_kinks(Derived(), (3, 4, 2), random_state=SEED) < 1e-7
    assert error_away_from_kinks(Sequential([Dense(4), Derived()]), (3,), random_state=SEED) < 1e-7


class ScaledTanh(Tanh):
    """Works in place, but reads its input in backward, which keeps it from being overwritten."""

    works_in_place = True
    backward_reads = ("X",)

    def forward(self, params, X, unit, *, training, out):
        return np.tanh(2 * X, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        return np.multiply(dY, 2 / np.cosh(2 * unit.X) ** 2, out=out)


def test_what_backward_reads_is_not_overwritten():
    assert error_away_from_kinks(ScaledTanh(), (3, 4, 2), random_state=SEED) < 1e-7
    assert error_away_from_kinks(Sequential([Dense(4), ScaledTanh()]), (3,), random_state=SEED) < 1e-7


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"layer": Conv2D}, "'layer' .* must be .* Got <class"),
        ({"layer": "relu"}, "'layer' .* must be .* Got 'relu'"),
        ({"input_shape": None}, "input_shape must be .*, got None"),
        ({"input_shape": (4, 4)}, r"input_shape must be .*, got \(4, 4\)"),
        ({"input_shape": (4, 0, 1)}, r"input_shape must be .*, got \(4, 0, 1\)"),
        ({"input_shape": (4.0,)}, r"input_shape must be .*, got \(4.0,\)"),
        ({"n_samples": 0}, "'n_samples' .* must be .* Got 0"),
        ({"n_samples": 2.5}, "'n_samples' .* must be .* Got 2.5"),
        ({"n_directions": 0}, "'n_directions' .* must be .* Got 0"),
        ({"step": 0}, "'step' .* must be .* Got 0"),
        ({"step": np.nan}, "'step' .* must be .* Got nan"),
        ({"random_state": None}, "'random_state' .* must be .* Got None"),
        ({"weights": "equal"}, "'weights' .* must be .* Got 'equal'"),
        ({"weights": [1, 2]}, r"weights must be 5 numbers, got .* \(2,\)"),
        ({"weights": ["a"] * 5}, "weights must be 5 numbers, got array of <U1"),
        ({"weights": [0] * 5}, "weights must be .* not all zero"),
        ({"weights": [-1, 1, 1, 1, 1]}, "weights must be .* not negative"),
        ({"weights": [np.nan, 1, 1, 1, 1]}, "weights must be finite"),
    ],
    ids=str,
)
def test_nonsense_is_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        layer_gradient_error(**({"layer": Conv2D(2), "input_shape": (4, 4, 1)} | arguments))


class NoValueLoss(LogLoss):
    def gradient(self, scores, targets, weights, out):
        super().gradient(scores, targets, weights, out)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"loss": LogLoss}, "'loss' .* must be .* Got <class"),
        ({"loss": NoValueLoss()}, "NoValueLoss must return a number, got None"),
        ({"n_samples": 0}, "'n_samples' .* must be .* Got 0"),
        ({"n_outputs": "4"}, "'n_outputs' .* must be .* Got '4'"),
        ({"random_state": -1}, "'random_state' .* must be .* Got -1"),
    ],
    ids=["a class", "no value", "no samples", "text", "negative seed"],
)
def test_nonsense_about_losses_is_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        loss_gradient_error(**({"loss": LogLoss()} | arguments))
