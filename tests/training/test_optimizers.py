"""Tests of the optimizers against PyTorch and scikit-learn.

The constants were computed by PyTorch 2.13.0 with this program::

    import torch

    torch.set_default_dtype(torch.float64)  # of the product of momenta that NAdam keeps

    def run(make, **options):
        weights = torch.tensor([1.0, -2.0, 0.5, 3.0], requires_grad=True)
        curvature = torch.tensor([0.5, 1.0, 2.0, 4.0])
        optimizer = make([weights], lr=0.02, **options)
        for step in range(1, 51):
            optimizer.zero_grad()
            (curvature * weights**2 / 2 + torch.sin(torch.arange(4.0) + step) * weights).sum().backward()
            optimizer.step()
        print(weights.tolist())

    for options in ({}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}):
        run(torch.optim.SGD, **options)
    other = {"betas": (0.8, 0.95), "eps": 0.1}
    run(torch.optim.Adam), run(torch.optim.Adam, **other), run(torch.optim.AdamW, weight_decay=0.5)
    run(torch.optim.NAdam), run(torch.optim.NAdam, **other)
    run(torch.optim.RMSprop, alpha=0.999), run(torch.optim.RMSprop, alpha=0.9, eps=0.1)
    run(torch.optim.Adagrad, eps=1e-8), run(torch.optim.Adagrad, eps=0.1)
"""

import inspect
import tracemalloc

import numpy as np
import pytest
from compiled_kernels import NUMBA, needs_numba
from numpy.testing import assert_allclose, assert_array_equal
from seeds import generator
from sklearn.neural_network._stochastic_optimizers import SGDOptimizer

from skcnn.kernels.table import NUMPY
from skcnn.training.optimizers import OPTIMIZERS, SGD, Adagrad, Adam, AdamW, NAdam, Optimizer, RMSProp

START = np.array([1.0, -2.0, 0.5, 3.0])
CURVATURE = np.array([0.5, 1.0, 2.0, 4.0])
DECAY = 0.5
"""Of the weights by AdamW."""

PYTORCH = [
    (SGD(0.0, False), [0.614275472221, -0.722158175577, 0.053497076051, 0.025347708988]),
    (SGD(0.9, False), [-0.026725945694, -0.126694153126, -0.030135584335, -0.044137696954]),
    (SGD(0.9, True), [-0.002468198567, -0.062931301201, -0.022414510053, -0.040805494214]),
    (Adam(), [0.507515066476, -1.128261184668, 0.003146645442, 2.044648188176]),
    (Adam(0.8, 0.95, 0.1), [0.565994940173, -1.169808546129, 0.048518076298, 2.050313625607]),
    (AdamW(), [0.283105385117, -0.599878170102, -0.011804681190, 1.127855455714]),
    (NAdam(), [0.581840581380, -1.201378059275, 0.040878407246, 2.123884210568]),
    (NAdam(0.8, 0.95, 0.1), [0.605768709898, -1.195724716435, 0.058437715502, 2.079378402872]),
    (RMSProp(), [0.126532990326, 0.028034055642, -0.099340661787, -0.028051691461]),
    (RMSProp(0.9, 0.1), [0.564516523324, -1.048050556907, 0.035065778979, 1.886058425705]),
    (Adagrad(), [0.867554352586, -1.755787917033, 0.312497665209, 2.746927203811]),
    (Adagrad(0.1), [0.871856467982, -1.760872325760, 0.317688346262, 2.747696192821]),
]
"""Optimizers and the weights after 50 steps of learning rate 0.02, by PyTorch, to twelve decimals."""

IN_PLACE = [SGD(0.0, False), SGD(0.9, False), SGD(0.9, True), Adam(), AdamW()]
WITH_A_TEMPORARY = [NAdam(), RMSProp(), Adagrad()]
"""Optimizers whose updates allocate nothing, or one array of the size of a section."""


def name_of(value):
    if isinstance(value, Optimizer):
        return "-".join([type(value).__name__, *map(str, vars(value).values())])
    return None


each_optimizer = pytest.mark.parametrize("optimizer", IN_PLACE + WITH_A_TEMPORARY, ids=name_of)
each_backend = pytest.mark.parametrize(
    "kernels", [NUMPY, pytest.param(NUMBA, marks=needs_numba)], ids=["numpy", "numba"]
)


def fresh_slots(optimizer, weights):
    return {name: np.zeros_like(weights) for name in optimizer.slot_names}


def gradient_at(weights, step):
    """Return the gradient that the program of the module's docstring has at a step."""
    return CURVATURE * weights + np.sin(np.arange(4) + step)


def take_fifty_steps(optimizer, *, dtype=np.float64, rate=lambda step: 0.02, kernels=NUMPY):
    """Return the weights, which training shrinks where the decay is not part of the loss, and the slots."""
    weights = START.astype(dtype)
    slots = fresh_slots(optimizer, weights)
    for step in range(1, 51):
        gradient = gradient_at(weights, step).astype(dtype)
        if optimizer.decouples_decay:
            weights *= 1 - 0.02 * DECAY
        now = {"step": step, "learning_rate": rate(step)}
        optimizer.update(weights, gradient, slots, **now, rules=kernels.updates)
    return weights, slots


def test_every_optimizer_is_in_the_tables_and_has_slots_of_a_kind_of_its_own():
    assert set(map(type, IN_PLACE + WITH_A_TEMPORARY)) == set(OPTIMIZERS.values())
    assert {type(optimizer) for optimizer, _ in PYTORCH} == set(OPTIMIZERS.values())
    assert len({kind().slot_kind for kind in OPTIMIZERS.values()}) == len(OPTIMIZERS)
    assert list(OPTIMIZERS) == ["sgd", "adam", "adamw", "nadam", "rmsprop", "adagrad"]


@pytest.mark.parametrize("optimizer_class", OPTIMIZERS.values())
def test_hyperparameters_name_the_arguments_of_the_constructor(optimizer_class):
    """They are kept as what numpy does not turn float32 into float64 for."""
    optimizer = optimizer_class()
    assert tuple(inspect.signature(optimizer_class).parameters) == optimizer.hyperparameters
    given = {name: np.float64(getattr(optimizer, name)) for name in optimizer.hyperparameters}
    assert all(type(value) in (float, bool) for value in vars(optimizer_class(**given)).values())
    assert optimizer.decouples_decay is (optimizer_class is AdamW)  # which leaves it to training


@each_backend
@pytest.mark.parametrize(("optimizer", "expected"), PYTORCH, ids=name_of)
def test_fifty_steps_end_where_those_of_pytorch_end(optimizer, expected, kernels):
    assert_allclose(take_fifty_steps(optimizer, kernels=kernels)[0], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_equals_that_of_scikit_learn_with_a_changing_rate(nesterov, momentum):
    theirs = START.copy()
    optimizer = SGDOptimizer([theirs], momentum=momentum, nesterov=nesterov)
    for step in range(1, 51):
        optimizer.learning_rate = 0.02 / step**0.5
        optimizer.update_params([theirs], [gradient_at(theirs, step)])
    ours, _ = take_fifty_steps(SGD(momentum, nesterov), rate=lambda step: 0.02 / step**0.5)
    assert_allclose(ours, theirs, rtol=0, atol=1e-14)


def test_nadam_with_beta_1_of_zero_is_adam_without_momentum():
    """No momentum to look ahead with is left."""
    (nadam, _), (adam, _) = take_fifty_steps(NAdam(beta_1=0.0)), take_fifty_steps(Adam(beta_1=0.0))
    assert_allclose(nadam, adam, rtol=0, atol=1e-13)


@each_backend
@each_optimizer
def test_float32_stays_float32_and_close_to_float64(optimizer, kernels):
    """Fifty steps of rounding, each of a few units of the largest weight."""
    narrow, slots = take_fifty_steps(optimizer, dtype=np.float32, kernels=kernels)
    wide, _ = take_fifty_steps(optimizer)
    assert narrow.dtype == np.float32
    assert all(slot.dtype == np.float32 for slot in slots.values())
    assert_allclose(narrow, wide, rtol=0, atol=50 * 3 * 2 * 2**-24)


@each_optimizer
def test_updates_are_in_place_and_allocate_no_more_than_they_need(optimizer):
    """All that changes stands in the slots, so one optimizer may serve several networks."""
    weights, gradient = generator(0).standard_normal((2, 100_000))
    slots = fresh_slots(optimizer, weights)
    arrays, before, hyperparameters = dict(slots), weights.copy(), dict(vars(optimizer))
    tracemalloc.start()
    optimizer.update(weights, gradient, slots, step=1, learning_rate=0.1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < ((optimizer in WITH_A_TEMPORARY) + 0.05) * weights.nbytes
    assert (weights != before).all()
    assert all(slots[name] is array and array.all() for name, array in arrays.items())
    assert vars(optimizer) == hyperparameters


@each_backend
@each_optimizer
def test_the_result_does_not_depend_on_the_cuts_of_the_vector(optimizer, kernels):
    """Blocks of odd sizes at odd addresses give the same bits as the whole vector."""
    start, *gradients = generator(0).standard_normal((6, 1003)).astype(np.float32)
    results = []
    for cuts in ([0, 1003], [0, 1, 4, 333, 334, 900, 1003]):
        weights = start.copy()
        slots = fresh_slots(optimizer, weights)
        for step, gradient in enumerate(gradients, start=1):
            gradient = gradient.copy()
            for begin, end in zip(cuts, cuts[1:], strict=False):
                part = {name: slot[begin:end] for name, slot in slots.items()}
                now = {"step": step, "learning_rate": 0.01}
                arrays = weights[begin:end], gradient[begin:end], part
                optimizer.update(*arrays, **now, rules=kernels.updates)
        results.append([weights, *slots.values()])
    for whole, cut in zip(*results, strict=True):
        assert_array_equal(whole, cut)


@each_optimizer
def test_no_gradient_no_step(optimizer):
    weights = START.copy()
    optimizer.update(weights, np.zeros(4), fresh_slots(optimizer, weights), step=1, learning_rate=0.1)
    assert_array_equal(weights, START)


@each_optimizer
def test_slots_are_of_another_kind_where_a_decay_rate_is_another(optimizer):
    """Their scale depends on it, and on nothing else: momentum and epsilon may change on the way."""
    for name, value in vars(optimizer).items():
        changed = vars(optimizer) | {name: not value if type(value) is bool else value / 2 + 0.1}
        other = type(optimizer)(**changed)
        assert (other.slot_kind != optimizer.slot_kind) is name.startswith("beta_")
