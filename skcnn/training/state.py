"""What training is to reach, and what it must know to go on where it stopped."""

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
    """What training must know to go on where it stopped, beside the network.

    Attributes
    ----------
    seed : int
        Seed of all random draws of the training.
    epoch, step : int
        Epochs and minibatches that are complete.
    n_samples_seen : int
        Samples that were trained on, repetitions included.
    n_plateaus : int
        How often training had stopped to improve and went on.
    n_averaged : int
        How many weights the average counts as taken of.
    solver : str
        The optimizer that the slots belong to, with its hyperparameters.
    n_updates : int
        Steps that it has taken.
    slots : dict of str to ndarray of shape (n_params,)
        Arrays of the optimizer and, with averaging, "average".
    trained : ndarray of shape (n_params,) or None
        While the network holds an average, the weights that training goes on from.
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
        """Forget the slots of another optimizer; with other decay rates they would have another scale."""
        if self.solver != solver:
            self.solver, self.n_updates = solver, 0
            self.slots = {name: slot for name, slot in self.slots.items() if name == "average"}

    def forget_average(self) -> None:
        """Let the next average begin anew."""
        self.n_averaged = 0
        self.slots.pop("average", None)

    def copy(self) -> "TrainingState":
        """Return a copy that shares nothing."""
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
        None for full-batch training.
    schedule : Schedule or None
    clip_norm : float or None
        Largest norm of the gradient; longer ones are scaled down to it.
    averaging : Averaging or None
    batch_size : int
        Largest number of samples of a minibatch. The minibatches of an epoch are of equal size, give or take
        one sample, for a small last one would weigh too much.
    shuffle : bool
        Whether to draw a new order of the samples each epoch.
    tol : float
        Improvement of the loss, or of the score, that counts; for full-batch training also the largest
        component of the gradient at which it has converged.
    patience : int or inf
        Epochs without improvement after which training has stopped to improve.
    factors : dict of str to float
        Factors of the learning rate by layer, 1 for those that are not there. A layer of factor 0 is frozen:
        its weights do not change, and its batch normalization uses running statistics.
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
