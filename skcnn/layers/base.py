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
    """Base class of the parts of a stack: layers, and containers of layers.

    ``__init__`` only assigns, so a block is cloned, searched and pickled like any estimator. As in
    scikit-learn, ``_parameter_constraints`` has the valid values of the hyperparameters.
    """

    _parameter_constraints: dict = {}

    takes_vectors = False
    """Whether the block takes vectors only, so that images are flattened before it."""

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        register(cls)

    @abstractmethod
    def connect(self, graph, name: str, source: int) -> int:
        """Add the nodes of this block to the graph of a network.

        Parameters
        ----------
        graph : Graph
        name : str
            Name of the block in the stack.
        source : int
            Node whose output the block reads.

        Returns
        -------
        node : int
            Node that gives the block's output.

        Raises
        ------
        ValueError
            If the block does not fit the shape of its input.
        """


class Layer(Block):
    """Base class of layers.

    A layer holds hyperparameters and nothing else. Its weights belong to the network and are passed as
    ``params``; all data of one minibatch belong to the ``unit`` of work. ``__init__`` only assigns, and
    ``_parameter_constraints`` has the valid values of the hyperparameters.

    :meth:`output_shape` gets and returns the shape of one sample: ``(h, w, c)`` for images, ``(f,)`` for
    vectors. Arrays are C-contiguous, of shape ``(h, w, n, c)`` for n images and ``(n, f)`` for n vectors.
    There is at least one: the executor refuses an empty minibatch.

    The unit of work offers

    - ``kept(name, shape, dtype=None)``: memory that keeps its contents from forward to backward,
    - ``scratch(name, shape, dtype=None)``: memory to use within one call,
    - ``accumulator(name, shape)``: memory that the units of a shard share until ``finish``; it is zero when
      their backward pass begins,
    - ``addend(name, shape)``, then ``add(name, addend)``: uninitialized memory to write to, and its addition
      to an accumulator, which nothing else may touch in between; saves passes over a large accumulator,
    - ``add_gradient(name, value)``: adds to the gradient of a parameter,
    - ``add_gradient_product(name, A, B)``: adds a matrix product to it,
    - ``X`` and ``Y``: in backward, the input and output, if named in ``backward_reads``,
    - ``weights``: the sample weights of its rows, shape (n,), or None if all are equal,
    - ``rng``: the unit's own random generator for this step of training,
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
    """Names of the ``buffer_params`` that count. Over minibatches they add up; the others are averaged."""

    constant_params: tuple[str, ...] = ()
    """Names of the parameters that training does not change, such as those that come from the data."""

    backward_reads: tuple[str, ...] = ()
    """Which of "X" and "Y" ``backward`` reads; an array not named here may be overwritten before."""

    works_in_place = False
    """Whether both passes may overwrite what they read: ``out`` may be X or dY itself, so no pass may read an
    element after it has written the output there. Derived classes do not inherit it; see :meth:`declares`."""

    is_random = False
    """Whether training draws random numbers."""

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        first = next(base for base in cls.__mro__ if vars(base).keys() & {"init_params", "param_shapes"})
        if "param_shapes" not in vars(first):  # inherited shapes would be wrong
            cls.param_shapes = Layer.param_shapes

    def declares(self, flag: str) -> bool:
        """Return whether the class itself sets a flag: a derived class may compute anything."""
        return bool(vars(type(self)).get(flag, False))

    def connect(self, graph, name, source):
        return graph.add(name, self, source)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the output for one sample.

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
        """Return the distance between neighbouring output pixels, in pixels of the input.

        Parameters
        ----------
        input_shape : tuple of int

        Returns
        -------
        strides : (int, int)
            Along height and width. By default the ratio of the sizes, rounded up.
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
        """Return initial parameters.

        Parameters
        ----------
        input_shape : tuple of int
        activation : Activation or None
            The activation after the layer, whose ``gain`` sets the scale of the weights.
        dtype : numpy.dtype
        rng : numpy.random.Generator

        Returns
        -------
        params : dict of str to ndarray
        """
        return {}

    def param_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the shapes of the parameters.

        By default, the shapes of what ``init_params`` returns, also in a class that defines ``init_params``
        alone. If a class overrides this, layers that do not fit in memory can still be inspected.

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
        """Set parameters from the training data as they reach the layer.

        Called once before training, by ``fit`` or by the first ``partial_fit``, with the samples of that
        call. Augmentation is not applied.

        Parameters
        ----------
        params : dict of str to ndarray
            Changed in place.
        inputs : iterable of (X, weights)
            The inputs of all training samples, some samples at a time: an array of shape (h, w, n, c) or
            (n, f), and the sample weights, shape (n,), or None if all are equal. Computed lazily.

        Raises
        ------
        ValueError
            If the data are not suitable. The network adds the layer's name.
        """

    @property
    def has_init_from_data(self) -> bool:
        """Whether the class overrides ``init_from_data``; only then are its inputs computed."""
        return type(self).init_from_data is not Layer.init_from_data

    def multiply_adds(self, input_shape: Shape) -> int:
        """Return the number of multiply-adds of a forward pass of one sample."""
        return 0

    def scratch_size(self, input_shape: Shape) -> int:
        """Return the number of elements of scratch memory for one sample, in addition to its output."""
        return 0

    def plan(self, input_shape: Shape):
        """Return what depends on the shape alone, the ``plan`` of all units; called once for a network."""

    def prepare(self, params: Params, plan, *, training: bool, memory):
        """Return what depends on the parameters alone, ``prepared`` of all units.

        Called once per step of training; for prediction, when the layer's parameters have changed. Units must
        not change what it returns. ``memory(name, shape)`` gives arrays for it, which the layer's next call
        gets again. Several layers may be prepared at the same time, on several threads.
        """

    @property
    def prepares(self) -> bool:
        """Whether the class overrides ``prepare``."""
        return type(self).prepare is not Layer.prepare

    @abstractmethod
    def forward(self, params: Params, X, unit, *, training: bool, out: np.ndarray):
        """Compute the output.

        Parameters
        ----------
        params : dict of str to ndarray
        X : ndarray of shape (h, w, n, c) or (n, f)
            Must not be changed, unless it is ``out``; see ``works_in_place``.
        unit : Unit
        training : bool
        out : ndarray
            Memory for the output.

        Returns
        -------
        Y : ndarray
            ``out``, or X itself if there is nothing to do; then X is copied.
        """

    @abstractmethod
    def backward(self, params: Params, dY, unit, *, need_dX: bool, out: np.ndarray | None):
        """Add the gradients of the parameters to the unit and return the gradient of the input.

        Parameters
        ----------
        params : dict of str to ndarray
        dY : ndarray of the shape of Y
            Gradient of the loss with respect to the output; may be overwritten.
        unit : Unit
            The unit of the forward pass.
        need_dX : bool
            Whether dX is needed; if not, the layer may return None.
        out : ndarray of the shape of X, or None
            Memory for dX; None if ``need_dX`` is false.

        Returns
        -------
        dX : ndarray of the shape of X, or None
            ``out``, or dY itself.
        """

    def finish(self, params: Params, unit):
        """Turn accumulators into gradients; called once per shard, after its last ``backward``."""


class MergingLayer(Layer):
    """A layer whose output depends on the whole minibatch, such as batch normalization.

    In training, ``forward`` waits until ``merge`` has combined the ``statistics`` of all units of the
    minibatch, and ``backward`` waits for ``backward_merge``. In prediction nothing is merged.

    In training, only ``statistics`` gets the input. It keeps in the unit what the other passes need;
    ``forward`` gets None instead. If ``backward_reads`` names "X", all of them find it in ``unit.X``.
    """

    @abstractmethod
    def statistics(self, X, unit):
        """Return the partial statistics of a unit, for ``merge``, and keep what the other passes need."""

    @abstractmethod
    def merge(self, params: Params, partials: list, *, part: float | None = None):
        """Combine partial statistics, which always come in the same order.

        Parameters
        ----------
        params : dict of str to ndarray
        partials : list
            What ``statistics`` returned.
        part : float, default=None
            None: the minibatch represents all samples. A number in (0, 1]: it is a small or one-sided chunk
            of a stream, this fraction of a usual minibatch; running statistics then replace its own.

        Returns
        -------
        merged : object
            What ``forward`` and ``backward_statistics`` find in ``unit.merged``.
        buffers : dict of str to ndarray
            New values of the ``buffer_params``, stored when the step is complete.
        """

    @abstractmethod
    def backward_statistics(self, params: Params, dY, unit):
        """Return the partial statistics of the gradient and add the gradients of the parameters."""

    @abstractmethod
    def backward_merge(self, params: Params, merged, partials: list):
        """Return the combined statistics of the gradient, which ``backward`` finds in ``unit.merged``."""


class JoiningLayer(Layer):
    """A layer with several inputs, which containers use to join their branches.

    It gets a tuple of shapes or arrays where other layers get one. In ``backward``, ``out`` is a tuple with
    None for each gradient that is not needed, and the return value is a tuple. The class is not public:
    weight sharing and graphs beyond containers are not supported.
    """


class Activation(Layer):
    """Base class of activations. They keep the shape, and set the scale of initial weights before them."""

    name: str | None = None
    """Name in ``activation`` parameters of layers and of the estimator; None for a class of your own."""

    gain: float | None = None
    """Factor that keeps the scale of a signal, as in ``torch.nn.init.calculate_gain``. Initial weights before
    the activation are normal with standard deviation ``gain / sqrt(fan_in)``. None: Glorot initialization."""

    commutes_with_maximum = False
    """Whether a maximum may be taken before the activation instead of after it: the activation never falls,
    and its slope is zero where different numbers give equal outputs, also in floating point."""


class ElementwiseActivation(Activation):
    """Base class of activations without parameters that work on each number alone."""

    @abstractmethod
    def slope(self, unit, out: np.ndarray) -> np.ndarray:
        """Write the derivative into ``out`` and return it; the unit has what ``backward_reads`` names."""

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
    """Return a positive integer, or a sequence or array of two of them, as a pair of ints.

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
    """Raise a ValueError unless the number of groups divides all totals.

    The message lists the numbers that do.
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
    """Raise a ValueError unless a padding is one of the names, an int >= 0, or a pair of ints or pairs."""

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
