"""Every public piece of the network says what it computes, on which shapes, and where that comes from."""

import ast
import inspect
import pkgutil
import re
from importlib import import_module

import pytest

import skcnn
from skcnn.architecture import (
    from_torchvision,
    lenet5,
    mobilenet_v2,
    resnet18,
    small_resnet,
    small_vgg,
    teaching_network,
    vgg11_bn,
)
from skcnn.network.losses import LOSSES
from skcnn.network.regression_losses import REGRESSION_LOSSES
from skcnn.training.lbfgs import minimize_lbfgs
from skcnn.training.optimizers import OPTIMIZERS
from skcnn.training.schedules import SCHEDULES, Schedule
from skcnn.training.weight_averaging import AVERAGING

LAYERS = [getattr(skcnn.layers, name) for name in skcnn.layers.__all__]
LAYERS = [layer for layer in LAYERS if not inspect.isabstract(layer)]
STACKS = [
    from_torchvision,
    lenet5,
    mobilenet_v2,
    resnet18,
    small_resnet,
    small_vgg,
    teaching_network,
    vgg11_bn,
]
TABLES = [LOSSES, REGRESSION_LOSSES, OPTIMIZERS, SCHEDULES, AVERAGING]
PIECES = [*LAYERS, *(piece for table in TABLES for piece in table.values()), *STACKS]

WITHOUT_SOURCE = {"Flatten", "Sequential", "ConstantRate", "InverseScalingRate", "AdaptiveRate"}
"""They only reorder, or say in their notes that they are scikit-learn's."""

each_piece = pytest.mark.parametrize("piece", PIECES, ids=lambda piece: piece.__name__)


def sections(piece):
    """Return the lines of a docstring that head a section."""
    lines = inspect.cleandoc(piece.__doc__).splitlines()
    return [line for line, rule in zip(lines, lines[1:], strict=False) if line and set(rule) == {"-"}]


@each_piece
def test_there_are_an_example_and_a_source(piece):
    assert "Examples" in sections(piece)
    assert ">>> " in piece.__doc__
    assert ("References" in sections(piece)) != (piece.__name__ in WITHOUT_SOURCE)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
def test_layers_say_their_equation_and_shapes(layer):
    notes = layer.__doc__.partition("Notes\n")[2].partition("References\n")[0]
    assert notes
    assert "shape" in notes or "Input ``" in notes
    assert ":math:" in notes or ".. math::" in notes or "output ``" in notes


@each_piece
def test_every_parameter_is_documented(piece):
    documented = piece.__doc__.partition("Parameters\n")[2].partition("Notes\n")[0]
    for name in inspect.signature(piece).parameters:
        if name not in ("initial", "n_epochs", "warmup"):  # those of every schedule
            assert name in documented, f"{name} is not documented"


def test_lbfgs_names_its_source():
    assert "References" in sections(minimize_lbfgs)


REQUIRED = {
    "filters": 1,
    "units": 1,
    "factor": 1,
    "layers": (),
    "branches": (),
    "initial": 0.1,
    "n_epochs": 5,
}
"""Values for the parameters without a default."""


@pytest.mark.parametrize("piece", [*filter(inspect.isclass, PIECES)], ids=lambda piece: piece.__name__)
def test_defaults_are_the_documented_ones(piece):
    """Every parameter that may be left out is documented with what an instance then has."""
    parameters = inspect.signature(piece).parameters
    without_default = {name for name, parameter in parameters.items() if parameter.default is parameter.empty}
    required = {name: REQUIRED[name] for name in without_default}
    docstring = piece.__doc__ + (Schedule.__doc__ if issubclass(piece, Schedule) else "")
    documented = {}
    for names, values in re.findall(r"^ +([\w, ]+) : .*default=(.*)$", docstring, re.MULTILINE):
        defaults = [ast.literal_eval(value) for value in values.split(" and ")]
        documented |= zip(names.split(", "), defaults, strict=True)
    assert documented.keys() == parameters.keys() - required.keys()
    instance = piece(**required)
    assert {name: getattr(instance, name) for name in documented} == documented


def classes():
    """Yield the classes of all modules of the package."""
    for found in pkgutil.walk_packages(skcnn.__path__, "skcnn."):
        if not found.name.startswith(("skcnn.__main__", "skcnn.kernels.compiled")):  # may lack Numba
            for _, value in inspect.getmembers(import_module(found.name), inspect.isclass):
                if value.__module__ == found.name:
                    yield value


def test_public_methods_have_a_docstring_of_their_own_or_of_what_they_override():
    methods = [
        f"{cls.__module__}.{cls.__qualname__}.{name}"
        for cls in classes()
        for name, value in vars(cls).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, (property, classmethod, staticmethod)))
        and not inspect.getdoc(getattr(cls, name))
    ]
    assert methods == []
