"""What an executor prepares before it sees an image; predictions reuse it in later calls."""

from collections.abc import Set
from math import prod

import numpy as np

from skcnn.kernels.table import NUMPY, Kernels
from skcnn.network.graph import Node
from skcnn.network.memory import Arena
from skcnn.network.network import Network, Params
from skcnn.network.program import Program
from skcnn.network.rewriting import bind, fold, freeze, fuse
from skcnn.network.threads import WorkerPool


class Setup:
    """What an executor prepares before it sees an image.

    Parameters
    ----------
    nodes : tuple of Node
    params : mapping of str to mapping of str to ndarray
        Parameters by layer name and parameter name.
    dtype : numpy.dtype
    trained, input_gradient
        As for :class:`Program`.
    frozen : set of str, default=()
        Names of frozen layers.
    kernels : Kernels
        What the layers compute with.

    Attributes
    ----------
    program : Program
    params : list of dict of str to ndarray
        Parameters of each node.
    plans : list of object
        What ``plan`` of each layer returned.
    image_bytes : int
        The result of :func:`image_bytes`.
    """

    def __init__(
        self,
        nodes: tuple[Node, ...],
        params: Params,
        dtype: np.dtype,
        trained: set[str] | None = None,
        *,
        input_gradient: bool = False,
        frozen: Set[str] = frozenset(),
        kernels: Kernels = NUMPY,
    ):
        nodes, params = freeze(nodes, params, frozen)
        nodes = bind(fuse(nodes), kernels)
        self.program = Program(nodes, trained, input_gradient=input_gradient)
        self.params: list = [params.get(node.name, {}) for node in self.program.nodes]
        self.plans = [None] + list(map(plan_of, self.program.nodes[1:]))
        self.image_bytes = image_bytes(nodes, dtype)
        preparing = [index for index, node in enumerate(nodes[1:], start=1) if node.layer.prepares]
        self._memory = {index: Arena(dtype) for index in preparing}
        self._fixed = {index for index in preparing if nodes[index].name in frozen}
        self._prepared: list = [None] * len(nodes)
        self._n_params = sum(value.size for own in self.params for value in own.values())

    def prepare(self, *, training: bool, pool: WorkerPool | None = None) -> list:
        """Return what ``prepare`` of each layer returns for the current parameters, in the same memory.

        Frozen layers, whose parameters do not change, prepare once. Threads of a pool share the work where
        parameters are many.
        """

        def prepare_node(index):
            node, memory = self.program.nodes[index], self._memory[index]
            with node.name_errors():
                self._prepared[index] = node.layer.prepare(
                    self.params[index], self.plans[index], training=training, memory=memory
                )

        due = [index for index in self._memory if index not in self._fixed or self._prepared[index] is None]
        if pool is not None and self._n_params > pool.cut.section:
            pool.run(prepare_node, due)
        else:
            for index in due:
                prepare_node(index)
        return self._prepared


class PredictionSetup(Setup):
    """A setup for predictions, with what layers prepare from the current parameters of a network.

    Layers prepare it from a copy, so it stays consistent if another thread writes into the network.

    Parameters
    ----------
    network : Network
    kernels : Kernels

    Attributes
    ----------
    prepared : list of object
        What ``prepare`` of each layer returned.
    """

    def __init__(self, network: Network, kernels: Kernels):
        self._kernels, self._bytes, copies = kernels, {}, {}
        for node in network.nodes[1:]:
            if node.layer.prepares:
                copies[node.name] = {}
                for name, value in network.params.get(node.name, {}).items():
                    self._bytes[node.name, name] = copied = bytearray(np.ascontiguousarray(value).data)
                    copies[node.name][name] = np.ndarray(value.shape, value.dtype, copied)
        nodes, params = fold(network.nodes, network.params | copies)
        super().__init__(nodes, params, network.dtype, kernels=kernels)
        self.prepared = self.prepare(training=False)

    def is_of(self, network: Network, kernels: Kernels) -> bool:
        """Return whether kernels and the prepared parameters of the network are the same, bit for bit.

        Bytes compare faster than numbers; they also distinguish -0 from 0, and NaN equals itself.
        """
        return self._kernels is kernels and all(
            copied == np.ascontiguousarray(network.params[layer][name]).data
            for (layer, name), copied in self._bytes.items()
        )


def prediction_setup(network: Network, kernels: Kernels = NUMPY) -> PredictionSetup:
    """Return the setup for predictions of a network, from an earlier call unless something has changed.

    Hyperparameters are assumed not to change. Threads that find no setup at the same time make one each.
    """
    setup = network.prediction_setup
    if setup is None or not setup.is_of(network, kernels):
        setup = network.prediction_setup = PredictionSetup(network, kernels)
    return setup


def plan_of(node: Node):
    """Return the plan of a node's layer."""
    with node.name_errors():
        return node.layer.plan(node.input_shape)


def image_bytes(nodes: tuple[Node, ...], dtype: np.dtype) -> int:
    """Return the largest memory that a node takes for an image: inputs, output and scratch."""
    return dtype.itemsize * max(
        sum(map(prod, node.input_shapes))
        + prod(node.output_shape)
        + node.layer.scratch_size(node.input_shape)
        for node in nodes[1:]
    )
