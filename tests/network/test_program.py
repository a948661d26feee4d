"""Tests of the program: phases, which gradients are computed, and where results and gradients stand."""

from math import prod

import pytest
from small_networks import Multiply, chain, graph, program_of

from skcnn.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    MaxPool2D,
    Parallel,
    ReLU,
    Residual,
    Tanh,
)
from skcnn.layers.containers import Add


def kept(program, kind):
    """Return the nodes whose images stand in memory that is kept between segments."""
    return {home for (own, home), place in program.places.items() if own == kind and place.is_kept}


def names_of(phases):
    """Return phases as lists of (on_images, "operation index operation index ...")."""
    return [
        [
            (segment.on_images, " ".join(f"{operation} {index}" for operation, index in segment.operations))
            for segment in phase
        ]
        for phase in phases
    ]


def test_phases_end_at_merges():
    network = chain(Conv2D(2), ReLU(), BatchNorm(), MaxPool2D(), Flatten(), Dense(4), BatchNorm(), Dense(3))
    program = program_of(network, training=True)
    assert program.merging == [3, 7]
    assert names_of(program.forward) == [
        [(True, "forward 0 forward 1 forward 2 statistics 3")],
        [(True, "forward 3 forward 4 forward 5"), (False, "forward 6 statistics 7")],
        [(False, "forward 7 forward 8")],
    ]
    assert names_of(program.backward) == [
        [(False, "backward 8 backward_statistics 7")],
        [(False, "backward 7 backward 6"), (True, "backward 5 backward 4 backward_statistics 3")],
        [(True, "backward 3 backward 2 backward 1")],
    ]


def test_branches_wait_for_each_other_at_merges():
    """Whatever comes before a merge in the order of nodes is done by then, in whichever branch."""
    branches = Parallel([[Conv2D(2), BatchNorm()], [BatchNorm(), Tanh()], "passthrough"])
    network = chain(branches, Flatten(), Dense(3))
    names = [node.name.removeprefix("layer1__") for node in network.nodes]
    assert names[1:6] == [
        "branch_1__conv2d_1",
        "branch_1__batchnorm_1",
        "branch_2__batchnorm_1",
        "branch_2__tanh_1",
        "layer1",
    ]
    program = program_of(network, training=True)
    assert program.merging == [2, 3]
    assert program.backward_merging == [3, 2]
    assert names_of(program.forward) == [
        [(True, "forward 0 forward 1 statistics 2")],
        [(True, "forward 2 statistics 3")],
        [(True, "forward 3 forward 4 forward 5 forward 6"), (False, "forward 7")],
    ]
    assert names_of(program.backward) == [
        [(False, "backward 7"), (True, "backward 6 backward 5 backward 4 backward_statistics 3")],
        [(True, "backward 3 backward_statistics 2")],
        [(True, "backward 2 backward 1")],
    ]


def test_what_waits_for_a_merge_in_a_branch_is_kept():
    """The sum 4 reads convolution 1 and norm 3; backward it gives both their gradients, then waits for 3.

    The norm keeps what it needs of convolution 2 itself.
    """
    network = chain(Conv2D(2), Residual([Conv2D(2), BatchNorm()]), Flatten(), Dense(3))
    program = program_of(network, training=True)
    assert kept(program, "value") == {0, 1}
    assert kept(program, "gradient") == {1, 3}


def test_prediction_has_one_phase_and_no_merges():
    program = program_of(chain(Conv2D(2), BatchNorm(), Flatten(), Dense(3)), training=False)
    assert program.merging == []
    assert names_of(program.forward) == [
        [(True, "forward 0 forward 1 forward 2 forward 3"), (False, "forward 4")]
    ]
    assert program.need_gradient == set()


def test_images_are_kept_only_where_they_are_read_later():
    """Backward reads the input of convolution 1 and the result of activation 2, where 1 wrote."""
    network = chain(Conv2D(2), Tanh(), BatchNorm(), MaxPool2D(), Flatten(), Dense(4), BatchNorm(), Dense(3))
    program = program_of(network, training=True)
    assert kept(program, "value") == {0, 1}
    assert kept(program, "gradient") == {3}  # written in one phase, read in the next
    assert kept(program_of(network, training=True, input_gradient=True), "gradient") == {0, 3}
    assert kept(program_of(network, training=False), "value") == set()


def test_the_input_of_a_convolution_is_kept_only_where_its_kernel_reads_it():
    """ReLU keeps a mask, and Winograd's algorithm tiles."""
    layers = [Conv2D(16), ReLU(), Conv2D(16), ReLU(), Conv2D(16, strides=2), Flatten(), Dense(3)]
    program = program_of(chain(*layers), training=True)
    assert kept(program, "value") == {0, 3}


def test_no_gradient_is_computed_before_the_first_parameter():
    network = chain(MaxPool2D(), Conv2D(2), ReLU(), Flatten(), Dense(3))
    assert program_of(network, training=True).need_gradient == {2, 3, 4, 5}
    assert program_of(network, training=True, input_gradient=True).need_gradient == {0, 1, 2, 3, 4, 5}


def test_the_last_reader_is_the_first_to_write_a_gradient_and_others_add_to_it():
    network = graph(
        (3, 4, 2),
        (Conv2D(2, 1), (0,)),
        (Tanh(), (1,)),
        (Add(), (1, 2)),
        (Multiply(), (3, 1)),
        (Flatten(), (4,)),
        (Dense(2), (5,)),
    )
    program = program_of(network, training=True)
    assert program.gradient_writes == [
        (),
        (None,),
        ("further",),
        ("further", "first"),
        ("first", "first"),
        ("first",),
        ("first",),
    ]


class Apart(Tanh):
    """A layer that does not work in place."""

    works_in_place = False


IN_PLACE = {  # layers, and the node in whose memory each result and each gradient stands
    "a chain": ([Conv2D(2), ReLU(), Dropout(0.5)], [0, 1, 1, 1], [0, 3, 3, 3]),
    "on the images": ([ReLU(), Conv2D(2)], [0, 0, 2], [1, 1, 2]),
    "a result that is read": ([Conv2D(2), Tanh(), ReLU()], [0, 1, 1, 3], [0, 3, 3, 3]),
    "another layer": ([Conv2D(2), Apart()], [0, 1, 2], [0, 1, 2]),
    "vectors": ([Flatten(), Dense(2), ReLU()], [0, 1, 2, 2], [0, 1, 3, 3]),
    "after a merge": ([BatchNorm(), ReLU()], [0, 1, 1], [0, 2, 2]),
}


@pytest.mark.parametrize(("layers", "values", "gradients"), IN_PLACE.values(), ids=IN_PLACE)
def test_what_works_in_place(layers, values, gradients):
    homes = program_of(chain(*layers), training=True).homes
    assert homes == {"value": values, "gradient": gradients}


def test_prediction_works_in_place_on_results_that_only_training_reads():
    program = program_of(chain(Conv2D(2), Tanh(), ReLU()), training=False)
    assert program.homes["value"] == [0, 1, 1, 1]


def test_what_others_read_is_not_overwritten():
    network = graph((3, 4, 2), (Conv2D(2, 1), (0,)), (ReLU(), (1,)), (Add(), (1, 2)), (Flatten(), (3,)))
    homes = program_of(network, training=True).homes
    assert homes == {"value": [0, 1, 2, 3, 4], "gradient": [0, 1, 2, 3, 4]}


def test_images_that_are_not_needed_at_the_same_time_share_a_place():
    """Each gradient waits for a merge, and by the time the next one is written, it is done with."""
    blocks = [layer for _ in range(4) for layer in (Conv2D(2), BatchNorm(), ReLU())]
    program = program_of(chain(*blocks, Flatten(), Dense(3)), training=True)
    values, gradients = kept(program, "value"), kept(program, "gradient")
    assert [len(values), len(gradients)] == [4, 4]
    places = set(program.places.values())
    assert sum(place.is_kept for place in places) == len(values) + 1
    assert sum(not place.is_kept for place in places) == 2  # what an operation reads, and what it writes


def test_a_place_has_room_for_the_largest_image():
    program = program_of(chain(MaxPool2D(), Conv2D(9), Conv2D(1), Flatten(), Dense(3)), training=False)
    largest = {}
    for (_, home), place in program.places.items():
        largest[place] = max(largest.get(place, 0), prod(program.nodes[home].output_shape))
    assert program.place_sizes == largest
    assert len(largest) == 2
