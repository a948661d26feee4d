"""What the examples share that compare trainings: their data, a plain network, the epochs, and the curves.

The colours are those of Okabe and Ito (2008), "Color universal design", which people who see colours
differently can tell apart, too.
"""

import time

import numpy as np
from cifar10 import load_cifar10
from fashion_mnist import load_fashion_mnist

from skcnn import ConvNetClassifier

DATA_SETS = {"fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
COLORS = ("#0072B2", "#D55E00", "#009E73", "#000000", "#CC79A7", "#E69F00")
LINE_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
N_TEST = 5000


def add_data_options(parser, *, samples, fashion_mnist=True):
    """Add the options that say how many images to train on, and where those of Fashion-MNIST are."""
    parser.add_argument("--samples", type=int, default=samples, help="number of training images")
    if fashion_mnist:
        parser.add_argument("--folder", help="folder of the four IDX files of Fashion-MNIST")


def load(name, arguments):
    """Return X_train, y_train, X_test, y_test: as many images as the options say, and up to 5,000 to test."""
    parts = load_cifar10() if name == "cifar10" else load_fashion_mnist(arguments.folder)
    X_train, y_train, X_test, y_test = parts
    n_samples = arguments.samples
    return X_train[:n_samples], y_train[:n_samples], X_test[:N_TEST], y_test[:N_TEST]


def plain_network(layers=None, **options):
    """Return a small network without what the defaults add, so that what is compared shows.

    Two blocks of convolution and pooling and a hidden layer, unless there are layers; no batch normalization,
    no average of weights and none of the larger steps that it allows, and next to no decay of weights.
    """
    plain = {
        "conv_layer_sizes": (16, 32),
        "hidden_layer_sizes": (64,),
        "normalization": None,
        "averaging": None,
        "solver": "adam",
        "learning_rate_init": 1e-3,
        "random_state": 0,
    }
    return ConvNetClassifier(layers, **(plain | options))


def train(classifier, data, n_epochs):
    """Train epoch by epoch.

    Parameters
    ----------
    classifier : ConvNetClassifier
    data : tuple of (X_train, y_train, X_test, y_test)
    n_epochs : int

    Returns
    -------
    record : dict of str to ndarray of shape (n_epochs,)
        "loss", "train_accuracy" (of up to 5,000 images), "test_accuracy" and "seconds" (of training).
    """
    X_train, y_train, X_test, y_test = data
    classes = np.unique(np.concatenate([y_train, y_test]))
    rows = []
    for _ in range(n_epochs):
        start = time.perf_counter()
        classifier.partial_fit(X_train, y_train, classes=classes)
        rows.append(
            {
                "seconds": time.perf_counter() - start,
                "loss": classifier.loss_,
                "train_accuracy": classifier.score(X_train[:N_TEST], y_train[:N_TEST]),
                "test_accuracy": classifier.score(X_test, y_test),
            }
        )
    return {quantity: np.array([row[quantity] for row in rows]) for quantity in rows[0]}


def compare(classifiers, data, n_epochs):
    """Train classifiers one after the other, and print how each ends.

    Parameters
    ----------
    classifiers : dict of str to ConvNetClassifier
    data : tuple of (X_train, y_train, X_test, y_test), or dict of str to such a tuple
        For all classifiers, or for each.
    n_epochs : int

    Returns
    -------
    records : dict of str to dict
        See :func:`train`.
    """
    width = max(map(len, classifiers))
    print(f"{'':{width}}      loss   training accuracy   test accuracy   seconds")
    records = {}
    for name, classifier in classifiers.items():
        record = train(classifier, data[name] if isinstance(data, dict) else data, n_epochs)
        print(
            f"{name:{width}}{record['loss'][-1]:10.4f}{record['train_accuracy'][-1]:20.4f}"
            f"{record['test_accuracy'][-1]:16.4f}{record['seconds'].sum():10.1f}"
        )
        records[name] = record
    return records


def draw_curves(axis, records, quantity):
    """Draw a quantity over epochs, a line for each name."""
    for (name, record), color, style in zip(records.items(), COLORS, LINE_STYLES, strict=False):
        draw_curve(axis, record[quantity], color=color, linestyle=style, label=name)
    axis.set(ylabel=quantity.replace("_", " "))


def draw_curve(axis, values, **options):
    """Draw values over epochs."""
    draw_line(axis, np.arange(1, len(values) + 1), values, **options)
    axis.set(xlabel="epoch")
    axis.xaxis.get_major_locator().set_params(integer=True)


def draw_running_mean(axis, batch_losses, length, **options):
    """Draw the mean loss of so many minibatches in a row, over the last of them."""
    length = min(length, len(batch_losses))
    means = running_mean(batch_losses, length)
    draw_line(axis, np.arange(length, len(batch_losses) + 1), means, **options)
    axis.set(xlabel="minibatch", ylabel=f"loss, mean of {length}")


def draw_line(axis, x, y, **options):
    """Draw a line; a single value as a point, for a line of one point cannot be seen."""
    axis.plot(x, y, marker="o" if len(x) == 1 else "", **options)
    axis.grid(alpha=0.3)


def running_mean(values, length):
    """Return the means of so many values in a row, shorter by ``length - 1``.

    Examples
    --------
    >>> running_mean(np.array([1.0, 3.0, 5.0]), 2)
    array([2., 4.])
    """
    return np.convolve(values, np.full(length, 1 / length), mode="valid")
