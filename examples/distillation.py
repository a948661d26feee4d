"""Let small networks learn from a large one, and compare them with small networks that learn from labels.

The default network learns from the labels of some images of Fashion-MNIST. Its probabilities for many more
images, whose labels nobody looks at, become the targets of smaller networks, by ``class_probabilities``. The
same small networks also learn from the labelled images alone. The figure has the test accuracy and the log
loss of both, by the number of weights.

Measured with 2,000 images with labels and 20,000 without, after 12 epochs: a network of 2,072 weights has a
test accuracy of 0.806 from labels and of 0.842 from the large network, one of 4,278 weights 0.831 and 0.853,
one of 9,122 weights 0.839 and 0.857, as the large one of 241,770.

Run it with ``python examples/distillation.py``; the set is read as ``examples/fashion_mnist.py`` says.
"""

import numpy as np
from comparing import COLORS, LINE_STYLES
from fashion_mnist import load_fashion_mnist
from gallery import option_parser, save
from matplotlib.figure import Figure
from sklearn.metrics import log_loss

from skcnn import ConvNetClassifier

SIZES = ((2, 4), (4, 8), (8, 16))
"""Filters of the two convolutions of each small network."""


def measure(classifier, X, y):
    """Return test accuracy and log loss."""
    probabilities = classifier.predict_proba(X).astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)  # exactly one, which float32 does not give
    return classifier.score(X, y), log_loss(y, probabilities)


def small_network(filters, epochs):
    """Return a network that is not fitted, with two convolutions and no hidden layer."""
    return ConvNetClassifier(
        conv_layer_sizes=filters, hidden_layer_sizes=(), max_iter=epochs, random_state=0, alpha=0.01
    )


def draw(axis, n_weights, results, large, label):
    """Draw a measure of small networks against their numbers of weights, and that of the large one."""
    for (name, values), color, style in zip(results.items(), COLORS, LINE_STYLES, strict=False):
        axis.plot(n_weights, values, linestyle=style, color=color, marker="o", label=name)
    axis.axhline(large, color="grey", linewidth=0.8, label="the large network itself")
    axis.set(xlabel="weights", xscale="log", ylabel=label)
    axis.grid(alpha=0.3)


def main():
    """Train, measure and draw."""
    parser = option_parser(__doc__, "distillation.png", epochs=12)
    parser.add_argument("--folder", help="folder of the files of Fashion-MNIST")
    parser.add_argument("--samples", type=int, default=2_000, help="images with labels")
    parser.add_argument("--unlabelled", type=int, default=20_000, help="images without labels")
    arguments = parser.parse_args()
    X_train, y_train, X_test, y_test = load_fashion_mnist(arguments.folder)
    X, y = X_train[: arguments.samples], y_train[: arguments.samples]
    large = ConvNetClassifier(max_iter=arguments.epochs, random_state=0).fit(X, y)
    accuracy, loss = measure(large, X_test, y_test)
    print(f"large network, {large.n_params_} weights: test accuracy {accuracy:.4f}, log loss {loss:.3f}")
    many = X_train[: arguments.samples + arguments.unlabelled]
    shares = large.predict_proba(many)
    most_likely = large.classes_[shares.argmax(axis=1)]
    most_likely[: len(y)] = y  # has all classes
    sources = {
        "labels": (X, y, {}),
        "large network": (many, most_likely, {"class_probabilities": shares}),
    }
    n_weights, accuracies, losses = [], {name: [] for name in sources}, {name: [] for name in sources}
    for filters in SIZES:
        for name, (images, labels, options) in sources.items():
            small = small_network(filters, arguments.epochs).fit(images, labels, **options)
            small_accuracy, small_loss = measure(small, X_test, y_test)
            accuracies[name].append(small_accuracy)
            losses[name].append(small_loss)
            print(
                f"{small.n_params_:6d} weights, from {name}: {small_accuracy:.4f}, {small_loss:.3f}",
                flush=True,
            )
        n_weights.append(small.n_params_)

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw(left, n_weights, accuracies, accuracy, "test accuracy")
    draw(right, n_weights, losses, loss, "log loss of test images")
    left.legend(title="learned from")
    save(figure, arguments, colors=64)


if __name__ == "__main__":
    main()
