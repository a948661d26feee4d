"""Learn new classes of Fashion-MNIST from few images, with and without a network that knows others.

One network learns six classes: T-shirts, trousers, pullovers, sandals, sneakers and bags. Then classifiers
learn the other four, dresses, coats, shirts and ankle boots, from 2 to 50 images of each: from nothing, or
from the weights of the first network, which ``init`` takes over. ``learning_rate_factors`` says what is
trained of these: all layers; all, but those before the output layer ten times more slowly; the hidden and the
output layer, with frozen convolutions; or the output layer alone. All see the same images and are tested on
the same 2,000. Each is trained three times, on other images, of which the mean and the range are drawn.

Expect a small gain. Measured from nothing, and with the best recipe: 0.640 and 0.692 with 2 images of each
class ("others slowly"), 0.763 and 0.786 with 10 ("frozen convolutions"), 0.843 and 0.851 with 50 ("all
layers"). The output layer alone is too little from 5 images on.

Run it with ``python examples/fine_tuning.py``; the set is read as ``examples/fashion_mnist.py`` says.
"""

import numpy as np
from comparing import COLORS, LINE_STYLES
from fashion_mnist import load_fashion_mnist
from gallery import option_parser, save
from matplotlib.figure import Figure
from sklearn.frozen import FrozenEstimator

from skcnn import ConvNetClassifier

KNOWN = (0, 1, 2, 5, 7, 8)
"""The classes that the first network learns; the others are new."""

N_TEST = 2000

RECIPES = {
    "from nothing": None,
    "all layers": {},
    "others slowly": {"": 0.1, "output": 1},
    "frozen convolutions": {"conv": 0, "norm": 0},
    "output layer alone": {"": 0, "output": 1},
}
"""What ``learning_rate_factors`` is with the weights of the first network, None without them."""


def few_of_each(y, n_images, rng):
    """Return the indices of so many images of each class, drawn at random."""
    return np.concatenate(
        [rng.choice(np.flatnonzero(y == label), n_images, replace=False) for label in np.unique(y)]
    )


def classifier_of(recipe, known):
    """Return a classifier that is not fitted, with the weights of a known network unless it has no recipe."""
    start = {} if recipe is None else {"init": FrozenEstimator(known), "learning_rate_factors": recipe}
    return ConvNetClassifier(random_state=0, **start)


def measure(known, new, sizes, n_draws):
    """Train with each recipe on draws of each size, and print mean accuracies.

    Parameters
    ----------
    known : ConvNetClassifier
    new : tuple of (X_train, y_train, X_test, y_test)
        Images of new classes.
    sizes : sequence of int
        Images of each class.
    n_draws : int

    Returns
    -------
    accuracies : dict of str to ndarray of shape (n_sizes, n_draws)
    """
    X, y, X_test, y_test = new
    accuracies = {name: np.empty((len(sizes), n_draws)) for name in RECIPES}
    print("images of each class" + "".join(f"{name:>22}" for name in RECIPES))
    for row, size in enumerate(sizes):
        for draw in range(n_draws):
            chosen = few_of_each(y, size, np.random.default_rng(draw))
            for name, recipe in RECIPES.items():
                classifier = classifier_of(recipe, known).fit(X[chosen], y[chosen])
                accuracies[name][row, draw] = classifier.score(X_test, y_test)
        print(
            f"{size:20}" + "".join(f"{values[row].mean():22.4f}" for values in accuracies.values()),
            flush=True,
        )
    return accuracies


def draw_accuracies(sizes, accuracies):
    """Return a figure of the mean and the range of accuracies by the number of images."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axis = figure.subplots()
    for (name, values), color, style in zip(accuracies.items(), COLORS, LINE_STYLES, strict=False):
        axis.plot(sizes, values.mean(axis=1), color=color, linestyle=style, marker="o", label=name)
        axis.fill_between(sizes, values.min(axis=1), values.max(axis=1), color=color, alpha=0.12, linewidth=0)
    axis.set(xscale="log", xlabel="training images of each new class", ylabel="test accuracy")
    axis.set_xticks(sizes, sizes, minor=False)
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right")
    return figure


def main():
    """Train the first network, then the others, and draw."""
    parser = option_parser(__doc__, "fine_tuning.png", epochs=8)
    parser.add_argument("--samples", type=int, default=12_000, help="training images of the known classes")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2, 5, 10, 20, 50], help="images of each")
    parser.add_argument("--draws", type=int, default=3, help="draws of images of each size")
    parser.add_argument("--folder", help="folder of the four IDX files of Fashion-MNIST")
    arguments = parser.parse_args()
    X_train, y_train, X_test, y_test = load_fashion_mnist(arguments.folder)
    is_known, is_known_in_test = np.isin(y_train, KNOWN), np.isin(y_test, KNOWN)
    known = ConvNetClassifier(max_iter=arguments.epochs, random_state=0)
    known.fit(X_train[is_known][: arguments.samples], y_train[is_known][: arguments.samples])
    accuracy = known.score(X_test[is_known_in_test], y_test[is_known_in_test])
    print(f"test accuracy of the first network on the six classes that it knows: {accuracy:.4f}", flush=True)
    new_in_test = np.flatnonzero(~is_known_in_test)[:N_TEST]
    new = X_train[~is_known], y_train[~is_known], X_test[new_in_test], y_test[new_in_test]
    accuracies = measure(known, new, arguments.sizes, arguments.draws)
    save(draw_accuracies(arguments.sizes, accuracies), arguments, colors=64)


if __name__ == "__main__":
    main()
