"""Tests of the program: phases, which gradients are computed, and where results and gradients stand."""

from collections import defaultdict
from itertools import pairwise
from math import prod

import pytest
from small_networks import chain, program_of, random_graph

from skcnn.layers import BatchNorm, Conv2D, Dense, Dropout, Flatten, ReLU, Tanh
from skcnn.network.program import Place

MODES = [{"training": True}, {"training": True, "input_gradient": True}, {"training": False}]

on_random_graphs = pytest.mark.parametrize("number", range(20))
in_each_mode = pytest.mark.parametrize("mode", MODES, ids=["training", "input gradient", "prediction"])


@in_each_mode
@on_random_graphs
def test_phases_run_each_node_once_and_end_where_statistics_are_merged(number, mode):
    program = program_of(random_graph(number), **mode)
    merging = [index for index, node in enumerate(program.nodes) if node.merges and mode["training"]]
    backward = sorted(program.need_gradient - {0}, reverse=True)
    backward_merging = [index for index in backward if index in merging]
    assert (program.merging, program.backward_merging) == (merging, backward_merging)
    for phases, name, order, waiting in [
        (program.forward, "forward", list(range(len(program.nodes))), merging),
        (program.backward, "backward", backward, backward_merging),
    ]:
        statistics = "statistics" if name == "forward" else "backward_statistics"
        parts = [[done for segment in phase for done in segment.operations] for phase in phases]
        assert [index for part in parts for kind, index in part if kind == name] == order
        assert [part[-1] for part in parts[:-1]] == [(statistics, index) for index in waiting]
        assert [part[0] for part in parts[1:]] == [(name, index) for index in waiting]
        assert sum(map(len, parts)) == len(order) + len(waiting)
        for phase in phases:
            assert all(one.on_images != other.on_images for one, other in pairwise(phase))
            for on_images, operations in phase:
                assert {program.nodes[index].takes_images for _, index in operations} == {on_images}


@in_each_mode
@on_random_graphs
def test_gradients_are_computed_from_the_first_parameter_on(number, mode):
    network, needed = random_graph(number), set()
    for index, node in enumerate(network.nodes):
        is_first = node.name in network.params or (index == 0 and "input_gradient" in mode)
        if is_first or needed.intersection(node.inputs):
            needed.add(index)
    assert program_of(network, **mode).need_gradient == (needed if mode["training"] else set())


class Walk:
    """Goes through a program and holds that each operation finds what it reads.

    ``contents`` has what was last written to each place, ``segments`` where each image is needed, ``sizes``
    the elements of the largest image of each place.
    """

    def __init__(self, program):
        self.program, self.segment, self.contents = program, 0, {}
        self.segments, self.sizes = defaultdict(set), defaultdict(int)

    def place(self, kind, index):
        """Return where an array is looked for: images in places, vectors in matrices of their own."""
        array = kind, self.program.homes[kind][index]
        place = self.program.places.get(array, array)
        if isinstance(place, Place):
            self.segments[array].add(self.segment)
            self.sizes[place] = max(self.sizes[place], prod(self.program.nodes[index].output_shape))
        return place

    def follow(self, phases):
        for segment in (segment for phase in phases for segment in phase):
            for name, index in segment.operations:
                layer = self.program.nodes[index].layer
                in_place = layer is not None and layer.declares("works_in_place")
                self.compute(*self.arrays_of(name, index), in_place=in_place)
            self.segment += 1  # and other chunks run through this one
            self.contents = {
                place: it for place, it in self.contents.items() if getattr(place, "is_kept", True)
            }

    def arrays_of(self, name, index):
        """Return what an operation reads, and what it writes."""
        inputs, reads = self.program.nodes[index].inputs, self.program.reads[index]
        values, dY = [("value", source) for source in inputs], ("gradient", index)
        if name == "statistics":
            return values, []
        if name == "backward_statistics":
            return [dY], []
        if name == "forward":
            return [] if index in self.program.merging else values, [("value", index)]
        read = [dY] + values * ("X" in reads) + [("value", index)] * ("Y" in reads)
        writes = {"first": [], "further": [], None: []}
        for source, write in zip(inputs, self.program.gradient_writes[index], strict=True):
            writes[write].append(("gradient", source))
        return read + [array for array in writes["further"] if array not in writes["first"]], writes["first"]

    def compute(self, read, written, *, in_place=False):
        places = {self.place(*array): array for array in written}
        assert len(places) == len(written)
        for array in read:
            place = self.place(*array)
            assert self.contents[place] == array
            assert in_place or place not in places
        self.contents |= places


@in_each_mode
@on_random_graphs
def test_no_two_arrays_that_are_needed_share_a_place(number, mode):
    """And images are kept between segments only where a later one needs them."""
    program = program_of(random_graph(number, dropout=0.3), **mode)
    walk, last = Walk(program), len(program.nodes) - 1
    walk.follow(program.forward)
    walk.compute([("value", last)], [("gradient", last)] if mode["training"] else [])
    walk.follow(program.backward)
    if "input_gradient" in mode:
        walk.compute([("gradient", 0)], [])
    for array, segments in walk.segments.items():
        assert program.places[array].is_kept == (len(segments) > 1)
    assert all(size <= program.place_sizes[place] for place, size in walk.sizes.items())
    assert mode["training"] or walk.sizes == program.place_sizes


def kept(program, kind):
    """Return the nodes whose images stand in memory that is kept between segments."""
    return {home for (own, home), place in program.places.items() if own == kind and place.is_kept}


def test_the_input_of_a_convolution_is_kept_only_where_its_kernel_reads_it():
    """ReLU keeps a mask, and Winograd's algorithm tiles."""
    layers = [Conv2D(16), ReLU(), Conv2D(16), ReLU(), Conv2D(16, strides=2), Flatten(), Dense(3)]
    assert kept(program_of(chain(*layers), training=True), "value") == {0, 3}


def test_images_that_are_not_needed_at_the_same_time_share_a_place():
    """Each gradient waits for a merge, and by the time the next one is written, it is done with."""
    blocks = [layer for _ in range(4) for layer in (Conv2D(2), BatchNorm(), ReLU())]
    program = program_of(chain(*blocks, Flatten(), Dense(3)), training=True)
    values, gradients = kept(program, "value"), kept(program, "gradient")
    assert [len(values), len(gradients)] == [4, 4]
    places = set(program.places.values())
    assert sum(place.is_kept for place in places) == len(values) + 1
    assert sum(not place.is_kept for place in places) == 2  # what an operation reads, and what it writes


class Apart(Tanh):
    """A layer that does not work in place."""

    works_in_place = False


class Reader(Tanh):
    """A layer that works in place, and whose backward pass reads what it would overwrite."""

    works_in_place = True
    backward_reads = ("X",)


IN_PLACE = {  # layers, and the node in whose memory each result and each gradient stands
    "a chain": ([Conv2D(2), ReLU(), Dropout(0.5)], [0, 1, 1, 1], [0, 3, 3, 3]),
    "on the images": ([ReLU(), Conv2D(2)], [0, 0, 2], [1, 1, 2]),
    "a result that is read": ([Conv2D(2), Tanh(), ReLU()], [0, 1, 1, 3], [0, 3, 3, 3]),
    "another layer": ([Conv2D(2), Apart()], [0, 1, 2], [0, 1, 2]),
    "a layer that reads its input": ([Conv2D(2), Reader()], [0, 1, 2], [0, 1, 2]),
    "vectors": ([Flatten(), Dense(2), ReLU()], [0, 1, 2, 2], [0, 1, 3, 3]),
    "after a merge": ([BatchNorm(), ReLU()], [0, 1, 1], [0, 2, 2]),
}


@pytest.mark.parametrize(("layers", "values", "gradients"), IN_PLACE.values(), ids=IN_PLACE)
def test_what_works_in_place(layers, values, gradients):
    homes = program_of(chain(*layers), training=True).homes
    assert homes == {"value": values, "gradient": gradients}


def test_prediction_works_in_place_on_results_that_only_training_reads():
    program = program_of(chain(Conv2D(2), Tanh(), ReLU(), Reader()), training=False)
    assert program.homes["value"] == [0, 1, 1, 1, 1]
