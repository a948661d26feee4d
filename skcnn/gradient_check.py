"""Is my layer's backward correct? Comparison of gradients with finite differences."""

from numbers import Integral, Real

import numpy as np

from skcnn._sklearn import Interval, validate_params
from skcnn.layers import Block, Flatten, Layer
from skcnn.layers.contract import check_shape, kind_of
from skcnn.network.cut import Cut
from skcnn.network.executor import Batch, Executor
from skcnn.network.graph import compile_nodes
from skcnn.network.losses import LinearLoss, Loss
from skcnn.network.network import init_network
from skcnn.network.threads import worker_pool


class _Front(Layer):
    """Copies its input; the layer after it may overwrite the copy."""

    def forward(self, params, X, unit, *, training, out):
        np.copyto(out, X)
        return out

    def backward(self, params, dY, unit, *, need_dX, out):
        return dY


class _Witness(_Front):
    """Notices if the layer after it overwrites its input, although the backward pass still reads it."""

    backward_reads = ("Y",)
    is_intact = True

    def forward(self, params, X, unit, *, training, out):
        np.copyto(unit.kept("copy", X.shape), X)
        return super().forward(params, X, unit, training=training, out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        if not np.array_equal(unit.Y, unit.kept("copy", dY.shape)):
            self.is_intact = False
        return dY


COUNT, SEED = Interval(Integral, 1, None, closed="left"), Interval(Integral, 0, None, closed="left")


@validate_params(
    {
        "layer": [Block],
        "n_samples": [COUNT],
        "weights": ["array-like", None],
        "n_directions": [COUNT],
        "step": [Interval(Real, 0, None, closed="neither")],
        "random_state": [SEED],
    },
    prefer_skip_nested_validation=True,
)
def layer_gradient_error(
    layer: Layer,
    input_shape: tuple[int, ...],
    *,
    n_samples: int = 5,
    weights: np.ndarray | None = None,
    n_directions: int = 3,
    step: float = 1e-5,
    random_state: int = 0,
) -> float:
    r"""Return the largest relative error of a layer's gradients in random directions, in float64.

    Parameters
    ----------
    layer : Layer or container
    input_shape : tuple of int
        Shape of one sample, ``(h, w, c)`` or ``(f,)``.
    n_samples : int, default=5
    weights : ndarray of shape (n_samples,), default=None
        Sample weights, for layers that use them.
    n_directions : int, default=3
        Number of random directions for the input, and for the parameters.
    step : float, default=1e-5
        Step of the finite differences.
    random_state : int, default=0
        Seed of parameters, samples and directions.

    Returns
    -------
    error : float
        Below 1e-7 for a correct gradient, around 1 for a wrong one, nan if the gradient is not finite.

    Raises
    ------
    ValueError
        If a parameter is invalid, or the layer does not fit the shape or overwrites its input.

    Notes
    -----
    For a random linear function :math:`L` of the output and a random direction :math:`d` of unit
    length, :math:`(L(x + \epsilon d) - L(x - \epsilon d)) / 2 \epsilon` is compared with
    :math:`\nabla L \cdot d`. The error is relative to the larger of the two, or to the typical size of an
    element of the gradient if that is larger. The samples are cut into several shards and chunks, so the
    check also fails if a layer stores in itself or in scratch memory what belongs into kept memory. A layer
    that ``works_in_place`` is checked a second time, where it overwrites its input.

    Examples
    --------
    >>> from skcnn.gradient_check import layer_gradient_error
    >>> from skcnn.layers import Conv2D
    >>> layer_gradient_error(Conv2D(4), (6, 5, 2)) < 1e-7
    True
    """
    input_shape = check_shape(input_shape, "input_shape must be")
    if weights is not None:
        weights = _check_weights(weights, n_samples)
    witness = _Witness()
    fronts = [witness]
    if isinstance(layer, Layer) and layer.declares("works_in_place"):
        fronts.append(_Front())
    errors = [
        _gradient_error(
            [("front", front), ("layer", layer)],
            input_shape,
            n_samples=n_samples,
            weights=weights,
            n_directions=n_directions,
            step=step,
            random_state=random_state,
        )
        for front in fronts
    ]
    if not witness.is_intact:
        raise ValueError(f"{layer!r} writes into its input, which forward must not change")
    return float(np.max(errors))  # nan if any error is


def _check_weights(weights, n_samples):
    """Return sample weights as an array; raise a ValueError if they are invalid."""
    weights = np.asarray(weights)
    if weights.shape != (n_samples,) or weights.dtype.kind not in "buif":
        raise ValueError(f"weights must be {n_samples} numbers, got {kind_of(weights)}")
    if not (weights.min() >= 0 and 0 < weights.sum() < np.inf):
        raise ValueError(f"weights must be finite, not negative and not all zero, got {weights}")
    return weights.astype(float)


def _gradient_error(layers, input_shape, *, n_samples, weights, n_directions, step, random_state):
    """Return the largest error of the gradients of a stack, as :func:`layer_gradient_error` defines it."""
    rng = np.random.default_rng(random_state)
    if len(compile_nodes(layers, input_shape)[-1].output_shape) == 3:
        layers = [*layers, ("flatten", Flatten())]
    nodes = compile_nodes(layers, input_shape)
    network = init_network(nodes, dtype=np.float64, seed=random_state)
    network.vector += 0.1 * rng.standard_normal(network.n_params)  # so that biases and shifts are not zero
    is_image = len(input_shape) == 3
    X = rng.standard_normal(
        (*input_shape[:2], n_samples, input_shape[2]) if is_image else (n_samples, *input_shape)
    )
    coefficients = rng.standard_normal((n_samples, network.n_outputs))

    def read(rows, out):
        np.copyto(out, X[:, :, rows] if is_image else X[rows])

    batch = Batch(n_samples, read, coefficients, np.ones(n_samples), weights)
    cut = Cut(min_shards=max(2, n_samples // 2), chunk_bytes=0, min_chunk=2)
    with worker_pool(cut) as pool:
        executor = Executor(network, pool, training=True, seed=random_state, input_gradient=True)

        def loss():
            return executor.gradients(batch, LinearLoss())

        loss()
        gradients = [(X, executor.input_gradient())]
        if network.n_params:
            gradients.append((network.vector, executor.reduce().copy()))
        errors = [
            _direction_error(loss, values, gradient, rng, step)
            for values, gradient in gradients
            for _ in range(n_directions)
        ]
    return np.max(errors)


@validate_params(
    {"loss": [Loss], "n_samples": [COUNT], "n_outputs": [COUNT], "random_state": [SEED]},
    prefer_skip_nested_validation=True,
)
def loss_gradient_error(loss, *, n_samples: int = 7, n_outputs: int = 4, random_state: int = 0) -> float:
    """Return the largest relative error of the gradient of a loss in random directions, in float64.

    Parameters
    ----------
    loss : Loss
        For example :class:`skcnn.network.losses.LogLoss`.
    n_samples, n_outputs : int
    random_state : int, default=0

    Returns
    -------
    error : float
        Below 1e-7 for a correct gradient.

    Raises
    ------
    ValueError
        If a parameter is invalid, or the loss does not return a number.

    Examples
    --------
    >>> from skcnn.gradient_check import loss_gradient_error
    >>> from skcnn.network.losses import LogLoss
    >>> loss_gradient_error(LogLoss()) < 1e-7
    True
    """
    rng = np.random.default_rng(random_state)
    scores = rng.standard_normal((n_samples, n_outputs))
    targets = rng.dirichlet(np.ones(n_outputs), n_samples)
    weights = rng.uniform(0.5, 2, n_samples)
    gradient = np.empty_like(scores)

    def value():
        return loss.gradient(scores, targets, weights, out=np.empty_like(scores))

    total = loss.gradient(scores, targets, weights, out=gradient)
    if not isinstance(total, Real):
        raise ValueError(f"gradient of {type(loss).__name__} must return a number, got {kind_of(total)}")
    return float(np.max([_direction_error(value, scores, gradient, rng, 1e-5) for _ in range(3)]))


def _direction_error(loss, values, gradient, rng, step):
    """Return the relative error of a gradient in one random direction."""
    direction = rng.standard_normal(values.shape)
    direction /= np.linalg.norm(direction)
    original = values.copy()
    values += step * direction
    above = loss()
    np.subtract(original, step * direction, out=values)
    below = loss()
    np.copyto(values, original)
    numeric = (above - below) / (2 * step)
    analytic = (gradient * direction).sum()
    scale = max(abs(numeric), abs(analytic), np.linalg.norm(gradient) / direction.size**0.5)
    return float(abs(numeric - analytic) / (scale or 1.0))
