"""Optimizers: in-place updates of a block of parameters.

An optimizer holds hyperparameters; its slots, arrays of the shape of the parameters that are zero
before the first step, belong to the training state and are passed in.
"""

import math

import numpy as np

Slots = dict[str, np.ndarray]


class SGD:
    r"""Stochastic gradient descent with momentum.

    Parameters
    ----------
    momentum : float, default=0.9
        Share of the velocity that a step keeps, in [0, 1).
    nesterov : bool, default=True
        Whether to look ahead by one step.

    Notes
    -----
    As in scikit-learn: :math:`v \leftarrow \mu v - \eta g`, then :math:`w \leftarrow w + v`, or with
    Nesterov's momentum :math:`w \leftarrow w + \mu v - \eta g`. Slot: ``velocity``.

    References
    ----------
    Sutskever, Martens, Dahl and Hinton (2013), "On the importance of initialization and momentum in
    deep learning", ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.optimizers import SGD
    >>> weights, slots = np.ones(1), {"velocity": np.zeros(1)}
    >>> SGD(momentum=0.0).update(weights, np.ones(1), slots, step=1, learning_rate=0.25)
    >>> weights
    array([0.75])
    """

    slot_names = ("velocity",)

    def __init__(self, momentum: float = 0.9, nesterov: bool = True):
        self.momentum = momentum
        self.nesterov = nesterov

    def update(
        self, weights: np.ndarray, gradient: np.ndarray, slots: Slots, *, step: int, learning_rate: float
    ) -> None:
        """Take one step in place.

        Parameters
        ----------
        weights : ndarray of shape (n,)
            Updated.
        gradient : ndarray of shape (n,)
            Overwritten.
        slots : dict of str to ndarray of shape (n,)
            Updated.
        step : int
            Number of the step, from 1.
        learning_rate : float
        """
        velocity = slots["velocity"]
        np.multiply(gradient, learning_rate, out=gradient)
        np.multiply(velocity, self.momentum, out=velocity)
        np.subtract(velocity, gradient, out=velocity)
        if self.nesterov:
            np.subtract(weights, gradient, out=weights)
            np.multiply(velocity, self.momentum, out=gradient)
            np.add(weights, gradient, out=weights)
        else:
            np.add(weights, velocity, out=weights)


class Adam:
    r"""Adam.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decay rates of the averages of the gradient and of its square, in [0, 1).
    epsilon : float, default=1e-8
        Added to the denominator.

    Notes
    -----
    :math:`m \leftarrow \beta_1 m + (1 - \beta_1) g`, :math:`v \leftarrow \beta_2 v + (1 - \beta_2) g^2`,

    .. math:: w \leftarrow w - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}.

    Slots: ``gradient_sum`` :math:`m / (1 - \beta_1)` and ``square_sum`` :math:`v / (1 - \beta_2)`, which
    saves two passes over memory.

    References
    ----------
    Kingma and Ba (2015), "Adam: a method for stochastic optimization", ICLR, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.optimizers import Adam
    >>> weights, slots = np.ones(1), {"gradient_sum": np.zeros(1), "square_sum": np.zeros(1)}
    >>> Adam().update(weights, np.ones(1), slots, step=1, learning_rate=0.25)
    >>> weights.round(6)
    array([0.75])
    """

    slot_names = ("gradient_sum", "square_sum")

    def __init__(self, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8):
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def update(
        self, weights: np.ndarray, gradient: np.ndarray, slots: Slots, *, step: int, learning_rate: float
    ) -> None:
        """Take one step in place; see :meth:`SGD.update`."""
        gradient_sum, square_sum = slots["gradient_sum"], slots["square_sum"]
        correction = math.sqrt((1 - self.beta_2) / (1 - self.beta_2**step))
        rate = learning_rate * (1 - self.beta_1) / ((1 - self.beta_1**step) * correction)
        np.multiply(gradient_sum, self.beta_1, out=gradient_sum)
        np.add(gradient_sum, gradient, out=gradient_sum)
        np.multiply(square_sum, self.beta_2, out=square_sum)
        np.multiply(gradient, gradient, out=gradient)
        np.add(square_sum, gradient, out=square_sum)
        np.sqrt(square_sum, out=gradient)
        np.add(gradient, self.epsilon / correction, out=gradient)
        np.divide(gradient_sum, gradient, out=gradient)
        np.multiply(gradient, rate, out=gradient)
        np.subtract(weights, gradient, out=weights)
