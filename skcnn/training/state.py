"""The objective of training, and the state from which training continues."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from skcnn.encoding import register_dataclass
from skcnn.network.losses import Loss
from skcnn.training.optimizers import Optimizer
from skcnn.training.schedules import Schedule
from skcnn.training.weight_averaging import Averaging


@register_dataclass
@dataclass
class TrainingState:
    """What training needs, besides the network, to continue where it stopped.

    Attributes
    ----------
    seed : int
        Seed of all random draws of training.
    epoch, step : int
        Numbers of complete epochs and minibatches.
    n_samples_seen : int
        Number of samples seen in training, repetitions included.
    n_plateaus : int
        How often training has stopped improving and continued with a lower learning rate.
    n_averaged : int
        Number of weight vectors that count as averaged.
    solver : str
        The optimizer of the slots, with its decay rates and the frozen layers.
    n_updates : int
        Number of steps of this optimizer.
    slots : dict of str to ndarray of shape (n_params,)
        Arrays of the optimizer and, with averaging, "average".
    trained : ndarray of shape (n_params,) or None
        The weights from which training continues, while the network holds their average.
    """

    seed: int
    epoch: int = 0
    step: int = 0
    n_samples_seen: int = 0
    n_plateaus: int = 0
    n_averaged: int = 0
    solver: str = ""
    n_updates: int = 0
    slots: dict[str, np.ndarray] = field(default_factory=dict)
    trained: np.ndarray | None = None

    def change_solver(self, solver: str) -> None:
        """Drop the slots of another optimizer.

        Other decay rates count, too, as they change the scale, and other frozen layers, whose slots know no
        gradients: steps after ``n_updates`` would be many times too large.
        """
        if self.solver != solver:
            self.solver, self.n_updates = solver, 0
            self.slots = {name: slot for name, slot in self.slots.items() if name == "average"}

    def forget_average(self) -> None:
        """Drop the average; the next one starts anew."""
        self.n_averaged = 0
        self.slots.pop("average", None)

    def copy(self) -> "TrainingState":
        """Return a copy that shares no memory."""
        slots = {name: slot.copy() for name, slot in self.slots.items()}
        return replace(self, slots=slots, trained=None if self.trained is None else self.trained.copy())


@dataclass
class Objective:
    """What is minimised, how, and until when.

    Attributes
    ----------
    loss : Loss
    label_smoothing : float
    alpha : float
        Factor of ``sum(weight ** 2) / 2`` in the loss.
    n_epochs : int
        Largest number of epochs.
    optimizer : Optimizer or None
        None: L-BFGS on all samples at once.
    schedule : Schedule or None
    clip_norm : float or None
        Largest norm of the gradient; a larger gradient is scaled down to it.
    averaging : Averaging or None
    batch_size : int
        Largest number of samples in a minibatch. The minibatches of an epoch differ in size by at most one
        sample, as a small last one would have too much weight.
    shuffle : bool
        Whether to draw a new order of the samples each epoch.
    tol : float
        Smallest change of the loss, or of the score, that counts as an improvement. L-BFGS also converges
        when no component of the gradient is larger.
    patience : int or inf
        Epochs in a row that may pass without improvement.
    factors : dict of str to float
        Factors of the learning rate by layer; the default is 1. A layer of factor 0 is frozen: its weights do
        not change, and its batch normalization uses running statistics.
    """

    loss: Loss
    label_smoothing: float
    alpha: float
    n_epochs: int
    optimizer: Optimizer | Any = None
    schedule: Schedule | Any = None
    clip_norm: float | None = None
    averaging: Averaging | None = None
    batch_size: int = 64
    shuffle: bool = True
    tol: float = 1e-4
    patience: float = 10
    factors: dict[str, float] = field(default_factory=dict)
