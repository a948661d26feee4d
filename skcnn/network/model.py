"""A fitted network and all else that prediction needs."""

from collections import ChainMap
from collections.abc import Mapping, Sequence

import numpy as np

from skcnn.data.augmenter import prediction_readers
from skcnn.data.images import ImageFormat, ImageSource
from skcnn.data.samples import Outputs
from skcnn.data.targets import TargetScaling
from skcnn.kernels.table import NUMPY, Kernels
from skcnn.layers.base import Block
from skcnn.network.cut import sections
from skcnn.network.executor import Batch, Executor
from skcnn.network.graph import Graph, compile_graph
from skcnn.network.losses import LOSSES, BinaryLogLoss, Loss
from skcnn.network.network import Network
from skcnn.network.regression_losses import REGRESSION_LOSSES
from skcnn.network.threads import worker_pool

ALL_LOSSES: Mapping[str, type[Loss]] = ChainMap(
    LOSSES,
    REGRESSION_LOSSES,  # type: ignore[arg-type]
    {"binary_log_loss": BinaryLogLoss},
)
"""The losses that a model may have, by name."""


class Model:
    """A fitted network and all else that prediction needs.

    Estimators replace their model as a whole, so the parts of a model always belong together.

    Parameters
    ----------
    layers : list of (str, Block)
        All layers, the output layer included.
    network : Network
        The compiled layers with their parameters.
    format : ImageFormat
        How images become inputs of the network.
    classes : ndarray of shape (n_outputs,)
        Classes, in the order of the scores; else the numbers of labels or outputs, from 0 on.
    loss : Loss
        Turns scores into probabilities or predictions.
    target_scaling : TargetScaling or None, default=None
        How scores become the numbers that a regressor predicts; None for classes.
    seed : int
        Seed of the initial weights.
    made_with : str
        Versions of the packages that fitted it.

    Attributes
    ----------
    layers, network, format, classes, loss, target_scaling, seed, made_with
        As given.
    """

    def __init__(
        self,
        layers: list[tuple[str, Block]],
        network: Network,
        format: ImageFormat,
        classes: np.ndarray,
        loss: Loss,
        *,
        target_scaling: TargetScaling | None = None,
        seed: int,
        made_with: str,
    ):
        self.layers = layers
        self.network = network
        self.format = format
        self.classes = classes
        self.loss = loss
        self.target_scaling = target_scaling
        self.seed = seed
        self.made_with = made_with

    def replace(self, **attributes) -> "Model":
        """Return a copy of the model with the given attributes replaced."""
        return Model(**(vars(self) | attributes))

    def has_outputs_of(self, other: "Model") -> bool:
        """Whether scores stand for the same as those of another model, so that it can lend its output layer.

        Predictions of numbers may have another unit.
        """
        kinds = [(model.loss.kind, getattr(model.loss, "is_centred", None)) for model in (self, other)]
        return np.array_equal(self.classes, other.classes) and kinds[0] == kinds[1]

    @property
    def outputs(self) -> Outputs:
        """What the scores are for."""
        return Outputs(self.loss.kind, self.classes)

    @property
    def graph(self) -> Graph:
        """The graph of the layers, with their nodes by name."""
        return compile_graph(self.layers, self.format.image_shape)

    def scores(self, X: np.ndarray, changes: Sequence = (), kernels: Kernels = NUMPY) -> np.ndarray:
        """Return the scores of images, shape (n_samples, n_outputs).

        Parameters
        ----------
        X : ndarray of shape (n_samples, ...)
            Images in a layout of the format.
        changes : sequence of Augmentation, default=()
            Scores are averages over all combinations of their views.
        kernels : Kernels
            What the layers compute with.

        Raises
        ------
        ValueError
            If a score is not finite because values of X are too large.
        """
        readers = prediction_readers(ImageSource(X, self.format), changes)
        scores = np.empty((len(X), self.network.n_outputs), self.network.dtype)
        with worker_pool(n_predicted=len(X), kernels=kernels) as pool:
            executor = Executor(self.network, pool, training=False)
            first, *others = readers
            executor.predict(Batch(len(X), first), scores)
            of_view = np.empty_like(scores) if others else scores  # as large as all else may be
            for read in others:
                np.add(scores, executor.predict(Batch(len(X), read), of_view), out=scores)
        return finite_rows(np.divide(scores, len(readers), out=scores), "the scores of")

    def results(self, X: np.ndarray, index: int, kernels: Kernels = NUMPY) -> np.ndarray:
        """Return the results of a node for images, shape (n_samples, h, w, c) or (n_samples, f).

        Parameters
        ----------
        X : ndarray of shape (n_samples, ...)
            Images in a layout of the format.
        index : int
            Number of the node.
        kernels : Kernels
            What the layers compute with.

        Raises
        ------
        ValueError
            If a result is not finite because values of X are too large.
        """
        node = self.network.nodes[index]
        results = predict(self.network.up_to(index), ImageSource(X, self.format).read, len(X), kernels)
        finite_rows(results, f"the results of layer {node.name!r} for")
        return results.reshape(len(X), *node.output_shape)

    def __getstate__(self):
        """Return the model as arrays, names and numbers; only the layers are objects."""
        network, format = self.network, self.format
        return {
            "layers": self.layers,
            "network": network.arguments(),
            "format": vars(format) | {"dtype": format.dtype.name},
            "classes": self.classes,
            "loss": next(name for name, kind in ALL_LOSSES.items() if kind is type(self.loss)),
            "loss_parameters": vars(self.loss),
            "target_scaling": self.target_scaling,
            "seed": self.seed,
            "made_with": self.made_with,
        }

    def __setstate__(self, state):
        format = ImageFormat(**(state["format"] | {"dtype": np.dtype(state["format"]["dtype"])}))
        nodes = tuple(compile_graph(state["layers"], format.image_shape).nodes)
        Model.__init__(
            self,
            state["layers"],
            Network(nodes, format.dtype, **state["network"]),
            format,
            state["classes"],
            ALL_LOSSES[state["loss"]](**state["loss_parameters"]),
            target_scaling=state.get("target_scaling"),
            seed=state["seed"],
            made_with=state["made_with"],
        )


def predict(network: Network, read, n_rows: int, kernels: Kernels = NUMPY) -> np.ndarray:
    """Return the predictions of a network for the rows that ``read`` reads, shape (n_rows, n_outputs)."""
    out = np.empty((n_rows, network.n_outputs), network.dtype)
    with worker_pool(n_predicted=n_rows, kernels=kernels) as pool:
        return Executor(network, pool, training=False).predict(Batch(n_rows, read), out)


def finite_rows(values: np.ndarray, what: str) -> np.ndarray:
    """Return values of shape (n_samples, n); raise a ValueError that names ``what`` if one is not finite."""
    for rows in sections(len(values)):
        finite = np.isfinite(values[rows]).all(axis=1)
        if not finite.all():
            row = rows.start + int(finite.argmin())
            raise ValueError(
                f"{what} sample {row} are not finite: its values are too large for {values.dtype}"
            )
    return values
