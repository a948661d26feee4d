"""Small regressors, and images whose brightness they learn."""

import numpy as np
from seeds import generator
from small_classifiers import SMALL

from skcnn import ConvNetRegressor


def make_numbers(n_samples=24, n_outputs=1, shape=(6, 5, 2)):
    """Return images and the mean of their first rows, one row for each output; a vector for one output."""
    X = generator(n_samples, *shape).normal(2, 3, (n_samples, *shape))
    y = X[:, :n_outputs].mean(axis=(2, 3))
    return X, y[:, 0] if n_outputs == 1 else y


def make_regressor(layers=None, **params):
    """Return a small regressor that is not fitted."""
    return ConvNetRegressor(layers, **(SMALL | params))


def assert_same_predictions(regressor, other, X):
    """Assert that two regressors predict the same bits."""
    assert regressor.predict(X).tobytes() == other.predict(X).tobytes()
    assert np.shape(regressor.predict(X)) == np.shape(other.predict(X))
