"""A graph of ONNX operators while it is built: nodes and constants, each under a name of its own."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from skcnn.layers.base import is_integer
from skcnn.versions import __version__

OPSET = 18
"""The first version of the operators of ONNX that has all of those needed."""

DTYPES = {"f": np.float32, "i": np.int64, "u": np.int64}
"""What constants become, by the kind of their dtype."""


def import_onnx(what: str):
    """Return the package onnx, which something needs.

    Raises
    ------
    ImportError
        If it is not installed; the message says how to install it.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError(f'{what} needs onnx: python -m pip install "skcnn[onnx]"') from error
    return onnx


def check_opset(opset, parameter: str) -> None:
    """Raise a ValueError unless a version of the operators of ONNX is new enough, and known to onnx."""
    newest = import_onnx("to_onnx").defs.onnx_opset_version()
    if not is_integer(opset) or not OPSET <= opset <= newest:
        raise ValueError(
            f"{parameter} must be an int from {OPSET} to {newest}, the newest that the onnx installed knows, "
            f"got {opset!r}"
        )


class GraphBuilder:
    """Collects the nodes and constants of an ONNX graph.

    Parameters
    ----------
    prefix : str, default=""
        What all names begin with, so that several networks fit into one graph.
    opset : int, default=18
        Version of the operators.

    Attributes
    ----------
    nodes : list of onnx.NodeProto
    initializers : list of onnx.TensorProto

    Examples
    --------
    >>> graph = GraphBuilder()
    >>> graph.begin("twice")
    >>> graph.add("Mul", "X", 2.0)
    'twice/Mul'
    >>> [list(node.input) for node in graph.nodes]
    [['X', 'twice/Mul/1']]
    """

    def __init__(self, prefix: str = "", opset: int = OPSET):
        self._onnx = import_onnx("GraphBuilder")
        self._prefix, self._opset, self._counts = prefix, opset, Counter()
        self.nodes, self.initializers = [], []
        self.begin("input")

    def begin(self, scope: str) -> None:
        """Begin a part, such as a layer: names begin with this after the prefix."""
        self._scope, self._start = scope, (len(self.nodes), len(self.initializers))

    def add(self, operator: str, *inputs, output: str | None = None, **attributes) -> str:
        """Add a node and return the name of its result.

        Parameters
        ----------
        operator : str
            Name of the ONNX operator, such as "Conv".
        *inputs : str or array-like
            Names of results; or constants, of which numbers with a point become float32 and integers int64.
        output : str, default=None
            Name of the result; None makes one up.
        **attributes : dict
            Those of the operator.

        Returns
        -------
        name : str

        Raises
        ------
        ValueError
            If a constant is too large for float32 or int64.
        """
        name = self._unique(operator)
        names = [
            value if isinstance(value, str) else self.constant(value, f"{name}/{position}")
            for position, value in enumerate(inputs)
        ]
        result = name if output is None else output
        self.nodes.append(self._onnx.helper.make_node(operator, names, [result], name=name, **attributes))
        return result

    def constant(self, value, name: str | None = None, *, dtype=None) -> str:
        """Add a constant and return its name.

        Parameters
        ----------
        value : array-like
        name : str, default=None
            None makes one up.
        dtype : numpy.dtype, default=None
            None: float32 for numbers with a point, int64 for integers, else that of the value.

        Returns
        -------
        name : str

        Raises
        ------
        ValueError
            If a number is too large for the dtype.
        """
        name = name or self._unique("constant")
        array = np.asarray(value)
        with np.errstate(over="ignore"):
            cast = array.astype(dtype or DTYPES.get(array.dtype.kind, array.dtype))
        if array.dtype.kind in "fu":
            is_lost = np.isinf(cast) & np.isfinite(array) | (cast < 0) & (array > 0)
            if is_lost.any():
                raise ValueError(
                    f"a constant of it is too large for {cast.dtype}, which ONNX models compute in"
                )
        self.initializers.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(cast), name))
        return name

    def cast(self, X: str, dtype) -> str:
        """Add a change to a dtype of numpy and return the name of the result."""
        return self.add("Cast", X, to=self.element_type(dtype))

    def element_type(self, dtype) -> int:
        """Return the number by which ONNX calls a dtype of numpy."""
        return self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def make_model(self, inputs: Sequence[tuple], outputs: Sequence[tuple], *, is_part: bool = False):
        """Return a model of what was added.

        Parameters
        ----------
        inputs, outputs : sequence of (str, numpy.dtype, tuple of int)
            Names, dtypes, and shapes of one sample.
        is_part : bool, default=False
            Whether the model has the latest part alone.

        Returns
        -------
        model : onnx.ModelProto
        """
        helper = self._onnx.helper
        first_node, first_constant = self._start if is_part else (0, 0)
        inputs, outputs = (
            [
                helper.make_tensor_value_info(name, self.element_type(dtype), ["N", *shape])
                for name, dtype, shape in entries
            ]
            for entries in (inputs, outputs)
        )
        opsets = [helper.make_opsetid("", self._opset)]
        return helper.make_model(
            helper.make_graph(
                self.nodes[first_node:], "skcnn", inputs, outputs, self.initializers[first_constant:]
            ),
            opset_imports=opsets,
            ir_version=helper.find_min_ir_version_for(opsets),
            producer_name="skcnn",
            producer_version=__version__,
        )

    def check_part(self, inputs: Sequence[tuple], outputs: Sequence[tuple]) -> None:
        """Raise a ValueError unless the latest part alone is a valid model, of these inputs and outputs."""
        checker, shape_inference = self._onnx.checker, self._onnx.shape_inference
        try:
            checker.check_model(self.make_model(inputs, outputs, is_part=True), full_check=True)
        except (checker.ValidationError, shape_inference.InferenceError) as error:
            message = " ".join(str(error).split())
            raise ValueError(f"its converter wrote ONNX that is not valid: {message}") from error

    def _unique(self, kind):
        name = f"{self._prefix}{self._scope}/{kind}"
        self._counts[name] += 1
        return name if self._counts[name] == 1 else f"{name}_{self._counts[name]}"
