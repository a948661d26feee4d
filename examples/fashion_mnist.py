"""Train a convolutional network on Fashion-MNIST: 60,000 real images of clothes in ten classes.

Reads the four IDX files of Debian's package ``dataset-fashion-mnist`` where they are installed, or from
the folder named by ``--folder``; otherwise downloads the set from OpenML. Prints loss and test accuracy of
each epoch.

Run it with ``python examples/fashion_mnist.py``; it takes about three minutes on two cores.

Data: Xiao, Rasul and Vollgraf (2017), "Fashion-MNIST: a novel image dataset for benchmarking machine
learning algorithms", https://github.com/zalandoresearch/fashion-mnist, MIT licence.
"""

import argparse
import gzip
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import fetch_openml

from skcnn import ConvNetClassifier

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
CLASS_NAMES = (
    "T-shirt",
    "trousers",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


def read_idx(path):
    """Return the array in a gzipped IDX file: two zero bytes, type, number of axes, sizes, data."""
    with gzip.open(path, "rb") as file:
        data = file.read()
    if data[:3] != b"\0\0\x08":
        raise ValueError(f"{path} is not an IDX file of unsigned bytes")
    n_axes = data[3]
    shape = np.frombuffer(data, ">i4", n_axes, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * n_axes).reshape(shape)


def load_fashion_mnist(folder=None):
    """Return X_train, y_train, X_test, y_test; images have shape (n, 28, 28) and dtype uint8.

    Without a folder, the one of Debian's package is used where it exists, and OpenML elsewhere.
    """
    if folder is None and DEBIAN_FOLDER.is_dir():
        folder = DEBIAN_FOLDER
    if folder is not None:
        return tuple(
            read_idx(Path(folder) / f"{part}-{kind}-ubyte.gz")
            for part in ("train", "t10k")
            for kind in ("images-idx3", "labels-idx1")
        )
    X, y = fetch_openml("Fashion-MNIST", version=1, return_X_y=True, as_frame=False)
    X, y = X.reshape(-1, 28, 28).astype(np.uint8), y.astype(np.uint8)
    return X[:60000], y[:60000], X[60000:], y[60000:]


def main():
    """Train epoch by epoch and test after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", help="folder of the four IDX files")
    parser.add_argument("--samples", type=int, default=60000, help="number of training images")
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()

    X_train, y_train, X_test, y_test = load_fashion_mnist(arguments.folder)
    X_train, y_train = X_train[: arguments.samples], y_train[: arguments.samples]
    print(f"{len(X_train)} training images, {len(X_test)} test images of shape {X_train.shape[1:]}")

    clf = ConvNetClassifier(random_state=0)
    print("epoch      loss   test accuracy   seconds")
    for _ in range(arguments.epochs):
        start = time.perf_counter()
        clf.partial_fit(X_train, y_train, classes=np.arange(10))
        seconds = time.perf_counter() - start
        record = clf.history_[-1]
        print(f"{record['epoch']:5d}{record['loss']:10.4f}{clf.score(X_test, y_test):16.4f}{seconds:10.1f}")


if __name__ == "__main__":
    main()
