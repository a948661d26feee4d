"""scikit-learn's diagram of an estimator shows the layers; how it looks, tests/browser looks at."""

import re
import runpy
import sys
from functools import partial
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils import estimator_html_repr
from small_classifiers import make_classifier, make_images

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

IMAGES, Y = make_images(12, (8, 8, 1))
X = IMAGES.reshape(12, 64)

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


class Broken(Conv2D):
    def output_shape(self, input_shape):
        raise RuntimeError("no shape")


GARBAGE = [
    [("conv1", Conv2D(2)), Broken(2)],
    "nonsense",
    3,
    [3, None, "text", ("name",), ("a", 3), (1, Conv2D(2))],
    [("a", Conv2D("many")), ("a", Conv2D(2)), ("", Dense(None))],
    [Residual(3), Residual([], projection=4), Residual([3], projection=[None]), Parallel([[]])],
    [Sequential([]), Sequential(None), Parallel("text"), Conv2D(np.array([1, 2]), activation=object)],
    {"a": Conv2D(2)},
]

make_net = partial(make_classifier, max_iter=1)


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


def layers_shown(estimator):
    """Return the labels behind that of the network."""
    labels = Diagram(estimator).labels
    (start,) = (index for index, label in enumerate(labels) if label.endswith("ConvNetClassifier"))
    return labels[start + 1 :]


# what is shown

LAYERS = ["conv1: Conv2D", "norm1: BatchNorm", "maxpool2d_1: MaxPool2D"]
SHAPES = ["conv1: Conv2D → (8, 8, 4)", "norm1: BatchNorm → (8, 8, 4)", "maxpool2d_1: MaxPool2D → (4, 4, 4)"]
SHAPES += ["flatten: Flatten → (64,)", "output: Dense → (3,)"]


def test_layers_are_shown_with_the_shapes_that_are_known():
    """After training all, before it none or, where that of the images is known, all but of the output."""
    assert layers_shown(make_net(CHAIN).fit(X, Y)) == SHAPES
    assert layers_shown(make_net(CHAIN)) == LAYERS
    assert layers_shown(make_net(CHAIN, image_shape=(8, 8))) == SHAPES[:-1]


def test_containers_hold_their_layers():
    expected = ["conv1: Conv2D", "res1: Residual", "conv1: Conv2D", "batchnorm_1: BatchNorm"]
    expected += ["projection: auto", "same: Residual", "conv1: Conv2D", "projection: auto"]
    expected += ["mixed: Parallel", "conv2d_1: Conv2D", "branch_1: Sequential", "conv2d_1: Conv2D"]
    expected += ["conv2d_2: Conv2D", "passthrough_1: passthrough"]
    expected += ["stage: Sequential", "conv1: Conv2D", "pool1: MaxPool2D"]
    assert layers_shown(make_net(BRANCHES)) == [*expected, "gone: passthrough", "pool: GlobalAvgPool2D"]


def test_containers_of_a_fitted_network():
    """An automatic projection is shown as what it turned out to be."""
    expected = ["conv1: Conv2D → (8, 8, 4)", "res1: Residual → (4, 4, 6)", "conv1: Conv2D → (4, 4, 6)"]
    expected += ["batchnorm_1: BatchNorm → (4, 4, 6)", "projection: Conv2D → (4, 4, 6)"]
    expected += ["projection__norm: BatchNorm → (4, 4, 6)", "same: Residual → (4, 4, 6)"]
    expected += ["conv1: Conv2D → (4, 4, 6)", "projection: passthrough", "mixed: Parallel → (4, 4, 13)"]
    expected += ["conv2d_1: Conv2D → (4, 4, 2)", "branch_1: Sequential → (4, 4, 5)"]
    expected += ["conv2d_1: Conv2D → (4, 4, 3)", "conv2d_2: Conv2D → (4, 4, 5)"]
    expected += ["passthrough_1: passthrough", "stage: Sequential → (2, 2, 2)"]
    expected += ["conv1: Conv2D → (4, 4, 2)", "pool1: MaxPool2D → (2, 2, 2)"]
    expected += ["pool: GlobalAvgPool2D → (2,)", "output: Dense → (3,)"]
    assert layers_shown(make_net(BRANCHES).fit(X, Y)) == expected


def test_a_projection_of_ones_own():
    branch = Residual([("conv1", Conv2D(6))], projection=[Conv2D(6, 1), BatchNorm()])
    expected = ["res1: Residual → (8, 8, 6)", "conv1: Conv2D → (8, 8, 6)"]
    expected += ["projection: Sequential → (8, 8, 6)", "conv2d_1: Conv2D → (8, 8, 6)"]
    expected += ["batchnorm_1: BatchNorm → (8, 8, 6)"]
    assert layers_shown(make_net([("res1", branch)]).fit(X, Y))[:5] == expected


def test_compact_hyperparameters():
    params = {"hidden_layer_sizes": (5,), "normalization": "batch", "activation": "relu", "dropout": 0.1}
    assert layers_shown(make_net(**params)) == []
    known = ["conv1: Conv2D → (8, 8, 3)", "norm1: BatchNorm → (8, 8, 3)", "activation1: ReLU → (8, 8, 3)"]
    known += ["pool1: MaxPool2D → (4, 4, 3)", "flatten: Flatten → (48,)", "dense1: Dense → (5,)"]
    known += ["dropout1: Dropout → (5,)"]
    assert layers_shown(make_net(**params, image_shape=(8, 8))) == known
    assert layers_shown(make_net(**params).fit(X, Y)) == [*known, "output: Dense → (3,)"]


def test_the_fitted_network_is_shown_whatever_parameters_are_set():
    net = make_net(CHAIN).fit(X, Y)
    assert layers_shown(net.set_params(conv1__filters=9, norm1="passthrough")) == SHAPES
    assert layers_shown(net.set_params(layers="nonsense")) == SHAPES
    assert "4" in Diagram(net).content(SHAPES[0])


# within other estimators


def test_layers_within_other_estimators():
    pipeline = make_pipeline(MinMaxScaler(), make_net(CHAIN))
    search = GridSearchCV(make_net(CHAIN, alpha=0.125), {"conv1__filters": [4]}, cv=2)
    for estimator in (pipeline, search):
        assert layers_shown(estimator) == LAYERS
        assert layers_shown(estimator.fit(X, Y)) == SHAPES
    assert "alpha=0.125" in Diagram(search).content("best_estimator_: ConvNetClassifier")


# what is behind the labels


def test_the_parameters_of_the_estimator_are_shown():
    fitted = make_net(CHAIN).fit(X, Y)
    unfitted = Diagram(make_net(CHAIN)).content("ConvNetClassifier")
    within = Diagram(make_pipeline(fitted)).content("convnetclassifier: ConvNetClassifier")
    for shown in (unfitted, within):
        assert set(fitted.get_params(deep=False)) <= set(shown.split())
        assert str(fitted.random_state) in shown.split()


def test_the_parameters_of_layers_are_shown():
    diagram = Diagram(make_net([("conv1", Conv2D(37, activation=LeakyReLU(0.123))), *BRANCHES[1:]]))
    shown = set(diagram.content("conv1: Conv2D").split())
    assert {"filters", "37", "kernel_size", "activation__negative_slope", "0.123"} <= shown
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
    diagram = Diagram(make_net(conv_layer_sizes=(4,), normalization="batch").fit(X, Y))
    assert diagram.content("conv1: Conv2D → (8, 8, 4)").split() == ["Conv2D(filters=4,", "use_bias=False)"]
    assert diagram.content("output: Dense → (3,)").strip() == "Dense(units=3)"
    diagram = Diagram(make_net(BRANCHES).fit(X, Y))
    assert diagram.content("projection: Conv2D → (4, 4, 6)").strip().startswith("Conv2D(filters=6")
    assert "kernel_size" in diagram.content("conv1: Conv2D → (8, 8, 4)")


# whatever comes


@pytest.mark.parametrize("layers", GARBAGE, ids=[str(number) for number in range(len(GARBAGE))])
def test_garbage_is_shown_and_not_refused(layers):
    """Without help from scikit-learn, which would draw one box for an estimator whose block fails."""
    for image_shape in (None, (8, 8), "garbage"):
        net = make_net(layers, image_shape=image_shape)
        assert net._sk_visual_block_().kind == ("serial" if isinstance(layers, list) else "single")
        assert len(layers_shown(make_pipeline(net))) >= (len(layers) if isinstance(layers, list) else 0)


def test_labels_of_garbage():
    expected = ["int_1: 3", "nonetype_1: None", "text_1: text", "tuple_1: ('name',)", "a: 3"]
    assert layers_shown(make_net(GARBAGE[3])) == [*expected, "tuple_2: (1, Conv2D(filters=2))"]


def test_text_is_escaped():
    diagram = Diagram(make_net([("<s>struck</s>", Conv2D("<em>many</em>")), "<u>"]))
    assert diagram.labels[1:] == ["<s>struck</s>: Conv2D", "<u>_1: <u>"]
    assert not set(diagram.tags) & {"s", "u", "em"}
    assert "<em>many</em>" in diagram.content("<s>struck</s>: Conv2D")


def test_drawing_leaves_the_estimator_alone():
    for net in (make_net(CHAIN, image_shape=(8, 8)), make_net(image_shape=(8, 8)), make_net(CHAIN).fit(X, Y)):
        before = {name: repr(value) for name, value in vars(net).items()}
        estimator_html_repr(net)
        assert {name: repr(value) for name, value in vars(net).items()} == before


# scikit-learn without the private class


@pytest.mark.parametrize("is_fitted", [False, True])
def test_without_blocks_scikit_learn_draws_its_own(is_fitted, monkeypatch):
    class Plain(ConvNetClassifier):
        @property
        def _sk_visual_block_(self):
            raise AttributeError

    Plain.__name__ = "ConvNetClassifier"
    net, plain = make_net(CHAIN), Plain()
    vars(plain).update(vars(net.fit(X, Y) if is_fitted else net))
    monkeypatch.setattr("skcnn.estimator.VisualBlock", None)
    assert not hasattr(net, "_sk_visual_block_")
    ids = re.compile(r"(sk-(?:container|estimator)-id)-\d+")  # which are counted up
    assert ids.sub("", estimator_html_repr(net)) == ids.sub("", estimator_html_repr(plain))
    assert layers_shown(net) == []


def test_the_module_is_imported_without_the_private_class(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.utils._repr_html.estimator", None)
    assert runpy.run_path(skcnn._sklearn.__file__)["VisualBlock"] is None
