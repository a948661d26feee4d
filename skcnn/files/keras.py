"""Weights of Keras: its files, and which of their layers become which."""

import io
import os
import zipfile
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import zip_longest

import numpy as np

from skcnn.architecture.transfer import weights_for
from skcnn.files.weights import height_width_channels, named_layers
from skcnn.layers import BatchNorm, Conv2D, Dense, DepthwiseConv2D, GroupNorm, LayerNorm, PReLU
from skcnn.network.foreign_weights import KerasLayout, Modules, Pairs, pair_by_names, pair_in_order
from skcnn.network.graph import Node
from skcnn.tensor_file import FileError

KINDS = {
    "conv2d": Conv2D,
    "depthwise_conv2d": DepthwiseConv2D,
    "dense": Dense,
    "batch_normalization": BatchNorm,
    "layer_normalization": LayerNorm,
    "group_normalization": GroupNorm,
    "p_re_lu": PReLU,
}
"""Layers by what Keras calls them in files."""

MEMBER = "model.weights.h5"
"""The file of weights in a ``.keras`` archive."""

PLACE = "layers/"
"""Where files hold layers."""

MALFORMED = (OSError, RuntimeError, LookupError, TypeError, ValueError)
"""What h5py raises for files that are damaged."""


def weights_from_keras(
    path, layers, image_shape, *, names: Mapping[str, str] | None = None
) -> dict[str, np.ndarray]:
    """Return the weights of a file of Keras as those of a stack of layers of the same shape.

    Parameters
    ----------
    path : str or path-like
        A file of ``model.save_weights("name.weights.h5")`` or ``model.save("name.keras")`` in Keras 3, of a
        model of the class Sequential or Functional. h5py reads it: ``python -m pip install "skcnn[keras]"``.
    layers : list or tuple
        The stack as in :class:`~skcnn.ConvNetClassifier`, without the output layer.
    image_shape : tuple of two or three int
        Height, width and, unless 1, channels of the images that the network takes.
    names : mapping of str to str, default=None
        Which layer of Keras becomes which layer, such as ``{"conv2d_1": "conv1", "dense": "output"}``, by
        names in the file: the class in small letters with underscores, and a number from the second of a
        class on, within other models after the name of these and a slash. It must give every layer but
        "output" one; those that it leaves out are left out. None: the layers of each class belong together
        in their order, that of ``model.layers``, and of one Dense more the last is the output layer.

    Returns
    -------
    weights : dict of str to ndarray
        By "layer/parameter", for ``init``, ``set_weights`` and
        :func:`~skcnn.files.classifier_from_weights`.

    Raises
    ------
    FileError
        If the file is damaged, or is not a file that Keras has written.
    ImportError
        If h5py is not installed.
    OSError
        If there is no such file.
    TypeError
        If ``path`` is no path, such as a model, ``layers`` no list, or ``names`` no mapping.
    ValueError
        If layers are invalid, or anything does not fit: the message lists all parameters and layers that do
        not, with their shapes. If there are models within the model and no ``names``.

    See Also
    --------
    weights_from_torch : The same for PyTorch.

    Notes
    -----
    Nothing in the file is executed. Whether layers compute the same is not looked at. Keras' normalizations
    have an ``epsilon`` of 0.001 by default, and batch normalization a ``momentum`` of 0.99. Only PReLU with
    a slope for each channel can be read, ``shared_axes=[1, 2]``, and batch normalization with both scale and
    center.

    Examples
    --------
    >>> from skcnn import BatchNorm, Conv2D
    >>> from skcnn.files import weights_from_keras
    >>> layers = [("conv1", Conv2D(8)), ("norm1", BatchNorm(epsilon=1e-3, momentum=0.99))]
    >>> weights_from_keras("mine.keras", layers, (28, 28))
    Traceback (most recent call last):
        ...
    FileNotFoundError: [Errno 2] No such file or directory: 'mine.keras'
    """
    modules, kinds = read_keras(path)
    pair = partial(pair_by_kind, kinds) if names is None else partial(pair_by_names, names)
    return weights_for(named_layers(layers), height_width_channels(image_shape), KerasLayout(), modules, pair)


def read_keras(path) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, str]]:
    """Return the variables of the layers in a file of Keras, by name and number, and the kind of each layer.

    Raises
    ------
    FileError
        If the file is damaged, or is not a file that Keras has written.
    ImportError
        If h5py is not installed.
    OSError
        If there is no such file.
    TypeError
        If ``path`` is no path.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(
            "path must be the path of a file, such as model.save_weights('name.weights.h5') writes, got "
            f"{type(path)}"
        )
    with open(path, "rb") as file:
        data = io.BytesIO(file.read())
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            'weights of Keras need h5py: python -m pip install "skcnn[keras]"', name="h5py"
        ) from error
    try:
        if zipfile.is_zipfile(data):
            data = read_member(data)
        with h5py.File(data, "r") as file:
            return layers_of(file)
    except (*MALFORMED, zipfile.BadZipFile) as error:
        raise FileError(f"{os.fspath(path)}: no weights of Keras 3, or damaged: {error}") from error


def read_member(archive: io.BytesIO) -> io.BytesIO:
    """Return the file of weights in an archive; raise a ValueError if it is larger than the archive."""
    with zipfile.ZipFile(archive) as opened:
        if opened.getinfo(MEMBER).file_size > len(archive.getbuffer()):
            raise ValueError(f"{MEMBER} is compressed, which Keras does not do")
        return io.BytesIO(opened.read(MEMBER))


def layers_of(file) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, str]]:
    """Return the variables of the layers of an opened file, and their kinds; see :func:`read_keras`."""
    modules: dict[str, dict[str, np.ndarray]] = {}

    def visit(key, entry):
        name, _, number = key.rpartition("/vars/")
        if name.startswith(PLACE) and number.isdecimal():
            # Keras stores all bytes as they are; other data may be none, or elsewhere
            if getattr(entry, "external", True) or entry.id.get_storage_size() != entry.nbytes:
                raise ValueError(f"{key} is not stored as it is")
            own = name.removeprefix(PLACE).replace("/layers/", "/")
            modules.setdefault(own, {})[number] = entry[()]

    file.visititems(visit)
    seeds = [name for name in modules if name.endswith("/seed_generator")]  # of dropout
    for name in seeds:
        del modules[name]
    if not modules:
        raise ValueError(f"it has no layers with weights in {PLACE!r}, but {list(file)[:5]}")
    kinds = {name: split_number(name.rpartition("/")[2])[0] for name in modules}
    return modules, kinds


def split_number(name: str) -> tuple[str, int]:
    """Return the class in the name of a layer in a file, and its number.

    Examples
    --------
    >>> split_number("conv2d"), split_number("batch_normalization_10")
    (('conv2d', 0), ('batch_normalization', 10))
    """
    kind, _, number = name.rpartition("_")
    return (kind, int(number)) if kind and number.isdecimal() else (name, 0)


def pair_by_kind(kinds: Mapping[str, str], modules: Modules, nodes: Sequence[Node]) -> Pairs:
    """Pair layers of Keras with those of the same class in their order; see :func:`pair_by_names`.

    Raises
    ------
    ValueError
        If there are models within the model, between which the order is not known.
    """
    inner = next((name for name in modules if "/" in name), None)
    if inner is not None:
        raise ValueError(f"there are models within the model, such as that of {inner!r}: give names")
    pairs: list = [(name, None) for name, kind in kinds.items() if kind not in KINDS]
    pairs += [(None, node.name) for node in nodes if not isinstance(node.layer, tuple(KINDS.values()))]
    for kind, layer in KINDS.items():
        own = sorted((name for name in modules if kinds[name] == kind), key=split_number)
        found = [node.name for node in nodes if isinstance(node.layer, layer)]
        pairs += pair_in_order(own, found) if kind == "dense" else zip_longest(own, found)
    return pairs
