"""Rules by which optimizers update weights, each in one pass over memory."""

import numpy as np

from skcnn.kernels.compiled.jit import compiled, index


@compiled
def sgd(weights, gradient, velocity, momentum, nesterovs_momentum, rate):
    """Subtract the gradient times the rate from the velocity, and move the weights by it."""
    number = weights.dtype.type
    momentum, rate = number(momentum), number(rate)
    of_velocity, of_gradient = (momentum, rate) if nesterovs_momentum else (number(1), number(0))
    for k in range(index(weights.size)):
        velocity[k] = momentum * velocity[k] - rate * gradient[k]
        weights[k] += of_velocity * velocity[k] - of_gradient * gradient[k]


@compiled
def rmsprop(weights, gradient, square_sum, beta_2, epsilon, rate):
    """Divide the gradient by the root of the decaying sum of its squares."""
    number = weights.dtype.type
    beta_2, epsilon, rate = number(beta_2), number(epsilon), number(rate)
    for k in range(index(weights.size)):
        square_sum[k] = beta_2 * square_sum[k] + gradient[k] * gradient[k]
        weights[k] -= rate * (gradient[k] / (np.sqrt(square_sum[k]) + epsilon))


@compiled
def adam(weights, gradient, gradient_sum, square_sum, beta_1, beta_2, epsilon, rate):
    """Divide the decaying sum of gradients by the root of that of their squares."""
    number = weights.dtype.type
    beta_1, beta_2, epsilon, rate = number(beta_1), number(beta_2), number(epsilon), number(rate)
    for k in range(index(weights.size)):
        gradient_sum[k] = beta_1 * gradient_sum[k] + gradient[k]
        square_sum[k] = beta_2 * square_sum[k] + gradient[k] * gradient[k]
        weights[k] -= rate * (gradient_sum[k] / (np.sqrt(square_sum[k]) + epsilon))


@compiled
def nadam(
    weights, gradient, gradient_sum, square_sum, beta_1, beta_2, gradient_share, sum_share, epsilon, rate
):
    """As :func:`adam`, with shares of the gradient and of the sum of gradients above the root."""
    number = weights.dtype.type
    beta_1, beta_2, epsilon, rate = number(beta_1), number(beta_2), number(epsilon), number(rate)
    gradient_share, sum_share = number(gradient_share), number(sum_share)
    for k in range(index(weights.size)):
        gradient_sum[k] = beta_1 * gradient_sum[k] + gradient[k]
        square_sum[k] = beta_2 * square_sum[k] + gradient[k] * gradient[k]
        numerator = gradient_share * gradient[k] + sum_share * gradient_sum[k]
        weights[k] -= rate * (numerator / (np.sqrt(square_sum[k]) + epsilon))


UPDATES = {"sgd": sgd, "rmsprop": rmsprop, "adam": adam, "nadam": nadam}
"""Rules by name, as in :data:`skcnn.kernels.updates.UPDATES`."""
