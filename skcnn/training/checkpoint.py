"""Checkpoints: the state of a fit in a file, from which it goes on after the process has ended."""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.base import BaseEstimator

import skcnn.network.packing  # noqa: F401  registers Model
from skcnn._sklearn import CALLBACK_ATTRIBUTES, FiniteInterval, Interval
from skcnn.encoding import Decoder, Encoder, register, register_dataclass
from skcnn.network.network import Network
from skcnn.tensor_file import FileError, parse_json, read_tensors, write_tensors
from skcnn.training.monitoring import Monitor
from skcnn.training.state import TrainingState
from skcnn.versions import versions

FORMAT = "skcnn checkpoint 1"

ENDING = ".checkpoint"

N_ROWS = 1_000
"""Images that a fingerprint looks at."""

NOT_COMPARED = ("checkpoint", "verbose", "max_time")
"""Hyperparameters that may differ when a fit goes on."""


def pack_checkpoint(checkpoint: "Checkpoint") -> dict:
    """Return the parameters of a checkpoint, with its folder as text."""
    return checkpoint.get_params() | {"folder": os.fspath(checkpoint.folder)}


class Checkpoint(BaseEstimator):
    """Where and how often ``fit`` writes the state of training to a file, to go on if the process ends.

    ``fit`` writes the state at the end of an epoch. A later ``fit`` with the same hyperparameters and data
    finds the file and goes on, with the bits of a fit that was never interrupted. It removes the file when it
    is done. A digest of hyperparameters and data names the file, so that many fits, such as those of a search
    in several processes, can share a folder.

    Parameters
    ----------
    folder : str or PathLike
        Made if it does not exist.
    every_epochs : int, default=1
        Number of epochs after which the state is written.
    every_minutes : float or None, default=None
        Write it only if so many minutes have passed, too.

    Notes
    -----
    Of the images, the digest covers shape, dtype and 1,000 rows, evenly spaced; of targets and weights, all.
    ``verbose`` and ``max_time`` may change. A file is about four times as large as the weights, with early
    stopping five times; those of ``init`` or of a warm start are added. "lbfgs" cannot go on, and
    ``partial_fit`` writes nothing. Networks that are alike but for a ``random_state`` of None, and are fitted
    at the same time, would share a file: give them seeds.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_digits
    >>> from skcnn import Checkpoint, ConvNetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     clf = ConvNetClassifier(checkpoint=Checkpoint(folder), max_iter=2, random_state=0).fit(X, y)
    >>> clf.n_iter_
    2
    """

    _parameter_constraints: dict = {
        "folder": [str, os.PathLike],
        "every_epochs": [Interval(Integral, 1, None, closed="left")],
        "every_minutes": [FiniteInterval(with_zero=True), None],
    }

    def __init__(self, folder, every_epochs=1, every_minutes=None):
        self.folder = folder
        self.every_epochs = every_epochs
        self.every_minutes = every_minutes


register(Checkpoint, pack_checkpoint, lambda plain: Checkpoint(**plain))


class KnownFile(Checkpoint):
    """A checkpoint whose file has a name of its own.

    Parameters
    ----------
    folder, every_epochs, every_minutes
        As for :class:`Checkpoint`.
    path : str or PathLike
        The file.
    """

    def __init__(self, folder, every_epochs=1, every_minutes=None, path=None):
        super().__init__(folder, every_epochs, every_minutes)
        self.path = path


@register_dataclass
@dataclass
class SavedTraining:
    """A fit between two epochs.

    Attributes
    ----------
    first_epoch : int
        Number of epochs before the fit.
    snapshot : tuple
        All that training changes in the network.
    state : TrainingState
    monitor : dict
        What :meth:`skcnn.training.monitoring.Monitor.memory` returned.
    """

    first_epoch: int
    snapshot: tuple
    state: TrainingState
    monitor: dict


class CheckpointFile:
    """The file of a fit.

    Parameters
    ----------
    checkpoint : Checkpoint
    estimator : estimator
        A copy from before the fit, to be kept in the file.
    fingerprint : dict of str to str
        What must be the same when the fit goes on.

    Attributes
    ----------
    path : Path
    """

    def __init__(self, checkpoint: Checkpoint, estimator, fingerprint: dict[str, str]):
        digest = hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()
        known = getattr(checkpoint, "path", None)
        self.path = Path(checkpoint.folder) / f"{digest[:32]}{ENDING}" if known is None else Path(known)
        self._checkpoint, self._fingerprint = checkpoint, fingerprint
        estimator.checkpoint = Checkpoint(
            checkpoint.folder, checkpoint.every_epochs, checkpoint.every_minutes
        )
        self._estimator = encoded(estimator)
        self._written = time.monotonic()

    def begin(self) -> SavedTraining | None:
        """Return what an interrupted fit has left, after making the folder and removing unfinished files.

        Raises
        ------
        FileError
            If the file is damaged.
        ValueError
            If it is of another fit; the message names what differs.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for unfinished in self.path.parent.glob(f".{self.path.name}.*"):
            unfinished.unlink(missing_ok=True)
        try:
            saved, before, _ = read(self.path)
        except FileNotFoundError:
            return None
        now = self._fingerprint
        differing = [name for name in before | now if before.get(name) != now.get(name)]
        if differing:
            parts = [f"{name} ({before.get(name)} then, {now.get(name)} now)" for name in differing]
            raise ValueError(f"{self.path} is of a fit that differs in {', '.join(parts)}")
        return saved

    def save(self, first_epoch: int, network: Network, state: TrainingState, monitor: Monitor) -> None:
        """Write the state of training if it is time to.

        Raises
        ------
        OSError
            If the file cannot be written; the last one stays.
        """
        every_minutes = self._checkpoint.every_minutes
        if (state.epoch - first_epoch) % self._checkpoint.every_epochs:
            return
        if every_minutes is not None and time.monotonic() - self._written < 60 * every_minutes:
            return
        encoder = Encoder()
        saved = SavedTraining(first_epoch, network.snapshot(), state, monitor.memory())
        training = to_json(encoder.encode(saved, "training"))
        metadata = {"format": FORMAT, "fingerprint": to_json(self._fingerprint), "training": training}
        tensors, estimator = self._estimator
        write_tensors(self.path, encoder.tensors | tensors, metadata | estimator)
        self._written = time.monotonic()

    def remove(self) -> None:
        """Remove the file, as training is done."""
        with suppress(FileNotFoundError):
            self.path.unlink()


def to_json(plain) -> str:
    """Return plain values as JSON."""
    return json.dumps(plain, separators=(",", ":"), allow_nan=False)


def encoded(estimator) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return an estimator as arrays and metadata; without it, these say why a file cannot hold it."""
    encoder = Encoder(left_out=set(CALLBACK_ATTRIBUTES))
    try:
        return encoder.tensors, {"estimator": to_json(encoder.encode(estimator, "estimator"))}
    except TypeError as error:
        return {}, {"no estimator": str(error)}


def read(path, custom: Mapping[str, type] | None = None) -> tuple[SavedTraining, dict[str, str], Any]:
    """Return what a file holds: the training, the fingerprint, and the estimator or why there is none.

    Raises
    ------
    FileError
        If the file is damaged or no checkpoint.
    """
    tensors, metadata = read_tensors(path, has_digest=True)
    if metadata.get("format") != FORMAT:
        raise FileError(f"{path}: its format is {metadata.get('format')!r}, expected {FORMAT!r}")
    decoder = Decoder(tensors, custom or {})
    saved = decoder.decode(parse_json(metadata["training"]))
    if custom is None:
        return saved, parse_json(metadata["fingerprint"]), None
    if "estimator" not in metadata:
        return saved, parse_json(metadata["fingerprint"]), metadata["no estimator"]
    return saved, parse_json(metadata["fingerprint"]), decoder.decode(parse_json(metadata["estimator"]))


# Fingerprints


def fingerprint_of(hyperparameters: Mapping[str, Any], arrays: Mapping[str, Any]) -> dict[str, str]:
    """Return digests of hyperparameters and arrays by their names, and the versions of packages.

    Raises
    ------
    ValueError
        If a hyperparameter cannot be pickled, such as a lambda.
    """
    found = {"versions": versions()}
    for name, value in hyperparameters.items():
        if name not in NOT_COMPARED:
            try:
                found[name] = joblib.hash(value)
            except Exception as error:  # pickling raises errors of all kinds
                raise ValueError(
                    f"checkpoint needs hyperparameters that can be pickled, got {name}={value!r}: {error}"
                ) from error
    return found | {name: digest_of(array) for name, array in arrays.items() if array is not None}


def some_rows(X) -> np.ndarray:
    """Return evenly spaced images of an array or a lazy view, as a number for each pixel."""
    return np.asarray(X[np.linspace(0, len(X) - 1, min(len(X), N_ROWS)).astype(int)])


def digest_of(array: np.ndarray) -> str:
    """Return shape, dtype and a digest of an array."""
    part = array[:1] if array.strides == (0,) else array  # the rest of a constant is the same
    return f"shape {array.shape}, {array.dtype}, {joblib.hash(np.ascontiguousarray(part))}"
