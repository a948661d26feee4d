"""Weights of other libraries for a stack of layers."""

import os
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

import numpy as np

from skcnn.architecture.hyperparameters import complete_layers
from skcnn.layers.base import Shape
from skcnn.layers.naming import NamedBlocks
from skcnn.network.foreign_weights import (
    Layout,
    Modules,
    Pairs,
    convert_weights,
    own_shapes,
    pair_in_order,
    raise_misfits,
)
from skcnn.network.graph import Node
from skcnn.network.transfer import as_real_array
from skcnn.tensor_file import read_tensors

COUNT = "num_batches_tracked"
"""What PyTorch's batch normalization counts, which files may have or not."""


def weights_for(
    layers: NamedBlocks,
    image_shape: Shape,
    layout: Layout,
    modules: Modules,
    pair: Callable[[Modules, Sequence[Node]], Pairs],
) -> dict[str, np.ndarray]:
    """Return parameters of modules as those of the layers of a stack, which gets an output layer.

    Parameters
    ----------
    layers : list of (str, Block)
        Without the output layer.
    image_shape : (int, int, int)
    layout : Layout
    modules : mapping of str to mapping of str to ndarray
    pair : callable
        Returns pairs of a module and a layer, of the modules and the nodes with parameters, the output layer
        at the end.

    Raises
    ------
    ValueError
        If a layer does not fit, or weights do not.
    """
    _, nodes = complete_layers(layers, image_shape, 1)
    pairs = pair(modules, [node for node in nodes[1:] if own_shapes(node)])
    head = {layer: module for module, layer in pairs}.get("output")
    if head is not None:
        _, nodes = complete_layers(layers, image_shape, layout.count_outputs(modules[head]))
    return convert_weights(layout, nodes, modules, pairs)


def read_state_dict(source) -> tuple[dict[str, dict[str, np.ndarray]], bool]:
    """Return the arrays of a state dict of PyTorch by module and parameter, counts of minibatches left out.

    Also return whether they stand in the order that PyTorch gave them. They do not in alphabetical order, nor
    where parameters of a module do not stand together. A safetensors file is never taken for one in order.

    Parameters
    ----------
    source : mapping of str to array-like, str or path-like
        The state dict, or a safetensors file of it.

    Raises
    ------
    OSError
        If there is no such file.
    TypeError
        If it is neither.
    ValueError
        If the file is no safetensors file, or what the mapping holds are no arrays by name, or it is empty.
    """
    if isinstance(source, str | os.PathLike):
        tensors, _ = read_tensors(source, has_digest=False)
        source = {key: tensors[key] for key in sorted(tensors)}
    if not isinstance(source, Mapping):
        raise TypeError(
            f"state_dict must be a mapping of arrays or the path of a safetensors file, got {type(source)}"
        )
    modules: dict[str, dict[str, np.ndarray]] = {}
    keys = []
    for key, value in source.items():
        if not isinstance(key, str):
            raise ValueError(f"state_dict has the key {key!r}, expected names")
        module, _, name = key.rpartition(".")
        if name != COUNT:
            modules.setdefault(module, {})[name] = as_real_array(value, f"state_dict[{key!r}]")
            keys.append(key)
    if not modules:
        raise ValueError("state_dict holds no arrays")
    n_runs = sum(1 for _ in groupby(keys, key=lambda key: key.rpartition(".")[0]))
    return modules, n_runs == len(modules) and keys != sorted(keys)


def pair_modules(modules: Modules, nodes: Sequence[Node], *, is_in_order: bool) -> Pairs:
    """Pair modules of PyTorch with layers: by names where all layers have those of modules, else in order.

    Where modules are not in the order that PyTorch gave them, numbers in their names must tell it.

    Raises
    ------
    ValueError
        If they do not tell it, or a module would become another layer than the one of its name.
    """
    layers = [node.name for node in nodes]
    of_layers = {module.replace(".", "__"): module for module in modules}
    if len(layers) > 1 and of_layers.keys() >= set(layers[:-1]):
        named = [(of_layers[layer], layer) for layer in layers[:-1]]
        taken = {module for module, _ in named}
        return [*named, *pair_in_order([name for name in modules if name not in taken], layers[-1:])]
    pairs = pair_in_order(list(modules) if is_in_order else order_by_numbers(modules), layers)
    own: dict[str | None, str] = {module: layer for layer, module in of_layers.items() if layer in layers}
    crossed = [
        f"{module!r} would become {layer!r}, although there is a layer {own[module]!r}"
        for module, layer in pairs
        if module in own and own[module] != layer
    ]
    raise_misfits("names of modules contradict their order: give names", crossed)
    return pairs


def order_by_numbers(modules: Modules) -> list[str]:
    """Return names of modules in the order of the numbers in them.

    Raises
    ------
    ValueError
        If modules side by side have other names than numbers.

    Examples
    --------
    >>> order_by_numbers({"features.0": {}, "features.10": {}, "features.3": {}})
    ['features.0', 'features.3', 'features.10']
    """
    children: dict[tuple[str, ...], set[str]] = {}
    for name in modules:
        parts = name.split(".")
        for depth, part in enumerate(parts):
            children.setdefault(tuple(parts[:depth]), set()).add(part)
    for parent, found in children.items():
        if len(found) > 1 and not all(map(str.isdecimal, found)):
            within = f" within {'.'.join(parent)!r}" if parent else ""
            raise ValueError(
                "the state dict is not in the order of its modules, as in safetensors files, and "
                f"{sorted(found)}{within} do not tell it: give names, which module is which layer"
            )
    return sorted(
        modules, key=lambda name: [int(part) if part.isdecimal() else 0 for part in name.split(".")]
    )
