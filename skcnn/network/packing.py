"""Converts a model to plain values for a file and back, and validates these values."""

import numpy as np

from skcnn.data.images import ImageFormat, check_image_shape
from skcnn.data.targets import TargetScaling
from skcnn.encoding import register
from skcnn.layers.base import Layer
from skcnn.network.graph import Node, compile_graph
from skcnn.network.losses import BinaryLogLoss, Loss
from skcnn.network.model import ALL_LOSSES, Model
from skcnn.network.network import Params, network_with
from skcnn.network.regression_losses import RegressionLoss


def pack_model(model: Model) -> dict:
    """Return a model as ``__getstate__`` does, with parameters by layer and parameter name."""
    weights = {layer: dict(own) for layer, own in model.network.params.items()}
    return {key: value for key, value in model.__getstate__().items() if key != "network"} | {
        "weights": weights
    }


def unpack_model(plain: dict) -> Model:
    """Return the model from the result of :func:`pack_model`.

    Raises
    ------
    ValueError
        If layers, format, classes and weights do not fit together.
    """
    format = unpack_format(plain["format"])
    nodes = tuple(compile_graph(plain["layers"], format.image_shape).nodes)
    classes, loss = plain["classes"], ALL_LOSSES[plain["loss"]](**plain["loss_parameters"])
    scaling = plain.get("target_scaling")  # files of classifiers may lack it
    if not isinstance(classes, np.ndarray) or nodes[-1].output_shape != classes.shape:
        raise ValueError(
            f"layers give an output of shape {nodes[-1].output_shape}, but classes has another shape"
        )
    if loss.kind != "classes" and not np.array_equal(classes, np.arange(len(classes))):
        raise ValueError(f"classes of a loss of {loss.kind} must be numbers from 0 on")
    if isinstance(loss, BinaryLogLoss):
        check_label_weights(loss.label_weights, classes.shape)
    check_scaling(scaling, loss, classes.shape)
    check_weights(nodes, plain["weights"], format.dtype)
    return Model(
        plain["layers"],
        network_with(nodes, plain["weights"], format.dtype),
        format,
        classes,
        loss,
        target_scaling=scaling,
        seed=int(plain["seed"]),
        made_with=str(plain["made_with"]),
    )


register(Model, pack_model, unpack_model)


def unpack_format(plain: dict) -> ImageFormat:
    """Return the format with the given attributes; raise a ValueError if they do not fit together."""
    if plain["dtype"] not in ("float32", "float64"):
        raise ValueError(f"format has dtype={plain['dtype']!r}, expected 'float32' or 'float64'")
    format = ImageFormat(**(plain | {"dtype": np.dtype(plain["dtype"])}))
    check_image_shape(format.image_shape)
    if len(format.image_shape) != 3 or not isinstance(format.channels_first, bool):
        raise ValueError("format needs three numbers as image_shape, and a bool as channels_first")
    channels = format.image_shape[-1]
    shapes = {"mean": (channels,), "deviation": (channels,), "moments": (3, channels)}
    if format.mean is None and format.deviation is None and format.moments is None:
        return format
    for name, shape in shapes.items():
        value = getattr(format, name)
        if name == "moments" and value is None:  # a scaling that does not follow further images
            continue
        if not isinstance(value, np.ndarray) or value.shape != shape or value.dtype.kind != "f":
            raise ValueError(f"format has no {name} of shape {shape}")
    return format


def check_label_weights(weights, shape: tuple[int, ...]) -> None:
    """Raise a ValueError unless weights of labels are None, or finite numbers >= 0, one for each label."""
    is_array = isinstance(weights, np.ndarray) and weights.shape == shape and weights.dtype == np.float64
    if weights is not None and not (is_array and np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError(f"the loss has no label_weights >= 0 of shape {shape} and dtype float64")


def check_scaling(scaling, loss: Loss, shape: tuple[int, ...]) -> None:
    """Raise a ValueError unless a scaling of targets fits the loss, and has the shape of the outputs."""
    if isinstance(scaling, TargetScaling) != isinstance(loss, RegressionLoss):
        raise ValueError(f"target_scaling is {scaling!r}, which does not fit the loss")
    if scaling is None:
        return
    for name, value in vars(scaling).items():
        dtype = np.bool_ if name == "has_varied" else np.float64
        if value.shape != shape or value.dtype != dtype or not np.isfinite(value).all():
            raise ValueError(f"target_scaling has no finite {name} of shape {shape} and dtype {dtype}")
    if not (scaling.scale > 0).all():
        raise ValueError("target_scaling has a scale that is not positive")


def check_weights(nodes: tuple[Node, ...], weights: Params, dtype: np.dtype) -> None:
    """Raise a ValueError unless weights fit the layers of a network.

    Layers declare their shapes, so nothing is allocated. Shapes are not checked for custom layers without
    ``param_shapes``, because these would have to make parameters.
    """
    names = {node.name for node in nodes[1:]}
    if not weights.keys() <= names:
        raise ValueError(f"weights has the layers {sorted(weights.keys() - names)}, which do not exist")
    for node in nodes[1:]:
        own = weights.get(node.name, {})
        if type(node.layer).param_shapes is not Layer.param_shapes:
            check_shapes(node.name, own, node.layer.param_shapes(node.input_shape))
        buffers = (*node.layer.buffer_params, *node.layer.constant_params)
        for name, value in own.items():
            if value.dtype.kind not in "fiub" or (name not in buffers and value.dtype != dtype):
                raise ValueError(f"{node.name}/{name} has dtype {value.dtype}, expected {dtype}")


def check_shapes(layer: str, params, expected) -> None:
    """Raise a ValueError unless the parameters of a layer have the expected names and shapes."""
    if params.keys() != expected.keys():
        raise ValueError(f"layer {layer!r} has the parameters {sorted(params)}, expected {sorted(expected)}")
    for name, shape in expected.items():
        if np.shape(params[name]) != tuple(shape):
            raise ValueError(f"{layer}/{name} has shape {np.shape(params[name])}, expected {tuple(shape)}")
