"""Show what every stage of [convolution, ReLU, pooling] x 3 makes of a photograph.

A network of three such blocks learns where patches of 32 x 32 pixels come from: two photographs, each cut
into 12 parts, are its 24 classes. Convolution and pooling do not ask how large an image is, so the same
weights, in a network for larger images, then read a photograph of 320 x 320 pixels.

A column of the figure is a stage. Convolution finds edges and colours; its results have both signs, negative
ones are blue and positive ones red. ReLU keeps what is positive, black is zero. Pooling keeps the largest of
2 x 2 pixels: what was found stays, where exactly is forgotten. The deeper the block, the larger the part of
the photograph that a pixel has seen.

Run it with ``python examples/feature_maps_of_a_photograph.py``. Expect about 0.8 of the patches to be placed
rightly, where guessing gives 0.04.
"""

import numpy as np
from gallery import option_parser, save
from matplotlib.figure import Figure
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.datasets import load_sample_image

from skcnn import Conv2D, ConvNetClassifier, ConvNetFeatures, MaxPool2D, ReLU

PATCH = 32
PARTS = (3, 4)  # rows and columns of a photograph
SIDE = 320
BLOCKS = (1, 2, 3)
STAGES = {"conv": "convolution", "relu": "ReLU", "pool": "pooling"}


def load_photographs():
    """Return two photographs, shape (2, 427, 640, 3), with values from -1 to 1."""
    images = [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    return np.stack(images) / np.float32(127.5) - 1


def draw_patches(photographs, n_patches, rng):
    """Return patches from anywhere in the photographs, and the numbers of the parts that they come from."""
    windows = sliding_window_view(photographs, (PATCH, PATCH), axis=(1, 2))
    photograph, row, column = (rng.integers(0, length, n_patches) for length in windows.shape[:3])
    part_row, part_column = row * PARTS[0] // windows.shape[1], column * PARTS[1] // windows.shape[2]
    parts = np.ravel_multi_index((photograph, part_row, part_column), (len(photographs), *PARTS))
    return windows[photograph, row, column].transpose(0, 2, 3, 1), parts


def make_classifier(max_iter):
    """Return a network of three blocks."""
    layers = []
    for block, filters in zip(BLOCKS, (8, 16, 32), strict=True):
        layers += [(f"conv{block}", Conv2D(filters)), (f"relu{block}", ReLU()), (f"pool{block}", MaxPool2D())]
    return ConvNetClassifier(
        layers, input_scaling=None, learning_rate_init=3e-3, max_iter=max_iter, random_state=0
    )


def with_weights_for(images, classifier):
    """Return a network for larger images with the convolutions of another one."""
    larger = make_classifier(max_iter=1).fit(images, [0, 1])  # makes weights, which are replaced
    for block in BLOCKS:
        for key, values in classifier.network_.params[f"conv{block}"].items():
            larger.network_.params[f"conv{block}"][key][...] = values
    return larger


def maps_of(classifier, image, layer):
    """Return the result of a layer for one image, shape (height, width, n_maps)."""
    features = ConvNetFeatures(classifier, layer, prefit=True).fit(image[np.newaxis])
    shape = next(node.output_shape for node in classifier.network_.nodes if node.name == layer)
    return features.transform(image[np.newaxis]).reshape(shape)


def draw(classifier, image, n_maps):
    """Return a figure: the photograph, and a column of maps for each stage, those that vary most."""
    figure = Figure(figsize=(11, 0.95 * n_maps + 0.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 4))
    axis = left.subplots()
    axis.imshow((image + 1) / 2)
    axis.set(xticks=[], yticks=[])
    axis.set_title("photograph", fontsize=9)
    for block, subfigure in zip(BLOCKS, right.subfigures(1, len(BLOCKS)), strict=True):
        subfigure.suptitle(f"block {block}", fontsize=10)
        axes = subfigure.subplots(n_maps, len(STAGES))
        chosen = np.argsort(-maps_of(classifier, image, f"pool{block}").std(axis=(0, 1)))[:n_maps]
        for column, (stage, title) in zip(axes.T, STAGES.items(), strict=True):
            maps = maps_of(classifier, image, f"{stage}{block}")[:, :, chosen]
            column[0].set_title(f"{title}\n{maps.shape[0]} x {maps.shape[1]}", fontsize=8)
            for axis, values in zip(column, np.moveaxis(maps, -1, 0), strict=True):
                draw_map(axis, values, signed=stage == "conv")
    return figure


def draw_map(axis, values, *, signed):
    """Draw a map on a scale of its own, on which few pixels are off the end."""
    limit = np.quantile(np.abs(values), 0.99)
    axis.imshow(values, cmap="RdBu_r" if signed else "gray", vmin=-limit if signed else 0, vmax=limit)
    axis.set(xticks=[], yticks=[])


def main():
    """Train on patches, read a photograph and draw."""
    parser = option_parser(__doc__, "feature_maps_of_a_photograph.png", epochs=12)
    parser.add_argument("--patches", type=int, default=12000, help="number of training images")
    parser.add_argument("--maps", type=int, choices=range(1, 9), default=6, help="maps of each stage to draw")
    arguments = parser.parse_args()

    rng = np.random.default_rng(0)
    photographs = load_photographs()
    X, y = draw_patches(photographs, arguments.patches, rng)
    X_test, y_test = draw_patches(photographs, 2000, rng)
    classifier = make_classifier(arguments.epochs).fit(X, y)
    print(f"{len(X)} patches of {2 * PARTS[0] * PARTS[1]} parts of photographs")
    print(f"accuracy on {len(X_test)} other patches: {classifier.score(X_test, y_test):.4f}")

    images = photographs[:, :SIDE, :SIDE]
    save(draw(with_weights_for(images, classifier), images[0], arguments.maps), arguments, colors=64)


if __name__ == "__main__":
    main()
