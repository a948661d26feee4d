"""Rules by which optimizers update weights, in place, and the table of their numpy versions.

Arrays are flat and of one dtype; the gradient may be overwritten. Numbers are python floats, because those of
numpy would turn float32 into float64. :mod:`skcnn.training.optimizers` says what the numbers are.
"""

from collections.abc import Callable, Mapping

import numpy as np


def sgd(weights, gradient, velocity, momentum, nesterovs_momentum, rate):
    """Subtract the gradient times the rate from the velocity, and move the weights by it."""
    np.multiply(gradient, rate, out=gradient)
    np.multiply(velocity, momentum, out=velocity)
    np.subtract(velocity, gradient, out=velocity)
    if nesterovs_momentum:
        np.subtract(weights, gradient, out=weights)
        np.multiply(velocity, momentum, out=gradient)
        np.add(weights, gradient, out=weights)
    else:
        np.add(weights, velocity, out=weights)


def rmsprop(weights, gradient, square_sum, beta_2, epsilon, rate):
    """Divide the gradient by the root of the decaying sum of its squares."""
    squares = np.multiply(gradient, gradient)
    np.multiply(square_sum, beta_2, out=square_sum)
    np.add(square_sum, squares, out=square_sum)
    _step_by_root(weights, gradient, square_sum, squares, epsilon, rate)


def adam(weights, gradient, gradient_sum, square_sum, beta_1, beta_2, epsilon, rate):
    """Divide the decaying sum of gradients by the root of that of their squares."""
    np.multiply(gradient_sum, beta_1, out=gradient_sum)
    np.add(gradient_sum, gradient, out=gradient_sum)
    np.multiply(square_sum, beta_2, out=square_sum)
    np.multiply(gradient, gradient, out=gradient)
    np.add(square_sum, gradient, out=square_sum)
    _step_by_root(weights, gradient_sum, square_sum, gradient, epsilon, rate)


def nadam(
    weights, gradient, gradient_sum, square_sum, beta_1, beta_2, gradient_share, sum_share, epsilon, rate
):
    """As :func:`adam`, with shares of the gradient and of the sum of gradients above the root."""
    np.multiply(gradient_sum, beta_1, out=gradient_sum)
    np.add(gradient_sum, gradient, out=gradient_sum)
    squares = np.multiply(gradient, gradient)
    np.multiply(square_sum, beta_2, out=square_sum)
    np.add(square_sum, squares, out=square_sum)
    np.multiply(gradient, gradient_share, out=gradient)
    np.multiply(gradient_sum, sum_share, out=squares)
    np.add(gradient, squares, out=gradient)
    _step_by_root(weights, gradient, square_sum, squares, epsilon, rate)


def _step_by_root(weights, numerator, square_sum, scratch, epsilon, rate):
    """Subtract ``rate * numerator / (sqrt(square_sum) + epsilon)`` from the weights in place."""
    np.sqrt(square_sum, out=scratch)
    np.add(scratch, epsilon, out=scratch)
    np.divide(numerator, scratch, out=scratch)
    np.multiply(scratch, rate, out=scratch)
    np.subtract(weights, scratch, out=weights)


UPDATES: Mapping[str, Callable[..., None]] = {"sgd": sgd, "rmsprop": rmsprop, "adam": adam, "nadam": nadam}
"""Rules by name: functions of weights, gradient, slots and numbers."""
