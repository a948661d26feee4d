"""Weights of a network by name, and their transfer to another network."""

from collections.abc import Mapping, Set

import numpy as np

from skcnn.layers.base import Shape
from skcnn.network.network import Network, network_with


def weights_by_name(network: Network) -> dict[str, np.ndarray]:
    """Return all parameters of a network by "layer/parameter", including buffers, without copies."""
    return {f"{layer}/{name}": value for layer, own in network.params.items() for name, value in own.items()}


def check_weight(value, key: str, shape: Shape, dtype, *, what: str) -> np.ndarray:
    """Return a weight as an array of a dtype; raise a ValueError unless it can stand for another one.

    Parameters
    ----------
    value : array-like
    key : str
        Its name, "layer/parameter".
    shape, dtype : tuple of int, numpy.dtype
        Of the weight that it stands for.
    what : str
        Name of the mapping in messages.
    """
    array = np.asarray(value)
    if array.shape != shape or array.dtype.kind not in "fiu":
        raise ValueError(
            f"{what}[{key!r}] must be numbers of shape {shape}, got {array.dtype} of shape {array.shape}"
        )
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    if not np.isfinite(cast).all():
        raise ValueError(f"{what}[{key!r}] has values that are not finite in {cast.dtype}")
    return cast


def with_weights(network: Network, weights: Mapping[str, np.ndarray]) -> Network:
    """Return a copy of a network with some weights replaced.

    Raises
    ------
    ValueError
        If a name is unknown, a shape differs, or a value is not a finite number.
    """
    own = weights_by_name(network)
    unknown = [key for key in weights if key not in own]
    if unknown:
        raise ValueError(f"weights has the key {unknown[0]!r}, expected some of {list(own)}")
    params: dict = {layer: dict(values) for layer, values in network.params.items()}
    for key, value in weights.items():
        layer, _, name = key.rpartition("/")
        params[layer][name] = check_weight(value, key, own[key].shape, own[key].dtype, what="weights")
    return network_with(network.nodes, params, network.dtype)


def take_over(
    network: Network, weights: Mapping[str, np.ndarray], *, left_out: Set[str] = frozenset()
) -> dict[str, list[str]]:
    """Copy weights into a network where name and shape match.

    Parameters
    ----------
    network : Network
        Updated in place.
    weights : mapping of str to ndarray
        By "layer/parameter".
    left_out : set of str
        Layers that keep their own weights.

    Returns
    -------
    report : dict of str to list of str
        Names of weights by what happened to them. "taken": copied; "new": of the network only, or left out;
        "other shape": in both, with different shapes; "unused": not in the network.

    Raises
    ------
    ValueError
        If no weight matches, or a value is not a finite number.
    """
    own = weights_by_name(network)
    report: dict[str, list[str]] = {"taken": [], "new": [], "other shape": [], "unused": []}
    report["unused"] = [key for key in weights if key not in own]
    for key, value in own.items():
        if key not in weights or key.rpartition("/")[0] in left_out:
            report["new"].append(key)
        elif np.shape(weights[key]) != value.shape:
            report["other shape"].append(key)
        else:
            np.copyto(value, check_weight(weights[key], key, value.shape, value.dtype, what="init"))
            report["taken"].append(key)
    if not report["taken"]:
        raise ValueError(
            "init has no weight that matches the network in name and shape: it has "
            f"{list(weights)[:5]}, and the network has {list(own)[:5]}"
        )
    return report


def layers_taken(report: Mapping[str, list[str]] | None) -> frozenset[str]:
    """Return the layers with a weight that was copied, according to a report of :func:`take_over`."""
    return frozenset(key.rpartition("/")[0] for key in (report or {"taken": []})["taken"])
