"""Overfit 10 and 100 images, to show that a network learns.

The first thing to try with a new network: can it learn a few images by heart? If the loss does not fall to
zero and the training accuracy does not rise to one, something is broken. That the test accuracy stays far
below is expected here: it takes more images, not more epochs.

The network is the classic one of courses, a convolution of 7 x 7 pixels and a hidden layer of 500 units, on
images of Fashion-MNIST, see ``examples/fashion_mnist.py``. Expect a training accuracy of 1 for both. Measured
test accuracies are 0.32 with 10 images and 0.73 with 100.

Run it with ``python examples/overfitting.py``.
"""

from comparing import COLORS, add_data_options, compare, draw_curve, load, plain_network
from gallery import option_parser, save
from matplotlib.figure import Figure

from skcnn.architecture import teaching_network


def draw(records):
    """Return a figure of losses, and of accuracies in training and test."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    losses, accuracies = figure.subplots(1, 2)
    for (name, record), color in zip(records.items(), COLORS, strict=False):
        draw_curve(losses, record["loss"], color=color, label=name)
        draw_curve(accuracies, record["train_accuracy"], color=color, label=f"{name}, training")
        draw_curve(accuracies, record["test_accuracy"], color=color, linestyle="--", label=f"{name}, test")
    losses.set(ylabel="loss", yscale="log")
    losses.legend()
    accuracies.set(ylabel="accuracy", ylim=(0, 1.03))
    accuracies.legend(loc="center right")
    return figure


def main():
    """Train on few images and draw."""
    parser = option_parser(__doc__, "overfitting.png", epochs=25)
    add_data_options(parser, samples=100)
    arguments = parser.parse_args()
    if arguments.samples < 20:
        parser.error("--samples must be 20 at least: a tenth of them is trained on alone, too")
    X, y, X_test, y_test = load("fashion_mnist", arguments)
    sizes = (len(X) // 10, len(X))
    classifiers = {
        f"{size} images": plain_network(teaching_network(), batch_size=10, alpha=0.0) for size in sizes
    }
    data = {name: (X[:size], y[:size], X_test, y_test) for name, size in zip(classifiers, sizes, strict=True)}
    save(draw(compare(classifiers, data, arguments.epochs)), arguments, colors=64)


if __name__ == "__main__":
    main()
