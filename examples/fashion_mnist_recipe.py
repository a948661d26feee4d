"""Train a deeper network on Fashion-MNIST with augmentation, a learning rate that rises and falls, and views.

A VGG network of six convolutions, AdamW with the learning rate of "one_cycle", smoothed labels, images that
are mirrored and shifted by up to two pixels, and predictions averaged over an image and its mirror image.

The set is read as ``examples/fashion_mnist.py`` says. Run it with
``python examples/fashion_mnist_recipe.py``; the same seed gives the same bits. ``--samples`` and ``--epochs``
make it shorter.
"""

import argparse
import time

from fashion_mnist import load_fashion_mnist

from skcnn import ConvNetClassifier, RandomFlip, RandomShift
from skcnn.architecture import small_vgg

N_EPOCHS = 12


def recipe(n_epochs=N_EPOCHS, random_state=0):
    """Return the estimator with all that it takes."""
    return ConvNetClassifier(
        small_vgg(filters=(32, 64, 128), units=128, dropout=0.2),
        solver="adamw",
        learning_rate="one_cycle",
        learning_rate_init=3e-3,
        alpha=0.05,
        label_smoothing=0.1,
        augmentation=[RandomFlip(), RandomShift(2)],
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
    parser.add_argument("--folder", help="folder of the four IDX files")
    parser.add_argument("--samples", type=int, default=60000, help="number of training images")
    parser.add_argument("--epochs", type=int, default=N_EPOCHS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    X_train, y_train, X_test, y_test = load_fashion_mnist(arguments.folder)
    X_train, y_train = X_train[: arguments.samples], y_train[: arguments.samples]
    print(f"{len(X_train)} training images, {len(X_test)} test images")
    start = time.perf_counter()
    clf = recipe(arguments.epochs, arguments.seed).fit(X_train, y_train)
    print(f"trained in {time.perf_counter() - start:.0f} s, {clf.n_params_} weights")
    print(f"test accuracy {clf.score(X_test, y_test):.4f}")
    clf.set_params(tta="flip")
    print(f"with mirrored views {clf.score(X_test, y_test):.4f}")


if __name__ == "__main__":
    main()
