"""Containers: the nodes they become, gradients, results against their parts alone, and wrong use."""

import pickle
import re
from copy import deepcopy

import joblib
import numpy as np
import pytest
from gradients import error_away_from_kinks
from numpy.testing import assert_allclose, assert_array_equal
from reference import assert_close
from seeds import SEED, generator
from sklearn import config_context
from sklearn.base import clone
from small_classifiers import make_classifier, make_images

from skcnn import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    GroupNorm,
    Layer,
    LayerNorm,
    MaxPool2D,
    Parallel,
    PReLU,
    ReLU,
    Residual,
    Sequential,
    Tanh,
    ZeroPad2D,
)
from skcnn.network.executor import Batch, Executor
from skcnn.network.graph import compile_nodes
from skcnn.network.network import init_network
from skcnn.network.threads import worker_pool

N_SAMPLES = 7  # prime: no cut into shards and chunks comes out even
WEIGHTS = np.array([0.5, 2.0, 1.0, 0.25, 3.0, 1.5, 0.75])
IMAGE, VECTOR = (5, 4, 2), (6,)


def same_pool():
    return MaxPool2D(3, strides=1, padding="same")


class EveryOther(Layer):
    """A layer of one's own that says nothing of strides."""

    def output_shape(self, input_shape):
        return (input_shape[0] + 1) // 2, (input_shape[1] + 1) // 2, input_shape[2]

    def forward(self, params, X, unit, *, training, out):
        np.copyto(out, X[::2, ::2])
        return out

    def backward(self, params, dY, unit, *, need_dX, out):
        out.fill(0)
        out[::2, ::2] = dY
        return out


BLOCKS_OF_IMAGES = {
    "sum": Residual([Conv2D(2, activation="tanh"), Conv2D(2)]),
    "sum of nothing but pooling": Residual([same_pool()]),
    "sum and activation": Residual([Conv2D(2), BatchNorm()], activation="relu"),
    "sum and trained activation": Residual([Conv2D(2)], activation=PReLU(0.7)),
    "strides": Residual(
        [AvgPool2D(2, padding="same"), Tanh(), Parallel([Conv2D(3, strides=(1, 2)), MaxPool2D((1, 2))])]
    ),
    "own layer": Residual([Conv2D(2), EveryOther(), Parallel([EveryOther(), Conv2D(2, strides=2)])]),
    "activation first": Residual([BatchNorm(), Tanh(), Conv2D(2), BatchNorm(), Tanh(), Conv2D(2)]),
    "norm last": Residual(
        [Conv2D(2, 1), Conv2D(4, strides=2, use_bias=False), BatchNorm()], activation="relu"
    ),
    "own projection": Residual(
        [Conv2D(3, strides=2)], projection=Sequential([AvgPool2D(2, ceil_mode=True), Conv2D(3, 1)])
    ),
    "list as projection": Residual(
        [Conv2D(3, 2, padding="valid"), BatchNorm()],
        projection=[MaxPool2D(2, strides=1), ("c", Conv2D(3, 1))],
    ),
    "projection switched off": Residual([Conv2D(2)], projection="passthrough", activation="tanh"),
    "all layers of a projection switched off": Residual([Conv2D(2)], projection=("passthrough",)),
    "random branch": Residual([Dropout(0.3), Conv2D(2), Dropout(0.5)]),
    "side by side": Parallel(
        [[Conv2D(2, 1), Conv2D(3, activation="tanh")], Conv2D(1, 3), [same_pool(), Conv2D(2, 1)]]
    ),
    "the input twice": Parallel(["passthrough", Conv2D(1), "passthrough"]),
    "one branch": Parallel([[Conv2D(2), Tanh()]]),
    "branches to vectors": Parallel([GlobalAvgPool2D(), [Flatten(), Dense(3)], GlobalMaxPool2D()]),
    "norms": Parallel([[Conv2D(2), BatchNorm(), Tanh()], [BatchNorm(), Conv2D(1)], BatchNorm()]),
    "sequence": Sequential([Conv2D(2), BatchNorm(), Tanh(), MaxPool2D(), Flatten(), Dense(3)]),
    "sums after sums": Sequential([Residual([Conv2D(2)]), Residual([Conv2D(3)]), Residual([Tanh()])]),
    "dense block": Sequential(
        [Parallel(["passthrough", [BatchNorm(), Tanh(), Conv2D(2)]]) for _ in range(3)]
    ),
    "nested": Residual(
        [
            BatchNorm(),
            Parallel(
                [
                    Residual([Conv2D(2), BatchNorm()], activation="tanh"),
                    [Sequential([Conv2D(1), Parallel([BatchNorm(), "passthrough"])]), Conv2D(2, strides=1)],
                    "passthrough",
                ]
            ),
            Sequential([Residual([Sequential([Conv2D(3), GroupNorm(3)])])]),
        ],
        activation="tanh",
    ),
    # images that meet layers of vectors
    "dense layers in a branch": Residual(
        [Conv2D(2, activation="tanh"), Dense(3)], projection=[GlobalAvgPool2D(), Dense(3)]
    ),
    "dense layers first": Residual([Dense(3), Tanh(), Dense(2)], projection=Dense(2)),
    "dense layers beside others": Parallel(
        [Dense(2), GlobalAvgPool2D(), [Conv2D(1), Dense(3)], Residual([Dense(3)])]
    ),
    # branches whose layers are all switched off
    "sum of the input and itself": Residual(["passthrough"]),
    "sequence of nothing": Sequential(["passthrough"]),
    "nothing side by side": Parallel(["passthrough", "passthrough"]),
    "branches of nothing": Parallel([["passthrough"], Conv2D(2), ("off", ["passthrough"])]),
    "sums of nothing within": Residual(
        [Parallel([Residual(["passthrough"])]), Sequential(["passthrough"]), BatchNorm()]
    ),
}
BLOCKS_OF_VECTORS = {
    "sum of vectors": Residual([Dense(4, activation="tanh"), Dense(6)]),
    "normalized vectors": Residual([Dense(4), LayerNorm()], activation="sigmoid"),
    "vectors side by side": Parallel([Dense(2), "passthrough", [Dense(3, activation="tanh")]]),
}
BLOCKS = {name: (block, IMAGE) for name, block in BLOCKS_OF_IMAGES.items()}
BLOCKS |= {name: (block, VECTOR) for name, block in BLOCKS_OF_VECTORS.items()}

KINDS = ["strides", "branches to vectors", "norms", "dense block", "nested", "normalized vectors"]

each_block = pytest.mark.parametrize("name", list(BLOCKS))


class Recorder:
    """A linear loss that keeps the scores; the targets are the numbers of the rows."""

    def __init__(self, n_outputs):
        self.coefficients = generator(2).standard_normal((N_SAMPLES, n_outputs))
        self.scores = np.full((N_SAMPLES, n_outputs), np.nan)

    def gradient(self, scores, targets, weights, out):
        rows = targets[:, 0]
        self.scores[rows] = scores
        np.copyto(out, self.coefficients[rows])
        return float((scores * self.coefficients[rows]).sum())


def samples(shape):
    """Random samples as users give them: images (n_samples, height, width, channels)."""
    return generator(1).standard_normal((N_SAMPLES, *shape))


def build(blocks, input_shape, dtype=np.float64):
    """Return a network whose parameters and running statistics are not what they start as."""
    nodes = compile_nodes(blocks, input_shape)
    if len(nodes[-1].output_shape) == 3:
        nodes = compile_nodes([*blocks, ("flatten", Flatten())], input_shape)
    network = init_network(nodes, dtype=dtype, seed=SEED)
    rng = generator(4)
    network.vector += 0.2 * rng.standard_normal(network.n_params).astype(dtype)
    for where, value in network.buffers().items():
        if where[1] != "n_updates":
            network.set_buffers({where: value + rng.uniform(0.2, 0.5, value.shape)})
    return network


class Run:
    """One training step and one prediction, and all that comes out of them."""

    def __init__(self, network, X, *, weights=WEIGHTS):
        def read(rows, out):
            np.copyto(out, X[rows].transpose(1, 2, 0, 3) if X.ndim == 4 else X[rows])

        numbers = np.arange(N_SAMPLES)[:, np.newaxis]
        batch = Batch(N_SAMPLES, read, numbers, np.ones(N_SAMPLES), weights)
        recorder = Recorder(network.n_outputs)
        with worker_pool() as pool:
            executor = Executor(network, pool, training=True, seed=SEED, input_gradient=True)
            executor.gradients(batch, recorder)
            self.gradient, self.dX = executor.reduce().copy(), executor.input_gradient()
            self.trained = recorder.scores
            self.predicted = np.full_like(recorder.scores, np.nan, dtype=network.dtype)
            Executor(network, pool, training=False).predict(batch, self.predicted)


# gradients


@each_block
def test_gradients_are_right(name):
    """In several shards and chunks."""
    options = {"n_samples": N_SAMPLES, "weights": WEIGHTS, "random_state": SEED}
    assert error_away_from_kinks(*BLOCKS[name], **options) < 1e-7


@pytest.mark.parametrize("name", [*KINDS, "random branch"])
def test_gradients_are_right_after_and_before_other_layers(name):
    block, input_shape = BLOCKS[name]
    first = Tanh() if input_shape == VECTOR else Conv2D(2, activation="tanh")
    layers = [first, block, BatchNorm(), Tanh(), ("end", Residual([BatchNorm(), Tanh()]))]
    options = {"n_samples": N_SAMPLES, "weights": WEIGHTS, "random_state": SEED}
    assert error_away_from_kinks(Sequential(layers), input_shape, **options) < 1e-7


# results


@pytest.mark.parametrize("name", KINDS)
def test_dtype_is_kept_and_float32_gives_the_result_of_float64(name):
    block, input_shape = BLOCKS[name]
    double = build([("block", block)], input_shape)
    single = build([("block", block)], input_shape, np.float32)
    np.copyto(single.vector, double.vector)
    results = [Run(network, samples(input_shape), weights=None) for network in (single, double)]
    assert results[0].predicted.dtype == results[0].gradient.dtype == results[0].dX.dtype == np.float32
    for part in ("predicted", "trained", "dX", "gradient"):
        value, expected = (getattr(result, part) for result in results)
        # the norms in these blocks divide by deviations down to a tenth, one after another
        assert_allclose(value, expected, rtol=0, atol=1e-4 * np.abs(expected).max(initial=1))


class Parts:
    """Runs parts of a network alone, with the parameters that they have in it."""

    def __init__(self, network, part):
        self.network, self.part = network, part

    def __call__(self, X, *blocks):
        """Return the result of layers with their full names, samples in the layout of users."""
        alone = build(list(blocks), X.shape[1:])
        for name, values in alone.params.items():
            for key, value in values.items():
                np.copyto(value, self.network.params[name][key])
        shape = compile_nodes(list(blocks), X.shape[1:])[-1].output_shape
        return getattr(Run(alone, X), self.part).reshape(N_SAMPLES, *shape)


def beside(*results):
    return np.concatenate(results, axis=-1)


def strided_and_normalized(parts, X):
    branch = parts(
        X,
        ("block__conv2d_1", Conv2D(4, activation="tanh")),
        ("block__conv2d_2", Conv2D(3, strides=(2, 1), use_bias=False)),
        ("block__batchnorm_1", BatchNorm(epsilon=0.1)),
    )
    shortcut = parts(
        X,
        ("block__projection", Conv2D(3, 1, strides=(2, 1), padding="valid", use_bias=False)),
        ("block__projection__norm", BatchNorm(epsilon=0.1)),
    )
    return np.maximum(branch + shortcut, 0)


def projected(parts, X):
    return parts(X, ("block__conv2d_1", Conv2D(2))) + parts(
        np.tanh(X), ("block__projection__conv", Conv2D(2, 5))
    )


def of_vectors(parts, X):
    branch = parts(X, ("block__dense_1", Dense(4, use_bias=False)), ("block__layernorm_1", LayerNorm()))
    shortcut = parts(
        X, ("block__projection", Dense(4, use_bias=False)), ("block__projection__norm", LayerNorm())
    )
    return np.tanh(branch + shortcut)


def mixed(parts, X):
    first = parts(X, ("block__conv2d_1", Conv2D(3, 1)))
    second = parts(X, ("block__branch_1__conv2d_1", Conv2D(2)), ("block__branch_1__batchnorm_1", BatchNorm()))
    third = parts(X, ("block__pooled__maxpool2d_1", same_pool()), ("block__pooled__conv", Conv2D(1, 1)))
    return beside(first, second, X, third)


def deep(parts, X):
    first = np.tanh(X + parts(X, ("block__unit__parallel_1__residual_1__conv2d_1", Conv2D(2))))
    second = parts(X, ("block__unit__parallel_1__branch_1__batchnorm_1", BatchNorm()))
    both = beside(first, second)
    both = both + parts(both, ("block__unit__residual_1__inner", Conv2D(4)))
    return parts(both, ("block__last", Conv2D(1, activation="relu")))


def images_to_vectors(parts, X):
    vectors = parts(X.reshape(N_SAMPLES, -1), ("block__dense_1", Dense(3)))
    return beside(X.mean(axis=(1, 2)), vectors, X.max(axis=(1, 2)))


UNIT = Sequential(
    [Parallel([Residual([Conv2D(2)], activation="tanh"), [BatchNorm()]]), Residual([("inner", Conv2D(4))])]
)
RESULTS = {
    "sum": (Residual([Conv2D(2)]), lambda parts, X: X + parts(X, ("block__conv2d_1", Conv2D(2)))),
    "normalized projection": (
        Residual(
            [Conv2D(4, activation="tanh"), Conv2D(3, strides=(2, 1), use_bias=False), BatchNorm(epsilon=0.1)],
            activation="relu",
        ),
        strided_and_normalized,
    ),
    "own projection": (Residual([Conv2D(2)], projection=[Tanh(), ("conv", Conv2D(2, 5))]), projected),
    "vectors": (Residual([Dense(4, use_bias=False), LayerNorm()], activation="tanh"), of_vectors),
    "side by side": (
        Parallel(
            (
                Conv2D(3, 1),
                (Conv2D(2), BatchNorm()),
                "passthrough",
                ("pooled", (same_pool(), ("conv", Conv2D(1, 1)))),
            )
        ),
        mixed,
    ),
    "the input and itself": (Residual(["passthrough"], activation="tanh"), lambda parts, X: np.tanh(2 * X)),
    "to vectors": (Parallel([GlobalAvgPool2D(), Dense(3), GlobalMaxPool2D()]), images_to_vectors),
    "nested": (Sequential([("unit", UNIT), ("last", Conv2D(1, activation="relu"))]), deep),
}


@pytest.mark.parametrize("part", ["trained", "predicted"])
@pytest.mark.parametrize("name", list(RESULTS))
def test_results_are_those_of_the_parts_put_together_by_hand(name, part):
    block, by_hand = RESULTS[name]
    X = samples(VECTOR if name == "vectors" else IMAGE)
    network = build([("block", block)], X.shape[1:])
    expected = by_hand(Parts(network, part), X).reshape(N_SAMPLES, -1)
    assert_close(getattr(Run(network, X), part), expected)


# nodes


def describe(nodes):
    """Return nodes as "name: names of inputs -> shape"."""
    return [
        f"{node.name}: {', '.join(nodes[source].name for source in node.inputs)} -> {node.output_shape}"
        for node in nodes[1:]
    ]


@pytest.mark.parametrize("norm", [BatchNorm(0.5), GroupNorm(3), LayerNorm(epsilon=0.1)], ids=repr)
def test_a_projection_is_normalized_as_the_branch_is(norm):
    block = Residual([Conv2D(3, strides=2, activation="relu"), ("norm", norm)], activation="tanh")
    nodes = compile_nodes([("first", Conv2D(2)), ("res1", block)], IMAGE)
    assert describe(nodes)[1:] == [
        "res1__conv2d_1: first -> (3, 2, 3)",
        "res1__conv2d_1_relu: res1__conv2d_1 -> (3, 2, 3)",
        "res1__norm: res1__conv2d_1_relu -> (3, 2, 3)",
        "res1__projection: first -> (3, 2, 3)",
        "res1__projection__norm: res1__projection -> (3, 2, 3)",
        "res1: res1__projection__norm, res1__norm -> (3, 2, 3)",
        "res1_tanh: res1 -> (3, 2, 3)",
    ]
    projection, copy = nodes[5].layer, nodes[6].layer
    assert (projection.kernel_size, projection.use_bias) == (1, False)
    assert copy is not norm
    assert repr(copy) == repr(norm)


CROPPED = Conv2D(2, 5, padding="valid")


@pytest.mark.parametrize(
    ("layers", "input_shape", "strides"),
    [
        ([Conv2D(3, strides=2)], (7, 5, 2), (2, 2)),
        ([Conv2D(3, strides=(1, 3))], (4, 8, 2), (1, 3)),
        ([MaxPool2D((4, 1))], (8, 6, 2), (4, 1)),
        ([MaxPool2D(2, ceil_mode=True)], (7, 5, 2), (2, 2)),
        ([MaxPool2D(3, strides=2, padding="same"), ReLU(), Conv2D(3, strides=(2, 1))], (9, 7, 2), (4, 2)),
        ([ZeroPad2D(2), Conv2D(3, 5, strides=2, padding="valid")], (8, 7, 2), (2, 2)),
        ([Conv2D(2, strides=5)], (1, 4, 2), (5, 5)),
        ([Residual([Conv2D(3, strides=2)]), Conv2D(3, strides=(1, 2))], (8, 8, 2), (2, 4)),
        ([Parallel([Conv2D(3), "passthrough"])], (4, 4, 2), (1, 1)),
        ([EveryOther(), Conv2D(5)], (8, 8, 2), (2, 2)),
        ([Parallel([Conv2D(3, strides=2), CROPPED])], (8, 8, 2), (2, 2)),
        ([Parallel([CROPPED, Conv2D(3, strides=2)])], (8, 8, 2), (2, 2)),
    ],
)
def test_strides_of_the_projection_are_those_of_the_branch(layers, input_shape, strides):
    """Of branches that are joined, the largest; of layers that say nothing, what the shapes suggest."""
    nodes = compile_nodes([("res1", Residual(layers))], input_shape)
    (projection,) = [node.layer for node in nodes if node.name == "res1__projection"]
    assert projection.strides == strides
    assert projection.use_bias


@pytest.mark.parametrize(
    ("layers", "input_shape", "match"),
    [
        ([CROPPED], (8, 8, 1), r"\(8, 8, 1\) into \(4, 4, 2\) .*\(1, 1\).* gives \(8, 8, 2\)"),
        ([Conv2D(2, strides=2, padding="valid")], (9, 8, 1), r"\(4, 3, 2\) .*\(2, 2\).* gives \(5, 4, 2\)"),
        ([Conv2D(2), MaxPool2D()], (7, 6, 1), r"into \(3, 3, 2\) .*\(2, 2\).* gives \(4, 3, 2\)"),
        ([ZeroPad2D(((0, 4), 0)), Conv2D(1, strides=3)], (8, 8, 1), r"into \(4, 3, 1\) .*\(3, 3, 1\)"),
    ],
)
def test_a_branch_that_crops_or_pads_needs_a_projection_of_its_own(layers, input_shape, match):
    """One with strides would lay pixels on each other that belong to different places."""
    with pytest.raises(ValueError, match=match):
        compile_nodes([("res1", Residual(layers))], input_shape)


def test_branches_read_one_node_and_end_side_by_side():
    block = Parallel([Conv2D(3), [Conv2D(1), ReLU()], ("pooled", [same_pool()]), "passthrough", [Tanh()]])
    nodes = compile_nodes([("first", Conv2D(2)), ("mixed", block)], IMAGE)
    assert describe(nodes)[1:] == [
        "mixed__conv2d_1: first -> (5, 4, 3)",
        "mixed__branch_1__conv2d_1: first -> (5, 4, 1)",
        "mixed__branch_1__relu_1: mixed__branch_1__conv2d_1 -> (5, 4, 1)",
        "mixed__pooled__maxpool2d_1: first -> (5, 4, 2)",
        "mixed__branch_2__tanh_1: first -> (5, 4, 2)",
        "mixed: mixed__conv2d_1, mixed__branch_1__relu_1, mixed__pooled__maxpool2d_1, first, "
        "mixed__branch_2__tanh_1 -> (5, 4, 10)",
    ]


def test_a_sequence_is_its_layers_and_one_of_nothing_is_no_node():
    stage = Sequential([Conv2D(2), "passthrough", ("inner", Sequential([ReLU()])), Conv2D(1)])
    nothing = [("a", Sequential(["passthrough"])), ("b", Parallel([["passthrough"]]))]
    assert describe(compile_nodes([*nothing, ("stage", stage), ("next", Flatten())], IMAGE)) == [
        "stage__conv2d_1: input -> (5, 4, 2)",
        "stage__inner__relu_1: stage__conv2d_1 -> (5, 4, 2)",
        "stage__conv2d_2: stage__inner__relu_1 -> (5, 4, 1)",
        "next: stage__conv2d_2 -> (20,)",
    ]


def test_flatten_is_inserted_in_containers_where_images_meet_vectors():
    block = Residual([Dense(4, activation="tanh"), Dense(20)])
    assert describe(compile_nodes([("stage", Sequential([Conv2D(1), ("res", block)]))], IMAGE)) == [
        "stage__conv2d_1: input -> (5, 4, 1)",
        "stage__res_flatten: stage__conv2d_1 -> (20,)",
        "stage__res__dense_1: stage__res_flatten -> (4,)",
        "stage__res__dense_1_tanh: stage__res__dense_1 -> (4,)",
        "stage__res__dense_2: stage__res__dense_1_tanh -> (20,)",
        "stage__res: stage__res_flatten, stage__res__dense_2 -> (20,)",
    ]
    mixed = Parallel([Dense(2), [Conv2D(1), Dense(3)], GlobalAvgPool2D()])
    assert describe(compile_nodes([("mixed", mixed)], IMAGE)) == [
        "mixed__dense_1_flatten: input -> (40,)",
        "mixed__dense_1: mixed__dense_1_flatten -> (2,)",
        "mixed__branch_1__conv2d_1: input -> (5, 4, 1)",
        "mixed__branch_1__dense_1_flatten: mixed__branch_1__conv2d_1 -> (20,)",
        "mixed__branch_1__dense_1: mixed__branch_1__dense_1_flatten -> (3,)",
        "mixed__globalavgpool2d_1: input -> (2,)",
        "mixed: mixed__dense_1, mixed__branch_1__dense_1, mixed__globalavgpool2d_1 -> (7,)",
    ]


def test_one_object_in_several_places_has_weights_of_its_own_in_each():
    block = Residual([Conv2D(2)])
    network = build([("a", block), ("b", block), ("c", Parallel([("d", block), ("e", block)]))], IMAGE)
    assert list(network.params) == ["a__conv2d_1", "b__conv2d_1", "c__d__conv2d_1", "c__e__conv2d_1"]
    assert network.n_params == 4 * (3 * 3 * 2 * 2 + 2)


@each_block
def test_containers_survive_compiling_cloning_and_pickling(name):
    block, input_shape = BLOCKS[name]
    before = joblib.hash(block)
    expected = describe(compile_nodes([("block", block)], input_shape))
    assert joblib.hash(block) == before
    for copy in (clone(block), pickle.loads(pickle.dumps(block))):
        assert repr(copy) == repr(block)
        assert describe(compile_nodes([("block", copy)], input_shape)) == expected


# the estimator

X, Y = make_images(24, (6, 5, 1))


def small_stack():
    return [
        ("res1", Residual([("conv1", Conv2D(2)), BatchNorm(), Dropout(0.2)], activation="relu")),
        (
            "mixed",
            Parallel([[Conv2D(2, 1)], ("pooled", [same_pool(), ("conv", Conv2D(1, 1))]), "passthrough"]),
        ),
        ("head", Sequential([Flatten(), Residual([Dense(4), LayerNorm()])])),
    ]


def test_fit_leaves_the_containers_that_it_was_given():
    layers = small_stack()
    before = joblib.hash(layers)
    net = make_classifier(layers).fit(X, Y)
    net.predict(X)
    net.partial_fit(X, Y)
    assert joblib.hash(layers) == before
    assert net.layers is layers


def test_the_layers_that_containers_stand_for_train_to_the_same_bits():
    """A sequence changes the names alone, and with them nothing that is drawn."""
    layers = [("conv", Conv2D(2)), ("norm", BatchNorm()), ("drop", Dropout(0.2)), ("dense", Dense(3))]
    with_containers = [("stage", Sequential([*layers[:3], ("flat", Flatten())])), layers[3]]
    net, other = (make_classifier(stack).fit(X, Y) for stack in (layers, with_containers))
    assert_array_equal(net.predict_proba(X), other.predict_proba(X))
    assert net.loss_curve_ == other.loss_curve_


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("res1__activation", None),
        ("res1__projection", Conv2D(2, 1)),
        ("res1__dropout_1", "passthrough"),
        ("mixed__pooled__maxpool2d_1__pool_size", 5),
        ("head__residual_1__dense_1__units", 5),
    ],
)
def test_a_layer_changed_inside_of_a_container_ends_a_warm_start(name, value):
    net = make_classifier(small_stack(), warm_start=True, max_iter=1).fit(X, Y)
    net.set_params(**{name: value})
    weights = net.network_.vector.copy()
    with pytest.raises(ValueError, match=f"layer '{name.partition('__')[0]}"):
        net.fit(X, Y)
    assert_array_equal(net.network_.vector, weights)


def test_neither_names_that_stick_nor_how_estimators_are_shown_end_a_warm_start():
    """The same layers in other words: pairs in place of bare layers, a sequence in place of a list."""
    net = make_classifier(small_stack(), warm_start=True, max_iter=1).fit(X, Y)
    params = net.get_params()
    same = [name for name in params if name.endswith(("filters", "rate", "units", "pool_size"))]
    net.set_params(**{name: params[name] for name in same}).fit(X, Y)
    with config_context(print_changed_only=False):
        net.fit(X, Y)
    assert net.t_ == 3 * len(X)


# wrong use

WRONG = [
    # what containers hold
    (Sequential([]), "'a'", r"layers .* got \[\]"),
    (Residual(()), "'a'", r"layers .* got \(\)"),
    (Parallel([]), "'a'", r"branches .* got \[\]"),
    (Parallel([Conv2D(2), []]), "'a__branch_1'", r"layers .* got \[\]"),
    (Sequential(Conv2D(2)), "'a'", r"'layers' parameter .*Conv2D\(filters=2\)"),
    (Sequential(Conv2D(n) for n in (2, 3)), "'a'", "cannot be copied.*generator"),
    (Parallel({"b": Conv2D(2)}), "'a'", "'branches' parameter .*'b'"),
    (Residual([Conv2D(2), 3]), "'a'", r"layers\[1\] .* got 3"),
    (Parallel([None, ReLU()]), "'a'", r"branches\[0\] .* got None"),
    (Sequential([Conv2D]), "'a'", r"layers\[0\] .* got .*Conv2D"),
    (Sequential([[ReLU()]]), "'a'", r"layers\[0\] .* got \[ReLU\(\)\]"),
    (Parallel([ReLU(), ("b", [None])]), "'a__b'", r"layers\[0\] .* got None"),
    # projections and activations
    (Residual([Conv2D(2)], projection=Conv2D), "'a'", "'projection' parameter .*'auto'.*Conv2D"),
    (Residual([Conv2D(2)], projection="skip"), "'a'", "'projection' parameter .*'skip'"),
    (Residual([Conv2D(2)], projection=[]), "'a__projection'", r"layers .* got \[\]"),
    (Residual([Conv2D(2)], projection=[Conv2D(2), 3]), "'a__projection'", r"layers\[1\] .* got 3"),
    (Residual([Conv2D(2)], projection=("b", Conv2D(2))), "'a'", r"projection .* got the pair \('b'"),
    (Residual([Conv2D(2)], activation="rely"), "'a'", "activation .*'relu'.* got 'rely'"),
    (Residual([Conv2D(2)], activation=Flatten()), "'a'", r"activation .* got Flatten\(\)"),
    # hyperparameters of layers inside
    (Sequential([("b", Residual([("c", Conv2D(2, 0))]))]), "'a__b__c'", "kernel_size .* got 0"),
    (Parallel([[Flatten(), Dense(0)], GlobalAvgPool2D()]), "'a__branch_1__dense_1'", "units.* 0"),
    (Residual([Conv2D(2)], projection=Conv2D(0)), "'a__projection'", "filters .* got 0"),
    (Parallel([Conv2D(2, activation="rely")]), "'a__conv2d_1'", "activation .* got 'rely'"),
    # shapes
    (Sequential([ReLU(), Conv2D(2, 7, padding="valid")]), "'a__conv2d_1'", r"\(7, 7\).*\(6, 5\)"),
    (Sequential([Flatten(), ("b", Sequential([Conv2D(2)]))]), "'a__b__conv2d_1'", r"\(30,\)"),
    (Residual([Flatten(), Dense(4)]), "'a'", r"\(6, 5, 1\) into \(4,\).*vectors"),
    (Residual([Conv2D(2)], projection="passthrough"), "'a'", r"\(6, 5, 1\) .*\(6, 5, 2\)"),
    (Residual([Conv2D(2)], projection=Conv2D(3)), "'a'", r"\(6, 5, 3\) .*\(6, 5, 2\)"),
    (Residual([Conv2D(2)], projection=Dense(2)), "'a'", r"\(2,\) .*\(6, 5, 2\)"),
    (
        Sequential([Flatten(), Residual([Dense(3)], projection=Conv2D(3))]),
        "'a__residual_1__projection'",
        r"expected an image .*\(30,\)",
    ),
    (Parallel([Conv2D(2), MaxPool2D()]), "'a'", r"\(6, 5, 2\), \(3, 2, 1\)"),
    (
        Sequential([("b", Parallel([Conv2D(2), GlobalAvgPool2D(), "passthrough"]))]),
        "'a__b'",
        r"\(6, 5, 2\), \(1,\), \(6, 5, 1\)",
    ),
    # names
    (Residual([("b__c", ReLU())]), "'a'", "'__', got 'b__c'"),
    (Parallel([("", [ReLU()])]), "'a'", "empty .*got ''"),
    (Residual([("projection", ReLU())]), "'a'", "'projection' is the name"),
    (Sequential([("layers", ReLU())]), "'a'", "'layers' is the name"),
    (Parallel([("branches", ReLU())]), "'a'", "'branches' is the name"),
    (Parallel([("passthrough", Conv2D(2))]), "'a'", "'passthrough' is the name"),
    (Parallel([[ReLU()], ("b", [("c", ReLU()), ("c", ReLU())])]), "'a__b'", "unique, got 'c' twice"),
    (Parallel([("branch_1", ReLU()), [Tanh()]]), "'a'", "unique, got 'branch_1' twice"),
    (
        Residual([("b", Conv2D(2, activation="relu")), ("b_relu", ReLU())]),
        "'a__b_relu'",
        "got 'a__b_relu' twice",
    ),
]


@pytest.fixture(scope="module")
def fitted_net():
    return make_classifier([("a", Residual([Conv2D(2)]))], max_iter=1).fit(X, Y)


@pytest.mark.parametrize(("block", "name", "pattern"), WRONG, ids=[row[2] for row in WRONG])
def test_wrong_use_is_refused_with_the_name_of_the_innermost_layer(block, name, pattern, fitted_net):
    """By a ValueError at fit that says what to change, and leaves the estimator as it was."""
    net = deepcopy(fitted_net).set_params(layers=[("a", block)])
    attributes = dict(vars(net))
    with pytest.raises(ValueError, match=f"^layer {name}, ") as caught:
        net.fit(X, Y)
    message = str(caught.value)
    assert re.search(pattern, message)
    assert message.count("layer '") == 1
    assert message.count(" on input of shape ") <= 1
    assert vars(net).keys() == attributes.keys()
    assert all(vars(net)[key] is value for key, value in attributes.items())


def test_long_containers_are_refused_with_a_message_that_can_be_read():
    layers = [Conv2D(2, activation="relu") for _ in range(100)]
    with pytest.raises(ValueError, match="^layer 'a', .*padding='same'") as caught:
        make_classifier([("a", Residual([*layers, CROPPED]))]).fit(X, Y)
    assert len(str(caught.value)) < 2000
