"""A fitted network as a function of its images: results of every layer, scores, and gradients of these."""

from dataclasses import replace

import numpy as np
from sklearn.base import clone

from skcnn.batches import ImageSource
from skcnn.execution import Batch, Executor
from skcnn.gradient_check import LinearLoss
from skcnn.kernels.channelwise import channelwise
from skcnn.layers import BatchNorm, Dropout, Layer, SpatialDropout2D
from skcnn.network import Network
from skcnn.random_streams import RandomStreams
from skcnn.threads import worker_pool

N_ROWS = 64
"""Images that gradients are computed of together."""


class ChannelAffine(Layer):
    r"""What batch normalization is in prediction: :math:`y = f x + o`, numbers for each channel.

    Examples
    --------
    >>> from skcnn.frozen import ChannelAffine
    >>> ChannelAffine().output_shape((8, 8, 3))
    (8, 8, 3)
    """

    works_in_place = True
    constant_params = ("factor", "offset")

    def init_params(self, input_shape, *, activation, dtype, rng):
        """Return ``factor`` and ``offset`` that leave the input as it is; see :meth:`Layer.init_params`."""
        return {"factor": np.ones(input_shape[-1], dtype), "offset": np.zeros(input_shape[-1], dtype)}

    def forward(self, params, X, unit, *, training, out):
        """Compute the result; see :meth:`Layer.forward`."""
        channelwise(np.multiply, X, params["factor"], out=out)
        return channelwise(np.add, out, params["offset"], out=out)

    def backward(self, params, dY, unit, *, need_dX, out):
        """Compute the gradient with respect to the input; see :meth:`Layer.backward`."""
        return channelwise(np.multiply, dY, params["factor"], out=out) if need_dX else None


def frozen(network: Network) -> Network:
    """Return a network that computes in training what the given one does in prediction.

    Gradients of what is predicted are then those of training. BatchNorm with its running statistics becomes a
    :class:`ChannelAffine`, and dropout drops nothing; other layers, parameters and indices stay.

    Parameters
    ----------
    network : Network

    Returns
    -------
    frozen : Network
        With parameters of its own.

    Examples
    --------
    >>> from skcnn.layers import BatchNorm, Conv2D
    >>> from skcnn.network import compile_steps
    >>> steps = compile_steps([("conv", Conv2D(4)), ("norm", BatchNorm())], (8, 8, 1))
    >>> frozen(Network(steps, dtype="float32", streams=RandomStreams(0))).steps[2].layer
    ChannelAffine()
    """
    steps, params = [network.steps[0]], {}
    for step in network.steps[1:]:
        layer, of_layer = step.layer, network.params.get(step.name, {})
        if type(layer) is BatchNorm:
            layer, (factor, offset) = ChannelAffine(), layer.factor_and_offset(of_layer)
            of_layer = {"factor": factor.astype(network.dtype), "offset": offset.astype(network.dtype)}
        elif type(layer) in (Dropout, SpatialDropout2D):
            layer = clone(layer).set_params(rate=0.0)
        steps.append(replace(step, layer=layer))
        params[step.name] = of_layer
    return Network.of(tuple(steps), params, network.dtype)


class Scores:
    """The scores of a fitted estimator as a function of images, one column a class.

    They are those before softmax, without test-time augmentation. Images are taken in the layout and the
    range of values that ``fit`` was given, of any real dtype.

    Parameters
    ----------
    classifier : ConvNetClassifier
        Fitted.

    """

    def __init__(self, classifier):
        self._network = classifier.network_
        self._format = classifier._image_format

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Return the scores of images, shape (n, n_classes)."""
        return predicted(self._network, ImageSource(X, self._format).read, len(X))

    def results(self, X: np.ndarray, index: int) -> np.ndarray:
        """Return the results of a step for images, shape (n, h, w, c) or (n, f)."""
        network = self._network.up_to(index)
        results = predicted(network, ImageSource(X, self._format).read, len(X))
        return results.reshape(len(X), *self._network.steps[index].output_shape)

    def gradient(self, X: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """Return the gradient of sums of scores with respect to the values of images.

        Parameters
        ----------
        X : ndarray of shape (n, ...)
        coefficients : ndarray of shape (n, n_classes)
            Factors of the scores of each image in its sum.

        Returns
        -------
        gradient : ndarray of the shape of X, of the dtype computed in

        Raises
        ------
        ValueError
            If a layer that is not of skcnn computes something else in training than in prediction, whose
            gradient is then unknown.
        """
        read = ImageSource(X, self._format).read
        gradient = input_gradient(self._frozen_network(read), read, coefficients)
        if self._format.deviation is not None:
            gradient /= self._format.deviation
        order = (0, 3, 1, 2) if self._format.channels_first else (0, 1, 2, 3)
        return gradient.transpose(order).reshape(X.shape)

    def results_gradient(self, results: np.ndarray, index: int, coefficients: np.ndarray) -> np.ndarray:
        """Return the gradient of sums of scores with respect to the results of a step; see :meth:`gradient`.

        Raises
        ------
        ValueError
            As :meth:`gradient`, or if there is another way through the network than by this step.
        """
        is_image = results.ndim == 4

        def read(rows, out):
            np.copyto(out, results[rows].transpose(1, 2, 0, 3) if is_image else results[rows])

        behind = frozen(self._network).behind(index)
        check_frozen(behind, self._network.behind(index), read)
        return input_gradient(behind, read, coefficients)

    def _frozen_network(self, read):
        network = frozen(self._network)
        check_frozen(network, self._network, read)
        return network


def check_frozen(network: Network, original: Network, read) -> None:
    """Raise a ValueError unless a frozen network does in training what the original does in prediction."""
    (image,) = predicted(original, read, 1)
    with worker_pool() as pool:
        executor = Executor(network, pool, training=True, streams=RandomStreams(0))
        (trained,) = executor.results(Batch(1, read), np.empty((1, len(image)), network.dtype))
    if not np.allclose(trained, image, rtol=0, atol=1e-3 * max(1.0, np.abs(image).max())):
        raise ValueError(
            "a layer computes something else in training than in prediction, whose gradient is then unknown: "
            f"predicted {image}, in training {trained}"
        )


def predicted(network: Network, read, n_rows: int) -> np.ndarray:
    """Return what a network predicts for images, shape (n_rows, n_outputs)."""
    out = np.empty((n_rows, network.n_outputs), network.dtype)
    with worker_pool() as pool:
        return Executor(network, pool, training=False).predict(Batch(n_rows, read), out)


def input_gradient(network: Network, read, coefficients: np.ndarray) -> np.ndarray:
    """Return the gradient of sums of results of a frozen network with respect to what it reads.

    Parameters
    ----------
    network : Network
        As :func:`frozen` returns it.
    read : callable
        As that of a :class:`skcnn.execution.Batch`.
    coefficients : ndarray of shape (n_rows, n_outputs)

    Returns
    -------
    gradient : ndarray of shape (n_rows, h, w, c) or (n_rows, f)
    """
    n_rows, shape = len(coefficients), network.steps[0].output_shape
    gradient = np.empty((n_rows, *shape), network.dtype)
    with worker_pool() as pool:
        executor = Executor(network, pool, training=True, input_gradient=True)
        for start in range(0, n_rows, N_ROWS):
            rows = slice(start, min(start + N_ROWS, n_rows))
            n = rows.stop - start

            def read_rows(chunk, out, start=start):
                read(slice(start + chunk.start, start + chunk.stop), out)

            batch = Batch(n, read_rows, coefficients[rows].astype(network.dtype), np.ones(n, network.dtype))
            executor.gradients(batch, LinearLoss())
            found = executor.input_gradient()
            gradient[rows] = found.transpose(2, 0, 1, 3) if len(shape) == 3 else found
    return gradient
