"""From hyperparameters to named layers, and the names by which layers are searched."""

from difflib import get_close_matches

from sklearn.base import clone

from skcnn.layers import AvgPool2D, BatchNorm, Conv2D, Dense, Dropout, Flatten, Layer, MaxPool2D
from skcnn.layers.activation import ACTIVATIONS, LINEAR
from skcnn.layers.base import Shape, as_pair, is_integer
from skcnn.network import Step, compile_steps

POOLING = {"max": MaxPool2D, "average": AvgPool2D}
NORMALIZATION = {"batch": BatchNorm}
RESERVED_NAMES = ("input", "output")

NamedLayers = list[tuple[str, Layer]]


def compact_layers(
    input_shape: Shape,
    *,
    conv_layer_sizes,
    kernel_size,
    pool_size,
    pooling,
    normalization,
    hidden_layer_sizes,
    activation,
    dropout,
) -> NamedLayers:
    """Build the stack that the compact hyperparameters describe.

    A block for each entry of ``conv_layer_sizes``: convolution (padding "same"), normalization,
    activation, pooling; then a dense layer with activation and dropout for each entry of
    ``hidden_layer_sizes``. Pooling leaves out an axis that is smaller than the pool.

    Parameters
    ----------
    input_shape : (int, int, int)
        Height, width and channels.
    conv_layer_sizes, kernel_size, pool_size, pooling, normalization, hidden_layer_sizes, activation, dropout
        As in :class:`skcnn.ConvNetClassifier`.

    Returns
    -------
    layers : list of (str, Layer)

    Raises
    ------
    ValueError
        If sizes are not positive integers.

    Examples
    --------
    >>> layers = compact_layers(
    ...     (8, 8, 1), conv_layer_sizes=(16,), kernel_size=3, pool_size=2, pooling="max", normalization=None,
    ...     hidden_layer_sizes=(64,), activation="relu", dropout=0.0)
    >>> [name for name, _ in layers]
    ['conv1', 'pool1', 'dense1']
    """
    layers = []
    height, width = input_shape[:2]
    window = as_pair(pool_size, "pool_size")
    for number, filters in enumerate(_sizes(conv_layer_sizes, "conv_layer_sizes"), start=1):
        if normalization is None:
            layers.append((f"conv{number}", Conv2D(filters, kernel_size, activation=activation)))
        else:
            layers.append((f"conv{number}", Conv2D(filters, kernel_size, use_bias=False)))
            layers.append((f"norm{number}", NORMALIZATION[normalization]()))
            if activation not in LINEAR:
                layers.append((f"activation{number}", ACTIVATIONS[activation]()))
        fitting = tuple(
            length if length <= size else 1 for length, size in zip(window, (height, width), strict=True)
        )
        if pooling is not None and fitting != (1, 1):
            layers.append((f"pool{number}", POOLING[pooling](fitting)))
            height, width = height // fitting[0], width // fitting[1]
    hidden = _sizes(hidden_layer_sizes, "hidden_layer_sizes")
    for number, units in enumerate(hidden, start=1):
        layers.append((f"dense{number}", Dense(units, activation=activation)))
        if dropout > 0:
            layers.append((f"dropout{number}", Dropout(dropout)))
    return layers


def _sizes(sizes, name):
    sizes = tuple(sizes) if isinstance(sizes, tuple | list) else (sizes,)
    if not all(is_integer(size) and size >= 1 for size in sizes):
        raise ValueError(f"{name} must be a sequence of integers >= 1, got {sizes!r}")
    return sizes


def named_layers(layers) -> list[tuple[str, object]]:
    """Return the entries of ``layers`` with their names, given or made from class and position.

    Tolerates anything, since parameters are not validated before ``fit``.

    Examples
    --------
    >>> from skcnn.layers import Conv2D, ReLU
    >>> [name for name, _ in named_layers([Conv2D(8), ReLU(), ("last", Conv2D(8))])]
    ['conv2d_1', 'relu_1', 'last']
    """
    named, counts = [], {}
    for entry in layers if isinstance(layers, list | tuple) else ():
        if _is_named(entry):
            named.append(tuple(entry))
            continue
        kind = entry if isinstance(entry, str) else type(entry).__name__.lower()
        counts[kind] = counts.get(kind, 0) + 1
        named.append((f"{kind}_{counts[kind]}", entry))
    return named


def _is_named(entry):
    return isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str)


def check_layers(layers, parameter_names) -> NamedLayers:
    """Return copies of explicit layers with their names, "passthrough" left out.

    Parameters
    ----------
    layers : list or tuple
        Layers, "passthrough", or pairs of a name and one of these.
    parameter_names : collection of str
        Names that layers must not have.

    Returns
    -------
    layers : list of (str, Layer)

    Raises
    ------
    ValueError
        If an entry is not a layer, or a name is taken, reserved or contains "__".
    """
    named = named_layers(layers)
    seen = set()
    for position, (name, layer) in enumerate(named):
        is_layer = isinstance(layer, Layer) or (isinstance(layer, str) and layer == "passthrough")
        if not is_layer:
            raise ValueError(
                f"layers[{position}] must be a layer, 'passthrough' or a pair (name, layer), "
                f"got {layers[position]!r}"
            )
        if "__" in name or not name:
            raise ValueError(f"layer names must not be empty or contain '__', got {name!r}")
        if name in parameter_names or name in RESERVED_NAMES:
            raise ValueError(f"layer name {name!r} is the name of a parameter or reserved; choose another")
        if name in seen:
            raise ValueError(f"layer names must be unique, got {name!r} twice")
        seen.add(name)
    return [(name, clone(layer)) for name, layer in named if isinstance(layer, Layer)]


def complete_layers(
    layers: NamedLayers, input_shape: Shape, n_outputs: int
) -> tuple[NamedLayers, tuple[Step, ...]]:
    """Add what a stack needs to end in scores: Flatten where images meet vectors, and the output layer.

    Parameters
    ----------
    layers : list of (str, Layer)
    input_shape : (int, int, int)
    n_outputs : int
        Number of scores.

    Returns
    -------
    layers : list of (str, Layer)
    steps : tuple of Step
        The compiled layers.

    Raises
    ------
    ValueError
        If a layer does not fit the shape that reaches it.
    """
    complete = []
    for name, layer in [*layers, ("output", Dense(n_outputs))]:
        if layer.takes_vectors and len(compile_steps(complete, input_shape)[-1].output_shape) == 3:
            taken = any(other == "flatten" for other, _ in layers)
            complete.append((f"{name}_flatten" if taken else "flatten", Flatten()))
        complete.append((name, layer))
    return complete, compile_steps(complete, input_shape)


class LayerParametersMixin:
    """``get_params`` and ``set_params`` that reach into a parameter ``layers``, as in a Pipeline.

    ``{"conv1__filters": 16}`` sets a parameter of a layer, ``{"norm1": BatchNorm()}`` or
    ``{"norm1": "passthrough"}`` replaces one. The first ``set_params`` by name rewrites ``layers`` to
    pairs of name and layer, so that names made from positions stick.
    """

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
        params = super().get_params(deep=False)
        if not deep:
            return params
        for name, layer in named_layers(self.layers):
            if name in params:
                continue
            params[name] = layer
            if isinstance(layer, Layer):
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
        own = super().get_params(deep=False)
        named = named_layers(params.get("layers", self.layers))
        positions = {name: position for position, (name, _) in enumerate(named)}
        replaced = {key: value for key, value in params.items() if key in positions and key not in own}
        for name, layer in replaced.items():
            named[positions[name]] = (name, layer)
        nested = []
        for key, value in params.items():
            if key in own or key in replaced:
                continue
            name = max((name for name in positions if key.startswith(f"{name}__")), key=len, default=None)
            layer = None if name is None else named[positions[name]][1]
            parameter = key.removeprefix(f"{name}__")
            if not isinstance(layer, Layer) or parameter not in layer.get_params():
                raise ValueError(self._unknown_parameter(key, own, dict(named)))
            nested.append((layer, parameter, value))
        for key in own.keys() & params.keys():
            setattr(self, key, params[key])
        for layer, parameter, value in nested:
            layer.set_params(**{parameter: value})
        if replaced or nested:
            self.layers = named
        return self

    def _unknown_parameter(self, key, own, layers):
        """Return the message for a parameter that does not exist."""
        name = key.partition("__")[0]
        if isinstance(layers.get(name), str):
            return f"Invalid parameter {key!r}: layer {name!r} is {layers[name]!r}, which has no parameters."
        valid = [*own, *layers]
        for layer_name, layer in layers.items():
            if isinstance(layer, Layer):
                valid.extend(f"{layer_name}__{parameter}" for parameter in layer.get_params())
        if self.layers is None and "__" in key:
            return (
                f"Invalid parameter {key!r} for estimator {type(self).__name__}: with layers=None there are "
                "no layers to set parameters of; give them as layers=[...]."
            )
        close = get_close_matches(key, valid, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Valid parameters are: {sorted(valid)}."
        return f"Invalid parameter {key!r} for estimator {type(self).__name__}. {hint}"
