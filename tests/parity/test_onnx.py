"""Exported networks against onnxruntime: Hypothesis draws architectures, images, labels and losses."""

import numpy as np
import pytest
from extras import package
from parity.drawing import (
    activations,
    convolutions,
    depthwise_convolutions,
    group_norms,
    hypothesis,
    images_and_vectors,
    on_both,
    on_images,
    one_of,
    options,
    paddings,
    patch_whitenings,
    pools,
    sizes,
    st,
    vectors,
)
from parity.drawing_containers import parallels, residuals, sequentials, stacks

from skcnn import ConvNetClassifier, RandomFlip
from skcnn.layers import (
    CELU,
    ELU,
    GELU,
    SELU,
    AvgPool2D,
    BatchNorm,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    HardSigmoid,
    HardSwish,
    LayerNorm,
    LeakyReLU,
    LocalResponseNorm,
    MaxPool2D,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Rescale,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    SpatialDropout2D,
    Tanh,
    ZeroPad2D,
)
from skcnn.onnx import to_onnx

onnx, onnxruntime = package("onnx"), package("onnxruntime")

TOLERANCE = 1e-5

DTYPES = (
    "float32",
    "float64",
    "float16",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "bool",
)

PLAIN = (HardSwish, Mish, ReLU, ReLU6, SELU, Sigmoid, SiLU, Softplus, Softsign, Tanh)

KINDS = {
    "convolution": convolutions(),
    "depthwise": depthwise_convolutions(),
    "whitening": patch_whitenings(),
    "maximum": pools(MaxPool2D),
    "average": pools(AvgPool2D, count_include_pad=st.booleans()),
    "global": on_images(one_of(st.builds(GlobalAvgPool2D), st.builds(GlobalMaxPool2D))),
    "batch norm": on_both(st.builds(BatchNorm, options(0.0, 0.5, 0.9), epsilon=options(1e-5, 0.1))),
    "layer norm": st.tuples(
        st.builds(LayerNorm, epsilon=options(1e-5, 0.1)), images_and_vectors(sizes(6, 2))
    ),
    "group norm": group_norms(),
    "local response norm": on_both(
        st.builds(
            LocalResponseNorm, sizes(6), alpha=st.floats(0, 0.5), beta=st.floats(0, 1.5), k=st.floats(0.5, 3)
        )
    ),
    "dense": st.tuples(
        st.builds(Dense, sizes(6), activation=activations(), use_bias=st.booleans()), vectors()
    ),
    "zero padding": on_images(
        st.builds(ZeroPad2D, paddings((4, 4)).filter(lambda value: not isinstance(value, str)))
    ),
    "passed on or scaled": one_of(
        on_both(st.builds(Rescale, st.floats(-3, 3))),
        on_both(st.builds(Dropout, options(0, 0.5))),
        on_images(st.builds(SpatialDropout2D, options(0, 0.5))),
    ),
    "plain activation": on_both(one_of(*map(st.builds, PLAIN))),
    "activation with parameters": on_both(
        one_of(
            st.builds(CELU, st.floats(0.1, 3)),
            st.builds(ELU, st.floats(0.1, 3)),
            st.builds(GELU, options("none", "tanh")),
            st.builds(HardSigmoid, st.floats(0.1, 2), st.floats(-1, 1)),
            st.builds(LeakyReLU, st.floats(0, 1)),
            st.builds(PReLU, st.floats(-2, 2)),
        )
    ),
    # none at the end, where the loss has one
    "softmax": on_both(st.builds(lambda: [Softmax(), Rescale(2.0)])),
    "residual": residuals(),
    "parallel": parallels(),
    "sequential": sequentials(),
    "stack": stacks(),
}

LABELS = [
    np.array([3, -1, 2], np.int8),
    np.array([2**40, 7, 8], np.uint64),
    np.array(["a", "bc", "ä"]),
    np.array(["x", "y", "z"], object),
    np.array([False, True]),
    np.array([-1.0, 2.0, 4.0], np.float32),
    np.array([1.0, 2.0, 4.0]),
]


@st.composite
def cases(draw, kind):
    """Draw parameters of a classifier, labels, the dtype of images, whether they are flat, and a seed."""
    layers, input_shape = draw(KINDS[kind])
    layers = layers if isinstance(layers, list) else [layers]
    if len(input_shape) == 1:
        layers, input_shape = [Flatten(), *layers], (1, *input_shape, 1)
    channels_first = draw(st.booleans())
    params = {
        "layers": layers,
        "image_shape": (input_shape[2], *input_shape[:2]) if channels_first else input_shape,
        "data_format": "channels_first" if channels_first else "channels_last",
        "dtype": draw(options("float32", "float32", "float64")),
        "loss": draw(options("log_loss", "log_loss", "focal", "hinge", "squared_hinge")),
        "input_scaling": draw(options("standardize", "standardize", None, (1.5, 2.0))),
        "tta": draw(options(None, None, None, "flip", [RandomFlip(vertical=True)])),
        "random_state": draw(sizes(1000)),
    }
    return params, draw(options(*LABELS)), draw(options(*DTYPES)), draw(st.booleans())


def fitted(params, labels, dtype):
    """Return a classifier after a step of training, with weights that are not those at first, and images."""
    rng = np.random.default_rng(params["random_state"])
    X = rng.normal(1, 2, (12, *params["image_shape"]))
    X = np.abs(X).astype(dtype) if dtype.startswith("uint") else X.astype(dtype)
    y = labels[np.arange(len(X)) % len(labels)]
    clf = ConvNetClassifier(**params, batch_size=12, max_iter=1, learning_rate_init=1e-2).fit(X, y)
    vector = clf.network_.vector
    vector += 0.1 * rng.standard_normal(vector.size).astype(vector.dtype)
    return clf, X


def run(model, X):
    """Return the outputs of a model by name."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"X": X}), strict=True))


@pytest.mark.filterwarnings("ignore:the network computes in float64")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", KINDS)
@hypothesis.settings(max_examples=hypothesis.settings().max_examples // 8)  # of each kind
@hypothesis.given(st.data())
def test_onnxruntime_computes_the_same(kind, data):
    params, labels, dtype, is_flat = data.draw(cases(kind))
    clf, X = fitted(params, labels, dtype)
    X = X.reshape(len(X), -1) if is_flat else X
    model = to_onnx(clf, X)
    onnx.checker.check_model(model, full_check=True)
    results = run(model, X)
    if "hinge" in params["loss"]:
        expected, name = clf.decision_function(X), "scores"
        expected = np.stack([-expected, expected], axis=1) if len(labels) == 2 else expected
    else:
        expected, name = clf.predict_proba(X), "probabilities"
    tolerance = TOLERANCE * max(1, np.abs(expected).max())
    np.testing.assert_allclose(results[name], expected, rtol=0, atol=tolerance)
    *_, second, first = np.sort(expected, axis=1).T
    is_sure = first - second > tolerance
    assert results["label"][is_sure].tolist() == clf.predict(X)[is_sure].tolist()
    np.testing.assert_allclose(run(model, X[:1])[name], results[name][:1], rtol=0, atol=tolerance)
