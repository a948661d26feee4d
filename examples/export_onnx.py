"""Export a network to ONNX, quantize it to int8, and compare sizes, accuracies and times.

Trains the default network on Fashion-MNIST, which is read as in ``fashion_mnist.py``, or with ``--data
digits`` on the digits of scikit-learn. Writes the model in float32, and what the tool of onnxruntime makes of
it: weights and activations of 8 bits, whose ranges it learns from some training images. The test images then
go through skcnn and, in onnxruntime, through both models, as bytes: the models scale them by themselves.

Run it with ``python examples/export_onnx.py``; it takes about four minutes on two cores, nearly all of it for
training. It needs onnx and onnxruntime: ``python -m pip install onnxruntime "skcnn[onnx]"``.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from fashion_mnist import load_fashion_mnist
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import skcnn
from skcnn import ConvNetClassifier
from skcnn.onnx import to_onnx

try:
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process
except ImportError as error:
    raise ImportError('this needs onnxruntime: python -m pip install onnxruntime "skcnn[onnx]"') from error

QUANTIZED = ["Conv", "Gemm", "MaxPool", "Relu"]
"""Operators that compute in int8; the scaling of the input and the softmax stay in float32."""


class CalibrationImages(CalibrationDataReader):
    """Gives images to the tool that quantizes, some at a time."""

    def __init__(self, X, batch_size=100):
        self._batches = iter([{"X": X[start : start + batch_size]} for start in range(0, len(X), batch_size)])

    def get_next(self):
        """Return the next images by the name of the input, None after the last."""
        return next(self._batches, None)


def load(data, folder, n_samples):
    """Return X_train, y_train, X_test, y_test; images are bytes."""
    if data == "fashion_mnist":
        X_train, y_train, X_test, y_test = load_fashion_mnist(folder)
    else:
        X, y = load_digits(return_X_y=True)
        images = X.reshape(-1, 8, 8).astype(np.uint8)
        X_train, X_test, y_train, y_test = train_test_split(images, y, random_state=0)
    return X_train[:n_samples], y_train[:n_samples], X_test, y_test


def quantize(path, quantized, X):
    """Write the model in int8 of a model, with the ranges that its activations have for images."""
    prepared = quantized.with_suffix(".prepared.onnx")
    quant_pre_process(path, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared, quantized, CalibrationImages(X), op_types_to_quantize=QUANTIZED, per_channel=True
    )
    prepared.unlink()


def predictor(path):
    """Return the function that predicts labels by a model in onnxruntime."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda X: session.run(["label"], {"X": X})[0]


def milliseconds(predict, X, repeats):
    """Return the shortest of several times for a prediction."""
    predict(X)  # the first is slower
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        predict(X)
        seconds.append(time.perf_counter() - start)
    return 1000 * min(seconds)


def main():
    """Train, export, quantize and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=["fashion_mnist", "digits"], default="fashion_mnist")
    parser.add_argument("--folder", help="folder of the four IDX files of Fashion-MNIST")
    parser.add_argument("--samples", type=int, default=60000, help="number of training images")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--calibration", type=int, default=1000, help="number of images to calibrate with")
    parser.add_argument("--repeats", type=int, default=20, help="predictions that a time is the smallest of")
    parser.add_argument("--output", type=Path, default="export.onnx", metavar="FILE", help="model to write")
    arguments = parser.parse_args()

    X_train, y_train, X_test, y_test = load(arguments.data, arguments.folder, arguments.samples)
    clf = ConvNetClassifier(max_iter=arguments.epochs, random_state=0).fit(X_train, y_train)
    path = arguments.output
    saved, quantized = path.with_suffix(".skcnn"), path.with_stem(f"{path.stem}_int8")
    skcnn.save(clf, saved)
    path.write_bytes(to_onnx(clf, X_test).SerializeToString())
    quantize(path, quantized, X_train[: arguments.calibration])

    n_many = min(1000, len(X_test))
    print(f"{len(X_train)} training images, {arguments.epochs} epochs, {len(X_test)} test images")
    print(f"{'':15s}{'kB':>10s}{'accuracy':>11s}{'ms for 1 image':>17s}{f'ms for {n_many} images':>21s}")
    for name, file, predict in (
        ("skcnn", saved, clf.predict),
        ("ONNX, float32", path, predictor(path)),
        ("ONNX, int8", quantized, predictor(quantized)),
    ):
        accuracy = np.mean(predict(X_test) == y_test)
        one, many = (milliseconds(predict, X_test[:n_images], arguments.repeats) for n_images in (1, n_many))
        size = file.stat().st_size / 1000
        print(f"{name:15s}{size:10.0f}{accuracy:11.4f}{one:17.2f}{many:21.1f}")


if __name__ == "__main__":
    main()
