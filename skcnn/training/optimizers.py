"""Optimizers: the numbers with which a rule updates a section of the parameters.

The rules, which change arrays in place, are functions of the table of kernels. An optimizer holds
hyperparameters only. Its slots, arrays with one number for each parameter, zero before the first step, belong
to the training state and are passed in. Hyperparameters have the same names as in the estimator. They are
python floats, because numpy's would turn float32 into float64.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np

from skcnn.kernels.updates import UPDATES

Slots = dict[str, np.ndarray]


class Optimizer(ABC):
    """Base class of optimizers."""

    hyperparameters: tuple[str, ...]
    """Names of the parameters of the constructor."""

    slot_names: tuple[str, ...]
    """Names of the slots, in the order of the rule."""

    rule: str
    """Name of the rule in the table of kernels."""

    decay_rates: tuple[str, ...] = ()
    """Names of the hyperparameters that set the scale of the slots."""

    decouples_decay = False
    """Whether ``alpha`` shrinks the weights directly, in proportion to the learning rate, and adds no penalty
    to the loss."""

    @property
    def slot_kind(self) -> str:
        """A name for the contents of the slots; the optimizer cannot continue from slots of another kind."""
        rates = [f"{name}={getattr(self, name)}" for name in self.decay_rates]
        return " ".join([type(self).__name__, *rates])

    @abstractmethod
    def numbers(self, step: int, learning_rate: float) -> tuple[float, ...]:
        """Return the numbers of the rule for a step.

        Parameters
        ----------
        step : int
            Number of the step, from 1.
        learning_rate : float
        """

    def update(
        self,
        weights: np.ndarray,
        gradient: np.ndarray,
        slots: Slots,
        *,
        step: int,
        learning_rate: float,
        rules: Mapping[str, Callable[..., None]] = UPDATES,
    ) -> None:
        """Take one step in place.

        Parameters
        ----------
        weights : ndarray of shape (n,)
            Updated.
        gradient : ndarray of shape (n,)
            May be overwritten.
        slots : dict of str to ndarray of shape (n,)
            Updated.
        step : int
            Number of the step, from 1.
        learning_rate : float
        rules : mapping of str to callable
            Rules by name, of a table of kernels.
        """
        arrays = (slots[name] for name in self.slot_names)
        rules[self.rule](weights, gradient, *arrays, *self.numbers(step, learning_rate))


class SGD(Optimizer):
    r"""Stochastic gradient descent with momentum.

    Parameters
    ----------
    momentum : float, default=0.9
        Share of the velocity that a step keeps, in [0, 1).
    nesterovs_momentum : bool, default=True
        Whether to use Nesterov's momentum, which looks ahead by one step.

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
    >>> from skcnn.training.optimizers import SGD
    >>> weights, slots = np.ones(1), {"velocity": np.zeros(1)}
    >>> SGD(momentum=0.0).update(weights, np.ones(1), slots, step=1, learning_rate=0.25)
    >>> weights
    array([0.75])
    """

    hyperparameters = ("momentum", "nesterovs_momentum")
    slot_names = ("velocity",)
    rule = "sgd"

    def __init__(self, momentum: float = 0.9, nesterovs_momentum: bool = True):
        self.momentum = float(momentum)
        self.nesterovs_momentum = bool(nesterovs_momentum)

    def numbers(self, step, learning_rate):
        return self.momentum, self.nesterovs_momentum, learning_rate


class Adagrad(Optimizer):
    r"""Adagrad: the learning rate of a weight falls with the sum of its squared gradients.

    Parameters
    ----------
    epsilon : float, default=1e-8
        Added to the denominator.

    Notes
    -----
    :math:`v \leftarrow v + g^2`, :math:`w \leftarrow w - \eta g / (\sqrt{v} + \epsilon)`. Slot:
    ``square_sum`` :math:`v`.

    References
    ----------
    Duchi, Hazan and Singer (2011), "Adaptive subgradient methods for online learning and stochastic
    optimization", JMLR.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.training.optimizers import Adagrad
    >>> weights, slots = np.ones(1), {"square_sum": np.zeros(1)}
    >>> Adagrad().update(weights, np.full(1, 4.0), slots, step=1, learning_rate=0.25)
    >>> weights.round(6)
    array([0.75])
    """

    hyperparameters = ("epsilon",)
    slot_names = ("square_sum",)
    rule = "rmsprop"

    def __init__(self, epsilon: float = 1e-8):
        self.epsilon = float(epsilon)

    def numbers(self, step, learning_rate):
        return 1.0, self.epsilon, learning_rate  # a sum that does not decay


class RMSProp(Optimizer):
    r"""RMSProp: gradients divided by their running root mean square.

    Parameters
    ----------
    beta_2 : float, default=0.999
        Decay rate of the average of the squared gradient, in [0, 1).
    epsilon : float, default=1e-8
        Added to the denominator.

    Notes
    -----
    :math:`v \leftarrow \beta_2 v + (1 - \beta_2) g^2`,
    :math:`w \leftarrow w - \eta g / (\sqrt{v} + \epsilon)`. Slot: ``square_sum``
    :math:`v / (1 - \beta_2)`.

    References
    ----------
    Tieleman and Hinton (2012), "Lecture 6.5: RMSProp", Coursera: neural networks for machine learning.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.training.optimizers import RMSProp
    >>> weights, slots = np.ones(1), {"square_sum": np.zeros(1)}
    >>> RMSProp(beta_2=0.75).update(weights, np.full(1, 4.0), slots, step=1, learning_rate=0.25)
    >>> weights.round(6)
    array([0.5])
    """

    hyperparameters = ("beta_2", "epsilon")
    slot_names = ("square_sum",)
    rule = "rmsprop"
    decay_rates = ("beta_2",)

    def __init__(self, beta_2: float = 0.999, epsilon: float = 1e-8):
        self.beta_2 = float(beta_2)
        self.epsilon = float(epsilon)

    def numbers(self, step, learning_rate):
        scale = math.sqrt(1 - self.beta_2)
        return self.beta_2, self.epsilon / scale, learning_rate / scale


class Adam(Optimizer):
    r"""Adam: steps of the size of the learning rate, along averages of the gradient.

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
    >>> from skcnn.training.optimizers import Adam
    >>> weights, slots = np.ones(1), {"gradient_sum": np.zeros(1), "square_sum": np.zeros(1)}
    >>> Adam().update(weights, np.ones(1), slots, step=1, learning_rate=0.25)
    >>> weights.round(6)
    array([0.75])
    """

    hyperparameters = ("beta_1", "beta_2", "epsilon")
    decay_rates = ("beta_1", "beta_2")
    slot_names = ("gradient_sum", "square_sum")
    rule = "adam"

    def __init__(self, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8):
        self.beta_1 = float(beta_1)
        self.beta_2 = float(beta_2)
        self.epsilon = float(epsilon)

    def numbers(self, step, learning_rate):
        correction = math.sqrt((1 - self.beta_2) / (1 - self.beta_2**step))
        rate = learning_rate * (1 - self.beta_1) / ((1 - self.beta_1**step) * correction)
        return self.beta_1, self.beta_2, self.epsilon / correction, rate


class AdamW(Adam):
    r"""Adam with decoupled weight decay.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decay rates of the averages of the gradient and of its square, in [0, 1).
    epsilon : float, default=1e-8
        Added to the denominator.

    Notes
    -----
    Each step first shrinks the weights that decay, :math:`w \leftarrow (1 - \eta \alpha) w`, and then takes a
    step of :class:`Adam`; ``alpha`` adds nothing to the loss. Slots are those of Adam.

    References
    ----------
    Loshchilov and Hutter (2019), "Decoupled weight decay regularization", ICLR.

    Examples
    --------
    >>> from skcnn.training.optimizers import AdamW
    >>> AdamW().decouples_decay
    True
    """

    decouples_decay = True


class NAdam(Adam):
    r"""Adam with Nesterov's momentum.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decay rates of the averages of the gradient and of its square, in [0, 1).
    epsilon : float, default=1e-8
        Added to the denominator.

    Notes
    -----
    With :math:`m` and :math:`v` as in :class:`Adam`, :math:`\mu_t = \beta_1 (1 - 0.96^{t / 250} / 2)` and
    :math:`\Pi_t = \mu_1 \cdots \mu_t`, as in PyTorch and Keras,

    .. math:: w \leftarrow w - \eta \left(\frac{1 - \mu_t}{1 - \Pi_t} g
        + \frac{\mu_{t + 1}}{1 - \Pi_{t + 1}} m\right) / \left(\sqrt{v / (1 - \beta_2^t)} + \epsilon\right).

    Slots are those of Adam.

    References
    ----------
    Dozat (2016), "Incorporating Nesterov momentum into Adam", ICLR workshop.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.training.optimizers import NAdam
    >>> weights, slots = np.ones(1), {"gradient_sum": np.zeros(1), "square_sum": np.zeros(1)}
    >>> NAdam().update(weights, np.ones(1), slots, step=1, learning_rate=0.25)
    >>> weights.round(4)
    array([0.7359])
    """

    rule = "nadam"

    def numbers(self, step, learning_rate):
        gradient_share = (1 - self._momentum(step)) / (1 - momentum_product(self.beta_1, step))
        sum_share = (
            self._momentum(step + 1) / (1 - momentum_product(self.beta_1, step + 1)) * (1 - self.beta_1)
        )
        correction = math.sqrt((1 - self.beta_2) / (1 - self.beta_2**step))
        shares = gradient_share, sum_share
        return self.beta_1, self.beta_2, *shares, self.epsilon / correction, learning_rate / correction

    def _momentum(self, step):
        return self.beta_1 * (1 - 0.5 * 0.96 ** (step / 250))


@lru_cache(maxsize=16)  # the sections of a step ask for the same
def momentum_product(beta_1: float, step: int) -> float:
    r"""Return the product of the momenta of :class:`NAdam` up to a step, without a loop over steps.

    By the series of the logarithm, that of :math:`\prod_{i \le t} (1 - q^i / 2)` is
    :math:`-\sum_k 2^{-k} q^k (1 - q^{k t}) / (k (1 - q^k))`. With sixty terms, the error is smaller than
    rounding.
    """
    k = np.arange(1, 61)
    logarithm = math.log(0.96) / 250  # of q
    terms = 0.5**k * np.exp(logarithm * k) * np.expm1(logarithm * k * step) / np.expm1(logarithm * k) / k
    return beta_1**step * math.exp(-float(terms.sum()))


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "adam": Adam,
    "adamw": AdamW,
    "nadam": NAdam,
    "rmsprop": RMSProp,
    "adagrad": Adagrad,
}
"""Optimizers by their names in the ``solver`` parameter."""
