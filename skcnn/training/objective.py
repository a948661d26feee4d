"""From hyperparameters to the objective of training."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from skcnn._sklearn import FiniteInterval
from skcnn.network.losses import Loss
from skcnn.training.optimizers import OPTIMIZERS
from skcnn.training.schedules import SCHEDULES
from skcnn.training.state import Objective
from skcnn.training.weight_averaging import AVERAGING


def make_objective(
    params: Mapping[str, Any],
    loss: Loss,
    *,
    label_smoothing: float,
    dtype: np.dtype,
    n_samples: int,
    n_epochs: int | None,
    factors: Mapping[str, float],
) -> Objective:
    """Return the objective that the hyperparameters define.

    Parameters
    ----------
    params : mapping of str to object
        Hyperparameters of an estimator by name.
    loss : Loss
    label_smoothing : float
    dtype : numpy.dtype
        The dtype of the weights.
    n_samples : int
        Number of training samples.
    n_epochs : int or None
        None: from the hyperparameters.
    factors : mapping of str to float
        Factors of the learning rate by layer.

    Raises
    ------
    ValueError
        If ``epsilon`` is zero in the dtype of the weights.
    """
    n_epochs = choose_n_epochs(params, n_samples) if n_epochs is None else n_epochs
    objective = Objective(
        loss=loss,
        label_smoothing=label_smoothing,
        alpha=choose_alpha(params, n_samples),
        n_epochs=n_epochs,
        batch_size=choose_batch_size(params, n_samples),
        shuffle=params["shuffle"],
        tol=params["tol"],
        patience=params["n_iter_no_change"],
        factors=dict(factors),
    )
    if params["solver"] == "lbfgs":
        return objective
    optimizer, epsilon = OPTIMIZERS[params["solver"]], params["epsilon"]
    smallest = np.finfo(dtype).smallest_subnormal
    if "epsilon" in optimizer.hyperparameters and epsilon < smallest:
        raise ValueError(f"epsilon={epsilon} is zero in {dtype}, expected at least {smallest}")
    rate, clip_norm = float(params["learning_rate_init"]), params["clip_norm"]
    warmup, averaging = float(params["warmup"]), AVERAGING.get(params["averaging"])
    return replace(
        objective,
        optimizer=make(optimizer, params),
        schedule=make(SCHEDULES[params["learning_rate"]], params, rate, n_epochs=n_epochs, warmup=warmup),
        clip_norm=None if clip_norm is None else float(clip_norm),
        averaging=None if averaging is None else make(averaging, params),
    )


def check_solver(params: Mapping[str, Any], *, has_augmentation: bool) -> None:
    """Raise a ValueError for hyperparameters that the solver cannot use."""
    solver, alpha, rate = params["solver"], choose_alpha(params, 1), params["learning_rate_init"]
    factors = params["learning_rate_factors"]
    check_factors(factors, solver)
    largest = max([1.0, *(factors or {}).values()])
    if solver == "lbfgs" and has_augmentation:
        raise ValueError(
            f"augmentation={params['augmentation']!r} changes images from epoch to epoch, but "
            "solver='lbfgs' needs the same images: set augmentation=None or choose another solver"
        )
    if solver == "adamw" and largest * rate * alpha >= 1:
        raise ValueError(
            "solver='adamw' multiplies weights by 1 - learning_rate_init * alpha, which must be positive, "
            f"got learning_rate_init={rate} and alpha={alpha}"
            + (f", with learning_rate_factors up to {largest}" if largest > 1 else "")
        )


def is_stochastic(estimator) -> bool:
    """Return True if training uses minibatches, as ``partial_fit`` needs; else raise an AttributeError."""
    if estimator.solver == "lbfgs":
        raise AttributeError(
            "partial_fit is not available with solver='lbfgs', which needs all samples at once"
        )
    return True


def check_has_no_horizon(learning_rate: str, averaging: str | None) -> None:
    """Raise a ValueError for a schedule or an average that needs the number of epochs in advance."""
    if SCHEDULES[learning_rate].has_horizon:
        raise ValueError(
            f"learning_rate={learning_rate!r} is not supported by partial_fit, which does not know the "
            "number of epochs in advance: choose 'constant' or 'step', or call fit"
        )
    if averaging is not None and AVERAGING[averaging].has_horizon:
        raise ValueError(
            f"averaging={averaging!r} is not supported by partial_fit, which does not know the number of "
            "epochs in advance: choose 'ema', or call fit"
        )


def check_factors(factors: Mapping[str, float] | None, solver: str) -> None:
    """Raise a ValueError unless all factors of the learning rate are numbers that the solver can use."""
    for key, factor in (factors or {}).items():
        if not isinstance(key, str) or not FiniteInterval(with_zero=True).is_satisfied_by(factor):
            raise ValueError(
                f"learning_rate_factors must map names of layers to finite numbers >= 0, got {factors!r}"
            )
        if solver == "lbfgs" and factor not in (0, 1):
            raise ValueError(
                f"learning_rate_factors[{key!r}]={factor}, but solver='lbfgs' has no learning rate: "
                "expected 0, which freezes the layer, or 1"
            )


def make(component: Any, params: Mapping[str, Any], *arguments, **options):
    """Return an instance of a class, with the hyperparameters that the class lists."""
    own = {name: params[name] for name in component.hyperparameters}
    return component(*arguments, **options, **own)


def choose_alpha(params: Mapping[str, Any], n_samples: int) -> float:
    """Return the weight decay, which depends only on the parameter, the solver and the number of samples.

    Large sets have more steps an epoch, each of which decays the weights, and overfit less.
    """
    if params["alpha"] == "auto":
        return min(0.5, 12_000 / n_samples) if params["solver"] == "adamw" else 1e-4
    return float(params["alpha"])


def choose_batch_size(params: Mapping[str, Any], n_samples: int) -> int:
    """Return the size of a minibatch, which depends only on the parameter and the number of samples."""
    if params["batch_size"] == "auto":
        return min(64, n_samples) if n_samples <= 10_000 else 128
    return min(params["batch_size"], n_samples)


def choose_n_epochs(params: Mapping[str, Any], n_samples: int) -> int:
    """Return the largest number of epochs, from the parameter and the number of samples only."""
    if params["max_iter"] is None:
        return min(max(10, -(-200_000 // n_samples)), 50)
    return params["max_iter"]
