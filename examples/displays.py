"""Look at one network through every display of ``skcnn.inspection``.

The network is trained on CIFAR-10, see ``examples/cifar10.py``, with early stopping, so that there is a
validation score to draw. Then come its training curves, the first filters before and after training, the maps
of an image, what six methods find important in images, the mistakes that it is most confident of, and
test images as points: those that the layer before the last one puts close together.

Run it with ``python examples/displays.py``, or with ``--only saliency mistakes`` for some of the figures,
which are written beside the file that ``--figure`` names.
"""

import numpy as np
from cifar10 import CLASS_NAMES
from comparing import add_data_options, load
from gallery import option_parser, save
from matplotlib.figure import Figure

from skcnn import BatchNorm, Conv2D, ConvNetClassifier, Dense, MaxPool2D, ReLU
from skcnn.inspection import (
    EmbeddingDisplay,
    FeatureMapDisplay,
    FilterDisplay,
    PredictionGridDisplay,
    SaliencyDisplay,
    TrainingCurveDisplay,
)

N_POINTS = 1000


def make_classifier(max_iter):
    """Return a network of three blocks.

    The first filters are large enough to look at, and the penalty on weights takes the noise out of them.
    """
    layers = []
    for block, (filters, size) in enumerate([(24, 7), (48, 3), (96, 3)], start=1):
        layers += [
            (f"conv{block}", Conv2D(filters, size, use_bias=False)),
            (f"norm{block}", BatchNorm()),
            (f"relu{block}", ReLU()),
            (f"pool{block}", MaxPool2D()),
        ]
    layers.append(("dense1", Dense(64, activation="relu")))
    return ConvNetClassifier(
        layers,
        solver="sgd",
        learning_rate_init=0.03,
        alpha=3e-3,
        early_stopping=True,
        scoring="accuracy",
        max_iter=max_iter,
        random_state=0,
    )


def draw_curves(classifier, X, y):
    """Return loss and validation score over minibatches."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    TrainingCurveDisplay.from_estimator(classifier, x="step", axes=figure.subplots(1, 2))
    return figure


def draw_filters(classifier, X, y):
    """Return the filters of the first layer before and after training."""
    figure = Figure(figsize=(8, 2.2), layout="constrained")
    FilterDisplay.from_estimator(classifier, n_columns=8, fig=figure)
    return figure


def draw_maps(classifier, X, y):
    """Return what the layers of the first two blocks make of an image."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    FeatureMapDisplay.from_estimator(
        classifier, X[0], layers=["conv1", "relu1", "pool1", "conv2", "relu2", "pool2"], fig=figure
    )
    return figure


def draw_saliency(classifier, X, y):
    """Return what each method finds important, in the first image of each of six classes."""
    chosen = [np.flatnonzero(y == label)[0] for label in np.unique(y)[:6]]
    figure = Figure(figsize=(8, 9), layout="constrained")
    SaliencyDisplay.from_estimator(classifier, X[chosen], method="all", random_state=0, fig=figure)
    return figure


def draw_mistakes(classifier, X, y):
    """Return the test images that are predicted wrongly with the highest probabilities."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    PredictionGridDisplay.from_estimator(classifier, X, y, n_images=14, n_columns=7, fig=figure)
    return figure


def draw_embedding(classifier, X, y):
    """Return test images as points in two dimensions, coloured by class."""
    figure = Figure(figsize=(7, 5), layout="constrained")
    EmbeddingDisplay.from_estimator(classifier, X[:N_POINTS], y[:N_POINTS], ax=figure.subplots())
    return figure


DISPLAYS = {
    "curves": draw_curves,
    "filters": draw_filters,
    "maps": draw_maps,
    "saliency": draw_saliency,
    "mistakes": draw_mistakes,
    "embedding": draw_embedding,
}


def main():
    """Train and draw."""
    parser = option_parser(__doc__, "displays.png", epochs=12)
    add_data_options(parser, samples=20_000, fashion_mnist=False)
    parser.add_argument("--only", nargs="+", choices=list(DISPLAYS), default=list(DISPLAYS))
    arguments = parser.parse_args()
    names = np.array(CLASS_NAMES)
    X_train, y_train, X_test, y_test = load("cifar10", arguments)
    classifier = make_classifier(arguments.epochs).fit(X_train, names[y_train])
    print(f"{classifier.n_iter_} epochs, test accuracy {classifier.score(X_test, names[y_test]):.4f}")
    for name in arguments.only:
        save(DISPLAYS[name](classifier, X_test, names[y_test]), arguments, suffix=f"_{name}")


if __name__ == "__main__":
    main()
