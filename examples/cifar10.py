"""Train the default network on CIFAR-10: 32 x 32 colour photographs in ten classes.

Reads the set from the file that the environment variable ``CIFAR10_FILE`` names, and downloads it from OpenML
where there is none. The file is an ``.npz`` of arrays ``X``, (n, 32, 32, 3), and ``y``, or of JPEG files: the
bytes of all of them in ``jpeg``, where each begins and the last one ends in ``offsets``, and ``y``. Of the
60,000 images of the whole set, the last 10,000 are held out to test; of fewer, one in ten.

Run it with ``python examples/cifar10.py``; ``--samples`` and ``--epochs`` make it shorter.

Data: Krizhevsky (2009), "Learning multiple layers of features from tiny images".
"""

import argparse
import io
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from sklearn.datasets import fetch_openml

from skcnn import ConvNetClassifier

VARIABLE = "CIFAR10_FILE"
N_ALL, N_TEST = 60_000, 10_000
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def decode(jpeg, offsets):
    """Return the images of JPEG files that stand one after the other, shape (n, height, width, 3), uint8."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("Pillow is not installed: python -m pip install -e '.[examples]'") from error

    def read(bounds):
        with Image.open(io.BytesIO(jpeg[slice(*bounds)].tobytes())) as image:
            return np.asarray(image.convert("RGB"))

    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(read, zip(offsets, offsets[1:], strict=False))))


def read_file(path):
    """Return images and labels of a file."""
    with np.load(path) as file:
        if "jpeg" in file:
            return decode(file["jpeg"], file["offsets"]), file["y"]
        return file["X"], file["y"]


def load_cifar10():
    """Return X_train, y_train, X_test, y_test; images have shape (n, 32, 32, 3) and dtype uint8."""
    path = os.environ.get(VARIABLE)
    if path:
        X, y = read_file(path)
    else:
        X, y = fetch_openml("CIFAR_10", version=1, return_X_y=True, as_frame=False)
        X = X.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).astype(np.uint8)
    n_test = N_TEST if len(X) >= N_ALL else len(X) // 10
    y = y.astype(np.int64)
    return X[:-n_test], y[:-n_test], X[-n_test:], y[-n_test:]


def main():
    """Train epoch by epoch and test after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=None, help="number of training images (default: all)")
    parser.add_argument("--epochs", type=int, default=20)
    arguments = parser.parse_args()

    X_train, y_train, X_test, y_test = load_cifar10()
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
