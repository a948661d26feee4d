"""Train a network on CIFAR-10 within half an hour on two cores, as speed-runs on GPUs do, in numpy alone.

The network is a close relative of that of airbench94: a first layer that whitens patches of pixels and is not
trained, then blocks of convolution, pooling, normalization and ReLU, whose filters begin by passing on what
they are given, and scores that begin small. The recipe is theirs in outline, too: stochastic gradient descent
with Nesterov's momentum at a large learning rate that warms up and then falls to zero, smoothed labels,
images that are shifted by up to two pixels and mirrored in every other epoch, and predictions averaged over
mirrored and shifted views.

The set is read as ``examples/cifar10.py`` says. Run it with ``python examples/cifar10_speedrun.py``; the same
seed gives the same bits. ``--samples`` and ``--epochs`` make it shorter.

Reference: Jordan (2024), "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv:2404.00498.
"""

import argparse
import time

from cifar10 import load_cifar10

from skcnn import (
    BatchNorm,
    Conv2D,
    ConvNetClassifier,
    GlobalMaxPool2D,
    MaxPool2D,
    PatchWhitening,
    RandomCrop,
    RandomFlip,
    RandomShift,
    ReLU,
    Rescale,
)

N_EPOCHS = 13


def network(filters=(64, 256, 256)):
    """Return the layers: patch whitening, and a block for each number of filters."""
    layers = [("whitening", PatchWhitening()), ("relu0", ReLU())]
    for block, count in enumerate(filters, start=1):
        layers += [
            (f"conv{block}_1", Conv2D(count, use_bias=False, initial_weight="identity")),
            (f"pool{block}", MaxPool2D()),
            (f"norm{block}_1", BatchNorm()),
            (f"relu{block}_1", ReLU()),
            (f"conv{block}_2", Conv2D(count, use_bias=False, initial_weight="identity")),
            (f"norm{block}_2", BatchNorm()),
            (f"relu{block}_2", ReLU()),
        ]
    return [*layers, ("pool", GlobalMaxPool2D()), ("small_scores", Rescale(1 / 9))]


def recipe(n_epochs=N_EPOCHS, random_state=0):
    """Return the estimator with all that it takes."""
    return ConvNetClassifier(
        network(),
        solver="sgd",
        learning_rate="cosine",
        learning_rate_init=0.375,
        warmup=min(3, n_epochs / 4),
        momentum=0.85,
        alpha=1.3e-3,
        label_smoothing=0.2,
        batch_size=256,
        augmentation=[RandomFlip(alternate=True), RandomCrop(2)],
        averaging_decay=0.995,
        max_iter=n_epochs,
        n_iter_no_change=n_epochs,
        random_state=random_state,
        verbose=True,
    )


def main():
    """Train, and test with and without views."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--samples", type=int, default=None, help="number of training images (all by default)"
    )
    parser.add_argument("--epochs", type=int, default=N_EPOCHS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    X_train, y_train, X_test, y_test = load_cifar10()
    X_train, y_train = X_train[: arguments.samples], y_train[: arguments.samples]
    print(f"{len(X_train)} training images, {len(X_test)} test images")
    start = time.perf_counter()
    clf = recipe(arguments.epochs, arguments.seed).fit(X_train, y_train)
    print(f"trained in {time.perf_counter() - start:.0f} s, {clf.n_params_} weights")
    print(f"test accuracy {clf.score(X_test, y_test):.4f}")
    start = time.perf_counter()
    clf.set_params(tta=[RandomFlip(), RandomShift(1)])
    print(f"with six views {clf.score(X_test, y_test):.4f}, in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
