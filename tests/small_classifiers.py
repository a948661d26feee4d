"""Small classifiers, fitted ones with weights away from their initial values, and numeric derivatives."""

import numpy as np
from numpy.testing import assert_array_equal
from seeds import SEED, generator

from skcnn import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    ConvNetClassifier,
    Dense,
    Dropout,
    GlobalAvgPool2D,
    GroupNorm,
    Layer,
    LeakyReLU,
    MaxPool2D,
    Parallel,
    Residual,
    SpatialDropout2D,
    Tanh,
)

SHAPE, N_CLASSES = (6, 5, 2), 3

STACKS = {
    "normalized convolution": [Conv2D(3), BatchNorm(), Tanh(), AvgPool2D(), Dense(4, activation="tanh")],
    "normalization elsewhere": [
        BatchNorm(),
        Conv2D(3, activation="tanh"),
        BatchNorm(),
        Dense(5),
        BatchNorm(),
        Tanh(),
    ],
    "dropout": [
        SpatialDropout2D(0.3),
        Conv2D(3, activation="tanh"),
        Dropout(0.4),
        Dense(5, activation="tanh"),
        Dropout(),
    ],
    "residual": [
        Conv2D(3),
        Residual([Conv2D(4, strides=2), BatchNorm(), Tanh(), Conv2D(4), BatchNorm()], activation="tanh"),
        Residual([BatchNorm(), Tanh(), Dropout(0.2), Conv2D(4)]),
        GlobalAvgPool2D(),
    ],
    "parallel": [
        Parallel([Conv2D(2, 1), [Conv2D(2), BatchNorm(), Tanh()], "passthrough"]),
        GroupNorm(2),
        Tanh(),
        Dense(4),
    ],
    "bends": [Conv2D(3, activation=LeakyReLU(0.3)), MaxPool2D(), BatchNorm(), LeakyReLU(), Dense(4)],
}
"""Layers by what is special about them; all but "bends" are smooth."""


def make_images(n_samples=24, shape=SHAPE, n_classes=N_CLASSES):
    """Return images with a bright pixel for each class, far from zero mean and unit variance, and codes."""
    rng = generator(n_samples, *shape)
    y = np.arange(n_samples) % n_classes
    X = rng.normal(2, 3, (n_samples, *shape))
    X[np.arange(n_samples), y % shape[0], y % shape[1], 0] += 8
    return X, y


SMALL = {
    "conv_layer_sizes": (3,),
    "normalization": None,
    "hidden_layer_sizes": (4,),
    "activation": "tanh",
    "batch_size": 8,
    "max_iter": 2,
    "learning_rate_init": 1e-2,
    "random_state": SEED,
}
"""Hyperparameters of small estimators."""


def make_classifier(layers=None, **params):
    """Return a small classifier that is not fitted."""
    return ConvNetClassifier(layers, **(SMALL | params))


def shake(classifier):
    """Change all weights of a fitted classifier at random, so that no bias is near zero; return it."""
    vector = classifier.network_.vector
    vector += 0.3 * generator(vector.size).standard_normal(vector.size).astype(vector.dtype)
    return classifier


def fitted_classifier(layers=None, *, X=None, y=None, **params):
    """Return a small fitted classifier, by default of :func:`make_images`."""
    if X is None:
        X, y = make_images()
    return shake(make_classifier(layers, **params).fit(X, y))


def weights_of(classifier):
    """Return all weights and running statistics of a fitted classifier by name."""
    params = classifier.network_.params
    return {f"{layer}.{key}": value for layer in params for key, value in params[layer].items()}


def assert_same_weights(classifier, other):
    """Assert that the weights and running statistics of two fitted classifiers have the same bits."""
    weights, others = weights_of(classifier), weights_of(other)
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        assert_array_equal(value, others[name], err_msg=name)


class PassingLayer(Layer):
    """Passes its input on; a subclass notes or breaks something on the way."""

    def forward(self, params, X, unit, *, training, out):
        return X

    def backward(self, params, dY, unit, *, need_dX, out):
        return dY


def numeric_gradient(function, X, step=1e-5):
    """Return the gradient of values by the images that they belong to, by central differences.

    Parameters
    ----------
    function : callable
        Returns a value for each image of an array of the layout of X.
    X : ndarray of shape (n, ...), float64
    step : float, default=1e-5
    """
    gradient = np.empty(X.shape)
    for image, of_image in zip(X, gradient, strict=True):
        moves = step * np.eye(image.size).reshape(image.size, *image.shape)
        above, below = function(np.concatenate([image + moves, image - moves])).reshape(2, -1)
        of_image[...] = ((above - below) / (2 * step)).reshape(image.shape)
    return gradient


def assert_is_gradient(gradient, function, X, tolerance=1e-7):
    """Hold a gradient against differences with the step that suits best: few steps cross a bend."""
    errors = [np.abs(numeric_gradient(function, X, step) - gradient).max() for step in (1e-5, 1e-6, 1e-7)]
    scale = np.abs(gradient).max()
    assert scale > 0
    assert min(errors) <= tolerance * max(1.0, scale), errors
