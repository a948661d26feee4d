"""Names in stacks of layers and in lists of other parts, and parameters that are searched by these names."""

from copy import copy
from difflib import get_close_matches

from sklearn.base import BaseEstimator, clone

from skcnn.layers.base import Block

RESERVED_NAMES = ("input", "output", "passthrough")

NamedBlocks = list[tuple[str, Block]]


def named_layers(layers) -> list[tuple[str, object]]:
    """Return the entries of a stack with their names, given or made from class and position.

    Tolerates anything, since parameters are not validated before ``fit``.

    Examples
    --------
    >>> from skcnn.layers import Conv2D, ReLU
    >>> [name for name, _ in named_layers([Conv2D(8), ReLU(), ("last", Conv2D(8))])]
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
    """Whether an entry of a stack stands for no layer."""
    return isinstance(entry, str) and entry == "passthrough"


def check_layers(stack, named: list[tuple[str, object]], parameter_names, *, parameter="layers") -> None:
    """Raise a ValueError unless the entries of a stack are layers or "passthrough" under valid names.

    Parameters
    ----------
    stack : list or tuple
        As given.
    named : list of (str, object)
        The entries with their names.
    parameter_names : collection of str
        Names that layers must not have.
    parameter : str
        Named in messages.

    Raises
    ------
    ValueError
        If an entry is neither, or a name is taken, reserved or contains "__".
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
    """Raise a ValueError if a name is empty, contains "__" or comes twice; the message says of what kind."""
    seen = set()
    for name, _ in named:
        if "__" in name or not name:
            raise ValueError(f"{kind} names must not be empty or contain '__', got {name!r}")
        if name in seen:
            raise ValueError(f"{kind} names must be unique, got {name!r} twice")
        seen.add(name)


def suggestion(key: str, valid: list[str], prefix: str) -> str:
    """Return the end of a message about an unknown parameter: the one that was meant, or all there are."""
    close = get_close_matches(key, valid, n=1)
    if close:
        return f"Did you mean {prefix + close[0]!r}?"
    return f"Valid parameters are: {sorted(prefix + parameter for parameter in valid)}."


class LayerParametersMixin:
    """``get_params`` and ``set_params`` that reach into a stack of layers, as in a Pipeline.

    ``{"conv1__filters": 16}`` sets a parameter of a layer, ``{"norm1": BatchNorm()}`` or
    ``{"norm1": "passthrough"}`` replaces one. The first ``set_params`` by name rewrites the stack to
    pairs of name and layer, so that names made from positions stick. A layer whose parameters are set is
    replaced by a copy, since it may stand in several places and is not changed in the others.
    """

    _stack = "layers"
    """Name of the parameter that holds the stack."""

    def _entries(self, stack) -> list[tuple[str, object]]:
        """Return the entries of a stack with their names."""
        return named_layers(stack)

    def _layer_lists(self, own) -> dict[str, Block]:
        """Return the layers that stand for other parameters that are lists of layers."""
        return {}

    def get_params(self, deep=True):
        """Get parameters of the estimator and, if deep, of its layers.

        Parameters
        ----------
        deep : bool, default=True
            Whether to return the layers by name and their parameters, too.

        Returns
        -------
        params : dict
        """
        params = super().get_params(deep=deep)
        if not deep:
            return params
        own = super().get_params(deep=False)
        entries = [(name, layer) for name, layer in self._entries(own[self._stack]) if name not in own]
        for name, layer in [*entries, *self._layer_lists(own).items()]:
            params.setdefault(name, layer)
            if isinstance(layer, Block):
                params.update({f"{name}__{key}": value for key, value in layer.get_params().items()})
        return params

    def set_params(self, **params):
        """Set parameters of the estimator or of its layers.

        Parameters
        ----------
        **params : dict
            Parameters of the estimator, ``name=layer`` and ``name__parameter=value``.

        Returns
        -------
        self : estimator instance

        Raises
        ------
        ValueError
            If there is no such parameter; nothing has been set by then. The message says which one was
            probably meant.
        """
        for key, value in self._changes(params, type(self).__name__).items():
            setattr(self, key, value)
        return self

    def _changes(self, params, estimator_name, prefix=""):
        """Return new values of the estimator's own parameters that amount to setting ``params``."""
        own = super().get_params(deep=False)
        changes = {key: value for key, value in params.items() if key in own}
        own |= changes
        entries = self._entries(own[self._stack])
        names = {name for name, _ in entries}
        replaced = {key: value for key, value in params.items() if key in names and key not in own}
        entries = self._entries([(name, replaced.get(name, layer)) for name, layer in entries])
        layers = own | self._layer_lists(own) | dict(entries)

        nested = {}
        for key, value in params.items():
            if key in own or key in replaced:
                continue
            name = max((name for name in layers if key.startswith(f"{name}__")), key=len, default=None)
            layer, parameter = layers.get(name), key.removeprefix(f"{name}__")
            if not isinstance(layer, Block):
                raise ValueError(self._unknown_parameter(key, layers, estimator_name, prefix))
            nested.setdefault(name, {})[parameter] = value

        for name, values in nested.items():
            if isinstance(layers[name], LayerParametersMixin):
                values = layers[name]._changes(values, estimator_name, f"{prefix}{name}__")
                layers[name] = copy(layers[name]).set_params(**values)
                continue
            layers[name] = clone(layers[name])
            for is_nested in (False, True):  # a new activation first, then its parameters
                given = {key: value for key, value in values.items() if ("__" in key) is is_nested}
                unknown = given.keys() - layers[name].get_params()
                if unknown:
                    key = f"{name}__{min(unknown)}"
                    raise ValueError(self._unknown_parameter(key, layers, estimator_name, prefix))
                layers[name].set_params(**given)
        changes |= {name: layers[name] for name in nested.keys() - names}
        if replaced or nested.keys() & names:
            changes[self._stack] = [
                (name, layers[name] if name in nested else layer) for name, layer in entries
            ]
        return changes

    def _unknown_parameter(self, key, layers, estimator_name, prefix):
        """Return the message for a parameter that does not exist."""
        name = key.partition("__")[0]
        invalid = f"Invalid parameter {prefix + key!r} for estimator {estimator_name}"
        if isinstance(layers.get(name), str):
            return f"{invalid}: {prefix + name!r} is {layers[name]!r}, which has no parameters."
        if layers[self._stack] is None and "__" in key:
            return (
                f"{invalid}: with {self._stack}=None there are no layers to set parameters of; give them as "
                f"{self._stack}=[...]."
            )
        valid = list(layers)
        for layer_name, layer in layers.items():
            if isinstance(layer, Block):
                valid.extend(f"{layer_name}__{parameter}" for parameter in layer.get_params())
        return f"{invalid}. {suggestion(key, valid, prefix)}"


class NamedListsMixin:
    """``get_params`` and ``set_params`` that reach into parameters that are lists of estimators.

    Entries are found by the names of the parameter and of the entry, given in a pair or made from class and
    position: ``augmentation__cutout_1__size``. Whole entries are replaced by name, too, by "passthrough" for
    none. As for layers, the first ``set_params`` by name rewrites the list to pairs of name and entry.
    """

    _named_lists: tuple[str, ...] = ()
    """Names of the parameters that may be such lists."""

    def get_params(self, deep=True):
        """Get parameters of the estimator and, if deep, of the entries of its lists."""
        params = super().get_params(deep=deep)
        if not deep:
            return params
        for parameter in self._named_lists:
            for name, entry in named_layers(params[parameter]):
                params[f"{parameter}__{name}"] = entry
                if isinstance(entry, BaseEstimator):
                    nested = entry.get_params().items()
                    params.update({f"{parameter}__{name}__{key}": value for key, value in nested})
        return params

    def set_params(self, **params):
        """Set parameters of the estimator or of the entries of its lists; on an error, none is set."""
        nested = {parameter: {} for parameter in self._named_lists}
        others = {}
        for key, value in params.items():
            parameter, _, name = key.partition("__")
            if name and parameter in nested:
                nested[parameter][name] = value
            else:
                others[key] = value
        lists = {
            parameter: self._with_changes(parameter, others.get(parameter, getattr(self, parameter)), changes)
            for parameter, changes in nested.items()
            if changes
        }
        super().set_params(**others)
        for parameter, entries in lists.items():
            setattr(self, parameter, entries)
        return self

    def _with_changes(self, parameter, entries, changes):
        """Return a list of pairs with some entries replaced, and then with some of their parameters set."""
        named = named_layers(entries)
        check_names(named, parameter)  # or it is open which entry is meant
        entries = dict(named)
        for key in sorted(changes, key=lambda key: "__" in key):
            name, _, hyperparameter = key.partition("__")
            if not hyperparameter and name in entries:
                entries[name] = changes[key]
                continue
            entry = entries.get(name)
            if not (isinstance(entry, BaseEstimator) and hyperparameter in entry.get_params()):
                raise ValueError(self._unknown_entry(parameter, key, entries))
            entries[name] = clone(entry).set_params(**{hyperparameter: changes[key]})
        return list(entries.items())

    def _unknown_entry(self, parameter, key, entries):
        """Return the message for a parameter of an entry that does not exist."""
        valid = list(entries)
        for name, entry in entries.items():
            if isinstance(entry, BaseEstimator):
                valid += [f"{name}__{hyperparameter}" for hyperparameter in entry.get_params()]
        invalid = f"Invalid parameter '{parameter}__{key}' for estimator {type(self).__name__}"
        if not valid:
            return f"{invalid}: {parameter} is not a list with entries to set parameters of."
        return f"{invalid}. {suggestion(key, valid, f'{parameter}__')}"
