"""Tests of values in files: what JSON and arrays say comes back exactly, and nothing else is made."""

import importlib
import json
import math
from decimal import Decimal
from functools import partial
from types import MappingProxyType

import numpy as np
import pytest

import skcnn
from skcnn import Conv2D, Dense, RandomShift, ReLU, Residual
from skcnn.encoding import REGISTRY, Decoder, Encoder, register
from skcnn.layers.base import Layer
from skcnn.tensor_file import FileError


def through_json(value, custom=()):
    """Return what comes back of a value."""
    encoder = Encoder()
    text = json.dumps(encoder.encode(value, "value"), allow_nan=False)
    return Decoder(encoder.tensors, custom).decode(json.loads(text))


VALUES = {
    "None": None,
    "bool": True,
    "large int": 10**30,
    "float": 0.1,
    "negative zero": -0.0,
    "nan": math.nan,
    "infinities": [math.inf, -math.inf],
    "text": "ä \ud800 \0",
    "tuple in list": [(1, (2.5,)), ()],
    "dict": {"dict": {"tuple": [1]}, "": None},
    "dict of integers": {0: 1.0, (1, "a"): {}, None: 2, 1.5: 3},
    "numpy scalars": [np.float32(0.1), np.int8(-3), np.bool_(True), np.float64(np.nan), np.uint64(2**63)],
    "numpy text": np.str_("a\0b"),
    "arrays": [np.arange(6).reshape(2, 3), np.float16([1.5]), np.array(2.0), np.empty((0, 3))],
    "big-endian": np.arange(3, dtype=">i2"),
    "strided": np.arange(10)[::-2],
    "array of text": np.array([["a", "bcd"], ["ä", "\U0001f600"]]),
    "array of bytes": np.array([b"a", b"b\xff"]),
    "days": np.array(["2026-11-30", "NaT"], "datetime64[D]"),
    "objects": np.array(["a", None, 1, (1, 2)], object),
    "keys that print alike": {1: np.zeros(2), "1": np.ones(2), "a/b": np.ones(1), "a": {"b": np.zeros(1)}},
    "layer": Residual([Conv2D(3, strides=(1, 2)), ("relu", ReLU()), "passthrough"], activation="gelu"),
    "augmentation": RandomShift(2, fill=0.0),
}


def assert_same(found, value):
    """Hold values against each other with types, bits and structure."""
    assert type(found) is type(value)
    if isinstance(value, np.ndarray | np.generic):
        assert found.dtype == value.dtype
        assert found.shape == value.shape
        if value.dtype == object:
            assert found.tolist() == value.tolist()
        else:
            assert found.tobytes() == value.tobytes()
    elif isinstance(value, dict):
        assert list(found) == list(value)
        for key in value:
            assert_same(found[key], value[key])
    elif isinstance(value, list | tuple):
        assert len(found) == len(value)
        for pair in zip(found, value, strict=True):
            assert_same(*pair)
    else:
        assert repr(found) == repr(value)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_values_come_back_exactly(value):
    assert_same(through_json(value), value)


class Own(Dense):
    """A layer of somebody else, who has given it one more attribute."""

    def __init__(self, units, more=1):
        super().__init__(units)
        self.more = more


def test_classes_of_others_are_passed_by_the_caller():
    own = Own(3, more=(2,))
    own.note = {"a": 1}
    found = through_json([own], {"Own": Own})[0]
    assert type(found) is Own
    assert vars(found) == vars(own)
    assert "Own" not in REGISTRY
    with pytest.raises(FileError, match="'Own'"):
        through_json(own)


def test_a_class_of_ones_own_never_stands_in_for_one_of_the_package():
    other = type("Dense", (Dense,), {"__init__": lambda self, units: Dense.__init__(self, units)})
    assert type(through_json(Dense(3), {"Dense": other})) is Dense
    with pytest.raises(FileError, match="'Dense'"):
        through_json(other(3))


def test_mappings_and_memory_maps_become_plain():
    mapped = np.zeros(3).view(np.memmap)
    assert_same(through_json(MappingProxyType({"a": 1.0})), {"a": 1.0})
    assert_same(through_json(mapped), np.zeros(3))


def test_two_classes_of_one_name_are_not_mixed():
    other = type("Own", (Dense,), {"__init__": lambda self, units: Dense.__init__(self, units)})
    with pytest.raises(TypeError, match="layers/2.*Own"):
        Encoder().encode([Own(1), other(1)], "layers")


UNFIT = {
    "function": len,
    "lambda": lambda: None,
    "partial": partial(len),
    "RandomState": np.random.RandomState(0),
    "Generator": np.random.default_rng(0),
    "class": Dense,
    "set": {1},
    "complex": 1j,
    "decimal": Decimal(1),
    "long double": np.longdouble(1),
    "complex array": np.ones(2, complex),
    "records": np.zeros(2, "i4,f8"),
    "within": {"a": (1, [len])},
}


@pytest.mark.parametrize("value", UNFIT.values(), ids=UNFIT)
def test_what_no_file_can_hold_is_named(value):
    with pytest.raises(TypeError, match="layers/2"):
        Encoder().encode([None, value], "layers")


HOSTILE = {
    "no object": {},
    "two meanings": {"tuple": [], "float": "nan"},
    "another float": {"float": "1e5"},
    "tuple of nothing": {"tuple": None},
    "module": {"object": "os.system", "holds": {"command": "true"}},
    "builtin": {"object": "eval", "holds": {"source": "1"}},
    "base class": {"object": "Layer", "holds": {}},
    "private class": {"object": "JoiningLayer", "holds": {}},
    "an attribute of a layer": {"object": "Dense", "holds": {"units": 1, "note": 2}},
    "a method": {"object": "ConvNetClassifier", "holds": {"predict": 1}},
    "constraints": {"object": "ConvNetClassifier", "holds": {"_parameter_constraints": {"dict": {}}}},
    "a tensor twice": [{"array": "<f8", "shape": [2], "tensor": "a"}] * 2,
    "a dtype to parse": {"scalar": "(1,2", "value": 1},
    "unknown parameter": {"object": "Dense", "holds": {"units": 1, "__class__": "Conv2D"}},
    "missing parameter": {"object": "Dense", "holds": {}},
    "holds a list": {"object": "Dense", "holds": [1]},
    "missing tensor": {"array": "<f8", "shape": [1], "tensor": "b"},
    "other dtype": {"array": "<f4", "shape": [2], "tensor": "a"},
    "other shape": {"array": "<f8", "shape": [3], "tensor": "a"},
    "objects in a tensor": {"array": "O", "shape": [1], "tensor": "a"},
    "a dtype of 2**30 bytes": {"array": f"<U{2**28}", "shape": [1], "tensor": "a"},
    "a scalar of 2**30 bytes": {"scalar": f"V{2**30}", "value": 1},
    "an object scalar": {"scalar": "O", "value": 1},
    "keys that cannot be": {"items": [[[], 1]]},
    "one key alone": {"items": [[1]]},
    "objects of another number": {"objects": [2**40], "values": []},
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_hostile_json_makes_nothing(value):
    """Whoever decodes turns these errors into FileError."""
    with pytest.raises((ValueError, TypeError, LookupError)):
        Decoder({"a": np.arange(2.0)}).decode(value)


def test_the_registry_has_what_users_write_and_nothing_of_others():
    public = {name for name in skcnn.__all__ if isinstance(getattr(skcnn, name), type)}
    assert public - {"Layer", "MergingLayer", "ImageFiles"} <= REGISTRY.keys()
    others = [name for name, entry in REGISTRY.items() if entry.cls.__module__.partition(".")[0] != "skcnn"]
    assert others == ["FrozenEstimator"]


def test_layers_of_the_package_say_their_shapes():
    """So that the weights of a file are checked before anything is allocated."""
    silent = [
        name
        for name, entry in REGISTRY.items()
        if issubclass(entry.cls, Layer)
        and entry.cls.init_params is not Layer.init_params
        and entry.cls.param_shapes is Layer.param_shapes
    ]
    assert silent == []


def test_a_module_can_be_reloaded_but_names_are_unique():
    module = importlib.import_module("skcnn.layers.rescale")
    original = module.Rescale
    try:
        assert importlib.reload(module).Rescale is REGISTRY["Rescale"].cls is not original
    finally:
        module.Rescale = register(original)
    with pytest.raises(ValueError, match="Rescale"):
        register(type("Rescale", (), {"__module__": "skcnn.other"}))
