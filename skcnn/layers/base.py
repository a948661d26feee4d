"""The protocol that every layer follows."""

from abc import ABC, abstractmethod
from math import gcd, isqrt
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator

from skcnn.encoding import register

Shape = tuple[int, ...]
Params = dict[str, np.ndarray]


class Block(BaseEstimator, ABC):
    """Base class of what a stack is made of: layers, and containers of layers.

    ``__init__`` only assigns, so a block is cloned, searched and pickled like any estimator. The valid
    values of the hyperparameters stand in ``_parameter_constraints``, as in scikit-learn.
    """

    _parameter_constraints: dict = {}

    takes_vectors = False
    """Whether the block takes vectors only, so that images are flattened before it."""

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        register(cls)

    @abstractmethod
    def connect(self, graph, name: str, source: int) -> int:
        """Add the nodes that this block stands for to the graph of a network.

        Parameters
        ----------
        graph : Graph
        name : str
            Name of the block in the stack.
        source : int
            Node whose result the block takes.

        Returns
        -------
        node : int
            Node that gives the block's result.

        Raises
        ------
        ValueError
            If the block does not fit the shape of its input.
        """


class Layer(Block):
    """Base class of layers.

    A layer holds hyperparameters and nothing else: its weights belong to the network and are passed
    as ``params``, all that lives for one minibatch belongs to the ``unit`` of work. ``__init__`` only
    assigns, and the valid values of the hyperparameters stand in ``_parameter_constraints``.

    Shapes given to and returned by :meth:`output_shape` are those of one sample: ``(h, w, c)`` for
    images, ``(f,)`` for vectors. Arrays are C-contiguous, of shape ``(h, w, n, c)`` for n images and
    ``(n, f)`` for n vectors, of which there is at least one: the executor refuses an empty minibatch.

    The unit of work offers a layer

    - ``kept(name, shape, dtype=None)``: memory that keeps its contents from forward to backward,
    - ``scratch(name, shape, dtype=None)``: memory to use within one call,
    - ``accumulator(name, shape)``: memory that is zero when the units of a shard begin their backward
      pass and that they share until ``finish``,
    - ``addend(name, shape)`` and ``add(name, addend)``: memory with any content to write what a unit adds
      to an accumulator, which nothing else may touch in between, and its addition; spares passes over memory
      where the accumulator is large,
    - ``add_gradient(name, value)``: adds to the gradient of a parameter,
    - ``add_gradient_product(name, A, B)``: adds a matrix product to it,
    - ``X`` and ``Y``: in backward, the input and output, if named in ``backward_reads``,
    - ``weights``: the sample weights of its rows, shape (n,), or None where all are equal,
    - ``rng``: a random generator of its own for this step of training,
    - ``plan``, ``prepared`` and ``merged``: what ``plan``, ``prepare``, and ``merge`` or ``backward_merge``
      returned.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn import Layer
    >>> from skcnn.gradient_check import layer_gradient_error
    >>> class Negative(Layer):
    ...     def forward(self, params, X, unit, *, training, out):
    ...         return np.negative(X, out=out)
    ...
    ...     def backward(self, params, dY, unit, *, need_dX, out):
    ...         return np.negative(dY, out=out)
    >>> layer_gradient_error(Negative(), (4, 4, 1)) < 1e-7
    True
    """

    decayed_params: tuple[str, ...] = ()
    """Names of the parameters that weight decay (``alpha``) applies to."""

    buffer_params: tuple[str, ...] = ()
    """Names of the buffers, such as running statistics, which training changes without a gradient."""

    count_params: tuple[str, ...] = ()
    """Those of ``buffer_params`` that count: over minibatches they add up, where others are averaged."""

    constant_params: tuple[str, ...] = ()
    """Names of the parameters that training does not change, such as those that come from the data."""

    backward_reads: tuple[str, ...] = ()
    """Which of "X" and "Y" backward reads; the others may be gone by then."""

    works_in_place = False
    """Whether both passes may write their result over what they read: ``out`` may be X or dY itself, so an
    element is not read again once the result at its place is written. Counts for the class that sets it, not
    for those derived from it; see :meth:`declares`."""

    is_random = False
    """Whether training draws random numbers, so that the same step gives other results."""

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        first = next(base for base in cls.__mro__ if vars(base).keys() & {"init_params", "param_shapes"})
        if "param_shapes" not in vars(first):  # the shapes inherited are those of other parameters
            cls.param_shapes = Layer.param_shapes

    def declares(self, flag: str) -> bool:
        """Return whether a flag is set by the class itself: one derived from it may compute anything."""
        return bool(vars(type(self)).get(flag, False))

    def connect(self, graph, name, source):
        return graph.add(name, self, source)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the result for one sample.

        Parameters
        ----------
        input_shape : tuple of int
            ``(h, w, c)`` or ``(f,)``.

        Returns
        -------
        output_shape : tuple of int

        Raises
        ------
        ValueError
            If the layer cannot be applied to this shape. The network adds the layer's name.
        """
        return input_shape

    def pixel_strides(self, input_shape: Shape) -> tuple[int, int]:
        """Return the pixels of the input from one pixel of the result to the next, along height and width.

        Parameters
        ----------
        input_shape : tuple of int

        Returns
        -------
        strides : (int, int)
            By default what the shapes suggest, rounded up.
        """
        output_shape = self.output_shape(input_shape)
        if len(input_shape) != 3 or len(output_shape) != 3:
            return (1, 1)
        height, width = (-(-size // left) for size, left in zip(input_shape, output_shape[:2], strict=False))
        return height, width

    def reads_in_backward(self, input_shape: Shape) -> tuple[str, ...]:
        """Return what ``backward`` reads for inputs of a shape, by default ``backward_reads``."""
        return self.backward_reads

    def init_params(self, input_shape: Shape, *, activation: "Activation | None", dtype, rng) -> Params:
        """Return fresh parameters.

        Parameters
        ----------
        input_shape : tuple of int
        activation : Activation or None
            The activation that the result goes into, whose ``gain`` gives the scale of the weights.
        dtype : numpy.dtype
        rng : numpy.random.Generator

        Returns
        -------
        params : dict of str to ndarray
        """
        return {}

    def param_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the shapes of the parameters.

        By default those of what ``init_params`` makes, also in a class that defines ``init_params`` alone. A
        class that tells them without making any lets networks be looked at that there is no memory for.

        Parameters
        ----------
        input_shape : tuple of int

        Returns
        -------
        shapes : dict of str to tuple of int
        """
        dtype, rng = np.dtype(np.float32), np.random.default_rng(0)
        params = self.init_params(input_shape, activation=None, dtype=dtype, rng=rng)
        return {name: np.shape(value) for name, value in dict(params).items()}

    def init_from_data(self, params: Params, inputs) -> None:
        """Set parameters by what the layer sees of the training data.

        Called once, before training: by ``fit``, or by the first ``partial_fit``, with the samples of that
        call. Augmentation is not applied.

        Parameters
        ----------
        params : dict of str to ndarray
            Written to.
        inputs : iterable of (X, weights)
            The inputs of all training samples, some samples at a time: an array of shape (h, w, n, c) or
            (n, f), and the sample weights, shape (n,), or None where all are equal. Computed when asked for.

        Raises
        ------
        ValueError
            If the data are of no use for that. The layer's name is added.
        """

    @property
    def has_init_from_data(self) -> bool:
        """Whether the class has an ``init_from_data`` of its own; only then is anything made for it."""
        return type(self).init_from_data is not Layer.init_from_data

    def multiply_adds(self, input_shape: Shape) -> int:
        """Return the number of multiply-adds of a forward pass of one sample."""
        return 0

    def scratch_size(self, input_shape: Shape) -> int:
        """Return the number of elements of scratch memory that one sample takes, beyond its result."""
        return 0

    def plan(self, input_shape: Shape):
        """Work out what follows from the shape alone, the ``plan`` of all units; called once a network."""

    def prepare(self, params: Params, plan, *, training: bool):
        """Compute what follows from the parameters, ``prepared`` of all units.

        Called once a step of training, and for predictions when parameters of the layer have changed. Nothing
        may be written to it.
        """

    @property
    def prepares(self) -> bool:
        """Whether the class has a ``prepare`` of its own."""
        return type(self).prepare is not Layer.prepare

    @abstractmethod
    def forward(self, params: Params, X, unit, *, training: bool, out: np.ndarray):
        """Compute the result.

        Parameters
        ----------
        params : dict of str to ndarray
        X : ndarray of shape (h, w, n, c) or (n, f)
            Not written to, unless it is ``out``; see ``works_in_place``.
        unit : Unit
        training : bool
        out : ndarray
            Where the result should go.

        Returns
        -------
        Y : ndarray
            ``out``, or X itself where there is nothing to do; it is copied then.
        """

    @abstractmethod
    def backward(self, params: Params, dY, unit, *, need_dX: bool, out: np.ndarray | None):
        """Add the gradients of the parameters to the unit and return that of the input.

        Parameters
        ----------
        params : dict of str to ndarray
        dY : ndarray of the shape of Y
            Gradient of the loss with respect to the result; may be overwritten.
        unit : Unit
            The unit of the forward pass.
        need_dX : bool
            Whether anything reads the result; if not, None may be returned.
        out : ndarray of the shape of X, or None
            Where the result should go; None where ``need_dX`` is false.

        Returns
        -------
        dX : ndarray of the shape of X, or None
            ``out`` or an overwritten dY.
        """

    def finish(self, params: Params, unit):
        """Turn accumulators into gradients; called once a shard, after its last backward."""


class MergingLayer(Layer):
    """A layer whose result depends on the whole minibatch, such as batch normalization.

    In training its forward pass waits until every unit of the minibatch has given its ``statistics``
    and ``merge`` has combined them, and its backward pass likewise. In prediction nothing is merged.

    In training the input is there for ``statistics`` alone, which leaves in buffers of the unit what the
    other passes need of it; ``forward`` gets None in its place.
    """

    @abstractmethod
    def statistics(self, X, unit):
        """Return the partial statistics of a unit, for ``merge``, and keep what the other passes need."""

    @abstractmethod
    def merge(self, params: Params, partials: list, *, part: float | None = None):
        """Combine partial statistics, given in an order that never changes.

        Parameters
        ----------
        params : dict of str to ndarray
        partials : list
            What ``statistics`` returned.
        part : float, default=None
            None: the minibatch stands for all samples. A number in (0, 1]: it is the small or one-sided chunk
            of a stream, and so large a part of a usual minibatch. Then running statistics are to be used in
            the place of its own.

        Returns
        -------
        merged : object
            What ``forward`` and ``backward_statistics`` find in ``unit.merged``.
        buffers : dict of str to ndarray
            New values of the ``buffer_params``, taken over when the step is complete.
        """

    @abstractmethod
    def backward_statistics(self, params: Params, dY, unit):
        """Return the partial statistics of the gradient and add the gradients of the parameters."""

    @abstractmethod
    def backward_merge(self, params: Params, merged, partials: list):
        """Combine the partial statistics of the gradient, for ``backward`` to find in ``unit.merged``."""


class JoiningLayer(Layer):
    """A layer with several inputs, which containers use to join their branches.

    Where other layers get a shape or an array, it gets a tuple of them; ``backward`` gets a tuple of
    ``out`` with None for what nothing reads, and returns a tuple. Weight sharing and graphs beyond
    containers are not offered, so the class is not part of the public names.
    """


class Activation(Layer):
    """Base class of activations: the shape stays, and weights before it start with the scale it asks for."""

    name: str | None = None
    """What the ``activation`` parameters of layers and of the estimator call it; None for one of your own."""

    gain: float | None = None
    """What keeps the scale of a signal: weights before the activation start normal, with a standard deviation
    of ``gain / sqrt(fan_in)``, as in ``torch.nn.init.calculate_gain``. None: Glorot's start."""

    commutes_with_maximum = False
    """Whether the maximum of some numbers may be taken before the activation: it never falls, and where it
    gives equal results for different numbers its slope is zero, in floating point, too."""


class ElementwiseActivation(Activation):
    """Base class of activations without parameters that work on each number alone."""

    @abstractmethod
    def slope(self, unit, out: np.ndarray) -> np.ndarray:
        """Write the derivative at what ``backward_reads`` names into ``out``, and return it."""

    def backward(self, params, dY, unit, *, need_dX, out):
        slope = self.slope(unit, unit.scratch("slope", dY.shape))
        return np.multiply(dY, slope, out=out)


def require_image(input_shape: Shape) -> None:
    """Raise a ValueError unless the shape is that of an image."""
    if len(input_shape) != 3:
        raise ValueError(f"expected an image (height, width, channels), got shape {input_shape}")


def as_size(value, name: str) -> int:
    """Return a positive integer as an int; raise a ValueError for anything else."""
    if not is_integer(value) or value < 1:
        raise ValueError(f"{name} must be an int >= 1, got {value!r}")
    return int(value)


def as_pair(value, name: str) -> tuple[int, int]:
    """Return a positive integer as a pair of equal ints; a pair of them, also an array, as a tuple.

    Raises
    ------
    ValueError
        If it is neither.
    """
    sizes = value.tolist() if isinstance(value, np.ndarray) else value
    pair = tuple(sizes) if isinstance(sizes, tuple | list) else (sizes, sizes)
    if len(pair) != 2 or not all(is_integer(entry) and entry >= 1 for entry in pair):
        raise ValueError(f"{name} must be an int >= 1 or a pair of such ints, got {value!r}")
    return int(pair[0]), int(pair[1])


def is_integer(value) -> bool:
    """Whether a value is an integer and not a bool."""
    return isinstance(value, Integral) and not isinstance(value, bool | np.bool_)


def check_divides(groups: int, **totals: int) -> None:
    """Raise a ValueError unless a number of groups divides each of some numbers of things.

    The message lists the numbers that would divide all of them.
    """
    for what, total in totals.items():
        if total % groups:
            common = gcd(*totals.values())
            small = [number for number in range(1, isqrt(common) + 1) if common % number == 0]
            divisors = sorted({*small, *(common // number for number in small)})
            others = [f"{count} {other}" for other, count in totals.items() if other != what]
            shared = f", which divide {' and '.join(others)} as well" if others else ""
            raise ValueError(
                f"groups={groups} does not divide the {total} {what}; choose one of {divisors}{shared}"
            )


def check_padding(value, *, names: tuple[str, ...] = ("same", "valid")) -> None:
    """Raise a ValueError unless a padding is one of some names, an int or a pair of ints or pairs."""

    def is_size(entry):
        return is_integer(entry) and entry >= 0

    def is_pair(entry, is_valid):
        return isinstance(entry, tuple | list) and len(entry) == 2 and all(map(is_valid, entry))

    if isinstance(value, str):
        valid = value in names
    else:
        valid = is_size(value) or is_pair(value, lambda axis: is_size(axis) or is_pair(axis, is_size))
    if not valid:
        shown = "".join(f"{name!r}, " for name in names)
        raise ValueError(
            f"padding must be {shown}an int >= 0, or a pair of ints or of (before, after), got {value!r}"
        )
