"""Weights of a network by name, and a network that starts with those of another one."""

from collections.abc import Mapping, Set

import numpy as np

from skcnn.network.network import Network, network_with


def weights_by_name(network: Network) -> dict[str, np.ndarray]:
    """Return the parameters of a network, "layer/parameter" to array, buffers included; not copied."""
    return {f"{layer}/{name}": value for layer, own in network.params.items() for name, value in own.items()}


def check_weight(value, key: str, like: np.ndarray, *, what: str) -> np.ndarray:
    """Return a weight as an array; raise a ValueError unless it can stand for another one.

    Parameters
    ----------
    value : array-like
    key : str
        Its name, "layer/parameter".
    like : ndarray
        The weight that it stands for.
    what : str
        What the message calls the mapping.
    """
    array = np.asarray(value)
    if array.shape != like.shape or array.dtype.kind not in "fiu":
        raise ValueError(
            f"{what}[{key!r}] must be numbers of shape {like.shape}, got {array.dtype} of shape {array.shape}"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{what}[{key!r}] has values that are not finite")
    return array


def with_weights(network: Network, weights: Mapping[str, np.ndarray]) -> Network:
    """Return a copy of a network with some weights replaced.

    Raises
    ------
    ValueError
        If it has no weight of a name, or of this shape, or a value is no finite number.
    """
    own = weights_by_name(network)
    unknown = [key for key in weights if key not in own]
    if unknown:
        raise ValueError(f"weights has the key {unknown[0]!r}, expected some of {list(own)}")
    params: dict = {layer: dict(values) for layer, values in network.params.items()}
    for key, value in weights.items():
        layer, _, name = key.rpartition("/")
        array = check_weight(value, key, own[key], what="weights")
        params[layer][name] = array.astype(own[key].dtype)
    return network_with(network.nodes, params, network.dtype)


def take_over(
    network: Network, weights: Mapping[str, np.ndarray], *, left_out: Set[str] = frozenset()
) -> dict[str, list[str]]:
    """Give a network the weights that have the names and shapes of its own.

    Parameters
    ----------
    network : Network
        Updated in place.
    weights : mapping of str to ndarray
        By "layer/parameter".
    left_out : set of str
        Layers that keep their own.

    Returns
    -------
    report : dict of str to list of str
        "taken": names of the weights that were taken over; "new": those of the network that were not there,
        or were left out; "other shape": those that were, but had another shape; "unused": those of no layer
        of the network.

    Raises
    ------
    ValueError
        If nothing can be taken over, or a value is no finite number.
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
            np.copyto(value, check_weight(weights[key], key, value, what="init"), casting="same_kind")
            report["taken"].append(key)
    if not report["taken"]:
        raise ValueError(
            "init has no weight of the name and shape of one of the network: it has "
            f"{list(weights)[:5]}, and the network {list(own)[:5]}"
        )
    return report


def layers_taken(report: Mapping[str, list[str]] | None) -> frozenset[str]:
    """Return the layers of which a report says that a weight was taken over."""
    return frozenset(key.rpartition("/")[0] for key in (report or {"taken": []})["taken"])
