"""The order in which nodes run, and the memory for their results and gradients.

The flat list of nodes becomes phases. A phase runs on every shard without waiting for other shards.
A layer that merges statistics of the whole minibatch ends one phase and begins the next.
"""

from collections import Counter, defaultdict
from itertools import count
from math import prod
from typing import NamedTuple

from skcnn.network.graph import Node


class Segment(NamedTuple):
    """Consecutive operations, all on images or all on vectors.

    An operation is the name of a method of :class:`skcnn.network.units.Unit` and the index of a node.
    """

    on_images: bool
    operations: list[tuple[str, int]]


class Place(NamedTuple):
    """Memory that images share if they are not needed at the same time.

    Attributes
    ----------
    is_kept : bool
        Whether later segments need the contents.
    number : int
    """

    is_kept: bool
    number: int


class Use(NamedTuple):
    """The number of an operation that reads or writes an array, and the number of its segment."""

    operation: int
    segment: int


class Program:
    """The phases of a forward and a backward pass, and the places of results and gradients in memory.

    Parameters
    ----------
    nodes : tuple of Node
    trained : set of str or None
        Names of the layers with trainable parameters; None in prediction, which merges no statistics and
        has no backward pass.
    input_gradient : bool
        Whether to compute the gradient with respect to the images, too.

    Attributes
    ----------
    nodes : tuple of Node
    reads : list of tuple of str
        For each node, which of "X" and "Y" its backward pass reads.
    merging, backward_merging : list of int
        Nodes that merge statistics, in the order of the pass; each begins a phase.
    forward, backward : list of list of Segment
        Phases in the order of execution.
    need_gradient : set of int
        Nodes whose result needs a gradient.
    gradient_writes : list of tuple of {"first", "further", None}
        For each node, what its backward pass does with the gradient of each input. The first node to run
        writes the gradient, further nodes add to it; None if nothing reads it.
    homes : dict of {"value", "gradient"} to list of int
        For each node, the node whose memory holds its result, or its gradient: itself or, if a layer works
        in place, another one.
    places : dict of (str, int) to Place
        Places of images by kind, "value" or "gradient", and home.
    place_sizes : dict of Place to int
        Number of elements of the largest image in a place.
    """

    def __init__(self, nodes: tuple[Node, ...], trained: set[str] | None, *, input_gradient: bool = False):
        training = trained is not None
        self.nodes = nodes
        self.reads = [()] + [node.layer.reads_in_backward(node.input_shape) for node in nodes[1:]]
        self.merging = [index for index, node in enumerate(nodes) if node.merges] if training else []
        self.need_gradient = self._find_need_gradient(trained, input_gradient) if training else set()
        self.gradient_writes = self._find_gradient_writes()
        self.backward_merging = [index for index in reversed(self.merging) if index in self.need_gradient]
        self.forward = self._phases(range(len(nodes)), "statistics", "forward")
        self.backward = self._phases(self._backward_order(), "backward_statistics", "backward")
        self.homes = self._find_homes(training)
        self.places, self.place_sizes = self._find_places(self._find_uses(input_gradient))

    def _find_need_gradient(self, trained, input_gradient):
        needed = {0} if input_gradient else set()
        for index, node in enumerate(self.nodes[1:], start=1):
            if node.name in trained or needed.intersection(node.inputs):
                needed.add(index)
        return needed

    def _backward_order(self):
        return sorted(self.need_gradient - {0}, reverse=True)

    def _find_gradient_writes(self):
        writes: list[tuple] = [()] * len(self.nodes)
        written = set()
        for index in self._backward_order():
            own = []
            for source in self.nodes[index].inputs:
                first = source not in written
                written.add(source)
                own.append(None if source not in self.need_gradient else "first" if first else "further")
            writes[index] = tuple(own)
        return writes

    def _find_homes(self, training):
        """Return the homes: layers that can overwrite their input do so if nothing else reads it."""
        nodes, values, gradients = self.nodes, list(range(len(self.nodes))), list(range(len(self.nodes)))
        n_readers = Counter(source for node in nodes for source in node.inputs)
        alone = [
            index
            for index, node in enumerate(nodes[1:], start=1)
            if node.layer.declares("works_in_place")
            and n_readers[node.inputs[0]] == 1
            and not (training and "X" in self.reads[index])
        ]
        for index in alone:
            (source,) = nodes[index].inputs
            if not (training and "Y" in self.reads[source]):
                values[index] = values[source]
        for index in reversed(alone):
            (source,) = nodes[index].inputs
            gradients[source] = gradients[index]
        return {"value": values, "gradient": gradients}

    def _phases(self, order, statistics, operation):
        """Cut an order of nodes into phases, before each merging node, and the phases into segments."""
        phases = [[]]
        for index in order:
            if index in self.merging:
                self._append(phases[-1], statistics, index)
                phases.append([])
            self._append(phases[-1], operation, index)
        return phases

    def _append(self, phase, operation, index):
        on_images = self.nodes[index].takes_images
        if not phase or phase[-1].on_images != on_images:
            phase.append(Segment(on_images, []))
        phase[-1].operations.append((operation, index))

    def _find_uses(self, input_gradient):
        """Return the uses of each result and gradient in temporal order, by kind and home."""
        uses = defaultdict(list)
        passes = [("value", self.forward), ("gradient", self.backward)]
        segments = [(kind, segment) for kind, phases in passes for phase in phases for segment in phase]
        clock = count()
        for number, (kind, segment) in enumerate(segments):
            for operation, index in segment.operations:
                touched = [(kind, node) for node in self._find_touched(operation, index)]
                if kind == "gradient":
                    touched += [("value", node) for node in self._find_read_in_backward(index)]
                use = Use(next(clock), number)
                for kind_touched, node in touched:
                    uses[kind_touched, self.homes[kind_touched][node]].append(use)
        if input_gradient:
            uses["gradient", self.homes["gradient"][0]].append(Use(next(clock), len(segments)))
        return uses

    def _find_touched(self, operation, index):
        """Return the nodes whose results, or gradients, an operation reads or writes."""
        inputs = self.nodes[index].inputs
        if operation == "statistics":
            return inputs
        if index in self.merging and operation != "backward":
            reads_input = operation == "forward" and "X" in self.reads[index]
            return (index, *inputs) if reads_input else (index,)  # else ``statistics`` kept what they need
        return (index, *inputs)

    def _find_read_in_backward(self, index):
        """Return the nodes whose results the backward pass of a node reads."""
        reads = self.reads[index]
        return (self.nodes[index].inputs if "X" in reads else ()) + ((index,) if "Y" in reads else ())

    def _find_places(self, uses):
        """Return places and their sizes; images reuse the place of similar size that is no longer needed."""
        places, sizes, last_uses = {}, {}, {}
        for (kind, home), used in uses.items():
            shape = self.nodes[home].output_shape
            if len(shape) == 1:
                continue  # vectors are rows of a matrix of the shard
            first, last = used[0], used[-1]
            is_kept = first.segment != last.segment
            free = [
                (abs(sizes[place] - prod(shape)), place)
                for place, last_use in last_uses.items()
                if place.is_kept == is_kept and last_use.operation < first.operation
            ]
            place = min(free)[1] if free else Place(is_kept, len(sizes))
            places[kind, home] = place
            sizes[place] = max(sizes.get(place, 0), prod(shape))
            last_uses[place] = last
        return places, sizes
