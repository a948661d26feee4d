"""scikit-learn's diagram of an estimator shows the layers; how it looks, tests/browser looks at."""

import re
import runpy
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from seeds import SEED, generator
from sklearn.ensemble import VotingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils import estimator_html_repr

import skcnn._sklearn
from skcnn import (
    BatchNorm,
    Conv2D,
    ConvNetClassifier,
    Dense,
    GlobalAvgPool2D,
    LeakyReLU,
    MaxPool2D,
    Parallel,
    Residual,
    Sequential,
)

N_SAMPLES = 12
X = generator(0).normal(size=(N_SAMPLES, 64))
Y = np.arange(N_SAMPLES) % 3

CHAIN = [("conv1", Conv2D(4, activation="relu")), ("norm1", BatchNorm()), MaxPool2D()]

BRANCHES = [
    ("conv1", Conv2D(4)),
    ("res1", Residual([("conv1", Conv2D(6, strides=2)), BatchNorm()], activation="relu")),
    ("same", Residual([("conv1", Conv2D(6))])),
    ("mixed", Parallel([Conv2D(2, 1), [Conv2D(3, 1), Conv2D(5)], "passthrough"])),
    ("stage", Sequential([("conv1", Conv2D(2)), ("pool1", MaxPool2D())])),
    ("gone", "passthrough"),
    ("pool", GlobalAvgPool2D()),
]

GARBAGE = [
    "nonsense",
    3,
    [3, None, "text", ("name",), ("a", 3), (1, Conv2D(2))],
    [("a", Conv2D("many")), ("a", Conv2D(2)), ("", Dense(None))],
    [
        Residual(3),
        Residual([], projection=4),
        Residual([3], projection=[None]),
        Parallel("text"),
        Parallel([[]]),
    ],
    [Sequential([]), Sequential(None), Conv2D(np.array([1, 2]), activation=object)],
    {"a": Conv2D(2)},
]


def make_net(layers=None, **params):
    return ConvNetClassifier(layers, **({"max_iter": 1, "random_state": SEED} | params))


class Diagram(HTMLParser):
    """Reads what scikit-learn draws: labels in order, and for each what is behind it."""

    def __init__(self, estimator):
        super().__init__()
        self.labels, self.prefixes, self.contents, self.tags = [], [], [], []
        self._inside = None
        self.feed(estimator_html_repr(estimator))
        self.close()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        kind = attributes.get("class", "")
        self.tags.append(tag)
        if "sk-text-repr-fallback" in kind:
            self._inside = None
        elif tag == "label":
            self._inside = "label"
            self.labels.append("")
            self.contents.append("")
            self.prefixes.append(None)
        elif "sk-toggleable__content" in kind:
            self._inside = "content"
            self.prefixes[-1] = attributes["data-param-prefix"]
        elif "sk-estimator-doc-link" in kind or tag in ("script", "style"):
            self._inside = None

    def handle_endtag(self, tag):
        if tag == "label":
            self._inside = None

    def handle_data(self, data):
        if self._inside == "label":
            self.labels[-1] += " ".join(data.split())  # which makes spaces of those that do not break
        elif self._inside == "content":
            self.contents[-1] += data

    def content(self, label):
        return self.contents[self.labels.index(label)]


def labels_of(estimator):
    return Diagram(estimator).labels


def without_numbers(html):
    """Return a diagram without the identifiers that are counted up from one diagram to the next."""
    return re.sub(r"(sk-(?:container|estimator)-id)-\d+", r"\1", html)


# what is shown


def test_a_fitted_network_with_the_shapes_of_its_results():
    assert labels_of(make_net(CHAIN).fit(X, Y)) == [
        "ConvNetClassifier",
        "conv1: Conv2D → (8, 8, 4)",
        "norm1: BatchNorm → (8, 8, 4)",
        "maxpool2d_1: MaxPool2D → (4, 4, 4)",
        "flatten: Flatten → (64,)",
        "output: Dense → (3,)",
    ]


def test_layers_before_training():
    assert labels_of(make_net(CHAIN)) == [
        "ConvNetClassifier",
        "conv1: Conv2D",
        "norm1: BatchNorm",
        "maxpool2d_1: MaxPool2D",
    ]


def test_shapes_are_known_before_training_where_that_of_the_images_is():
    """But not the number of outputs."""
    assert labels_of(make_net(CHAIN, image_shape=(6, 4))) == [
        "ConvNetClassifier",
        "conv1: Conv2D → (6, 4, 4)",
        "norm1: BatchNorm → (6, 4, 4)",
        "maxpool2d_1: MaxPool2D → (3, 2, 4)",
        "flatten: Flatten → (24,)",
    ]


def test_containers_hold_their_layers():
    assert labels_of(make_net(BRANCHES)) == [
        "ConvNetClassifier",
        "conv1: Conv2D",
        "res1: Residual",
        "conv1: Conv2D",
        "batchnorm_1: BatchNorm",
        "projection: auto",
        "same: Residual",
        "conv1: Conv2D",
        "projection: auto",
        "mixed: Parallel",
        "conv2d_1: Conv2D",
        "branch_1: Sequential",
        "conv2d_1: Conv2D",
        "conv2d_2: Conv2D",
        "passthrough_1: passthrough",
        "stage: Sequential",
        "conv1: Conv2D",
        "pool1: MaxPool2D",
        "gone: passthrough",
        "pool: GlobalAvgPool2D",
    ]


def test_containers_of_a_fitted_network():
    """An automatic projection is shown as what it turned out to be."""
    assert labels_of(make_net(BRANCHES).fit(X, Y)) == [
        "ConvNetClassifier",
        "conv1: Conv2D → (8, 8, 4)",
        "res1: Residual → (4, 4, 6)",
        "conv1: Conv2D → (4, 4, 6)",
        "batchnorm_1: BatchNorm → (4, 4, 6)",
        "projection: Conv2D → (4, 4, 6)",
        "projection__norm: BatchNorm → (4, 4, 6)",
        "same: Residual → (4, 4, 6)",
        "conv1: Conv2D → (4, 4, 6)",
        "projection: passthrough",
        "mixed: Parallel → (4, 4, 13)",
        "conv2d_1: Conv2D → (4, 4, 2)",
        "branch_1: Sequential → (4, 4, 5)",
        "conv2d_1: Conv2D → (4, 4, 3)",
        "conv2d_2: Conv2D → (4, 4, 5)",
        "passthrough_1: passthrough",
        "stage: Sequential → (2, 2, 2)",
        "conv1: Conv2D → (4, 4, 2)",
        "pool1: MaxPool2D → (2, 2, 2)",
        "pool: GlobalAvgPool2D → (2,)",
        "output: Dense → (3,)",
    ]


def test_a_projection_of_ones_own():
    branch = Residual([("conv1", Conv2D(6))], projection=[Conv2D(6, 1), BatchNorm()])
    assert labels_of(make_net([("res1", branch)]).fit(X, Y))[1:6] == [
        "res1: Residual → (8, 8, 6)",
        "conv1: Conv2D → (8, 8, 6)",
        "projection: Sequential → (8, 8, 6)",
        "conv2d_1: Conv2D → (8, 8, 6)",
        "batchnorm_1: BatchNorm → (8, 8, 6)",
    ]


def test_compact_hyperparameters():
    """Their layers follow from the shape of the images."""
    params = {"conv_layer_sizes": (4,), "hidden_layer_sizes": (5,), "dropout": 0.1}
    assert labels_of(make_net(**params)) == ["ConvNetClassifier"]
    known = ["conv1: Conv2D → (8, 8, 4)", "norm1: BatchNorm → (8, 8, 4)", "activation1: ReLU → (8, 8, 4)"]
    known += ["pool1: MaxPool2D → (4, 4, 4)", "flatten: Flatten → (64,)", "dense1: Dense → (5,)"]
    known += ["dropout1: Dropout → (5,)"]
    assert labels_of(make_net(**params, image_shape=(8, 8))) == ["ConvNetClassifier", *known]
    assert labels_of(make_net(**params).fit(X, Y)) == ["ConvNetClassifier", *known, "output: Dense → (3,)"]


def test_the_fitted_network_is_shown_whatever_parameters_are_set():
    net = make_net(CHAIN).fit(X, Y)
    labels = labels_of(net)
    assert labels_of(net.set_params(conv1__filters=9, norm1="passthrough")) == labels
    assert labels_of(net.set_params(layers="nonsense")) == labels
    assert "4" in Diagram(net).content("conv1: Conv2D → (8, 8, 4)")


# within other estimators

LAYERS_SHOWN = ["conv1: Conv2D", "norm1: BatchNorm", "maxpool2d_1: MaxPool2D"]
SHAPES_SHOWN = [
    "conv1: Conv2D → (8, 8, 4)",
    "norm1: BatchNorm → (8, 8, 4)",
    "maxpool2d_1: MaxPool2D → (4, 4, 4)",
    "flatten: Flatten → (64,)",
    "output: Dense → (3,)",
]


def within(estimator):
    """Return the labels behind that of the network."""
    labels = labels_of(estimator)
    (start,) = (index for index, label in enumerate(labels) if label.endswith("ConvNetClassifier"))
    return labels[start:]


@pytest.mark.parametrize(
    ("build", "label", "fitted_label"),
    [
        (lambda net: make_pipeline(MinMaxScaler(), net), *["convnetclassifier: ConvNetClassifier"] * 2),
        (
            lambda net: GridSearchCV(net, {"conv1__filters": [4]}, cv=2),
            "estimator: ConvNetClassifier",
            "best_estimator_: ConvNetClassifier",
        ),
        (
            lambda net: GridSearchCV(
                make_pipeline(MinMaxScaler(), net), {"convnetclassifier__conv1__filters": [4]}, cv=2
            ),
            *["convnetclassifier: ConvNetClassifier"] * 2,
        ),
    ],
    ids=["pipeline", "search", "search of a pipeline"],
)
def test_layers_within_other_estimators(build, label, fitted_label):
    assert within(build(make_net(CHAIN))) == [label, *LAYERS_SHOWN]
    assert within(build(make_net(CHAIN)).fit(X, Y)) == [fitted_label, *SHAPES_SHOWN]


def test_layers_within_several_branches():
    voting = VotingClassifier([("a", make_net(CHAIN)), ("b", make_net(CHAIN))])
    assert labels_of(voting) == ["VotingClassifier", "a", *LAYERS_SHOWN, "b", *LAYERS_SHOWN]


# what is behind the labels


@pytest.mark.parametrize("net", [make_net(CHAIN), make_net(CHAIN).fit(X, Y)], ids=["unfitted", "fitted"])
@pytest.mark.parametrize("label", ["ConvNetClassifier", "convnetclassifier: ConvNetClassifier"])
def test_the_parameters_of_the_estimator_are_shown(net, label):
    shown = Diagram(net if label == "ConvNetClassifier" else make_pipeline(net)).content(label)
    assert set(net.get_params(deep=False)) <= set(shown.split())
    assert str(net.random_state) in shown.split()


def test_a_search_shows_the_parameters_of_the_estimator_as_text():
    """As it does for all that has parts; there is a table only where scikit-learn draws a single box."""
    search = GridSearchCV(make_net(CHAIN, alpha=0.125), {"conv1__filters": [4]})
    assert "alpha=0.125" in Diagram(search).content("estimator: ConvNetClassifier")


def test_the_parameters_of_layers_are_shown():
    diagram = Diagram(make_net([("conv1", Conv2D(37, activation=LeakyReLU(0.123))), *BRANCHES[1:]]))
    assert {"filters", "37", "kernel_size", "activation__negative_slope", "0.123"} <= set(
        diagram.content("conv1: Conv2D").split()
    )
    assert {"layers", "projection", "activation", "'relu'"} <= set(diagram.content("res1: Residual").split())
    assert diagram.content("gone: passthrough").strip() == "passthrough"


def test_copied_parameters_have_their_whole_name():
    diagram = Diagram(make_pipeline(make_net(BRANCHES)))
    prefixes = dict(zip(diagram.labels, diagram.prefixes, strict=True))
    assert prefixes["stage: Sequential"] == "convnetclassifier__stage__"
    assert prefixes["pool1: MaxPool2D"] == "convnetclassifier__stage__pool1__"
    assert prefixes["conv2d_2: Conv2D"] == "convnetclassifier__mixed__branch_1__conv2d_2__"
    assert prefixes["batchnorm_1: BatchNorm"] == "convnetclassifier__res1__batchnorm_1__"


def test_layers_whose_parameters_cannot_be_set_are_shown_without_a_table():
    """Those that follow from other parameters: names of theirs to copy would be of no use."""
    X, y = generator(0).normal(size=(20, 8, 8)), [0, 1] * 10
    diagram = Diagram(make_net(conv_layer_sizes=(4,)).fit(X, y))
    assert diagram.content("conv1: Conv2D → (8, 8, 4)").split() == ["Conv2D(filters=4,", "use_bias=False)"]
    assert diagram.content("output: Dense → (2,)").strip() == "Dense(units=2)"
    diagram = Diagram(make_net(BRANCHES).fit(X, y))
    assert diagram.content("projection: Conv2D → (4, 4, 6)").strip().startswith("Conv2D(filters=6")
    assert "kernel_size" in diagram.content("conv1: Conv2D → (8, 8, 4)")


# whatever comes


@pytest.mark.parametrize("layers", GARBAGE, ids=[str(number) for number in range(len(GARBAGE))])
@pytest.mark.parametrize("image_shape", [None, (8, 8), "garbage"])
def test_garbage_is_shown_and_not_refused(layers, image_shape):
    """Without help from scikit-learn, which would draw one box for an estimator whose block fails."""
    net = make_net(layers, image_shape=image_shape)
    block = net._sk_visual_block_()
    assert block.kind == ("serial" if isinstance(layers, list) else "single")
    n_entries = len(layers) if isinstance(layers, list) else 0
    labels = labels_of(make_pipeline(net))
    assert len(labels) >= 2 + n_entries


def test_a_layer_that_fails_is_shown():
    class Broken(Conv2D):
        def output_shape(self, input_shape):
            raise RuntimeError("no shape")

    net = make_net([("conv1", Conv2D(2)), ("broken", Broken(2))], image_shape=(8, 8))
    assert labels_of(net)[1:] == ["conv1: Conv2D", "broken: Broken"]


def test_labels_of_garbage():
    assert labels_of(make_net(GARBAGE[2])) == [
        "ConvNetClassifier",
        "int_1: 3",
        "nonetype_1: None",
        "text_1: text",
        "tuple_1: ('name',)",
        "a: 3",
        "tuple_2: (1, Conv2D(filters=2))",
    ]


def test_text_is_escaped():
    net = make_net([("<s>struck</s>", Conv2D("<em>many</em>")), "<u>"])
    diagram = Diagram(net)
    assert diagram.labels[1:] == ["<s>struck</s>: Conv2D", "<u>_1: <u>"]
    assert not set(diagram.tags) & {"s", "u", "em"}
    assert "<em>many</em>" in diagram.content("<s>struck</s>: Conv2D")


@pytest.mark.parametrize("layers", [CHAIN, None], ids=["layers", "compact"])
def test_drawing_leaves_the_estimator_alone(layers):
    for net in (make_net(layers, image_shape=(8, 8)), make_net(layers).fit(X, Y)):
        before = {name: repr(value) for name, value in vars(net).items()}
        estimator_html_repr(net)
        assert {name: repr(value) for name, value in vars(net).items()} == before


# scikit-learn without the private class


@pytest.mark.parametrize("net", [make_net(), make_net(CHAIN), make_net(CHAIN).fit(X, Y)])
def test_without_blocks_scikit_learn_draws_its_own(net, monkeypatch):
    class Plain(ConvNetClassifier):
        @property
        def _sk_visual_block_(self):
            raise AttributeError

    Plain.__name__ = "ConvNetClassifier"
    plain = Plain()
    vars(plain).update(vars(net))
    monkeypatch.setattr("skcnn.estimator.VisualBlock", None)
    assert not hasattr(net, "_sk_visual_block_")
    assert without_numbers(estimator_html_repr(net)) == without_numbers(estimator_html_repr(plain))
    assert labels_of(net) == ["ConvNetClassifier"]


def test_the_module_is_imported_without_the_private_class(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.utils._repr_html.estimator", None)
    assert runpy.run_path(skcnn._sklearn.__file__)["VisualBlock"] is None
