"""Containers: the nodes they become, gradients, results against their parts alone, and wrong use."""

import pickle
import re
from copy import deepcopy

import joblib
import numpy as np
import pytest
from cuts import FINE, PAIRS
from gradients import error_away_from_kinks
from numpy.testing import assert_array_equal
from reference import assert_close
from seeds import SEED, generator
from sklearn import config_context
from sklearn.base import clone

from skcnn import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    ConvNetClassifier,
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
    Softmax,
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


def bottleneck(last):
    return [Conv2D(2, 1, activation="tanh"), Conv2D(4, strides=2, use_bias=False), last]


BLOCKS = {
    "sum": (Residual([Conv2D(2, activation="tanh"), Conv2D(2)]), IMAGE),
    "sum of nothing but pooling": (Residual([same_pool()]), IMAGE),
    "sum and activation": (Residual([Conv2D(2), BatchNorm()], activation="relu"), IMAGE),
    "sum and trained activation": (Residual([Conv2D(2)], activation="prelu"), IMAGE),
    "sum and activation as a layer": (Residual([Conv2D(2)], activation=PReLU(0.7)), IMAGE),
    "more channels": (Residual([Conv2D(3)]), IMAGE),
    "strides": (Residual([Conv2D(2, strides=2)]), IMAGE),
    "strides along one axis": (Residual([Conv2D(2, strides=(1, 3))], activation="tanh"), (5, 7, 2)),
    "pooling in the branch": (Residual([Conv2D(3), MaxPool2D(padding="same")]), (7, 6, 2)),
    "strides of several layers": (
        Residual(
            [AvgPool2D(2, padding="same"), Tanh(), Parallel([Conv2D(3, strides=(1, 2)), MaxPool2D((1, 2))])]
        ),
        (5, 8, 2),
    ),
    "activation first": (Residual([BatchNorm(), Tanh(), Conv2D(2), BatchNorm(), Tanh(), Conv2D(2)]), IMAGE),
    "batch norm last": (Residual(bottleneck(BatchNorm()), activation="relu"), IMAGE),
    "group norm last": (Residual(bottleneck(GroupNorm(2))), IMAGE),
    "layer norm last": (Residual(bottleneck(LayerNorm()), activation="tanh"), IMAGE),
    "own projection": (Residual([Conv2D(3, 5)], projection=Conv2D(3, 3, activation="tanh")), IMAGE),
    "own projection, many layers": (
        Residual([Conv2D(3, strides=2)], projection=Sequential([AvgPool2D(2, ceil_mode=True), Conv2D(3, 1)])),
        IMAGE,
    ),
    "list of layers as projection": (
        Residual(
            [Conv2D(3, 2, padding="valid"), BatchNorm()],
            projection=[MaxPool2D(2, strides=1), ("c", Conv2D(3, 1))],
        ),
        IMAGE,
    ),
    "projection switched off": (Residual([Conv2D(2)], projection="passthrough", activation="tanh"), IMAGE),
    "all layers of a projection switched off": (Residual([Conv2D(2)], projection=("passthrough",)), IMAGE),
    "own projection where none is needed": (Residual([Conv2D(2)], projection=Conv2D(2, 1)), IMAGE),
    "own projection to vectors": (
        Residual([Flatten(), Dense(3)], projection=Sequential([GlobalAvgPool2D(), Dense(3)])),
        IMAGE,
    ),
    "random branch": (Residual([Dropout(0.3), Conv2D(2), Dropout(0.5)]), IMAGE),
    "vectors": (Residual([Dense(4, activation="tanh"), Dense(6)]), VECTOR),
    "vectors of another length": (Residual([Dense(4, activation="tanh"), BatchNorm()]), VECTOR),
    "normalized vectors": (Residual([Dense(4), LayerNorm()], activation="sigmoid"), VECTOR),
    "layers side by side": (Parallel([Conv2D(3, 1), Conv2D(1, 3), same_pool()]), IMAGE),
    "lists side by side": (
        Parallel([[Conv2D(2, 1), Conv2D(3, activation="tanh")], [same_pool(), Conv2D(2, 1)]]),
        IMAGE,
    ),
    "named branches": (Parallel([("wide", Conv2D(2, 5)), ("deep", [Conv2D(2), Tanh(), Conv2D(1)])]), IMAGE),
    "the input between": (Parallel([Conv2D(1), "passthrough", Conv2D(2, 1)]), IMAGE),
    "the input twice": (Parallel(["passthrough", Conv2D(1), "passthrough"]), IMAGE),
    "one branch": (Parallel([[Conv2D(2), Tanh()]]), IMAGE),
    "branches that shrink": (Parallel([Conv2D(2, strides=2), MaxPool2D(2, ceil_mode=True)]), IMAGE),
    "branches to vectors": (Parallel([GlobalAvgPool2D(), [Flatten(), Dense(3)], GlobalMaxPool2D()]), IMAGE),
    "vectors side by side": (Parallel([Dense(2), "passthrough", [Dense(3, activation="tanh")]]), VECTOR),
    "norms in all branches": (
        Parallel([[Conv2D(2), BatchNorm(), Tanh()], [BatchNorm(), Conv2D(1)], BatchNorm()]),
        IMAGE,
    ),
    "sequence": (Sequential([Conv2D(2), BatchNorm(), Tanh(), MaxPool2D(), Flatten(), Dense(3)]), IMAGE),
    "sequence with gaps": (Sequential(["passthrough", Conv2D(2), ("norm", "passthrough"), Tanh()]), IMAGE),
    "sums after sums": (
        Sequential([Residual([Conv2D(2)]), Residual([Conv2D(3)]), Residual([Tanh()])]),
        IMAGE,
    ),
    "dense block": (
        Sequential([Parallel(["passthrough", [BatchNorm(), Tanh(), Conv2D(2)]]) for _ in range(3)]),
        IMAGE,
    ),
    "nested": (
        Residual(
            [
                BatchNorm(),
                Parallel(
                    [
                        Residual([Conv2D(2), BatchNorm()], activation="tanh"),
                        [
                            Sequential([Conv2D(1), Parallel([BatchNorm(), "passthrough"])]),
                            Conv2D(2, strides=1),
                        ],
                        "passthrough",
                    ]
                ),
                Sequential([Residual([Sequential([Conv2D(3), GroupNorm(3)])])]),
            ],
            activation="tanh",
        ),
        IMAGE,
    ),
}

BLOCKS |= {
    "dense after images": (Sequential([Conv2D(2), Tanh(), Dense(3), Dense(2)]), IMAGE),
    "dense after images in a branch": (
        Residual([Conv2D(2, activation="tanh"), Dense(3)], projection=[GlobalAvgPool2D(), Dense(3)]),
        IMAGE,
    ),
    "dense layers on images": (Residual([Dense(3), Tanh(), Dense(2)], projection=Dense(2)), IMAGE),
    "dense projection of images": (Residual([GlobalAvgPool2D()], projection=Dense(2)), IMAGE),
    "dense branches beside others": (
        Parallel([Dense(2), GlobalAvgPool2D(), [Conv2D(1), Dense(3)], Residual([Dense(3)])]),
        IMAGE,
    ),
    "containers of dense layers after images": (
        Sequential([Conv2D(2), Sequential(["passthrough"]), Parallel(["passthrough", [Dense(2)]])]),
        IMAGE,
    ),
}
"""Images that meet layers of vectors."""

BLOCKS |= {
    "sum of the input and itself": (Residual(["passthrough"]), IMAGE),
    "sum of vectors and themselves": (
        Residual([("a", "passthrough"), "passthrough"], activation="tanh"),
        VECTOR,
    ),
    "sequence of nothing": (Sequential(["passthrough"]), IMAGE),
    "nothing side by side": (Parallel(["passthrough", "passthrough"]), IMAGE),
    "one branch of nothing": (Parallel([["passthrough"]]), IMAGE),
    "branches of nothing": (Parallel([["passthrough"], Conv2D(2), ("off", ["passthrough"])]), IMAGE),
    "sums of nothing within": (
        Residual([Parallel([Residual(["passthrough"])]), Sequential(["passthrough"]), BatchNorm()]),
        IMAGE,
    ),
}
"""Branches whose layers are all switched off."""

RANDOM = ("random branch",)

each_block = pytest.mark.parametrize("name", list(BLOCKS))
each_sure_block = pytest.mark.parametrize("name", [name for name in BLOCKS if name not in RANDOM])


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

    def __init__(self, network, X, *, weights=WEIGHTS, input_gradient=True, cut=None):
        def read(rows, out):
            np.copyto(out, X[rows].transpose(1, 2, 0, 3) if X.ndim == 4 else X[rows])

        numbers = np.arange(N_SAMPLES)[:, np.newaxis]
        batch = Batch(N_SAMPLES, read, numbers, np.ones(N_SAMPLES), weights)
        recorder = Recorder(network.n_outputs)
        with worker_pool(cut) as pool:
            executor = Executor(network, pool, training=True, seed=SEED, input_gradient=input_gradient)
            self.loss = executor.gradients(batch, recorder)
            self.gradient = executor.reduce().copy()
            self.dX = executor.input_gradient() if input_gradient else None
            self.buffers = {where: np.copy(value) for where, value in executor.buffers.items()}
            self.trained = recorder.scores
            self.predicted = np.full_like(recorder.scores, np.nan, dtype=network.dtype)
            Executor(network, pool, training=False).predict(batch, self.predicted)

    def arrays(self):
        """Return everything by name, to compare two runs."""
        named = {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return named | self.buffers | {"loss": np.array([self.loss])}


def run(name, **options):
    block, input_shape = BLOCKS[name]
    return Run(build([("block", block)], input_shape), samples(input_shape), **options)


# gradients


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal weights", "unequal weights"])
@each_block
def test_gradients_are_right(name, weights):
    """In several shards and chunks."""
    options = {"n_samples": N_SAMPLES, "weights": weights, "random_state": SEED}
    assert error_away_from_kinks(*BLOCKS[name], **options) < 1e-7


@each_block
def test_gradients_are_right_after_and_before_other_layers(name):
    block, input_shape = BLOCKS[name]
    first = Tanh() if input_shape == VECTOR else Conv2D(2, activation="tanh")
    layers = [first, block, BatchNorm(), Tanh(), ("end", Residual([BatchNorm(), Tanh()]))]
    options = {"n_samples": N_SAMPLES, "weights": WEIGHTS, "random_state": SEED}
    assert error_away_from_kinks(Sequential(layers), input_shape, **options) < 1e-7


@each_block
def test_parameter_gradients_do_not_need_that_of_the_input(name):
    """A block at the start of a network, whose nodes that read the images get None to write it to."""
    with_dX, without_dX = run(name), run(name, input_gradient=False)
    assert without_dX.loss == with_dX.loss
    assert_array_equal(without_dX.gradient, with_dX.gradient)


# bits, shards and chunks


@each_block
def test_threads_change_no_bit(name, monkeypatch):
    """Fewer threads than shards and more; shards of two rows, chunks of one or two."""
    runs = []
    for n_threads in (1, 2, 5):
        monkeypatch.setenv("SKCNN_NUM_THREADS", str(n_threads))
        runs.append(run(name, cut=PAIRS).arrays())
    for other in runs[1:]:
        assert other.keys() == runs[0].keys()
        for where, value in runs[0].items():
            assert_array_equal(other[where], value, err_msg=str(where))


@each_sure_block
def test_shards_and_chunks_change_nothing(name):
    """But the order of sums; statistics of norms in branches are those of the whole minibatch."""
    whole, pieces = run(name).arrays(), run(name, cut=PAIRS).arrays()
    assert pieces.keys() == whole.keys()
    for where, value in whole.items():
        np.testing.assert_allclose(
            pieces[where],
            value,
            rtol=0,
            atol=1e-12 * max(1, np.abs(value).max(initial=0)),
            err_msg=str(where),
        )


@each_sure_block
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
        np.testing.assert_allclose(value, expected, rtol=0, atol=1e-4 * np.abs(expected).max(initial=1))


# results against those of the parts alone


class Parts:
    """Runs layers with the parameters that they have in a larger network, each list on its own."""

    def __init__(self, network, part):
        self.network, self.part = network, part

    def __call__(self, X, *blocks):
        """Return the result for samples in the layout of users; layers have their full names."""
        alone = build(list(blocks), X.shape[1:])
        for name, values in alone.params.items():
            for key, value in values.items():
                np.copyto(value, self.network.params[name][key])
        shape = compile_nodes(list(blocks), X.shape[1:])[-1].output_shape
        return getattr(Run(alone, X), self.part).reshape(N_SAMPLES, *shape)


def beside(*results):
    return np.concatenate(results, axis=-1)


def strided(parts, X):
    branch = parts(X, ("block__conv2d_1", Conv2D(3, strides=2)))
    return branch + parts(X, ("block__projection", Conv2D(3, 1, strides=2)))


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
    vectors = parts(X, ("block__branch_1__flatten_1", Flatten()), ("block__branch_1__dense_1", Dense(3)))
    return beside(X.mean(axis=(1, 2)), vectors, X.max(axis=(1, 2)))


RESULTS = {
    "sum": (Residual([Conv2D(2)]), IMAGE, lambda parts, X: X + parts(X, ("block__conv2d_1", Conv2D(2)))),
    "strides": (Residual([Conv2D(3, strides=2)]), (5, 6, 2), strided),
    "normalized projection": (
        Residual(
            [Conv2D(4, activation="tanh"), Conv2D(3, strides=(2, 1), use_bias=False), BatchNorm(epsilon=0.1)],
            activation="relu",
        ),
        IMAGE,
        strided_and_normalized,
    ),
    "own projection": (
        Residual([Conv2D(2)], projection=Sequential([Tanh(), ("conv", Conv2D(2, 5))])),
        IMAGE,
        lambda parts, X: (
            parts(X, ("block__conv2d_1", Conv2D(2)))
            + parts(np.tanh(X), ("block__projection__conv", Conv2D(2, 5)))
        ),
    ),
    "list of layers as projection": (
        Residual([Conv2D(2)], projection=[Tanh(), ("conv", Conv2D(2, 5))]),
        IMAGE,
        lambda parts, X: (
            parts(X, ("block__conv2d_1", Conv2D(2)))
            + parts(np.tanh(X), ("block__projection__conv", Conv2D(2, 5)))
        ),
    ),
    "vectors": (Residual([Dense(4, use_bias=False), LayerNorm()], activation="tanh"), VECTOR, of_vectors),
    "side by side": (
        Parallel(
            [
                Conv2D(3, 1),
                [Conv2D(2), BatchNorm()],
                "passthrough",
                ("pooled", [same_pool(), ("conv", Conv2D(1, 1))]),
            ]
        ),
        IMAGE,
        mixed,
    ),
    "sum of the input and itself": (
        Residual(["passthrough"], activation="tanh"),
        IMAGE,
        lambda parts, X: np.tanh(2 * X),
    ),
    "dense branches of images": (
        Parallel([Dense(2), GlobalAvgPool2D()]),
        IMAGE,
        lambda parts, X: beside(
            parts(X.reshape(N_SAMPLES, -1), ("block__dense_1", Dense(2))), X.mean(axis=(1, 2))
        ),
    ),
    "nothing": (
        Parallel([Sequential(["passthrough"]), ["passthrough"]]),
        VECTOR,
        lambda parts, X: beside(X, X),
    ),
    "vectors side by side": (
        Parallel(["passthrough", Tanh(), "passthrough"]),
        VECTOR,
        lambda parts, X: beside(X, np.tanh(X), X),
    ),
    "images to vectors": (
        Parallel([GlobalAvgPool2D(), [Flatten(), Dense(3)], GlobalMaxPool2D()]),
        IMAGE,
        images_to_vectors,
    ),
    "sequence": (
        Sequential([("conv", Conv2D(2)), ("norm", "passthrough"), ("activation", Tanh())]),
        IMAGE,
        lambda parts, X: np.tanh(parts(X, ("block__conv", Conv2D(2)))),
    ),
    "nested": (
        Sequential(
            [
                (
                    "unit",
                    Sequential(
                        [
                            Parallel([Residual([Conv2D(2)], activation="tanh"), [BatchNorm()]]),
                            Residual([("inner", Conv2D(4))]),
                        ]
                    ),
                ),
                ("last", Conv2D(1, activation="relu")),
            ]
        ),
        IMAGE,
        deep,
    ),
}


@pytest.mark.parametrize("part", ["trained", "predicted"])
@pytest.mark.parametrize("name", list(RESULTS))
def test_results_are_those_of_the_parts_put_together_by_hand(name, part):
    block, input_shape, by_hand = RESULTS[name]
    network = build([("block", block)], input_shape)
    X = samples(input_shape)
    expected = by_hand(Parts(network, part), X).reshape(N_SAMPLES, -1)
    assert_close(getattr(Run(network, X), part), expected)


# nodes


def describe(nodes):
    """Return nodes as "name: names of inputs -> shape"."""
    return [
        f"{node.name}: {', '.join(nodes[source].name for source in node.inputs)} -> {node.output_shape}"
        for node in nodes[1:]
    ]


def test_a_sum_of_equal_shapes_needs_no_projection():
    nodes = compile_nodes([("res1", Residual([Conv2D(2), ReLU(), Conv2D(2)]))], IMAGE)
    assert describe(nodes) == [
        "res1__conv2d_1: input -> (5, 4, 2)",
        "res1__relu_1: res1__conv2d_1 -> (5, 4, 2)",
        "res1__conv2d_2: res1__relu_1 -> (5, 4, 2)",
        "res1: input, res1__conv2d_2 -> (5, 4, 2)",
    ]


def test_a_projection_is_normalized_as_the_branch_is():
    block = Residual([Conv2D(3, strides=2, activation="relu"), BatchNorm(0.5)], activation="tanh")
    nodes = compile_nodes([("first", Conv2D(2)), ("res1", block)], IMAGE)
    assert describe(nodes)[1:] == [
        "res1__conv2d_1: first -> (3, 2, 3)",
        "res1__conv2d_1_relu: res1__conv2d_1 -> (3, 2, 3)",
        "res1__batchnorm_1: res1__conv2d_1_relu -> (3, 2, 3)",
        "res1__projection: first -> (3, 2, 3)",
        "res1__projection__norm: res1__projection -> (3, 2, 3)",
        "res1: res1__projection__norm, res1__batchnorm_1 -> (3, 2, 3)",
        "res1_tanh: res1 -> (3, 2, 3)",
    ]
    by_name = {node.name: node.layer for node in nodes}
    projection, norm = by_name["res1__projection"], by_name["res1__projection__norm"]
    assert (projection.kernel_size, projection.use_bias) == (1, False)
    assert norm is not block.layers[1]
    assert norm.get_params() == block.layers[1].get_params()


@pytest.mark.parametrize(
    ("layers", "input_shape", "strides"),
    [
        ([Conv2D(3, strides=2)], (8, 8, 2), (2, 2)),
        ([Conv2D(3, strides=2)], (7, 5, 2), (2, 2)),
        ([Conv2D(3, strides=(1, 3))], (4, 8, 2), (1, 3)),
        ([Conv2D(3), MaxPool2D(2)], (8, 6, 2), (2, 2)),
        ([MaxPool2D((4, 1))], (8, 6, 2), (4, 1)),
        ([MaxPool2D(2, ceil_mode=True)], (7, 5, 2), (2, 2)),
        ([MaxPool2D(3, strides=2, padding="same"), ReLU(), Conv2D(3, strides=(2, 1))], (9, 7, 2), (4, 2)),
        ([ZeroPad2D(2), Conv2D(3, 5, strides=2, padding="valid")], (8, 7, 2), (2, 2)),
        ([Conv2D(3)], (1, 1, 2), (1, 1)),
        ([Conv2D(2, strides=5)], (1, 4, 2), (5, 5)),
        ([Conv2D(3, strides=3)], (4, 10, 2), (3, 3)),
        ([Residual([Conv2D(3, strides=2)]), Conv2D(3, strides=(1, 2))], (8, 8, 2), (2, 4)),
        ([Residual([Conv2D(3, strides=2)], projection=Conv2D(3, 1, strides=2))], (8, 8, 2), (2, 2)),
        ([Parallel([Conv2D(3, strides=2), MaxPool2D(2)])], (8, 8, 2), (2, 2)),
        ([Parallel([Conv2D(3), "passthrough"])], (4, 4, 2), (1, 1)),
    ],
)
def test_strides_of_the_projection_are_those_of_the_branch(layers, input_shape, strides):
    nodes = compile_nodes([("res1", Residual(layers))], input_shape)
    projection = next(node for node in nodes if node.name == "res1__projection")
    assert projection.layer.strides == strides
    assert projection.layer.use_bias


@pytest.mark.parametrize(
    ("layers", "input_shape", "messages"),
    [
        ([Conv2D(2, 5, padding="valid")], (8, 8, 1), [r"\(8, 8, 1\) into \(4, 4, 2\) with strides \(1, 1\)"]),
        (
            [Conv2D(2, strides=2, padding="valid")],
            (9, 8, 1),
            [r"\(9, 8, 1\) into \(4, 3, 2\) with strides \(2, 2\)", r"gives \(5, 4, 2\)"],
        ),
        (
            [Conv2D(2), MaxPool2D()],
            (7, 6, 1),
            [r"\(7, 6, 1\) into \(3, 3, 2\) with strides \(2, 2\)", r"gives \(4, 3, 2\)"],
        ),
        ([Conv2D(1, 5, padding="valid")], (8, 8, 1), ["padding='same' in the branch", "as projection"]),
        ([ZeroPad2D(((0, 4), 0)), Conv2D(1, strides=3)], (8, 8, 1), [r"into \(4, 3, 1\)", r"\(3, 3, 1\)"]),
    ],
)
def test_a_branch_that_crops_or_pads_needs_a_projection_of_its_own(layers, input_shape, messages):
    """One with strides would lay pixels on each other that belong to different places."""
    for message in messages:
        with pytest.raises(ValueError, match=message):
            compile_nodes([("res1", Residual(layers))], input_shape)


def test_a_projection_reads_the_first_pixel_of_every_stride():
    """Of columns 0 to 3 with strides of three, 0 and 3."""
    network = build([("block", Residual([Conv2D(1, strides=3)]))], (1, 4, 1))
    for name in ("block__conv2d_1", "block__projection"):
        for value in network.params[name].values():
            value[...] = 0
    network.params["block__projection"]["weight"][...] = 1
    X = samples((1, 4, 1))
    assert_array_equal(Run(network, X).predicted, X[:, 0, ::3, 0])


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


def test_a_sequence_is_its_layers():
    stage = Sequential([Conv2D(2), "passthrough", ("inner", Sequential([ReLU()])), Conv2D(1)])
    assert describe(compile_nodes([("stage", stage), ("next", Flatten())], IMAGE)) == [
        "stage__conv2d_1: input -> (5, 4, 2)",
        "stage__inner__relu_1: stage__conv2d_1 -> (5, 4, 2)",
        "stage__conv2d_2: stage__inner__relu_1 -> (5, 4, 1)",
        "next: stage__conv2d_2 -> (20,)",
    ]


def test_flatten_is_inserted_in_containers_where_images_meet_vectors():
    layers = [
        ("stage", Sequential([Conv2D(1), ("res", Residual([Dense(4, activation="tanh"), Dense(20)]))])),
        ("last", Dense(2)),
    ]
    assert describe(compile_nodes(layers, IMAGE)) == [
        "stage__conv2d_1: input -> (5, 4, 1)",
        "stage__res_flatten: stage__conv2d_1 -> (20,)",
        "stage__res__dense_1: stage__res_flatten -> (4,)",
        "stage__res__dense_1_tanh: stage__res__dense_1 -> (4,)",
        "stage__res__dense_2: stage__res__dense_1_tanh -> (20,)",
        "stage__res: stage__res_flatten, stage__res__dense_2 -> (20,)",
        "last: stage__res -> (2,)",
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


def test_containers_of_nothing_are_no_nodes():
    layers = [("a", Sequential(["passthrough"])), ("b", Parallel([["passthrough"]])), ("c", Tanh())]
    assert describe(compile_nodes(layers, IMAGE)) == ["c: input -> (5, 4, 2)"]


def test_one_object_in_several_places_has_weights_of_its_own_in_each():
    block = Residual([Conv2D(2)])
    network = build([("a", block), ("b", block), ("c", Parallel([("d", block), ("e", block)]))], IMAGE)
    names = ["a__conv2d_1", "b__conv2d_1", "c__d__conv2d_1", "c__e__conv2d_1"]
    assert list(network.params) == names
    assert network.n_params == 4 * (3 * 3 * 2 * 2 + 2)


def test_parameters_have_the_names_of_their_nodes():
    block = Residual([Conv2D(3, strides=2), BatchNorm(), PReLU()], activation="prelu")
    network = build([("res1", block), ("side", Parallel([[Flatten(), Dense(2)], GlobalAvgPool2D()]))], IMAGE)
    assert set(network.params) == {
        "res1__conv2d_1",
        "res1__batchnorm_1",
        "res1__prelu_1",
        "res1__projection",
        "res1_prelu",
        "side__branch_1__dense_1",
    }
    assert network.params["res1__projection"]["weight"].shape == (1, 1, 2, 3)
    assert network.params["side__branch_1__dense_1"]["weight"].shape == (3 * 2 * 3, 2)
    assert {name for name, _ in network.buffers()} == {"res1__batchnorm_1"}


def test_multiply_adds_are_those_of_the_parts():
    """Convolutions of 3 by 3 and of one pixel with stride two, the latter from two channels to three."""
    branch, projection = 3 * 2 * 3 * (9 * 2), 3 * 2 * 3 * 2
    network = build([("res1", Residual([Conv2D(3, strides=2)]))], IMAGE)
    assert network.multiply_adds() == branch + projection
    beside_pooling = Parallel([[Conv2D(3, strides=2)], MaxPool2D(2, ceil_mode=True)])
    assert build([("mixed", beside_pooling)], IMAGE).multiply_adds() == branch


def test_compiling_leaves_containers_as_they_are():
    for block, input_shape in BLOCKS.values():
        before = joblib.hash(block)
        compile_nodes([("block", block)], input_shape)
        assert joblib.hash(block) == before


@each_block
def test_containers_survive_cloning_and_pickling(name):
    block, input_shape = BLOCKS[name]
    expected = describe(compile_nodes([("block", block)], input_shape))
    for copy in (
        clone(block),
        pickle.loads(pickle.dumps(block)),
        type(block)(**block.get_params(deep=False)),
    ):
        assert describe(compile_nodes([("block", copy)], input_shape)) == expected


# the estimator

N_IMAGES = 24
X = generator(0).normal(size=(N_IMAGES, 6, 5, 1))
Y = np.arange(N_IMAGES) % 3
X.setflags(write=False)
Y.setflags(write=False)


def make_net(layers, **params):
    return ConvNetClassifier(layers, **({"max_iter": 2, "batch_size": 8, "random_state": SEED} | params))


def small_stack():
    return [
        ("res1", Residual([("conv1", Conv2D(2)), BatchNorm(), Dropout(0.2)], activation="relu")),
        (
            "mixed",
            Parallel([[Conv2D(2, 1)], ("pooled", [same_pool(), ("conv", Conv2D(1, 1))]), "passthrough"]),
        ),
        ("head", Sequential([Flatten(), Residual([Dense(4), LayerNorm()])])),
    ]


def assert_same_model(net, other):
    """Whatever the layers are called."""
    assert_array_equal(net.network_.vector, other.network_.vector)
    buffers = (net.network_.buffers().values(), other.network_.buffers().values())
    for value, other_value in zip(*buffers, strict=True):
        assert_array_equal(value, other_value)
    assert_array_equal(net.predict_proba(X), other.predict_proba(X))
    assert net.loss_curve_ == other.loss_curve_


def test_containers_train():
    net = make_net(small_stack(), max_iter=30, learning_rate_init=0.02).fit(X, Y)
    assert net.loss_curve_[-1] < 0.5 * net.loss_curve_[0]


def test_fit_leaves_the_containers_that_it_was_given():
    layers = small_stack()
    before = joblib.hash(layers)
    net = make_net(layers).fit(X, Y)
    net.predict(X)
    net.partial_fit(X, Y)
    assert joblib.hash(layers) == before
    assert net.layers is layers


def test_a_pickled_estimator_gives_the_same_bits_and_goes_on_the_same_way():
    net = make_net(small_stack(), warm_start=True).fit(X, Y)
    copy = pickle.loads(pickle.dumps(net))
    assert_same_model(copy, net)
    assert_same_model(copy.fit(X, Y), net.fit(X, Y))


def test_partial_fit_and_warm_start_go_on_as_one_fit_does():
    whole = make_net(small_stack(), max_iter=4).fit(X, Y)
    again = make_net(small_stack(), warm_start=True).fit(X, Y).fit(X, Y)
    assert_array_equal(again.network_.vector, whole.network_.vector)
    parts = make_net(small_stack())
    for _ in range(4):
        parts.partial_fit(X, Y, classes=[0, 1, 2])
    assert_array_equal(parts.network_.vector, whole.network_.vector)


def test_a_network_of_containers_is_the_same_with_any_number_of_threads(cut_work, monkeypatch):
    cut_work(FINE)
    nets = []
    for n_threads in (1, 2, 5):
        monkeypatch.setenv("SKCNN_NUM_THREADS", str(n_threads))
        nets.append(make_net(small_stack()).fit(X, Y))
    for other in nets[1:]:
        assert_same_model(other, nets[0])


def test_the_layers_that_containers_stand_for_train_to_the_same_bits():
    """A sequence changes the names alone, and with them nothing that is drawn."""
    layers = [("conv", Conv2D(2)), ("norm", BatchNorm()), ("drop", Dropout(0.2)), ("dense", Dense(3))]
    with_containers = [("stage", Sequential([*layers[:3], ("flat", Flatten())])), layers[3]]
    net, other = make_net(layers).fit(X, Y), make_net(with_containers).fit(X, Y)
    assert_same_model(net, other)


def large_stack():
    """Return a container of many layers, longer than what the text of an estimator shows."""
    return [("large", Sequential([(f"conv{number}", Conv2D(1, 1)) for number in range(40)]))]


CHANGES = [
    (small_stack, "res1__conv1__filters", 3, "res1"),
    (small_stack, "res1__activation", None, "res1"),
    (small_stack, "res1__batchnorm_1__epsilon", 0.1, "res1"),
    (small_stack, "res1__projection", Conv2D(2, 1), "res1"),
    (small_stack, "res1__dropout_1", "passthrough", "res1"),
    (small_stack, "mixed__branch_1__conv2d_1__use_bias", False, "mixed"),
    (small_stack, "mixed__pooled__maxpool2d_1__pool_size", 5, "mixed"),
    (small_stack, "mixed__passthrough_1", ReLU(), "mixed"),
    (small_stack, "head__residual_1__dense_1__units", 5, "head"),
    *((large_stack, f"large__conv{number}__activation", "relu", "large") for number in (0, 20, 35)),
]


@pytest.mark.parametrize(("stack", "name", "value", "refused"), CHANGES, ids=[row[1] for row in CHANGES])
def test_a_layer_changed_inside_of_a_container_ends_a_warm_start(stack, name, value, refused):
    net = make_net(stack(), warm_start=True, max_iter=1).fit(X, Y)
    net.set_params(**{name: clone(value, safe=False)})
    weights = net.network_.vector.copy()
    with pytest.raises(ValueError, match=f"training cannot go on: layer '{refused}"):
        net.fit(X, Y)
    assert_array_equal(net.network_.vector, weights)
    net.set_params(warm_start=False).fit(X, Y)


@pytest.mark.parametrize("stack", [small_stack, large_stack])
def test_names_that_stick_do_not_end_a_warm_start(stack):
    """The same layers in other words: pairs in place of bare layers, a sequence in place of a list."""
    net = make_net(stack(), warm_start=True, max_iter=1).fit(X, Y)
    params = net.get_params()
    same = [name for name in params if name.endswith(("filters", "rate", "units", "pool_size"))]
    net.set_params(**{name: params[name] for name in same})
    assert net.fit(X, Y).t_ == 2 * N_IMAGES


def test_a_warm_start_does_not_depend_on_how_estimators_are_shown():
    net = make_net(small_stack(), warm_start=True, max_iter=1).fit(X, Y)
    with config_context(print_changed_only=False):
        net.fit(X, Y)
    assert net.t_ == 2 * N_IMAGES


# wrong use


WRONG = {
    # what containers hold
    "empty sequence": (
        ("a", Sequential([])),
        ("'a'", r"layers must hold at least one layer or .passthrough., got \[\]"),
    ),
    "empty branch": (
        ("a", Residual(())),
        ("'a'", r"layers must hold at least one layer or .passthrough., got \(\)"),
    ),
    "no branches": (
        ("a", Parallel([])),
        ("'a'", r"branches must hold at least one layer or .passthrough., got \[\]"),
    ),
    "empty list": (("a", Parallel([Conv2D(2), []])), ("'a__branch_1'", "layers must hold at least one")),
    "a layer for a list": (("a", Sequential(Conv2D(2))), ("'a'", "layers", "list", r"Conv2D\(filters=2\)")),
    "a generator": (
        ("a", Sequential(Conv2D(n) for n in (2, 3))),
        ("'a'", "cannot be copied", "generator"),
    ),
    "a dict": (("a", Parallel({"b": Conv2D(2)})), ("'a'", "'branches' parameter .* 'list'", "'b'")),
    "a number": (("a", Residual([Conv2D(2), 3])), ("'a'", r"layers\[1\] must be a layer", "got 3")),
    "None": (("a", Parallel([None, ReLU()])), ("'a'", r"branches\[0\] must be a layer", "got None")),
    "a class": (("a", Sequential([Conv2D])), ("'a'", r"layers\[0\] must be a layer", "got .*Conv2D")),
    "other text": (("a", Sequential(["skip"])), ("'a'", r"layers\[0\] must be a layer", "got 'skip'")),
    "a list in a sequence": (("a", Sequential([[ReLU()]])), ("'a'", r"layers\[0\]", r"got \[ReLU\(\)\]")),
    "None in a list": (("a", Parallel([ReLU(), ("b", [None])])), ("'a__b'", r"layers\[0\]", "got None")),
    "a number in a branch": (
        ("a", Parallel([("b", (Conv2D(2), 3))])),
        ("'a__b'", r"layers\[1\] must be a layer", "got 3"),
    ),
    "a class for a projection": (
        ("a", Residual([Conv2D(2)], projection=Conv2D)),
        ("'a'", "'projection' parameter", "'auto'"),
    ),
    "other text for a projection": (
        ("a", Residual([Conv2D(2)], projection="skip")),
        ("'a'", "'projection' parameter", "'auto'", "'passthrough'", "'skip'"),
    ),
    "empty projection": (
        ("a", Residual([Conv2D(2)], projection=[])),
        ("'a__projection'", r"layers must hold at least one layer or .passthrough., got \[\]"),
    ),
    "a number in a projection": (
        ("a", Residual([Conv2D(2)], projection=[Conv2D(2), 3])),
        ("'a__projection'", r"layers\[1\] must be a layer", "got 3"),
    ),
    "a pair for a projection": (
        ("a", Residual([Conv2D(2)], projection=("b", Conv2D(2)))),
        ("'a'", r"projection must be a layer or a list of layers, got the pair \('b'", "list of one pair"),
    ),
    "no projection where one is needed": (
        ("a", Residual([Conv2D(2)], projection="passthrough")),
        ("'a'", "must be equal to be added", r"\(6, 5, 1\)", r"\(6, 5, 2\)"),
    ),
    "unknown activation": (
        ("a", Residual([Conv2D(2)], activation="rely")),
        ("'a'", "activation must be", "'relu'", "got 'rely'"),
    ),
    "another layer for an activation": (
        ("a", Residual([Conv2D(2)], activation=Flatten())),
        ("'a'", "activation must be", r"got Flatten\(\)"),
    ),
    # hyperparameters of layers inside
    "kernel of zero": (
        ("a", Sequential([("b", Residual([("c", Conv2D(2, 0))]))])),
        ("'a__b__c'", "kernel_size must be", "got 0"),
    ),
    "no units in a list": (
        ("a", Parallel([[Flatten(), Dense(0)], GlobalAvgPool2D()])),
        ("'a__branch_1__dense_1'", "units", "0"),
    ),
    "projection without filters": (
        ("a", Residual([Conv2D(2)], projection=Conv2D(0))),
        ("'a__projection'", "filters must be", "got 0"),
    ),
    "activation inside": (
        ("a", Parallel([Conv2D(2, activation="rely")])),
        ("'a__conv2d_1'", "activation must be", "got 'rely'"),
    ),
    # shapes
    "kernel too large": (
        ("a", Sequential([ReLU(), Conv2D(2, 7, padding="valid")])),
        ("'a__conv2d_1'", r"\(7, 7\)", r"\(6, 5\)"),
    ),
    "pooling to nothing": (
        ("a", Residual([MaxPool2D(), MaxPool2D(), MaxPool2D()])),
        ("'a__maxpool2d_3'", r"pool_size=\(2, 2\)"),
    ),
    "convolution of vectors": (
        ("a", Sequential([Flatten(), ("b", Sequential([Conv2D(2)]))])),
        ("'a__b__conv2d_1'", "expected an image", r"\(30,\)"),
    ),
    "valid padding": (
        ("a", Residual([Conv2D(2, padding="valid")])),
        ("'a'", r"\(6, 5, 1\) into \(4, 3, 2\)", "padding='same'", "projection"),
    ),
    "branch that grows": (
        ("a", Residual([ZeroPad2D(2)])),
        ("'a'", r"\(6, 5, 1\) into \(10, 9, 1\)", "projection"),
    ),
    "branch that becomes a vector": (
        ("a", Residual([Flatten(), Dense(4)])),
        ("'a'", r"\(6, 5, 1\) into \(4,\)", "does not turn images into vectors", "as projection"),
    ),
    "projection of other channels": (
        ("a", Residual([Conv2D(2)], projection=Conv2D(3))),
        ("'a'", "must be equal to be added", r"\(6, 5, 3\)", r"\(6, 5, 2\)"),
    ),
    "projection of another size": (
        ("a", Residual([Conv2D(2, strides=2)], projection=Conv2D(2))),
        ("'a'", "must be equal to be added", r"\(6, 5, 2\)", r"\(3, 3, 2\)"),
    ),
    "projection that is a vector": (
        ("a", Residual([Conv2D(2)], projection=Sequential([Flatten(), Dense(2)]))),
        ("'a'", "must be equal to be added", r"\(2,\)", r"\(6, 5, 2\)"),
    ),
    "projection that does not fit": (
        ("a", Sequential([Flatten(), Residual([Dense(3)], projection=Conv2D(3))])),
        ("'a__residual_1__projection'", "expected an image", r"\(30,\)"),
    ),
    "branches of different sizes": (
        ("a", Parallel([Conv2D(2), MaxPool2D()])),
        ("'a'", "equal height and width", r"\(6, 5, 2\), \(3, 2, 1\)"),
    ),
    "branches of images and vectors": (
        ("a", Sequential([("b", Parallel([Conv2D(2), GlobalAvgPool2D(), "passthrough"]))])),
        ("'a__b'", r"\(6, 5, 2\), \(1,\), \(6, 5, 1\)"),
    ),
    "vectors and images": (
        ("a", Parallel([[Flatten(), Dense(2)], Conv2D(2)])),
        ("'a'", r"\(2,\), \(6, 5, 2\)"),
    ),
    "layers of images and of vectors": (
        ("a", Parallel([Conv2D(2), Dense(3)])),
        (
            "'a'",
            "branches of images or of vectors",
            r"\(6, 5, 2\), \(3,\)",
            r"with Flatten\(\) or GlobalAvgPool2D\(\)",
        ),
    ),
    "dense layer in an own projection": (
        ("a", Residual([Conv2D(2)], projection=Dense(2))),
        ("'a'", "must be equal to be added", r"\(2,\)", r"\(6, 5, 2\)"),
    ),
    # names
    "two underscores": (("a", Residual([("b__c", ReLU())])), ("'a'", "contain '__', got 'b__c'")),
    "empty name": (("a", Parallel([("", [ReLU()])])), ("'a'", "not be empty")),
    "name of projection": (("a", Residual([("projection", ReLU())])), ("'a'", "'projection' is the name")),
    "name of activation": (("a", Residual([("activation", ReLU())])), ("'a'", "'activation' is the name")),
    "name of layers": (("a", Sequential([("layers", ReLU())])), ("'a'", "'layers' is the name")),
    "name of branches": (("a", Parallel([("branches", ReLU())])), ("'a'", "'branches' is the name")),
    "name twice": (("a", Residual([("b", ReLU()), ("b", Tanh())])), ("'a'", "unique, got 'b' twice")),
    "name twice in a branch": (
        ("a", Parallel([[ReLU()], ("b", [("c", ReLU()), ("c", ReLU())])])),
        ("'a__b'", "unique, got 'c' twice"),
    ),
    "a pair that was meant as a branch": (
        ("a", Parallel([("passthrough", Conv2D(2))])),
        ("'a'", "layer name 'passthrough' is the name of a parameter or reserved"),
    ),
    "made name twice": (
        ("a", Parallel([("branch_1", ReLU()), [Tanh()]])),
        ("'a'", "unique, got 'branch_1' twice"),
    ),
    "name of an inner activation": (
        ("a", Residual([("b", Conv2D(2, activation="relu")), ("b_relu", ReLU())])),
        ("'a__b_relu'", "unique, got 'a__b_relu' twice"),
    ),
    "name of the activation after it": (
        ("a_relu", ReLU()),
        ("a", Residual([ReLU()], activation="relu")),
        ("'a'", "unique, got 'a_relu' twice"),
    ),
    # softmax
    "softmax after a sum": (
        ("a", Residual([Dense(3)], activation="softmax")),
        ("'a_softmax'", "at the end", "leave it out"),
    ),
    "softmax at the end of a sequence": (
        ("a", Sequential([Dense(3), ("b", Softmax())])),
        ("'a__b'", "at the end", "leave it out"),
    ),
}


@pytest.fixture(scope="module")
def fitted_net():
    return make_net([("a", Residual([Conv2D(2)]))], max_iter=1).fit(X, Y)


@pytest.mark.parametrize("name", list(WRONG))
def test_wrong_use_is_refused_with_the_name_of_the_innermost_layer(name, fitted_net):
    """By a ValueError at fit that says what to change, and leaves the estimator as it was."""
    *layers, patterns = WRONG[name]
    for net in (make_net(layers), deepcopy(fitted_net).set_params(layers=layers)):
        attributes = dict(vars(net))
        with pytest.raises(ValueError) as caught:
            net.fit(X, Y)
        message = str(caught.value)
        for pattern in patterns:
            assert re.search(pattern, message), f"{pattern!r} not found in: {message}"
        named = re.match("layer '[^']+'", message)
        assert named, message
        assert message.count(named[0]) == message.count("layer '") == 1
        assert message.count(" on input of shape ") <= 1
        assert vars(net).keys() == attributes.keys()
        assert all(vars(net)[key] is value for key, value in attributes.items())


def test_long_containers_are_refused_with_a_message_that_can_be_read():
    layers = [Conv2D(2, activation="relu") for _ in range(100)]
    with pytest.raises(ValueError, match="^layer 'a', .*a convolution of one pixel") as caught:
        make_net([("a", Residual([*layers, Conv2D(2, padding="valid")]))]).fit(X, Y)
    assert len(str(caught.value)) < 2000


def test_a_layer_of_the_user_inside_of_containers_is_trained():
    class Halve(Layer):
        def forward(self, params, X, unit, *, training, out):
            return np.multiply(X, 0.5, out=out)

        def backward(self, params, dY, unit, *, need_dX, out):
            return np.multiply(dY, 0.5, out=dY)

    block = Residual([Conv2D(2), Halve(), Parallel([Halve(), Conv2D(2)])])
    assert error_away_from_kinks(block, IMAGE, random_state=SEED) < 1e-7


def test_a_branch_may_be_a_tuple_as_well_as_a_list():
    as_lists = Parallel([[Conv2D(2), ReLU()], ("b", [Conv2D(3)])])
    as_tuples = Parallel(((Conv2D(2), ReLU()), ("b", (Conv2D(3),))))
    nodes, other_nodes = (compile_nodes([("a", block)], (4, 4, 1)) for block in (as_lists, as_tuples))
    assert [repr(node) for node in nodes] == [repr(node) for node in other_nodes]


def test_a_branch_is_replaced_by_a_list_and_a_layer_of_it_is_changed_in_one_call():
    block = Parallel([Conv2D(2), ReLU()])
    block.set_params(relu_1=[Conv2D(3), Conv2D(4)], relu_1__conv2d_2__filters=5)
    assert compile_nodes([("a", block)], (4, 4, 1))[-1].output_shape == (4, 4, 2 + 5)


class Halved(Layer):
    """A layer of one's own that says nothing of strides."""

    def output_shape(self, input_shape):
        return input_shape[0] // 2, input_shape[1] // 2, input_shape[2]

    def forward(self, params, X, unit, *, training, out):
        return np.copyto(out, X[::2, ::2])

    def backward(self, params, dY, unit, *, need_dX, out):
        out.fill(0)
        out[::2, ::2] = dY
        return out


@pytest.mark.parametrize(
    "branch",
    [
        [Halved(), Conv2D(5)],
        [Parallel([Conv2D(3, strides=2), Conv2D(2, 5, padding="valid")])],
        [Parallel([Conv2D(2, 5, padding="valid"), Conv2D(3, strides=2)])],
    ],
    ids=["own layer", "strides first", "strides last"],
)
def test_strides_of_a_branch_follow_from_shapes_and_the_largest_of_joined_ones(branch):
    nodes = compile_nodes([("res", Residual(branch))], (8, 8, 2))
    (projection,) = [node.layer for node in nodes if node.name == "res__projection"]
    assert projection.strides == (2, 2)
    assert nodes[-1].output_shape == (4, 4, 5)
