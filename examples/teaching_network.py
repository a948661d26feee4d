"""Train the classic network of courses on Fashion-MNIST and CIFAR-10, and draw loss and accuracy.

One convolution of 32 filters of 7 x 7 pixels, ReLU, maximum over 2 x 2 pixels, a hidden layer of 500 units,
softmax; Adam with its usual learning rate. The loss is that of each minibatch, and its running mean; the
accuracy is measured after each epoch, on training and test images. The gap between the two is what the
network knows by heart.

Run it with ``python examples/teaching_network.py``, on one set with ``--data fashion_mnist``; the sets are
read as ``examples/fashion_mnist.py`` and ``examples/cifar10.py`` say. Measured with 10,000 images and six
epochs: test accuracies of 0.854 and 0.548, where training images are at 0.920 and 0.742.

Reference: Li, Karpathy and Johnson (2016), "CS231n: convolutional neural networks for visual recognition".
"""

import numpy as np
from comparing import (
    COLORS,
    DATA_SETS,
    add_data_options,
    compare,
    draw_curve,
    draw_running_mean,
    load,
    plain_network,
)
from gallery import option_parser, save
from matplotlib.figure import Figure

from skcnn.architecture import teaching_network


def draw_losses(axis, batch_losses):
    """Draw the loss of each minibatch, and its running mean."""
    axis.plot(np.arange(1, len(batch_losses) + 1), batch_losses, color=COLORS[0], alpha=0.3, linewidth=0.6)
    draw_running_mean(axis, batch_losses, 20, color=COLORS[0])
    axis.set(ylim=(0, np.quantile(batch_losses, 0.99)))


def draw_accuracies(axis, record):
    """Draw accuracies in training and test."""
    draw_curve(axis, record["train_accuracy"], color=COLORS[0], label="training")
    draw_curve(axis, record["test_accuracy"], color=COLORS[1], linestyle="--", label="test")
    axis.set(ylabel="accuracy")
    axis.legend()


def main():
    """Train on each set and draw."""
    parser = option_parser(__doc__, "teaching_network.png", epochs=6)
    add_data_options(parser, samples=10_000)
    parser.add_argument("--data", nargs="+", choices=list(DATA_SETS), default=list(DATA_SETS))
    arguments = parser.parse_args()

    classifiers = {DATA_SETS[name]: plain_network(teaching_network()) for name in arguments.data}
    data = {DATA_SETS[name]: load(name, arguments) for name in arguments.data}
    records = compare(classifiers, data, arguments.epochs)

    figure = Figure(figsize=(9, 3.2 * len(records)), layout="constrained")
    rows = figure.subplots(len(records), 2, squeeze=False)
    for (losses, accuracies), (name, record) in zip(rows, records.items(), strict=True):
        draw_losses(losses, classifiers[name].batch_losses_)
        draw_accuracies(accuracies, record)
        losses.set_title(name)
        accuracies.set_title(name)
    save(figure, arguments, colors=64)


if __name__ == "__main__":
    main()
