"""The table of a network: its numbers against hand counts, before and after training."""

import re
import tracemalloc
from contextlib import nullcontext
from functools import partial
from html import unescape
from itertools import pairwise

import numpy as np
import pytest
from extras import build, data_frame
from numpy.testing import assert_array_equal
from seeds import SEED
from small_classifiers import make_classifier, make_images

import skcnn
from skcnn import (
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    GlobalAvgPool2D,
    LeakyReLU,
    MaxPool2D,
    Parallel,
    PatchWhitening,
    PReLU,
    ReLU,
    Residual,
    Sequential,
    ZeroPad2D,
)
from skcnn.network.summary import LAYER_WIDTH, NetworkSummary, as_written, size_text

X, Y = make_images(12, (8, 6, 2))

CHAIN = [("conv1", Conv2D(4)), ("norm1", BatchNorm()), ("relu1", ReLU()), MaxPool2D(2), Dense(3)]

BRANCHES = [
    ("conv1", Conv2D(16, activation="relu")),
    ("res1", Residual([("conv1", Conv2D(32, strides=2)), BatchNorm()], activation="relu")),
    ("mixed", Parallel([Conv2D(8, 1), [Conv2D(4, 1), Conv2D(8, 5)], "passthrough"])),
    ("pool", GlobalAvgPool2D()),
]

make_net = partial(make_classifier, max_iter=1)


def images(*shape):
    return np.zeros((2, *shape), np.float32)


# numbers


def test_a_small_convnet_by_hand():
    summary = make_net(CHAIN).summary(images(6, 5, 1), [0, 1])
    expected = [
        # name, layer, reads, output shape, trained, not trained, multiply-adds, bytes
        ("input", None, [], (6, 5, 1), 0, 0, 0, 6 * 5 * 4),
        ("conv1", "Conv2D(4)", ["input"], (6, 5, 4), 9 * 4 + 4, 0, 6 * 5 * 4 * 9, 6 * 5 * 4 * 4),
        # scale and shift; running mean, running variance and the count of updates
        ("norm1", "BatchNorm()", ["conv1"], (6, 5, 4), 4 + 4, 4 + 4 + 1, 6 * 5 * 4, 6 * 5 * 4 * 4),
        ("relu1", "ReLU()", ["norm1"], (6, 5, 4), 0, 0, 0, 6 * 5 * 4 * 4),
        ("maxpool2d_1", "MaxPool2D()", ["relu1"], (3, 2, 4), 0, 0, 0, 3 * 2 * 4 * 4),
        ("flatten", "Flatten()", ["maxpool2d_1"], (24,), 0, 0, 0, 24 * 4),
        ("dense_1", "Dense(3)", ["flatten"], (3,), 24 * 3 + 3, 0, 24 * 3, 3 * 4),
        ("output", "Dense(2)", ["dense_1"], (2,), 3 * 2 + 2, 0, 3 * 2, 2 * 4),
    ]
    assert [tuple(record.values()) for record in summary.records] == expected
    assert summary.totals == {
        "trained": 40 + 8 + 75 + 8,
        "not_trained": 9,
        "multiply_adds": 1080 + 120 + 72 + 6,
        "activation_bytes": 120 + 480 + 480 + 480 + 96 + 96 + 12 + 8,
    }
    assert (summary.dtype, summary.notes) == ("float32", ())


def test_what_is_not_the_row_before_is_read_by_name():
    """Names begin with that of the container."""
    records = make_net(BRANCHES).summary(images(8, 8, 1), [0, 1]).records
    reads = {record["name"]: record["reads"] for record in records}
    names = [(before["name"], record["name"]) for before, record in pairwise(records)]
    assert {name: reads[name] for before, name in names if reads[name] != [before]} == {
        "res1__projection": ["conv1_relu"],
        "res1": ["res1__projection__norm", "res1__batchnorm_1"],
        "mixed__branch_1__conv2d_1": ["res1_relu"],
        "mixed": ["mixed__conv2d_1", "mixed__branch_1__conv2d_2", "res1_relu"],
    }


# before and after training


class Wider(Dense):
    """Has one more parameter than the class that it derives from, and does not tell its shape apart."""

    constant_params = ("table",)

    def init_params(self, input_shape, *, activation, dtype, rng):
        params = super().init_params(input_shape, activation=activation, dtype=dtype, rng=rng)
        return params | {"table": rng.random((7, 2)).astype(dtype)}


STACKS = {
    "compact": None,
    "none": [],
    "branches": BRANCHES,
    "not all trained": [PatchWhitening(), DepthwiseConv2D(activation=LeakyReLU(0.2)), PReLU()],
    "sequence": [("stage", Sequential([ZeroPad2D(), Conv2D(2, groups=2)])), ("norm1", "passthrough")],
    "own class": [Wider(5), Dropout(0.3)],
}


@pytest.mark.parametrize("layers", STACKS.values(), ids=STACKS)
def test_the_planned_network_is_the_one_that_fit_builds(layers):
    net = make_net(layers)
    planned = net.summary(X, Y)
    fitted = net.fit(X, Y)
    assert fitted.summary() == fitted.summary(X, Y) == fitted.summary(y=Y) == planned
    assert planned.totals["trained"] == fitted.n_params_
    assert planned.totals["multiply_adds"] == fitted.network_.multiply_adds()
    arrays = [value for params in fitted.network_.params.values() for value in params.values()]
    assert planned.totals["trained"] + planned.totals["not_trained"] == sum(map(np.size, arrays))
    assert [record["name"] for record in planned.records] == [node.name for node in fitted.network_.nodes]


@pytest.mark.parametrize(
    ("image_shape", "data_format"), [((8, 6), "channels_last"), ((2, 8, 6), "channels_first")]
)
def test_image_shape_stands_for_images(image_shape, data_format):
    net = make_net(image_shape=image_shape, data_format=data_format, dtype="float32")
    summary = net.summary(y=[0, 1])
    assert summary.records[0]["output_shape"][:2] == (8, 6)
    for given in (image_shape, (np.prod(image_shape),)):
        assert net.summary(images(*given), [0, 1]) == summary


def test_without_images_float32_is_assumed():
    summary = make_net(image_shape=(8, 6)).summary(y=Y)
    assert summary.dtype == "float32"
    assert "float64" in summary.notes[0] and len(summary.notes) == 1
    double = make_net(image_shape=(8, 6), dtype="float64").summary(y=Y)
    assert (double.dtype, double.notes) == ("float64", ())
    assert double.totals["activation_bytes"] == 2 * summary.totals["activation_bytes"]


def test_without_labels_the_output_layer_is_unknown():
    """It is left out of the totals, and its share a class is told."""
    known, unknown = make_net(CHAIN).summary(X, Y), make_net(CHAIN).summary(X)
    assert unknown.records[:-1] == known.records[:-1]
    keys = ("output_shape", "trained", "not_trained", "multiply_adds", "activation_bytes")
    told = {"name": "output", "layer": "Dense(?)", "reads": ["dense_1"]}
    assert unknown.records[-1] == told | dict.fromkeys(keys)
    for key, total in unknown.totals.items():
        assert total == known.totals[key] - known.records[-1][key]
    (note,) = unknown.notes
    per_class = [int(number) for number in re.findall(r"\d+", note)]
    assert per_class == [known.records[-1]["trained"] / 3, known.records[-1]["multiply_adds"] / 3]
    output, _, total = str(unknown).split("\n\n")[0].splitlines()[-3:]
    assert output.split() == ["output", "Dense(?)", *"?????"]
    assert total.split()[1:4] == [f"{unknown.totals[key]:,}" for key in list(unknown.totals)[:3]]


# what stays as it is


def state_of(net):
    return {name: repr(value) for name, value in vars(net).items()}


def make_frame():
    return data_frame(X.reshape(len(X), -1), columns=[f"pixel{index}" for index in range(8 * 6 * 2)])


@pytest.mark.parametrize(
    ("layers", "arguments", "error"),
    [
        (CHAIN, lambda: (make_frame(), Y), None),
        (CHAIN, (), None),
        (CHAIN, lambda: (make_frame(), Y[:3]), ValueError),
        ([Dense(-1)], lambda: (make_frame(), Y), ValueError),
        ([Conv2D(2, 9, padding=0)], (), ValueError),
    ],
    ids=["data frame", "nothing", "too few labels", "wrong parameter of a layer", "too small images"],
)
def test_nothing_is_set_on_the_estimator(layers, arguments, error):
    """Not even the names of features, which the check of images leaves behind."""
    net = make_net(layers, image_shape=(8, 6, 2))
    before = state_of(net)
    with pytest.raises(error) if error else nullcontext():
        net.summary(*build(arguments))
    assert state_of(net) == before


def test_no_random_number_is_drawn():
    random_state = np.random.RandomState(SEED)
    make_net(BRANCHES, random_state=random_state).summary(X, Y)
    assert random_state.randint(2**31) == np.random.RandomState(SEED).randint(2**31)


def test_the_summary_and_a_fitted_network_leave_each_other_alone():
    net = make_net(CHAIN).fit(X, Y)
    before, scores = state_of(net), net.decision_function(X)
    net.summary(X, Y).records[1].clear()
    assert state_of(net) == before
    assert_array_equal(net.decision_function(X), scores)
    net.set_params(conv1__filters=9, alpha=-1.0, image_shape="nonsense")  # which is for another fit
    assert net.summary() == make_net(CHAIN).summary(X, Y)


def test_a_network_without_memory_for_it_is_summarised():
    """Its weights would take terabytes."""
    layers = [Conv2D(10**5), PReLU(), Conv2D(10**5, activation="prelu")]
    layers += [Residual([("conv1", Conv2D(10**5)), ("conv2", Conv2D(10**6)), BatchNorm()])]
    layers += [DepthwiseConv2D(depth_multiplier=10**5), GlobalAvgPool2D(), Dense(10**6), BatchNorm()]
    tracemalloc.start()
    summary = make_net(layers, image_shape=(64, 64, 3)).summary()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert summary.totals["trained"] > 10**16
    assert peak < 10**6


def test_a_layer_that_makes_parameters_to_tell_their_shapes_is_named_without_memory():
    class Large(Dense):
        def init_params(self, input_shape, *, activation, dtype, rng):
            raise MemoryError("no memory for so many weights")

    with pytest.raises(MemoryError, match=r"layer 'large_1', Large\(units=9\): no memory"):
        make_net([Large(9)], image_shape=(8, 8)).summary()


# errors


@pytest.mark.parametrize(
    ("params", "given", "labels"),
    [
        ({"alpha": -1.0}, X, Y),
        ({"layers": [Conv2D(2, 20, padding="valid")]}, X, Y),
        ({"layers": [("a", Conv2D(2)), ("a", Conv2D(2))]}, X, Y),
        ({"image_shape": (3, 3)}, X, Y),
        ({"augmentation": ["nonsense"]}, X, Y),
        ({"tta": [3]}, X, Y),
        ({"solver": "adamw", "learning_rate_init": 2.0, "alpha": 1.0}, X, Y),
        ({}, "nonsense", Y),
        ({}, np.full_like(X, np.nan), Y),
        ({}, X, Y[:-1]),
        ({}, X, np.zeros(len(X))),
    ],
)
def test_parameters_and_data_are_refused_as_by_fit(params, given, labels):
    with pytest.raises(ValueError) as by_fit:
        make_net(**params).fit(given, labels)
    with pytest.raises(ValueError) as by_summary:
        make_net(**params).summary(given, labels)
    assert type(by_summary.value) is type(by_fit.value)
    assert str(by_summary.value) == str(by_fit.value)


def test_without_a_shape_the_message_says_what_to_give():
    with pytest.raises(ValueError, match="image_shape"):
        make_net().summary(y=[0, 1])


@pytest.mark.parametrize("labels", ["cat", [[0, 2], [1, 0]], [0.5, 1.5], [0, 0]])
def test_labels_alone_are_checked(labels):
    with pytest.raises(ValueError, match="y|class"):
        make_net(image_shape=(8, 8)).summary(y=labels)


def test_after_fit_images_and_labels_must_be_like_those_of_fit():
    net = make_net(CHAIN).fit(X, Y)
    for given, labels, message in (
        (X[:, :4], None, "96 features"),
        (X.transpose(0, 3, 1, 2), None, "layout"),
        (X, np.where(Y == 2, 7, Y), r"\[7\]"),
        (X, Y[1:], r"\[12, 11\]"),
    ):
        with pytest.raises(ValueError, match=message):
            net.summary(given, labels)
    assert net.summary(X.reshape(len(X), -1)[:1], [1]) == net.summary()


# the table


PRINTED = """\
name       layer          reads            output shape  trained  not trained  multiply-adds  activation
---------  -------------  ---------------  ------------  -------  -----------  -------------  ----------
input                                      (20, 20, 1)         0            0              0      1.6 kB
wide       Conv2D(5, 1)                    (20, 20, 5)        10            0          2,000      8.0 kB
res__same  Dropout(0.2)                    (20, 20, 5)         0            0              0      8.0 kB
res        Add()          wide, res__same  (20, 20, 5)         0            0              0      8.0 kB
pool       MaxPool2D(20)                   (1, 1, 5)           0            0              0        20 B
flatten    Flatten()                       (5,)                0            0              0        20 B
output     Dense(2)                        (2,)               12            0             10         8 B
---------  -------------  ---------------  ------------  -------  -----------  -------------  ----------
total                                                         22            0          2,010     25.6 kB"""


def test_the_printed_table():
    layers = [("wide", Conv2D(5, 1)), ("res", Residual([("same", Dropout(0.2))]))]
    summary = make_net([*layers, ("pool", MaxPool2D(20))]).summary(images(20, 20, 1), [0, 1])
    table, legend = str(summary).split("\n\n")
    assert table == PRINTED
    assert "float32" in legend
    assert repr(summary) == str(summary)
    assert "reads" not in str(make_net(CHAIN).summary(X, Y))  # always the row before


def test_long_layers_are_cut_in_the_table_alone():
    layer = Conv2D(2, 3, strides=(1, 1), padding=((1, 1), (1, 1)), activation="relu", use_bias=False)
    summary = make_net([layer]).summary(X, Y)
    written = summary.records[1]["layer"]
    shown = "strides=(1, 1), padding=((1, 1), (1, 1)), activation='relu', use_bias=False"
    assert written == f"Conv2D(2, {shown})"
    assert f"{written[: LAYER_WIDTH - 3]}...  (8, 6, 2)" in str(summary)


def cells_of(html):
    """Return the texts of an HTML table, row by row."""
    rows = re.findall("<tr>(.*?)</tr>", html)
    return [[unescape(cell) for cell in re.findall("<t[dh] [^>]*>(.*?)</t[dh]>", row)] for row in rows]


def test_the_html_table_holds_what_is_printed():
    summary = make_net(BRANCHES).summary(X)
    printed = str(summary).split("\n\n")[0].splitlines()
    printed = [line.split() for line in printed if not line.startswith("-")]
    assert [" ".join(row).split() for row in cells_of(summary._repr_html_())] == printed
    assert len(printed) == 1 + len(summary.records) + 1


def test_the_html_table_has_no_colours():
    """They are inherited from the page, and so are fonts."""
    html = make_net(BRANCHES).summary(X)._repr_html_()
    assert set(re.findall(r'(\w+)="', html)) == {"style"}
    assert not re.search("color|background|#|rgb|font", " ".join(re.findall('style="(.*?)"', html)))
    assert "<style" not in html


def test_text_is_escaped():
    record = make_net([]).summary(X).records[0] | {"name": "<b>bold</b>", "layer": "Odd('<i>&amp;</i>')"}
    html = NetworkSummary([record], "float32")._repr_html_()
    assert cells_of(html)[1][:2] == ["<b>bold</b>", "Odd('<i>&amp;</i>')"]
    assert "<b>" not in html and "<i>" not in html


def test_records_are_plain_and_make_a_data_frame():
    summary = make_net(BRANCHES).summary(X, Y)
    frame = data_frame(summary.records)
    assert list(frame.columns) == list(summary.records[0])
    assert len(frame) == len(summary.records)
    totals = frame[["trained", "not_trained", "multiply_adds", "activation_bytes"]].sum()
    assert totals.to_dict() == summary.totals
    for record in summary.records:
        assert {type(value) for value in record.values()} <= {str, list, tuple, int, type(None)}


# parts


@pytest.mark.parametrize(
    "text",
    [
        "ReLU()",
        "Conv2D(3, (1, 2), strides=2, use_bias=False)",
        "PatchWhitening(kernel_size=3)",
        "PatchWhitening(8, 3, activation=LeakyReLU(0.3))",
        "AvgPool2D(3, strides=1, count_include_pad=True)",
    ],
)
def test_layers_are_shown_as_written(text):
    assert as_written(eval(text, dict(vars(skcnn)))) == text


def test_sizes_have_units():
    sizes = {0: "0 B", 999_949: "999.9 kB", 999_950: "1.0 MB", 2 * 10**9: "2.0 GB", 10**15: "1000.0 TB"}
    assert {n_bytes: size_text(n_bytes) for n_bytes in sizes} == sizes
