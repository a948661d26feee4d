"""Gradients of the predictions of a fitted network."""

from dataclasses import replace

import numpy as np
from sklearn.base import clone

from skcnn.data.images import ImageSource
from skcnn.layers import BatchNorm, Dropout, SpatialDropout2D
from skcnn.layers.normalization import ChannelAffine
from skcnn.network.executor import Batch, Executor
from skcnn.network.losses import LinearLoss
from skcnn.network.model import Model, predict
from skcnn.network.network import Network, network_with
from skcnn.network.threads import worker_pool


def make_inference_network(network: Network) -> Network:
    """Return a network that computes in training what the given one computes in prediction.

    Its training gradients are therefore gradients of predictions. BatchNorm with its running statistics
    becomes a :class:`ChannelAffine`, and dropout drops nothing; other layers, parameters and indices stay.

    Parameters
    ----------
    network : Network

    Returns
    -------
    inference_network : Network
        Has its own copy of the parameters.

    Examples
    --------
    >>> from skcnn.layers import BatchNorm, Conv2D
    >>> from skcnn.network.graph import compile_nodes
    >>> from skcnn.network.network import init_network
    >>> nodes = compile_nodes([("conv", Conv2D(4)), ("norm", BatchNorm())], (8, 8, 1))
    >>> make_inference_network(init_network(nodes, dtype="float32", seed=0)).nodes[2].layer
    ChannelAffine()
    """
    nodes, params = [network.nodes[0]], {}
    for node in network.nodes[1:]:
        layer, of_layer = node.layer, network.params.get(node.name, {})
        if type(layer) is BatchNorm:
            layer, (factor, offset) = ChannelAffine(), layer.factor_and_offset(of_layer)
            of_layer = {"factor": factor.astype(network.dtype), "offset": offset.astype(network.dtype)}
        elif type(layer) in (Dropout, SpatialDropout2D):
            layer = clone(layer).set_params(rate=0.0)
        nodes.append(replace(node, layer=layer))
        params[node.name] = of_layer
    return network_with(tuple(nodes), params, network.dtype)


class ScoreGradients:
    """Gradients of the scores of a model, before softmax and without test-time augmentation.

    Parameters
    ----------
    model : Model
        The first gradient copies its parameters; later changes have no effect.
    """

    def __init__(self, model: Model):
        self._model = model
        self._inference_networks = {}

    def of_images(self, X: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """Return the gradient of sums of scores with respect to the values of images.

        Parameters
        ----------
        X : ndarray of shape (n, ...)
        coefficients : ndarray of shape (n, n_classes)
            Factors of the scores in the sum of each image.

        Returns
        -------
        gradient : ndarray of the shape of X
            In the compute dtype.

        Raises
        ------
        ValueError
            If a custom layer computes something else in training than in prediction, so the gradient of its
            prediction is unknown.
        """
        format = self._model.format
        read = ImageSource(X, format).read
        gradient = input_gradient(self._network_after(0, read), read, coefficients)
        if format.deviation is not None:
            gradient /= format.deviation
        order = (0, 3, 1, 2) if format.channels_first else (0, 1, 2, 3)
        return gradient.transpose(order).reshape(X.shape)

    def of_results(self, results: np.ndarray, index: int, coefficients: np.ndarray) -> np.ndarray:
        """Return the gradient of sums of scores with respect to the results of a node.

        ``coefficients`` are as for :meth:`of_images`.

        Raises
        ------
        ValueError
            As for :meth:`of_images`, or if a later node reads a node before this one.
        """

        def read(rows, out):
            np.copyto(out, results[rows].transpose(1, 2, 0, 3) if results.ndim == 4 else results[rows])

        return input_gradient(self._network_after(index, read), read, coefficients)

    def _network_after(self, index, read):
        """Return the inference network after a node; only the first call checks it, on the first image."""
        if index not in self._inference_networks:
            network = self._model.network.after(index)
            inference_network = make_inference_network(network)
            check_inference_network(inference_network, network, read)
            self._inference_networks[index] = inference_network
        return self._inference_networks[index]


def check_inference_network(inference_network: Network, network: Network, read) -> None:
    """Raise an error unless training and prediction give the same results for the first image.

    Parameters
    ----------
    inference_network : Network
        The result of :func:`make_inference_network` for ``network``.
    network : Network
    read : callable
        As in :class:`skcnn.network.executor.Batch`.

    Raises
    ------
    ValueError
        If the results differ; the message names the layer if it can be found.
    """
    changing = [node for node in inference_network.nodes[1:] if node.layer.is_random or node.merges]
    if not changing and not differ(inference_network, network, read):
        return
    differing = (
        inference_network.nodes[end]
        for end in range(1, len(network.nodes))
        if differ(inference_network.up_to(end), network.up_to(end), read)
    )
    node = next(iter(changing), None) or next(differing, None)
    found = "the network" if node is None else f"layer {node.name!r}, {' '.join(repr(node.layer).split())},"
    raise ValueError(
        f"{found} computes something else in training than in prediction, where its gradient is unknown"
    )


def differ(inference_network: Network, network: Network, read) -> bool:
    """Return whether training and prediction results for an image differ by more than rounding errors."""
    (expected,) = predict(network, read, 1)
    with worker_pool() as pool:
        executor = Executor(inference_network, pool, training=True, seed=0)
        (found,) = executor.results(Batch(1, read), np.empty((1, len(expected)), inference_network.dtype))
    rounding = 10 * np.sqrt(np.finfo(inference_network.dtype).eps) * max(1.0, np.abs(expected).max())
    return not np.allclose(found, expected, rtol=0, atol=rounding)


def input_gradient(network: Network, read, coefficients: np.ndarray) -> np.ndarray:
    """Return the gradient of sums of results of an inference network with respect to its input.

    Parameters
    ----------
    network : Network
        The result of :func:`make_inference_network`.
    read : callable
        As in :class:`skcnn.network.executor.Batch`.
    coefficients : ndarray of shape (n_rows, n_outputs)
        Factors of the results in the sum of each row.

    Returns
    -------
    gradient : ndarray of shape (n_rows, h, w, c) or (n_rows, f)
    """
    n_rows, shape = len(coefficients), network.nodes[0].output_shape
    gradient = np.empty((n_rows, *shape), network.dtype)
    with worker_pool() as pool:
        executor = Executor(network, pool, training=True, input_gradient=True)
        for start in range(0, n_rows, pool.cut.gradient_rows):
            rows = slice(start, min(start + pool.cut.gradient_rows, n_rows))
            n = rows.stop - start

            def read_rows(chunk, out, start=start):
                read(slice(start + chunk.start, start + chunk.stop), out)

            batch = Batch(n, read_rows, coefficients[rows].astype(network.dtype), np.ones(n, network.dtype))
            executor.gradients(batch, LinearLoss())
            found = executor.input_gradient()
            gradient[rows] = found.transpose(2, 0, 1, 3) if len(shape) == 3 else found
    return gradient
