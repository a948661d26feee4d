"""Show the filters of a network before, during and after training.

The first convolution of a small network, 24 filters of 7 x 7 pixels in colour, learns on CIFAR-10. Before
training the filters are noise; edges and blobs of colour come out of it, while a penalty on large weights
takes away the noise that is of no use. The figure shows the filters before and after training and the loss;
the animation, a GIF file, has a picture for about every 100 minibatches. Each filter is drawn on a scale of
its own about zero, which is grey.

Run it with ``python examples/filters_in_training.py``; the set is read as ``examples/cifar10.py`` says.
Measured with 20,000 images and four epochs: a test accuracy of 0.489.
"""

import numpy as np
from comparing import COLORS, add_data_options, draw_running_mean, load, plain_network
from gallery import option_parser, save
from matplotlib.animation import PillowWriter
from matplotlib.figure import Figure

from skcnn import Conv2D, MaxPool2D
from skcnn.inspection import FilterDisplay

N_FILTERS = 24
N_COLUMNS = 8
BATCH_SIZE = 32
BATCHES_A_PICTURE = 100


def make_classifier():
    """Return a small network with large filters in its first layer."""
    layers = [
        ("conv1", Conv2D(N_FILTERS, 7, activation="relu")),
        ("pool1", MaxPool2D(4)),
        ("conv2", Conv2D(32, 3, activation="relu")),
        ("pool2", MaxPool2D(2)),
    ]
    return plain_network(layers, solver="sgd", learning_rate_init=0.02, alpha=3e-3, batch_size=BATCH_SIZE)


def train_and_watch(classifier, X, y, n_epochs):
    """Train, and return the filters after every few minibatches and how many there had been."""
    n_samples = BATCHES_A_PICTURE * BATCH_SIZE
    snapshots = {}
    for _ in range(n_epochs):
        for start in range(0, len(X), n_samples):
            part = slice(start, start + n_samples)
            classifier.partial_fit(X[part], y[part], classes=np.arange(10))
            snapshots[len(classifier.batch_losses_)] = classifier.network_.params["conv1"]["weight"].copy()
    return snapshots


def tiled(filters):
    """Return filters of shape (height, width, 3, n) as one picture, with white lines between them."""
    images = 0.5 + 0.5 * filters / np.abs(filters).max(axis=(0, 1, 2))
    images = np.pad(np.moveaxis(images, -1, 0), ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=1)
    rows = [np.concatenate(list(row), axis=1) for row in images.reshape(-1, N_COLUMNS, *images.shape[1:])]
    return np.concatenate(rows)[:-1, :-1]


def draw_filters(axis, filters, title):
    """Draw filters and return the artist."""
    axis.set(xticks=[], yticks=[], frame_on=False, title=title)
    return axis.imshow(tiled(filters))


def draw(before, after, batch_losses):
    """Return a figure of filters before and after training, and the loss in between."""
    figure = Figure(figsize=(11, 2.6), layout="constrained")
    first, middle, last = figure.subplots(1, 3, width_ratios=(4, 3, 4))
    draw_filters(first, before, "before training")
    draw_filters(last, after, "after training")
    draw_running_mean(middle, batch_losses, BATCHES_A_PICTURE, color=COLORS[0])
    return figure


def animate(snapshots, path):
    """Write an animation of filters by the number of minibatches."""
    figure = Figure(figsize=(4.8, 2.2), layout="constrained")
    axis = figure.subplots()
    artist = draw_filters(axis, snapshots[0], "")
    writer = PillowWriter(fps=5)
    with writer.saving(figure, path, dpi=60):
        for n_batches, filters in snapshots.items():
            artist.set_data(tiled(filters))
            axis.set_title(f"after {n_batches} minibatches")
            writer.grab_frame()
    print(f"animation of {len(snapshots)} pictures: {path}")


def main():
    """Train, draw and animate."""
    parser = option_parser(__doc__, "filters_in_training.png", epochs=4)
    add_data_options(parser, samples=20_000, fashion_mnist=False)
    parser.add_argument(
        "--animation", default="filters_in_training.gif", metavar="FILE", help="file to write"
    )
    arguments = parser.parse_args()
    X_train, y_train, X_test, y_test = load("cifar10", arguments)
    classifier = make_classifier()
    snapshots = train_and_watch(classifier, X_train, y_train, arguments.epochs)
    n_batches = len(classifier.batch_losses_)
    print(f"test accuracy after {n_batches} minibatches: {classifier.score(X_test, y_test):.4f}")
    before, after = FilterDisplay.from_estimator(classifier, fig=Figure()).filters.values()
    save(draw(before, after, classifier.batch_losses_), arguments)
    animate({0: before} | snapshots, arguments.animation)


if __name__ == "__main__":
    main()
