"""Mistakes in layers of one's own: an error names the layer, what was expected and what came instead."""

import re

import numpy as np
import pytest
from seeds import SEED
from small_classifiers import make_classifier, make_images

from skcnn import Conv2D, Dense, Flatten, Sequential
from skcnn.layers import Activation, Block, Layer, MergingLayer
from skcnn.layers.contract import check_array, check_params, check_shape
from skcnn.network.executor import Batch, Executor
from skcnn.network.graph import compile_nodes
from skcnn.network.network import init_network
from skcnn.network.threads import worker_pool

X, Y = make_images(12, (4, 3, 1))


class Own(Layer):
    """A layer that is right, with a parameter of two numbers."""

    def init_params(self, input_shape, *, activation, dtype, rng):
        return {"factor": np.ones(2, dtype)}

    def forward(self, params, X, unit, *, training, out):
        return np.multiply(X, 2, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        return np.multiply(dY, 2, out=out)


class OwnMerging(MergingLayer):
    """A layer that is right and counts."""

    buffer_params = ("count",)

    def init_params(self, input_shape, *, activation, dtype, rng):
        return {"count": np.zeros(2, dtype)}

    def statistics(self, X, unit):
        np.copyto(unit.kept("X", X.shape), X)
        return 1

    def merge(self, params, partials, *, part=None):
        return None, {"count": params["count"] + 1}

    def forward(self, params, X, unit, *, training, out):
        return unit.kept("X", out.shape) if training else X

    def backward_statistics(self, params, dY, unit):
        return 1

    def backward_merge(self, params, merged, partials):
        return None

    def backward(self, params, dY, unit, *, need_dX, out):
        return dY


def wrong(base, **own):
    """Return a layer of a class with other attributes, by name; a method returns what is given for it."""
    return type("Wrong", (base,), own)()


def returning(value):
    return lambda self, *arguments, **options: value


def adding(name, *values):
    """Return a backward that adds to the gradient of a parameter, one value or a product of two."""

    def backward(self, params, dY, unit, *, need_dX, out):
        add = unit.add_gradient if len(values) == 1 else unit.add_gradient_product
        add(name, *values)
        return dY

    return backward


def net_with(layer, *, on_images=True):
    before = Conv2D(2) if on_images else Dense(5)
    return make_classifier([before, ("mine", layer)], max_iter=1, averaging=None, dtype="float32")


def assert_refused(layer, match, kinds=(ValueError, TypeError, LookupError), *, on_images=True):
    net = net_with(layer, on_images=on_images)
    before = dict(vars(net))
    with pytest.raises(kinds, match=r"layer 'mine', Wrong\(\)") as caught:
        net.fit(X, Y)
    assert re.search(match, str(caught.value))
    assert vars(net) == before


@pytest.mark.parametrize("layer", [Own(), OwnMerging()], ids=["layer", "merging layer"])
@pytest.mark.parametrize("on_images", [True, False], ids=["images", "vectors"])
def test_layers_without_mistakes_pass(layer, on_images):
    assert np.isfinite(net_with(layer, on_images=on_images).fit(X, Y).loss_)


@pytest.mark.parametrize(
    "shape",
    [None, 7, "abc", (), (4, 3), (4, 3, 2, 1), (4, 3, -2), (0,), (4, 3, 2.0), (True,), {4, 3, 2}],
    ids=repr,
)
def test_shapes_that_are_none_are_refused(shape):
    layer = wrong(Own, output_shape=returning(shape))
    assert_refused(layer, f"output_shape must return .*, got {re.escape(repr(shape))}")


@pytest.mark.parametrize("shape", [[4, 3, 2], np.array([4, 3, 2]), tuple(np.array([4, 3, 2]))], ids=type)
def test_shapes_of_other_types_become_tuples_of_ints(shape):
    sizes = check_shape(shape, "it must be")
    assert sizes == (4, 3, 2)
    assert {type(size) for size in sizes} == {int}


@pytest.mark.parametrize(
    ("params", "match"),
    [
        (None, "got None"),
        ([np.ones(2)], "got list"),
        (np.ones(2), r"got array of float64 of shape \(2,\)"),
        ({1: np.ones(2)}, "got 1"),
        ({None: np.ones(2)}, "got None"),
        ({"factor": [1.0, 2.0]}, "'factor', got list"),
        ({"factor": 1.0}, "'factor', got float"),
        ({"factor": "one"}, "'factor', got str"),
        ({"factor": np.array("one")}, "'factor', got array of <U3"),
        ({"factor": np.ones(2, complex)}, "'factor', got array of complex128"),
        ({"factor": np.array(None)}, "'factor', got array of object"),
        ({"factor": np.array(["2020"], "M8[Y]")}, "'factor', got array of datetime64"),
    ],
    ids=str,
)
def test_parameters_that_are_none_are_refused(params, match):
    assert_refused(wrong(Own, init_params=returning(params)), f"init_params must .*{match}")


@pytest.mark.parametrize("value", [np.array(2.0), np.float32(2), np.ma.ones(2), np.ones(2, bool)], ids=type)
def test_parameters_may_be_any_real_numbers(value):
    check_params({"factor": value})
    layer = wrong(Own, init_params=returning({"factor": value}))
    fitted = net_with(layer).fit(X, Y)
    assert type(fitted.network_.vector) is np.ndarray
    np.testing.assert_array_equal(fitted.network_.params["mine"]["factor"], value)


@pytest.mark.parametrize(
    ("change", "got", "on_images"),
    [
        (lambda values: None, "None", True),
        (lambda values: values[:2], r"array of float32 of shape \(2, .*\)", True),
        (lambda values: values[:2], r"array of float32 of shape \(2, .*\)", False),
        (lambda values: values.sum(), r"array of float32 of shape \(\)", False),
        (lambda values: values.tolist(), "list", True),
        (lambda values: (values, values[:1]), "tuple", True),
        (lambda values: values * 1j, "array of complex64", False),
        (lambda values: values.astype(str), "array of <U32", True),
        (lambda values: np.full(values.shape, None), "array of object", False),
    ],
    ids=["None", "rows less", "vectors less", "scalar", "list", "tuple", "complex", "text", "object"],
)
def test_results_and_gradients_that_are_none_are_refused(change, got, on_images):
    """Whether they are images or vectors."""

    def forward(self, params, X, unit, *, training, out):
        return change(X)

    def backward(self, params, dY, unit, *, need_dX, out):
        return change(dY)

    for method in (forward, backward):
        match = rf"{method.__name__} must return an array of float32 of shape \(.*\), got {got}"
        assert_refused(wrong(Own, **{method.__name__: method}), match, on_images=on_images)


@pytest.mark.parametrize(
    ("backward", "match"),
    [
        (adding("weight", np.ones(2)), r"'weight' .*\['factor'\]"),
        (adding("weight", np.ones((2, 3)), np.ones((3, 2))), r"'weight' .*\['factor'\]"),
        (adding("factor", np.ones(3)), r"'factor' .*\(2,\), got .* \(3,\)"),
        (adding("factor", 1.0), "'factor' .*, got float"),
        (adding("factor", None), "'factor' .*, got None"),
        (adding("factor", [1.0, 2.0]), "'factor' .*, got list"),
        (adding("factor", np.ones(2) * 1j), "'factor' .*, got array of complex128"),
        (adding("factor", np.ones((2, 3)), np.ones((3, 4))), r"'factor' .* got .*\(2, 3\) and \(3, 4\)"),
    ],
)
def test_gradients_of_parameters_that_there_are_not_are_refused(backward, match):
    assert_refused(wrong(Own, backward=backward), match)


def test_memory_of_another_shape_is_refused():
    def backward(self, params, dY, unit, *, need_dX, out):
        unit.add("total", np.ones(3))
        unit.accumulator("total", (4,))
        return dY

    assert_refused(wrong(Own, backward=backward), r"accumulator 'total' has shape \(3,\), .* \(4,\)")


@pytest.mark.parametrize(
    ("own", "match"),
    [
        ({"decayed_params": "factor"}, "decayed_params .* got 'factor'"),
        ({"constant_params": None}, "constant_params .* got None"),
        ({"buffer_params": (1,)}, r"buffer_params .* got \(1,\)"),
        ({"buffer_params": ("factor",)}, "buffer_params=.*MergingLayer.* constant_params"),
        ({"backward_reads": "X"}, "backward_reads .* got 'X'"),
        ({"backward_reads": ("x",)}, r"backward_reads .*'X' and 'Y', got \('x',\)"),
        ({"reads_in_backward": returning(None)}, "backward_reads .* got None"),
        ({"multiply_adds": returning(None)}, "multiply_adds .* got None"),
        ({"multiply_adds": returning(1.5)}, "multiply_adds .* got 1.5"),
        ({"scratch_size": returning(-1)}, "scratch_size .* got -1"),
    ],
)
def test_declarations_that_mean_nothing_are_refused(own, match):
    assert_refused(wrong(Own, **own), match)


@pytest.mark.parametrize(
    ("result", "match"),
    [
        (None, "merge .* got None"),
        ((None, ["count"]), "merge .* got tuple"),
        ((None, {}), r"merge .*buffer_params \['count'\], got \[\]"),
        ((None, {"counts": np.ones(2)}), r"merge .*buffer_params \['count'\], got \['counts'\]"),
        ((None, {"count": np.ones(3)}), r"merge .*'count' .*\(2,\), got .* \(3,\)"),
        ((None, {"count": None}), "merge .*'count' .*, got None"),
        ((None, {"count": np.array(["a", "b"])}), "merge .*'count' .*, got array of <U1"),
    ],
    ids=str,
)
def test_merges_that_return_no_state_are_refused(result, match):
    assert_refused(wrong(OwnMerging, merge=returning(result)), match)


METHODS = "output_shape init_params multiply_adds plan prepare init_from_data forward backward finish"
METHODS_OF_MERGING = "statistics merge backward_statistics backward_merge"


@pytest.mark.parametrize("method", f"{METHODS} {METHODS_OF_MERGING}".split())
def test_errors_within_a_layer_name_it(method):
    """Of the kinds that wrong shapes, types and names end in; the layer's own line is the cause."""

    def fail(self, *arguments, **options):
        for value in arguments:
            if isinstance(value, np.ndarray):
                return value @ np.ones((7, 7))
        return (4, 3) + [2]

    base = Own if hasattr(Own, method) else OwnMerging
    assert_refused(wrong(base, **{method: fail}), "core dimension|can only concatenate tuple")


@pytest.mark.parametrize("error", [AttributeError, NameError, ZeroDivisionError, NotImplementedError])
def test_errors_of_other_kinds_keep_their_type(error):
    def forward(self, params, X, unit, *, training, out):
        raise error("as it is")

    assert_refused(wrong(Own, forward=forward), "as it is", error)


def test_a_parameter_that_there_is_not_is_named_with_the_layer():
    def forward(self, params, X, unit, *, training, out):
        return np.multiply(X, params["weight"][0], out=out)

    assert_refused(wrong(Own, forward=forward), r"KeyError\('weight'\)")


def test_errors_of_reading_images_are_none_of_a_layer():
    def read(rows, out):
        raise ValueError("the disk is gone")

    nodes = compile_nodes([("mine", Own()), ("flatten", Flatten())], (4, 3, 1))
    with worker_pool() as pool:
        executor = Executor(init_network(nodes, dtype="f4", seed=SEED), pool, training=False)
        with pytest.raises(ValueError, match=r"^the disk is gone$"):
            executor.predict(Batch(3, read), np.empty((3, 12), "f4"))


def test_layers_in_containers_are_named_with_them():
    layer = wrong(Own, output_shape=returning(None))
    with pytest.raises(ValueError, match=r"layer 'block__mine', Wrong\(\), .*\(4, 3, 1\)"):
        make_classifier([("block", Sequential([("mine", layer)]))]).fit(X, Y)


def test_a_summary_names_them_too():
    with pytest.raises(TypeError, match=r"layer 'mine', Wrong\(\)"):
        net_with(wrong(Own, init_params=returning(None))).summary(X, Y)


@pytest.mark.parametrize("node", [None, -1, 99, "a", 1.0, True], ids=repr)
def test_blocks_that_end_nowhere_are_refused(node):
    block = type("Wrong", (Block,), {"connect": returning(node)})()
    assert_refused(block, f"connect must return the index of a node, got {node!r}")


@pytest.mark.parametrize("gain", ["big", -1, 0, np.nan, np.inf, [1]], ids=repr)
def test_gains_that_no_weights_can_have_are_refused(gain):
    activation = type("Wrong", (Own, Activation), {"gain": gain})()
    match = rf"layer 'conv', Conv2D\(.*gain .* got {re.escape(repr(gain))}"
    with pytest.raises(ValueError, match=match):
        make_classifier([("conv", Conv2D(2, activation=activation))]).fit(X, Y)


def test_other_real_types_may_be_copied():
    """float64 into float32, ints and bools into floats, but not floats into counts."""
    for dtype in (np.float64, np.int64, bool):
        check_array(np.zeros(2, dtype), np.zeros(2, np.float32), "it must be")
    with pytest.raises(ValueError, match="it must be an array of int64 .*, got array of float64"):
        check_array(np.zeros(2), np.zeros(2, np.int64), "it must be")
