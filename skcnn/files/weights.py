"""Weights of other libraries, and classifiers that have them."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from skcnn._sklearn import check_hyperparameters
from skcnn.architecture import complete_layers, explicit_layers
from skcnn.architecture.transfer import pair_modules, read_state_dict, weights_for
from skcnn.classifier import ConvNetClassifier
from skcnn.data.images import ImageFormat, check_image_shape, fixed_scaling, resolve_image_shape
from skcnn.data.targets import check_classes, check_labels
from skcnn.layers.contract import check_params
from skcnn.layers.naming import NamedBlocks
from skcnn.network.foreign_weights import MANY_UPDATES, TorchLayout, own_shapes, pair_by_names
from skcnn.network.graph import Node
from skcnn.network.losses import LogLoss
from skcnn.network.model import Model
from skcnn.network.network import network_with
from skcnn.network.transfer import check_named_weights
from skcnn.training.monitoring import History
from skcnn.versions import versions


def weights_from_torch(
    state_dict, layers, image_shape, *, names: Mapping[str, str] | None = None
) -> dict[str, np.ndarray]:
    """Return the weights of a PyTorch network as those of a stack of layers of the same shape.

    Parameters
    ----------
    state_dict : mapping of str to array-like, str or path-like
        What ``module.state_dict()`` returns, as tensors or arrays, or the path of a safetensors file of it.
    layers : list or tuple
        The stack as in :class:`~skcnn.ConvNetClassifier`, without the output layer.
    image_shape : tuple of two or three int
        Height, width and, unless 1, channels of the images that the network takes: channels come last here,
        also where PyTorch has them first.
    names : mapping of str to str, default=None
        Which module becomes which layer, such as ``{"features.0": "conv1", "classifier": "output"}``, by the
        names in ``get_weights``. It must give every layer but "output" a module; modules that it leaves out
        are left out. None:

        - if every layer has a module of its name, with "__" for the dots, these belong together, and the
          module left over is the output layer;
        - else they belong together in their order, that of ``state_dict()``, or that of the numbers in names
          if a file has lost it; of one module more than layers the last is the output layer.

    Returns
    -------
    weights : dict of str to ndarray
        By "layer/parameter", for ``init``, ``set_weights`` and :func:`classifier_from_weights`.

    Raises
    ------
    FileError
        If the file is damaged, or no safetensors file.
    OSError
        If there is no such file.
    TypeError
        If ``state_dict`` is neither a mapping nor a path, ``layers`` no list, or ``names`` no mapping.
    ValueError
        If layers are invalid, or anything does not fit: the message lists all parameters, modules and layers
        that do not, with their shapes. If the order of modules is not known, as in safetensors files, and
        neither equal names nor numbers tell it, or if it contradicts names: give ``names``.

    See Also
    --------
    skcnn.architecture.from_torchvision : The same for three networks of torchvision.
    weights_from_keras : The same for Keras.

    Notes
    -----
    Files of ``torch.save`` are not read, for reading them executes what is in them. Where PyTorch is
    installed, ``safetensors.torch.save_file(module.state_dict(), path)`` writes one that is safe.

    Whether layers compute the same is not in a state dict: check strides, padding, activations, and
    ``epsilon`` of normalizations. The inputs of a layer after flattened images are permuted, because PyTorch
    flattens channel by channel. Running statistics count as those of a long training.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.files import weights_from_torch
    >>> from skcnn.layers import Conv2D, GlobalAvgPool2D, ReLU
    >>> state_dict = {
    ...     "0.weight": np.zeros((4, 3, 5, 5)), "0.bias": np.zeros(4),
    ...     "4.weight": np.zeros((10, 4)), "4.bias": np.zeros(10)}
    >>> layers = [("conv1", Conv2D(4, 5)), ReLU(), GlobalAvgPool2D()]
    >>> weights = weights_from_torch(state_dict, layers, (32, 32, 3))
    >>> {name: value.shape for name, value in weights.items()}
    {'conv1/weight': (5, 5, 3, 4), 'conv1/bias': (4,), 'output/weight': (4, 10), 'output/bias': (10,)}
    """
    modules, is_in_order = read_state_dict(state_dict)
    pair = partial(pair_modules, is_in_order=is_in_order) if names is None else partial(pair_by_names, names)
    return weights_for(named_layers(layers), height_width_channels(image_shape), TorchLayout(), modules, pair)


def named_layers(layers) -> NamedBlocks:
    """Return copies of the layers of a stack with their names, checked as in ``fit``.

    Raises
    ------
    TypeError
        If they are no list: None would be no layers, but means others in :class:`~skcnn.ConvNetClassifier`.
    """
    if not isinstance(layers, list | tuple):
        raise TypeError(f"layers must be a list or tuple, got {type(layers)}")
    return explicit_layers(layers, ConvNetClassifier().get_params(deep=False))


def height_width_channels(image_shape) -> tuple[int, int, int]:
    """Return the shape of images, with one channel where it has none; raise a ValueError if it is none."""
    check_image_shape(image_shape)
    return resolve_image_shape((0, *image_shape), image_shape, channels_first=False)


def classifier_from_weights(
    layers,
    weights: Mapping[str, np.ndarray],
    classes,
    image_shape,
    *,
    input_scaling=None,
    dtype: str = "float32",
    data_format: str = "channels_last",
) -> ConvNetClassifier:
    """Return a fitted classifier with given weights, which has seen no data.

    Parameters
    ----------
    layers : list or tuple
        The stack as in :class:`~skcnn.ConvNetClassifier`, without the output layer.
    weights : mapping of str to array-like
        All weights by "layer/parameter", those of the output layer, "output/weight" and "output/bias",
        included.
    classes : array-like of shape (n_classes,)
        The labels, in the order of the columns of "output/weight". ``classes_`` is sorted, as always, and the
        output layer with it.
    image_shape : tuple of two or three int
        Shape of a stored image, as in :class:`~skcnn.ConvNetClassifier`.
    input_scaling : (mean, deviation) or None, default=None
        Numbers that are subtracted from and divided out of the images, one or one for each channel.
    dtype : {"float32", "float64"}, default="float32"
        Type to compute in.
    data_format : {"channels_last", "channels_first"}, default="channels_last"
        Order of the axes of stored images.

    Returns
    -------
    classifier : ConvNetClassifier
        Fitted, with a history of no epochs. It predicts, is saved, and is a start for others:
        ``init=FrozenEstimator(classifier)``.

    Raises
    ------
    TypeError
        If ``weights`` is no mapping, or ``layers`` no list.
    ValueError
        If a parameter is invalid, or weights are missing, of no layer, of another shape or not finite; the
        message lists all of these.

    See Also
    --------
    weights_from_torch, weights_from_keras : Weights of other libraries.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.files import classifier_from_weights
    >>> weights = {"output/weight": np.array([[1, 0], [0, 1]]), "output/bias": np.zeros(2)}
    >>> classifier = classifier_from_weights([], weights, ["left", "right"], (1, 2))
    >>> classifier.predict([[0.2, 0.9]])
    array(['right'], dtype='<U5')

    A network with one output, a sigmoid, becomes one of two classes by zeros for the first: the softmax of
    0 and z is the sigmoid of z.

    >>> weights = {"output/weight": np.array([[1.0], [-1.0]]), "output/bias": np.array([0.5])}
    >>> for name in ("output/weight", "output/bias"):
    ...     weights[name] = np.concatenate([0 * weights[name], weights[name]], axis=-1)
    >>> classifier_from_weights([], weights, ["no", "yes"], (1, 2)).predict_proba([[0.5, 1.0]])
    array([[0.5, 0.5]], dtype=float32)
    """
    classifier = ConvNetClassifier(
        layers,
        image_shape=image_shape,
        input_scaling=input_scaling,
        dtype=dtype,
        data_format=data_format,
    )
    check_hyperparameters(classifier)
    labels = check_labels(classes, None, name="classes", are_classes=True)
    sorted_classes = check_classes(labels, type(classifier).__name__)
    if len(sorted_classes) < len(labels):
        twice = next(label for label in labels.tolist() if (labels == label).sum() > 1)
        raise ValueError(f"classes must differ, got {twice!r} twice")
    format = format_of(classifier)
    complete, nodes = complete_layers(named_layers(layers), format.image_shape, len(labels))
    params = check_all_weights(weights, nodes, format.dtype)
    order = np.argsort(labels, kind="stable")
    params["output"] = {name: value[..., order] for name, value in params["output"].items()}
    network = network_with(nodes, params, format.dtype)
    model = Model(complete, network, format, sorted_classes, LogLoss(), seed=0, made_with=versions())
    classifier.__dict__.update(model_=model, _history=History(mean_weight=1.0, objective=""))
    return classifier


def format_of(classifier: ConvNetClassifier) -> ImageFormat:
    """Return how images become inputs, as the hyperparameters of a classifier say it."""
    shape, scaling = classifier.image_shape, classifier.input_scaling
    if shape is None:
        raise ValueError("image_shape must be given, got None")
    check_image_shape(shape)
    channels_first = classifier.data_format == "channels_first"
    image_shape = resolve_image_shape((0, *shape), shape, channels_first=channels_first)
    dtype = np.dtype("float32" if classifier.dtype == "auto" else classifier.dtype)
    format = ImageFormat(image_shape, channels_first, dtype)
    if isinstance(scaling, str):
        raise ValueError(
            f"input_scaling must be None or (mean, deviation), for there are no data, got {scaling!r}"
        )
    return format if scaling is None else fixed_scaling(format, scaling, dtype)


def check_all_weights(
    weights: Mapping, nodes: Sequence[Node], dtype: np.dtype
) -> dict[str, dict[str, np.ndarray]]:
    """Return the parameters of all nodes by layer and name; counts may be missing.

    Raises
    ------
    TypeError, ValueError
        As :func:`~skcnn.network.transfer.check_named_weights`.
    """
    expected, counts = {}, set()
    for node in nodes[1:]:
        dtypes = dtypes_of_buffers(node, dtype)
        own_counts = dict.fromkeys(node.layer.count_params, ())
        counts |= {f"{node.name}/{name}" for name in own_counts}
        for name, shape in (own_shapes(node) | own_counts).items():
            expected[f"{node.name}/{name}"] = shape, dtypes.get(name, dtype)
    checked = check_named_weights(weights, expected, optional=counts)
    params: dict[str, dict[str, np.ndarray]] = {node.name: {} for node in nodes[1:]}
    for key in expected:
        layer, _, name = key.rpartition("/")
        params[layer][name] = checked[key] if key in checked else np.array(MANY_UPDATES)
    return params


def dtypes_of_buffers(node: Node, dtype: np.dtype) -> dict[str, np.dtype]:
    """Return the dtypes of the buffers and constants of a node by name, which only its layer knows."""
    names = {*node.layer.buffer_params, *node.layer.constant_params}
    if not names:
        return {}
    with node.name_errors():
        rng = np.random.default_rng(0)
        params = node.layer.init_params(node.input_shape, activation=None, dtype=dtype, rng=rng)
        check_params(params)
    return {name: value.dtype for name, value in params.items() if name in names}
