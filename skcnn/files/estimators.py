"""Saves an estimator to one file and loads it without executing anything from the file."""

import copy
import json
from collections.abc import Iterable, Mapping
from inspect import signature

import numpy as np
from sklearn.frozen import FrozenEstimator

import skcnn.network.packing  # noqa: F401  registers Model
from skcnn._sklearn import CALLBACK_ATTRIBUTES
from skcnn.encoding import Decoder, Encoder, pack_estimator, register
from skcnn.estimator import BaseConvNet
from skcnn.features import ConvNetFeatures
from skcnn.network.model import Model
from skcnn.pipelines import unwrap
from skcnn.tensor_file import FileError, parse_json, read_tensors, write_tensors
from skcnn.training.monitoring import History
from skcnn.training.state import TrainingState
from skcnn.versions import versions

FORMAT = "skcnn 1"
"""Format in the metadata of a file. The number increases with each change that older versions cannot read or
would read wrongly, such as a new hyperparameter."""

MALFORMED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    NotImplementedError,
)
"""Errors that values of a wrong type cause when they are used."""

register(FrozenEstimator, pack_estimator)


def save(estimator, path, *, training_state: bool = False, drop: Iterable[str] = ()) -> None:
    """Write an estimator, fitted or not, to a file that any reader of safetensors can open.

    The file holds the hyperparameters, weights, classes, preprocessing of images, training history and a
    digest. Writing is atomic: if it fails or is killed, an existing file does not change.

    Parameters
    ----------
    estimator : ConvNetClassifier, ConvNetRegressor or ConvNetFeatures
        Or a subclass of these. Callbacks are not saved. Use skops for Pipelines and searches.
    path : str or path-like
    training_state : bool, default=False
        Whether to save what ``warm_start`` and ``partial_fit`` need to continue as if training had not been
        interrupted. This takes about three times the space of the weights.
    drop : iterable of str, default=()
        Hyperparameters to replace by their default values, such as "validation_split": a file cannot hold a
        splitter of scikit-learn.

    Raises
    ------
    OSError
        If the file cannot be written.
    TypeError
        If the estimator has another type or holds something that a file cannot hold, such as a function, a
        RandomState, a splitter or a custom scorer; the message says where, and what to drop.
    ValueError
        If ``drop`` has a name that is not a hyperparameter with a default, or there is no training state.

    See Also
    --------
    load : Reads the file.

    Notes
    -----
    The file is in safetensors format, with these metadata: "sha256", the digest of the file with its own 64
    digits as zeros; "format"; "made_with", the versions of packages; "estimator", the estimator as JSON.
    In this JSON, ``{"object": class, "holds": {...}}`` is an object, ``{"dict": {...}}`` a dict,
    ``{"tuple": [...]}`` a tuple, ``{"array": dtype, "shape": [...], "tensor": name}`` an array. Weights
    are the tensors "model_/weights/layer/parameter".

    Examples
    --------
    >>> import tempfile
    >>> import skcnn
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = skcnn.ConvNetClassifier(max_iter=1, random_state=0).fit(X[:500], y[:500])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     skcnn.save(clf, f"{folder}/digits.skcnn")
    ...     loaded = skcnn.load(f"{folder}/digits.skcnn")
    >>> bool((loaded.predict_proba(X) == clf.predict_proba(X)).all())
    True
    """
    if not isinstance(estimator, BaseConvNet | ConvNetFeatures):
        raise TypeError(
            "estimator must be a ConvNetClassifier, ConvNetRegressor or ConvNetFeatures, got a "
            f"{type(estimator).__name__}; use skops.io.dump for Pipelines and searches"
        )
    saved = copy.copy(estimator)
    if training_state and "_training_state" not in vars(saved):
        raise ValueError(
            "training_state=True, but the estimator has none: partial_fit keeps it, and fit with "
            "warm_start=True"
        )
    parameters = signature(type(saved)).parameters.values()
    defaults = {each.name: each.default for each in parameters if each.default is not each.empty}
    for name in (drop,) if isinstance(drop, str) else drop:
        if name not in defaults:
            raise ValueError(f"drop={name!r} is no hyperparameter with a default of {type(saved).__name__}")
        setattr(saved, name, defaults[name])
    left_out = {*CALLBACK_ATTRIBUTES, *(() if training_state else ("_training_state",))}
    encoder = Encoder(left_out, defaults.keys() - {"layers"})  # a model holds layers, too
    plain = encoder.encode(saved, "")
    metadata = {
        "format": FORMAT,
        "made_with": versions(),
        "estimator": json.dumps(plain, separators=(",", ":"), allow_nan=False),
    }
    write_tensors(path, encoder.tensors, metadata)


def load(path, *, custom: Mapping[str, type] | None = None):
    """Read an estimator that :func:`save` has written.

    Nothing in the file is executed. Only classes of this package and those in ``custom`` are instantiated.
    The digest detects damage, but not manipulation: anybody can compute it.

    Parameters
    ----------
    path : str or path-like
    custom : mapping of str to type, default=None
        Your own classes of layers, augmentations and estimators in the file, by name. Their constructors
        are called.

    Returns
    -------
    estimator : estimator
        Its predictions are the same, bit for bit on the same machine with the same versions.

    Raises
    ------
    FileError
        If the file is damaged, was not written by :func:`save` or has a later format, or if ``custom`` lacks
        a class.
    OSError
        If the file does not exist or cannot be read.

    See Also
    --------
    save : Writes the file.
    """
    tensors, metadata = read_tensors(path, has_digest=True)
    found = metadata.get("format")
    if found != FORMAT:
        raise FileError(f"{path}: its format is {found!r}, expected {FORMAT!r}")
    decoder = Decoder(tensors, custom or {})
    try:
        estimator = decoder.decode(parse_json(metadata["estimator"]))
        if not isinstance(estimator, BaseConvNet | ConvNetFeatures):
            raise FileError(f"it holds a {type(estimator).__name__}, expected an estimator")
        for made in decoder.made:
            if isinstance(made, BaseConvNet):
                check_attributes(made)
            elif isinstance(made, ConvNetFeatures) and "estimator_" in vars(made):
                unwrap(made.estimator_)
    except MALFORMED as error:
        raise FileError(f"{path}: {error if isinstance(error, ValueError) else repr(error)}") from error
    return estimator


def check_attributes(estimator: BaseConvNet) -> None:
    """Raise a ValueError unless the fitted attributes of an estimator fit together."""
    held = vars(estimator)
    kinds = {"model_": Model, "_history": History, "_training_state": TrainingState}
    for name, kind in kinds.items():
        if name in held and not isinstance(held[name], kind):
            raise ValueError(f"{name} is a {type(held[name]).__name__}, expected a {kind.__name__}")
    fitted = held.keys() & {*kinds, "feature_names_in_"}
    if fitted and not {"model_", "_history"} <= fitted:
        raise ValueError(f"it is only partly fitted: its fitted attributes are {sorted(fitted)}")
    if "model_" in held and held["model_"].loss.kind not in estimator._kinds:
        raise ValueError(f"a {type(estimator).__name__} has a loss of {held['model_'].loss.kind}")
    if "_training_state" in held:
        state, vector = held["_training_state"], held["model_"].network.vector
        for array in (*state.slots.values(), vector if state.trained is None else state.trained):
            if array.shape != vector.shape or array.dtype != vector.dtype:
                raise ValueError(
                    f"its training state does not fit its weights, {vector.size} of {vector.dtype}"
                )
    names = held.get("feature_names_in_")
    if names is not None and np.shape(names) != (estimator.n_features_in_,):
        raise ValueError(f"feature_names_in_ has shape {np.shape(names)}, expected (n_features_in_,)")
