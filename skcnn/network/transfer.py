"""Weights of a network by name, and their transfer to another network."""

from collections.abc import Container, Mapping, Set
from typing import Any

import numpy as np

from skcnn.layers.base import Shape
from skcnn.network.foreign_weights import MANY_UPDATES, raise_misfits
from skcnn.network.model import Model
from skcnn.network.network import Network, network_with

NOT_NEGATIVE = ("running_variance", "n_updates")
"""Parameters that are never negative, whatever their layer."""


def weights_by_name(network: Network) -> dict[str, np.ndarray]:
    """Return all parameters of a network by "layer/parameter", including buffers, without copies."""
    return {f"{layer}/{name}": value for layer, own in network.params.items() for name, value in own.items()}


def as_real_array(value, name: str) -> np.ndarray:
    """Return a value as an array; raise a ValueError with its name unless it is one of real numbers."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # as PyTorch raises for what numpy has not
        raise ValueError(f"{name} is no array: {str(error).splitlines()[0]}") from error
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be an array of real numbers, got {type(value).__name__}")
    return array


def check_weight(value, key: str, shape: Shape, dtype: np.dtype, *, what: str) -> np.ndarray:
    """Return a weight as an array of a dtype; raise a ValueError unless it can stand for another one.

    Parameters
    ----------
    value : array-like
        Floating-point weights take any numbers, others those that they can hold without a change.
    key : str
        Its name, "layer/parameter".
    shape, dtype : tuple of int, numpy.dtype
        Of the weight that it stands for.
    what : str
        Name of the mapping in messages.
    """
    name = f"{what}[{key!r}]"
    array, is_float = as_real_array(value, name), dtype.kind == "f"
    kinds = "fiu" if is_float else "b" if dtype.kind == "b" else "iu"
    if array.shape != shape or array.dtype.kind not in kinds:
        numbers = "numbers" if is_float else dtype
        raise ValueError(
            f"{name} must be {numbers} of shape {shape}, got {array.dtype} of shape {array.shape}"
        )
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    if not np.isfinite(cast).all():
        raise ValueError(f"{name} has values that are not finite in {dtype}")
    if not is_float and (cast != array).any():
        raise ValueError(f"{name} has values that {dtype} cannot hold")
    if key.rpartition("/")[2] in NOT_NEGATIVE and (cast < 0).any():
        raise ValueError(f"{name} must not be negative")
    return cast


def check_named_weights(
    weights: Mapping[str, Any], expected: Mapping[str, tuple[Shape, np.dtype]], *, optional: Container[str]
) -> dict[str, np.ndarray]:
    """Return weights as arrays of the expected dtypes.

    Parameters
    ----------
    weights : mapping of str to array-like
    expected : mapping of str to (tuple of int, numpy.dtype)
        Shapes and dtypes; the result has its order.
    optional : container of str
        Names of those that may be missing.

    Raises
    ------
    TypeError
        If ``weights`` is no mapping.
    ValueError
        If weights are missing, do not fit, or are of no layer; the message lists all that are.
    """
    if not isinstance(weights, Mapping):
        raise TypeError(f"weights must be a mapping of arrays by name, got {type(weights)}")
    checked, misfits = {}, []
    for key, (shape, dtype) in expected.items():
        if key in weights:
            try:
                checked[key] = check_weight(weights[key], key, shape, dtype, what="weights")
            except ValueError as error:
                misfits.append(str(error))
        elif key not in optional:
            misfits.append(f"{key} of shape {shape} is missing")
    misfits += [f"{key!r} is of no layer" for key in weights if key not in expected]
    raise_misfits("weights are not those of the layers", misfits)
    return checked


def with_weights(network: Network, weights: Mapping[str, Any]) -> Network:
    """Return a copy of a network with some weights replaced; raise errors as :func:`check_named_weights`."""
    expected = {key: (value.shape, value.dtype) for key, value in weights_by_name(network).items()}
    params: dict = {layer: dict(values) for layer, values in network.params.items()}
    for key, value in check_named_weights(weights, expected, optional=expected).items():
        layer, _, name = key.rpartition("/")
        params[layer][name] = value
    return network_with(network.nodes, params, network.dtype)


def take_over(
    network: Network, weights: Mapping[str, Any], *, left_out: Set[str] = frozenset()
) -> dict[str, list[str]]:
    """Copy weights into a network where names and shapes match.

    A layer with a weight of another shape keeps all its own, for a bias is of no use without its weight;
    what is missing of a layer does not keep the rest from being copied. A count says how much the running
    statistics of its layer weigh: it is copied only with all of them, and if it is missing, they count as
    those of a long training.

    Parameters
    ----------
    network : Network
        Updated in place.
    weights : mapping of str to array-like
        By "layer/parameter".
    left_out : set of str
        Layers that keep their own weights.

    Returns
    -------
    report : dict of str to list of str
        Names of weights by what happened to them. "taken": copied; "new": of the network only, left out, or
        of a layer with a weight of another shape; "other shape": in both, with different shapes; "unused":
        not in the network.

    Raises
    ------
    ValueError
        If no weight matches, or a value does not fit.
    """
    own = weights_by_name(network)
    given = {
        key: as_real_array(weights[key], f"init[{key!r}]")
        for key in own
        if key in weights and layer_of(key) not in left_out
    }
    misfits = {key for key, array in given.items() if array.shape != own[key].shape}
    count_names = {node.name: node.layer.count_params for node in network.nodes[1:]}
    anew = {layer_of(key) for key in misfits if key.rpartition("/")[2] not in count_names[layer_of(key)]}
    taken = {key for key in given if key not in misfits and layer_of(key) not in anew}
    for node in network.nodes[1:]:
        buffers = {f"{node.name}/{name}" for name in node.layer.buffer_params}
        counts = {f"{node.name}/{name}" for name in count_names[node.name]}
        if not buffers - counts <= taken:
            taken -= counts
        elif buffers > counts:
            for key in counts - taken:
                own[key][...] = MANY_UPDATES
    report: dict[str, list[str]] = {"taken": [], "new": [], "other shape": [], "unused": []}
    report["unused"] = [key for key in weights if key not in own]
    for key, value in own.items():
        if key in taken:
            np.copyto(value, check_weight(given[key], key, value.shape, value.dtype, what="init"))
            report["taken"].append(key)
        elif key in misfits:
            report["other shape"].append(key)
        else:
            report["new"].append(key)
    if not report["taken"]:
        raise ValueError(
            "init has no weight that matches the network in name and shape: it has "
            f"{list(weights)[:5]}, and the network has {list(own)[:5]}"
        )
    return report


def check_holds_model(frozen) -> None:
    """Raise a ValueError unless a FrozenEstimator, which passes on attributes, is around a fitted network."""
    if not isinstance(getattr(frozen, "model_", None), Model):
        raise ValueError(
            "init must be weights by name, or a FrozenEstimator around a fitted network, such as "
            "pipeline[-1] or search.best_estimator_: got one around a "
            f"{type(frozen.estimator).__name__} without a network"
        )


def layers_taken(report: Mapping[str, list[str]] | None) -> frozenset[str]:
    """Return the layers with copied weights by a report of :func:`take_over`."""
    return frozenset(map(layer_of, report["taken"])) if report else frozenset()


def layer_of(key: str) -> str:
    """Return the layer of a weight by its name, "layer/parameter"."""
    return key.rpartition("/")[0]
