"""Names of layers and other parts in lists, and parameters that are found by these names."""

from copy import copy
from difflib import get_close_matches
from typing import Any

from sklearn.base import BaseEstimator, clone

from skcnn.layers.base import Block

RESERVED_NAMES = ("input", "output", "passthrough")

NamedBlocks = list[tuple[str, Block]]


def name_layers(layers) -> list[tuple[str, object]]:
    """Return the entries of a stack with their names, either given or made from class and number.

    Accepts any value, since parameters are not validated before ``fit``.

    Examples
    --------
    >>> from skcnn.layers import Conv2D, ReLU
    >>> [name for name, _ in name_layers([Conv2D(8), ReLU(), ("last", Conv2D(8))])]
    ['conv2d_1', 'relu_1', 'last']
    """
    named, counts = [], {}
    for entry in layers if isinstance(layers, list | tuple) else ():
        if is_named(entry):
            named.append(tuple(entry))
            continue
        kind = entry if isinstance(entry, str) else type(entry).__name__.lower()
        counts[kind] = counts.get(kind, 0) + 1
        named.append((f"{kind}_{counts[kind]}", entry))
    return named


def is_named(entry) -> bool:
    """Whether an entry of a stack is a pair of a name and a layer."""
    return isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str)


def is_passthrough(entry) -> bool:
    """Whether an entry of a stack is "passthrough", which means no layer."""
    return isinstance(entry, str) and entry == "passthrough"


def check_layers(stack, named: list[tuple[str, object]], parameter_names, *, parameter="layers") -> None:
    """Raise a ValueError unless the entries of a stack are layers or "passthrough" under valid names.

    Parameters
    ----------
    stack : list or tuple
        As the user gave it.
    named : list of (str, object)
        The entries with their names.
    parameter_names : collection of str
        Names that layers must not have.
    parameter : str
        Name of the parameter, for messages.

    Raises
    ------
    ValueError
        If an entry is neither, or a name is empty, taken or reserved, comes twice or contains "__".
    """
    for position, (name, entry) in enumerate(named):
        if not (isinstance(entry, Block) or is_passthrough(entry)):
            raise ValueError(
                f"{parameter}[{position}] must be a layer, 'passthrough' or a pair (name, layer), "
                f"got {stack[position]!r}"
            )
        if name in parameter_names or name in RESERVED_NAMES:
            raise ValueError(f"layer name {name!r} is the name of a parameter or reserved; choose another")
    check_names(named, "layer")


def check_names(named: list[tuple[str, object]], kind: str) -> None:
    """Raise a ValueError if a name is empty, contains "__" or comes twice; messages name the kind of part."""
    seen = set()
    for name, _ in named:
        if "__" in name or not name:
            raise ValueError(f"{kind} names must not be empty or contain '__', got {name!r}")
        if name in seen:
            raise ValueError(f"{kind} names must be unique, got {name!r} twice")
        seen.add(name)


def collect_params(parts: dict[str, object]) -> dict[str, object]:
    """Return parts by name, and the parameters of parts that are estimators as ``name__parameter``."""
    params = {}
    for name, part in parts.items():
        params[name] = part
        if isinstance(part, BaseEstimator):
            params |= {f"{name}__{key}": value for key, value in part.get_params().items()}
    return params


def owner_of(key: str, names) -> str | None:
    """Return the longest name such that the key starts with ``name__``; None if there is no such name."""
    return max((name for name in names if key.startswith(f"{name}__")), key=len, default=None)


def suggestion(key: str, valid: list[str], prefix: str) -> str:
    """Return the end of a message about an unknown parameter: the most similar one, or all valid ones."""
    close = get_close_matches(key, valid, n=1)
    if close:
        return f"Did you mean {prefix + close[0]!r}?"
    return f"Valid parameters are: {sorted(prefix + parameter for parameter in valid)}."


class NamedPartsMixin:
    """``get_params`` and ``set_params`` that include the parts in lists, as in a Pipeline.

    Parts of the stack have names of their own, ``conv1``. Names of parts in other lists start with the name
    of the parameter, ``augmentation__cutout_1``. ``{"conv1__filters": 16}`` sets a parameter of a part;
    ``{"norm1": BatchNorm()}`` or ``{"norm1": "passthrough"}`` replaces a part. The first ``set_params`` by
    name turns a list into pairs of name and part, so generated names do not change later. Setting parameters
    of a part replaces it by a copy, since the same part may be in several places.

    Only lists that are parameters of the constructor count: the constructor of a subclass may make the list.
    """

    _stack = "layers"
    """Name of the parameter whose parts are found by their names alone."""

    _prefixed_lists: tuple[str, ...] = ()
    """Names of other parameters that may be lists, whose parts are found by the parameter and their names."""

    def get_params(self, deep=True):
        """Get parameters of the estimator and, if deep, of its parts.

        Parameters
        ----------
        deep : bool, default=True
            Whether to return the parts by name and their parameters, too.

        Returns
        -------
        params : dict
        """
        own = super().get_params(deep=False)
        return collect_params(self._found_by_name(own)) if deep else own

    def set_params(self, **params):
        """Set parameters of the estimator or of its parts.

        Parameters
        ----------
        **params : dict
            Parameters of the estimator, ``name=part`` and ``name__parameter=value``.

        Returns
        -------
        self : estimator instance

        Raises
        ------
        ValueError
            If a parameter does not exist; then nothing is set. The message suggests a similar one.
        """
        for parameter, value in self._change(params, type(self).__name__).items():
            setattr(self, parameter, value)
        return self

    def _entries(self, stack) -> list[tuple[str, object]]:
        """Return the entries of the stack with their names."""
        return name_layers(stack)

    def _named_lists(self, own) -> list[tuple[str, str, list[tuple[str, object]]]]:
        """Return each parameter that may be a list, the prefix of the names in it, and its named entries."""
        prefixed = [(name, f"{name}__", name_layers(own.get(name))) for name in self._prefixed_lists]
        return [(self._stack, "", self._entries(own.get(self._stack))), *prefixed]

    def _found_by_name(self, own) -> dict[str, object]:
        """Return the own parameters and the parts; a parameter wins over a part of the same name."""
        parts = {prefix + name: part for _, prefix, named in self._named_lists(own) for name, part in named}
        return own | parts | own  # own parameters come first, and keep their values

    def _replace(self, own, values) -> dict[str, object]:
        """Return the own parameters, first with whole values replaced, then with parts in lists replaced."""
        own = {parameter: values.get(parameter, value) for parameter, value in own.items()}
        parts = {name: part for name, part in values.items() if name not in own}
        for parameter, prefix, named in self._named_lists(own):
            if any(prefix + name in parts for name, _ in named):
                own[parameter] = [(name, parts.get(prefix + name, part)) for name, part in named]
        return own

    def _change(self, params, estimator_name, path="") -> dict[str, object]:
        """Return the own parameters with ``params`` set: first whole values, then parameters of parts.

        Messages name the estimator that the user called, and the path from there to this one.
        """
        own = self._replace(super().get_params(deep=False), params)
        for parameter, prefix, named in self._named_lists(own):
            if prefix and any(key.startswith(prefix) for key in params):
                check_names(named, parameter)  # a repeated name would be ambiguous
        found, nested = self._found_by_name(own), {}
        for key in [key for key in params if key not in found]:
            name: Any = owner_of(key, found)
            if not isinstance(found.get(name), BaseEstimator):
                raise ValueError(self._unknown_parameter(key, found, estimator_name, path))
            nested.setdefault(name, {})[key.removeprefix(f"{name}__")] = params[key]
        for name, values in nested.items():
            found[name] = self._copy_with_params(name, values, found, estimator_name, path)
        return self._replace(own, {name: found[name] for name in nested})

    def _copy_with_params(self, name, values, found, estimator_name, path) -> BaseEstimator:
        """Return a copy of a part, with new values for some of its parameters."""
        part = found[name]
        if isinstance(part, NamedPartsMixin):
            return copy(part).set_params(**part._change(values, estimator_name, f"{path}{name}__"))
        part = clone(part)
        for key in sorted(values, key=lambda key: key.count("__")):  # a new activation before its parameters
            if key not in part.get_params():
                found = found | {name: part}
                raise ValueError(self._unknown_parameter(f"{name}__{key}", found, estimator_name, path))
            part.set_params(**{key: values[key]})
        return part

    def _unknown_parameter(self, key, found, estimator_name, path) -> str:
        """Return the message for a parameter that does not exist."""
        invalid = f"Invalid parameter {path + key!r} for estimator {estimator_name}"
        parameter, owner = key.partition("__")[0], owner_of(key, found)
        prefix = f"{parameter}__" if parameter in self._prefixed_lists and parameter in found else ""
        valid = [name.removeprefix(prefix) for name in collect_params(found) if name.startswith(prefix)]
        if prefix and not valid:
            return (
                f"{invalid}: {parameter} is not a list of parts with parameters; "
                f"{path + parameter!r} is {found[parameter]!r}."
            )
        if isinstance(found.get(owner), str):
            return f"{invalid}: {path + owner!r} is {found[owner]!r}, which has no parameters."
        if owner is None and "__" in key and found.get(self._stack, ()) is None:
            return (
                f"{invalid}: with {self._stack}=None there are no layers to set parameters of; give them as "
                f"{self._stack}=[...]."
            )
        return f"{invalid}. {suggestion(key.removeprefix(prefix), valid, path + prefix)}"
