"""Converts objects of this package to JSON and arrays and back, with a registry of classes."""

import math
import re
from collections.abc import Callable, Mapping, Set
from inspect import getattr_static, signature
from types import UnionType
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator

from skcnn.fitted_attributes import ReadFrom
from skcnn.tensor_file import NAMES_OF_DTYPES, FileError


class Entry(NamedTuple):
    """A class with the functions that turn its objects into plain values and back."""

    cls: type
    pack: Callable[[Any], dict]
    unpack: Callable[[dict], Any]


ROUTING = "_metadata_request"
"""Attribute in which scikit-learn keeps the arguments of ``set_fit_request`` and similar methods."""

REGISTRY: dict[str, Entry] = {}
"""The classes that a file may name, by name."""


def register(cls: type, pack: Callable[[Any], dict] | None = None, unpack=None) -> type:
    """Let files name a class; return it.

    Parameters
    ----------
    cls : type
        Without ``pack``, subclasses in other packages are not registered: ``load`` takes them as ``custom``.
    pack : callable, default=None
        Turns an object into a dict of plain values. None takes hyperparameters and all other attributes.
    unpack : callable, default=None
        Turns such a dict into an object. None calls the class with the hyperparameters and sets all other
        attributes.
    """
    if pack is not None or cls.__module__.partition(".")[0] == __package__:
        entry = Entry(cls, pack or pack_estimator, unpack or _unpacker_of(cls))
        known = REGISTRY.get(cls.__name__, entry).cls
        if known.__module__ != cls.__module__:
            raise ValueError(f"{cls.__module__} and {known.__module__} both define {cls.__name__}")
        REGISTRY[cls.__name__] = entry  # replaces the class of a module that is reloaded
    return cls


def pack_estimator(estimator: BaseEstimator) -> dict:
    """Return hyperparameters and all other attributes of an object with ``get_params``."""
    plain = vars(estimator) | estimator.get_params(deep=False)
    if ROUTING in plain:
        requests = {method: getattr(found, "requests", {}) for method, found in vars(plain[ROUTING]).items()}
        plain[ROUTING] = {method: found for method, found in requests.items() if found}
    return plain


def _unpacker_of(cls: type) -> Callable[[dict], Any]:
    """Return a function that calls a class with the hyperparameters and sets all other attributes.

    Layers and augmentations of this package have no others, and no attribute hides what its class defines.
    """
    is_ours = cls.__module__.partition(".")[0] == __package__

    def unpack(plain: dict):
        names = signature(cls).parameters
        made = cls(**{name: value for name, value in plain.items() if name in names})
        others = {name: value for name, value in plain.items() if name not in names}
        requests = others.pop(ROUTING, {})
        for name in others:
            defined = getattr_static(cls, name, None)
            hides = defined is not None and not isinstance(defined, ReadFrom)
            if name.startswith("__") or hides or (is_ours and not hasattr(cls, "fit")):
                raise ValueError(f"{name!r} is no attribute of a {cls.__name__}")
        vars(made).update(others)
        with config_context(enable_metadata_routing=True):
            for method, of_method in requests.items():
                getattr(made, f"set_{method}_request")(**of_method)
        return made

    return unpack


def register_dataclass(cls: type) -> type:
    """Let files name a dataclass of numbers, text, lists, dicts and arrays; return it."""

    def unpack(plain: dict):
        hints = get_type_hints(cls)
        for name, value in plain.items():
            if not fits(value, hints[name]):
                raise ValueError(f"{name} of {cls.__name__} is not of the type {hints[name]}")
        return cls(**plain)  # fields that an earlier version did not write have their defaults

    return register(cls, vars, unpack)


def fits(value, hint) -> bool:
    """Whether a value has an annotated type; integers must not be negative."""
    kind, arguments = get_origin(hint) or hint, get_args(hint)
    if kind is UnionType:
        return any(fits(value, one) for one in arguments)
    if kind is int:
        return is_number(value, int | np.integer) and value >= 0
    if kind is float:
        return is_number(value, float | int | np.number)
    is_kind = isinstance(value, kind)
    if kind is list:
        return is_kind and all(fits(entry, arguments[0]) for entry in value)
    if kind is dict and arguments:
        return is_kind and all(all(map(fits, pair, arguments)) for pair in value.items())
    return is_kind


def is_number(value, kinds) -> bool:
    """Whether a value is a number of the given types, and not a bool."""
    return isinstance(value, kinds) and not isinstance(value, bool)


def plain_dtype(text: str) -> np.dtype:
    """Return the dtype of a str such as "<f8"; raise a ValueError for text that means no plain dtype."""
    if not re.fullmatch(r"[<>|=][biufUSMm]\d{1,9}(\[\d{0,9}\w{1,2}\])?", text):
        raise ValueError(f"{text!r} is no dtype that a file can hold")
    return np.dtype(text)


def is_plain(dtype: np.dtype) -> bool:
    """Whether JSON can hold the values of a dtype."""
    return dtype.kind in "bU" or dtype.newbyteorder("<") in NAMES_OF_DTYPES


def raw_dtype(dtype: np.dtype) -> np.dtype | None:
    """Return the dtype in which a file stores items of a dtype; None if it cannot store them.

    Text is stored as code points, bytes as unsigned integers, times and durations as integers.
    """
    stand_ins = {"U": "<u4", "S": "u1", "M": "<i8", "m": "<i8"}
    raw = np.dtype(stand_ins[dtype.kind]) if dtype.kind in stand_ins else dtype.newbyteorder("<")
    return raw if raw in NAMES_OF_DTYPES and dtype.itemsize else None


class Encoder:
    """Turns values into JSON, which refers to arrays by name.

    Parameters
    ----------
    left_out : set of str, default=()
        Attributes of objects that are left out.
    droppable : set of str, default=()
        Names at the start of a path that ``save`` can drop, for messages.

    Attributes
    ----------
    tensors : dict of str to ndarray
        The arrays of numbers, named by their paths.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.encoding import Decoder, Encoder
    >>> encoder = Encoder()
    >>> encoder.encode((1, None, {2: np.ones(2)}), "example")
    {'tuple': [1, None, {'items': [[2, {'array': '<f8', 'shape': [2], 'tensor': 'example/3/2/2'}]]}]}
    >>> Decoder(encoder.tensors).decode(encoder.encode((1, None, {2: 0.5}), ""))
    (1, None, {2: 0.5})
    """

    def __init__(self, left_out: Set[str] = frozenset(), droppable: Set[str] = frozenset()):
        self.tensors: dict[str, np.ndarray] = {}
        self._left_out = left_out
        self._droppable = droppable
        self._custom: dict[str, type] = {}

    def encode(self, value, path: str):
        """Return a value as JSON.

        Parameters
        ----------
        value : object
            None, a bool, number or str, a numpy scalar or array of them, a list, tuple or dict, or an object
            of a registered class or a subclass of one.
        path : str
            Path of the value, for names and messages.

        Raises
        ------
        TypeError
            If the value, or a value in it, is something else.
        """
        kind = type(value)
        if value is None or kind in (bool, int, str) or (kind is float and math.isfinite(value)):
            return value
        if kind is float:
            return {"float": str(value)}
        if kind is list:
            return self._encode_all(value, path)
        if kind is tuple:
            return {"tuple": self._encode_all(value, path)}
        if isinstance(value, Mapping):
            if all(type(key) is str for key in value):
                return {"dict": self._encode_entries(value, path)}
            return {"items": [self._encode_all(pair, f"{path}/{pair[0]}") for pair in value.items()]}
        if isinstance(value, np.generic) and is_plain(value.dtype):
            return {"scalar": value.dtype.str, "value": self.encode(value.item(), path)}
        if isinstance(value, np.ndarray):
            return self._encode_array(value, path)
        return self._encode_object(value, path)

    def _refusal(self, path):
        """Return the end of a message about a value that no file holds, with the way out if there is one."""
        name = path.partition("/")[0]
        way_out = f": drop=[{name!r}] writes the default in its place" if name in self._droppable else ""
        return f"which a file cannot hold{way_out}"

    def _encode_all(self, values, path):
        return [self.encode(value, f"{path}/{index}") for index, value in enumerate(values, start=1)]

    def _encode_entries(self, entries, path):
        prefix = f"{path}/" if path else ""
        return {name: self.encode(entry, prefix + name) for name, entry in entries.items()}

    def _encode_array(self, array, path):
        shape = list(array.shape)
        if array.dtype.kind == "O":
            return {"objects": shape, "values": self._encode_all(array.ravel().tolist(), path)}
        raw = raw_dtype(array.dtype)
        if raw is None:
            raise TypeError(f"{path} has the dtype {array.dtype}, {self._refusal(path)}")
        while path in self.tensors:
            path += "'"  # keys of a mapping that are different, but print alike
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        n_items = array.dtype.itemsize // raw.itemsize
        self.tensors[path] = (
            little.reshape(-1).view(raw).reshape(shape if n_items == 1 else [*shape, n_items])
        )
        return {"array": array.dtype.str, "shape": shape, "tensor": path}

    def _encode_object(self, value, path):
        cls = type(value)
        if cls.__name__ in REGISTRY and REGISTRY[cls.__name__].cls is cls:
            key, pack = "object", REGISTRY[cls.__name__].pack
        elif isinstance(value, BaseEstimator) and any(
            isinstance(value, entry.cls) for entry in REGISTRY.values()
        ):
            key, pack = "custom", pack_estimator
            if self._custom.setdefault(cls.__name__, cls) is not cls:
                raise TypeError(f"{path} is a {cls.__name__}, but not of the class of this name found before")
        else:
            raise TypeError(f"{path} is a {cls.__module__}.{cls.__qualname__}, {self._refusal(path)}")
        entries = {name: entry for name, entry in pack(value).items() if name not in self._left_out}
        return {key: cls.__name__, "holds": self._encode_entries(entries, path)}


class Decoder:
    """Turns JSON of an :class:`Encoder` back into values.

    Parameters
    ----------
    tensors : mapping of str to ndarray
    custom : mapping of str to type, default=()
        Classes of other packages, by their names in the JSON.

    Attributes
    ----------
    made : list
        All objects made so far, of registered and custom classes.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], custom=()):
        self.made: list = []
        self._tensors = dict(tensors)
        self._custom = dict(custom)

    def decode(self, json):
        """Return the value that JSON represents.

        Raises
        ------
        FileError
            If it does not represent a value, or represents an object of an unknown class.
        """
        if json is None or isinstance(json, bool | int | float | str):
            return json
        if isinstance(json, list):
            return [self.decode(entry) for entry in json]
        match list(json.items()):
            case [("float", "nan" | "inf" | "-inf" as text)]:
                return float(text)
            case [("tuple", list(entries))]:
                return tuple(self.decode(entries))
            case [("dict", dict(entries))]:
                return {key: self.decode(entry) for key, entry in entries.items()}
            case [("items", list(pairs))]:
                return dict(self.decode(pairs))
            case [("scalar", str(text)), ("value", value)] if is_plain(plain_dtype(text)):
                return plain_dtype(text).type(self.decode(value))
            case [("objects", list(shape)), ("values", list(entries))]:
                return np.fromiter(self.decode(entries), object, len(entries)).reshape(shape)
            case [("array", str(text)), ("shape", list(shape)), ("tensor", str(name))] if (
                name in self._tensors
            ):
                return self._array(plain_dtype(text), shape, self._tensors.pop(name))
            case [("object", str(name)), ("holds", dict(entries))] if name in REGISTRY:
                return self._make(REGISTRY[name].unpack, entries)
            case [("custom", str(name)), ("holds", dict(entries))] if name in self._custom:
                return self._make(_unpacker_of(self._custom[name]), entries)
            case [("custom", str(name)), ("holds", _)]:
                raise FileError(f"it holds a {name}, a class of your own: pass custom={{{name!r}: {name}}}")
        raise FileError(f"its JSON has an object with the keys {list(json)}, which has no known meaning")

    def _make(self, unpack, entries):
        self.made.append(unpack({name: self.decode(entry) for name, entry in entries.items()}))
        return self.made[-1]

    def _array(self, dtype, shape, raw):
        if raw_dtype(dtype) != raw.dtype:
            raise FileError(f"it holds an array of {raw.dtype}, expected the stored form of {dtype}")
        little = raw.reshape(-1).view(dtype.newbyteorder("<")).reshape(shape)
        return little.astype(dtype)  # a copy, which does not keep the whole file in memory
