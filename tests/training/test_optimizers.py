"""Tests of the optimizers against PyTorch and scikit-learn.

The constants were computed by PyTorch 2.13.0 with this program::

    import torch

    torch.set_default_dtype(torch.float64)  # of the product of momenta that NAdam keeps

    def run(make):
        weights = torch.tensor([1.0, -2.0, 0.5, 3.0], requires_grad=True)
        curvature = torch.tensor([0.5, 1.0, 2.0, 4.0])
        optimizer = make([weights])
        for step in range(1, 51):
            optimizer.zero_grad()
            (curvature * weights**2 / 2 + torch.sin(torch.arange(4.0) + step) * weights).sum().backward()
            optimizer.step()
        print(weights.tolist())

    run(lambda weights: torch.optim.SGD(weights, lr=0.02))
    run(lambda weights: torch.optim.SGD(weights, lr=0.02, momentum=0.9))
    run(lambda weights: torch.optim.SGD(weights, lr=0.02, momentum=0.9, nesterov=True))
    run(lambda weights: torch.optim.Adam(weights, lr=0.02))
    run(lambda weights: torch.optim.Adam(weights, lr=0.02, betas=(0.8, 0.95), eps=0.1))
    run(lambda weights: torch.optim.AdamW(weights, lr=0.02, weight_decay=0.5))
    run(lambda weights: torch.optim.NAdam(weights, lr=0.02))
    run(lambda weights: torch.optim.NAdam(weights, lr=0.02, betas=(0.8, 0.95), eps=0.1))
    run(lambda weights: torch.optim.RMSprop(weights, lr=0.02, alpha=0.999))
    run(lambda weights: torch.optim.RMSprop(weights, lr=0.02, alpha=0.9, eps=0.1))
    run(lambda weights: torch.optim.Adagrad(weights, lr=0.02, eps=1e-8))
    run(lambda weights: torch.optim.Adagrad(weights, lr=0.02, eps=0.1))
"""

import inspect
import tracemalloc

import numpy as np
import pytest
from seeds import generator
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer

from skcnn.training.optimizers import OPTIMIZERS, SGD, Adagrad, Adam, AdamW, NAdam, Optimizer, RMSProp

START = np.array([1.0, -2.0, 0.5, 3.0])
CURVATURE = np.array([0.5, 1.0, 2.0, 4.0])
DECAY = 0.5
"""Of the weights by AdamW."""

PYTORCH = [
    (
        SGD(momentum=0.0, nesterovs_momentum=False),
        [0.6142754722210967, -0.7221581755767466, 0.053497076050887396, 0.025347708987838467],
    ),
    (
        SGD(momentum=0.9, nesterovs_momentum=False),
        [-0.026725945693975784, -0.1266941531262415, -0.03013558433471105, -0.044137696953863596],
    ),
    (
        SGD(momentum=0.9, nesterovs_momentum=True),
        [-0.0024681985668370474, -0.0629313012011825, -0.022414510052698924, -0.04080549421385276],
    ),
    (Adam(), [0.5075150664755046, -1.128261184668228, 0.003146645442055134, 2.044648188176442]),
    (
        Adam(beta_1=0.8, beta_2=0.95, epsilon=0.1),
        [0.5659949401727228, -1.1698085461290575, 0.04851807629836828, 2.0503136256068295],
    ),
    (AdamW(), [0.2831053851174405, -0.5998781701021391, -0.011804681190093088, 1.1278554557141027]),
    (NAdam(), [0.5818405813802459, -1.2013780592754864, 0.040878407245649666, 2.123884210568003]),
    (
        NAdam(beta_1=0.8, beta_2=0.95, epsilon=0.1),
        [0.6057687098984126, -1.1957247164346352, 0.05843771550153479, 2.079378402872209],
    ),
    (RMSProp(), [0.12653299032642518, 0.028034055642092603, -0.09934066178676113, -0.028051691461004436]),
    (
        RMSProp(beta_2=0.9, epsilon=0.1),
        [0.5645165233243938, -1.0480505569068717, 0.03506577897885744, 1.8860584257054964],
    ),
    (Adagrad(), [0.8675543525857642, -1.7557879170334711, 0.31249766520894173, 2.7469272038112584]),
    (
        Adagrad(epsilon=0.1),
        [0.8718564679818134, -1.7608723257597196, 0.31768834626233705, 2.7476961928206265],
    ),
]
"""Optimizers and the weights after 50 steps of learning rate 0.02, by PyTorch."""

TEMPORARIES = [
    (SGD(0.0, False), 0),
    (SGD(0.9, False), 0),
    (SGD(0.9, True), 0),
    (Adam(), 0),
    (AdamW(), 0),
    (NAdam(), 1),
    (RMSProp(), 1),
    (Adagrad(), 1),
]
"""Optimizers, and how many temporary arrays of the size of a section an update may take."""


def name_of(optimizer):
    values = "-".join(str(value) for value in vars(optimizer).values())
    return f"{type(optimizer).__name__}-{values}"


NAMES = [name_of(optimizer) for optimizer, _ in TEMPORARIES]

each_optimizer = pytest.mark.parametrize("optimizer", [optimizer for optimizer, _ in TEMPORARIES], ids=NAMES)


def fresh_slots(optimizer, weights):
    return {name: np.zeros_like(weights) for name in optimizer.slot_names}


def gradient_at(weights, step):
    """Return the gradient that the program of the module's docstring has at a step."""
    return CURVATURE * weights + np.sin(np.arange(4) + step)


def test_every_optimizer_is_in_the_tables():
    assert {type(optimizer) for optimizer, _ in TEMPORARIES} == set(OPTIMIZERS.values())
    assert {type(optimizer) for optimizer, _ in PYTORCH} == set(OPTIMIZERS.values())
    assert list(OPTIMIZERS) == ["sgd", "adam", "adamw", "nadam", "rmsprop", "adagrad"]


@each_optimizer
def test_hyperparameters_name_the_arguments_of_the_constructor(optimizer):
    """They are kept as what numpy does not turn float32 into float64 for."""
    assert isinstance(optimizer, Optimizer)
    assert tuple(inspect.signature(type(optimizer)).parameters) == optimizer.hyperparameters
    given = {name: np.float64(getattr(optimizer, name)) for name in optimizer.hyperparameters}
    assert all(type(value) in (float, bool) for value in vars(type(optimizer)(**given)).values())


@each_optimizer
def test_only_adamw_leaves_the_decay_to_training(optimizer):
    assert optimizer.decouples_decay is (type(optimizer) is AdamW)


@pytest.mark.parametrize(("optimizer", "expected"), PYTORCH, ids=[name_of(entry[0]) for entry in PYTORCH])
def test_fifty_steps_end_where_those_of_pytorch_end(optimizer, expected):
    """Where the decay is not part of the loss, training shrinks the weights before each step."""
    weights = START.copy()
    slots = fresh_slots(optimizer, weights)
    for step in range(1, 51):
        gradient = gradient_at(weights, step)
        if optimizer.decouples_decay:
            weights *= 1 - 0.02 * DECAY
        optimizer.update(weights, gradient, slots, step=step, learning_rate=0.02)
    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_equals_that_of_scikit_learn_with_a_changing_rate(nesterov, momentum):
    ours, theirs = START.copy(), START.copy()
    optimizer = SGD(momentum, nesterov)
    reference = SGDOptimizer([theirs], 0.02, momentum=momentum, nesterov=nesterov)
    slots = fresh_slots(optimizer, ours)
    for step in range(1, 51):
        rate = 0.02 / step**0.5
        reference.learning_rate = rate
        reference.update_params([theirs], [gradient_at(theirs, step)])
        optimizer.update(ours, gradient_at(ours, step), slots, step=step, learning_rate=rate)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-14)


def test_adam_equals_that_of_scikit_learn_where_epsilon_is_zero():
    """With an epsilon the two differ, since scikit-learn adds it before the correction of the bias."""
    ours, theirs = START.copy(), START.copy()
    optimizer = Adam(epsilon=0.0)
    reference = AdamOptimizer([theirs], 0.02, epsilon=0.0)
    slots = fresh_slots(optimizer, ours)
    for step in range(1, 51):
        reference.update_params([theirs], [gradient_at(theirs, step)])
        optimizer.update(ours, gradient_at(ours, step), slots, step=step, learning_rate=0.02)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13)


def test_the_first_step_of_adam_is_the_learning_rate_against_the_sign():
    weights, optimizer = np.zeros(3), Adam(epsilon=0.0)
    gradient = np.array([1e-6, -3.0, 1e6])
    optimizer.update(weights, gradient, fresh_slots(optimizer, weights), step=1, learning_rate=0.1)
    np.testing.assert_allclose(weights, [-0.1, 0.1, -0.1], rtol=1e-14)


@pytest.mark.parametrize("beta_1", [0.0, 0.5, 0.9, 0.99])
def test_the_product_of_the_momenta_of_nadam_equals_that_of_a_loop(beta_1):
    """Each factor of the loop is rounded a few times, and so is the sum of logarithms of up to 330."""
    optimizer, product = NAdam(beta_1=beta_1), 1.0
    for step in range(1, 501):
        product *= optimizer._momentum(step)
        np.testing.assert_allclose(optimizer._momentum_product(step), product, rtol=500 * 4 * 2**-53)


def test_nadam_with_beta_1_of_zero_is_adam_without_momentum():
    """No momentum to look ahead with is left."""
    results = []
    for optimizer in (NAdam(beta_1=0.0), Adam(beta_1=0.0)):
        weights = START.copy()
        slots = fresh_slots(optimizer, weights)
        for step in range(1, 51):
            optimizer.update(weights, gradient_at(weights, step), slots, step=step, learning_rate=0.02)
        results.append(weights)
    np.testing.assert_allclose(*results, rtol=0, atol=1e-13)


@pytest.mark.parametrize("epsilon", [0.0, 1e-8, 0.5])
def test_the_first_step_of_rmsprop_and_adagrad_by_hand(epsilon):
    gradient = np.array([0.25, -3.0, 8.0])
    for optimizer, root in [(RMSProp(0.75, epsilon), 0.5 * abs(gradient)), (Adagrad(epsilon), abs(gradient))]:
        weights = np.zeros(3)
        slots = fresh_slots(optimizer, weights)
        optimizer.update(weights, gradient.copy(), slots, step=1, learning_rate=0.1)
        np.testing.assert_allclose(weights, -0.1 * gradient / (root + epsilon), rtol=1e-14)


@each_optimizer
def test_float32_stays_float32_and_close_to_float64(optimizer):
    """Fifty steps of rounding, each of a few units of the largest weight."""
    results = {}
    for dtype in (np.float32, np.float64):
        weights = START.astype(dtype)
        slots = fresh_slots(optimizer, weights)
        for step in range(1, 51):
            gradient = gradient_at(weights, step).astype(dtype)
            optimizer.update(weights, gradient, slots, step=step, learning_rate=0.02)
        assert weights.dtype == dtype
        assert all(slot.dtype == dtype for slot in slots.values())
        results[dtype] = weights
    np.testing.assert_allclose(results[np.float32], results[np.float64], rtol=0, atol=50 * 3 * 2 * 2**-24)


@pytest.mark.parametrize(("optimizer", "n_temporaries"), TEMPORARIES, ids=NAMES)
def test_updates_are_in_place_and_allocate_no_more_than_they_need(optimizer, n_temporaries):
    rng = generator(0)
    weights = rng.standard_normal(100_000)
    gradient = rng.standard_normal(100_000)
    slots = fresh_slots(optimizer, weights)
    arrays = dict(slots)
    before = weights.copy()
    tracemalloc.start()
    optimizer.update(weights, gradient, slots, step=1, learning_rate=0.1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < (n_temporaries + 0.05) * weights.nbytes
    assert (weights != before).all()
    assert all(slots[name] is array and array.all() for name, array in arrays.items())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each_optimizer
def test_the_result_does_not_depend_on_the_cuts_of_the_vector(optimizer, dtype):
    """Blocks of odd sizes at odd addresses give the same bits as the whole vector."""
    rng = generator(0)
    start = rng.standard_normal(1003).astype(dtype)
    gradients = [rng.standard_normal(1003).astype(dtype) for _ in range(5)]
    results = []
    for cuts in ([0, 1003], [0, 1, 4, 333, 334, 900, 1003]):
        weights = start.copy()
        slots = fresh_slots(optimizer, weights)
        for step, gradient in enumerate(gradients, start=1):
            gradient = gradient.copy()
            for begin, end in zip(cuts, cuts[1:], strict=False):
                part = {name: slot[begin:end] for name, slot in slots.items()}
                optimizer.update(weights[begin:end], gradient[begin:end], part, step=step, learning_rate=0.01)
        results.append([weights, *slots.values()])
    for whole, cut in zip(*results, strict=True):
        np.testing.assert_array_equal(whole, cut)


@each_optimizer
def test_an_optimizer_keeps_nothing_between_updates(optimizer):
    """All that changes stands in the slots, so one optimizer may serve several networks."""
    before = dict(vars(optimizer))
    weights = START.copy()
    optimizer.update(weights, START.copy(), fresh_slots(optimizer, weights), step=1, learning_rate=0.1)
    assert vars(optimizer) == before


def test_no_gradient_no_step():
    for optimizer, _ in TEMPORARIES:
        weights = START.copy()
        optimizer.update(weights, np.zeros(4), fresh_slots(optimizer, weights), step=1, learning_rate=0.1)
        np.testing.assert_array_equal(weights, START)


@each_optimizer
def test_slots_are_of_another_kind_where_a_decay_rate_is_another(optimizer):
    """Their scale depends on it, and on nothing else: momentum and epsilon may change on the way."""
    for name, value in vars(optimizer).items():
        other = type(optimizer)(
            **vars(optimizer) | {name: not value if type(value) is bool else value / 2 + 0.1}
        )
        assert (other.slot_kind != optimizer.slot_kind) is name.startswith("beta_")


def test_every_optimizer_has_slots_of_a_kind_of_its_own():
    assert len({kind().slot_kind for kind in OPTIMIZERS.values()}) == len(OPTIMIZERS)
