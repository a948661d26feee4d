"""Search the layers of a convolutional network over scikit-learn's handwritten digits.

1,797 grey images of 8 x 8 pixels, embedded in scikit-learn. The network is the last step of a
Pipeline; a grid search tries the number of filters, the size of the kernel and the normalization layer
of a named stack of layers; cross-validation and a confusion matrix judge the best one.

Run it with ``python examples/digits_grid_search.py``; it takes about a minute on two cores.
"""

import argparse
import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, confusion_matrix
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler

from skcnn import BatchNorm, Conv2D, ConvNetClassifier, Dense, MaxPool2D, ReLU


def make_pipeline(max_iter):
    """Return a Pipeline that scales pixels and ends in a network of named layers."""
    layers = [
        ("conv1", Conv2D(16)),
        ("norm1", "passthrough"),
        ("relu1", ReLU()),
        ("pool1", MaxPool2D()),
        ("conv2", Conv2D(32, activation="relu")),
        ("pool2", MaxPool2D()),
        ("dense1", Dense(64, activation="relu")),
    ]
    net = ConvNetClassifier(
        layers, dtype="float32", learning_rate_init=3e-3, batch_size=32, max_iter=max_iter, random_state=0
    )
    return Pipeline([("scale", MinMaxScaler()), ("net", net)])


def search(X, y, max_iter):
    """Return a fitted grid search over the layers of the network."""
    grid = {
        "net__conv1__filters": [8, 32],
        "net__conv1__kernel_size": [3, 5],
        "net__norm1": ["passthrough", BatchNorm()],
    }
    return GridSearchCV(make_pipeline(max_iter), grid, cv=3, n_jobs=2).fit(X, y)


def main():
    """Search, cross-validate and test."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=None, help="number of images (all by default)")
    parser.add_argument("--epochs", type=int, default=15, help="epochs of each training")
    arguments = parser.parse_args()

    start = time.perf_counter()
    X, y = load_digits(return_X_y=True)
    X, y = X[: arguments.samples], y[: arguments.samples]
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)

    found = search(X_train, y_train, arguments.epochs)
    print(f"{len(found.cv_results_['params'])} candidates, mean accuracy over 3 folds:")
    for rank in np.argsort(found.cv_results_["rank_test_score"]):
        params, score = found.cv_results_["params"][rank], found.cv_results_["mean_test_score"][rank]
        print(f"  {score:.4f}  " + ", ".join(f"{name}={value!r}" for name, value in params.items()))

    folds = KFold(5, shuffle=True, random_state=0)
    scores = cross_val_score(found.best_estimator_, X, y, cv=folds, n_jobs=2)
    print(f"\nbest candidate, shuffled 5-fold accuracy: {scores.mean():.4f} +- {scores.std():.4f}")

    predicted = found.predict(X_test)
    print(f"held-out accuracy: {accuracy_score(y_test, predicted):.4f}")
    print("\nconfusion matrix, rows are true digits:")
    print(confusion_matrix(y_test, predicted))

    net = found.best_estimator_["net"]
    print(f"\nthe best network: {net.n_params_} weights")
    for node in net.network_.nodes:
        print(f"  {node.name:14}{node.output_shape}")
    print(f"\n{time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
