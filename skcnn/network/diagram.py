"""The layers of a network in scikit-learn's diagram of its estimator.

scikit-learn asks an estimator for a visual block. Without one, it draws the estimator like any other.
"""

from collections.abc import Set

from skcnn._sklearn import VisualBlock, show_parameters
from skcnn.layers import Block, Container, Residual
from skcnn.network.graph import Node

NamedEntries = list[tuple[str, object]]
"""Names with layers, or with what the user gave instead of a layer."""


def draw_stack(
    entries: NamedEntries, nodes: tuple[Node, ...] = (), path: str = "", searchable: Set[str] = frozenset()
):
    """Return a visual block that shows named layers one after another.

    Parameters
    ----------
    entries : list of (str, object)
    nodes : tuple of Node
        The nodes of the network; empty if unknown.
    path : str
        Prefix of the names of the entries in the network.
    searchable : set of str
        Names of the parameters of the estimator, including those of its layers.

    Returns
    -------
    visual : VisualBlock
    """
    visuals = [draw_layer(name, entry, nodes, path, searchable) for name, entry in entries]
    labels = [visual.label for visual in visuals]
    return VisualBlock("serial", visuals, names=labels, name_details=labels, dash_wrapped=False)


def draw_layer(name: str, entry, nodes: tuple[Node, ...], path: str, searchable: Set[str]):
    """Return a visual block that shows a layer, and the layers within it.

    Parameters
    ----------
    name : str
    entry : object
    nodes, path, searchable
        As for :func:`draw_stack`.

    Returns
    -------
    visual : VisualBlock
        Its ``label`` holds name, class and output shape.
    """
    label = f"{name}: {type(entry).__name__ if isinstance(entry, Block) else entry}"
    inner = f"{path}{name}__"
    own = [node for node in nodes if node.name == path + name or node.name.startswith(inner)]
    if own:
        label += f" → {own[-1].output_shape}".replace(" ", "\N{NO-BREAK SPACE}")
    stacks = stacks_of(entry, nodes, inner) if isinstance(entry, Container) else []
    if not any(stacks):
        visual = VisualBlock("single", entry, names=label, name_details=str(entry))
    elif len(stacks) == 1:
        visual = draw_stack(stacks[0], nodes, inner, searchable)
    else:
        visual = VisualBlock("parallel", [draw_stack(stack, nodes, inner, searchable) for stack in stacks])
    visual.dash_wrapped = True
    visual.label = label
    if isinstance(entry, Block) and searchable >= {inner + key for key in entry.get_params(deep=False)}:
        show_parameters(visual, entry)  # users copy the names for set_params
    return visual


def stacks_of(container: Container, nodes: tuple[Node, ...], path: str) -> list[NamedEntries]:
    """Return the stacks of a container, with the layer that an automatic projection became."""
    stacks = container.stacks()
    if nodes and isinstance(container, Residual) and container.projection == "auto":
        within = [(node.name.removeprefix(path), node.layer) for node in nodes]
        built = [(name, layer) for name, layer in within if name.split("__")[0] == "projection"]
        stacks[-1] = built or [("projection", "passthrough")]
    return stacks
