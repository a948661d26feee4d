"""Convolve a photograph with filters that find edges: by hand, with SciPy, and with a layer of a network.

Each pixel of the result is the sum of the window around a pixel times the filter; outside of the image are
zeros. (Networks do not turn the filter around as the convolution of mathematics does, which SciPy calls
``convolve``; what they compute, SciPy calls ``correlate``.) The filters are classics: the identity, diagonal
edges, the Laplacian, and the outline, where a pixel differs from those around it.

Expect the same three results, but perhaps for rounding: differences of at most 1e-15.

Run it with ``python examples/convolution_by_hand.py``.
"""

import numpy as np
from gallery import option_parser, save
from matplotlib.figure import Figure
from scipy import ndimage
from sklearn.datasets import load_sample_image

from skcnn import Conv2D, ConvNetClassifier, ConvNetFeatures, GlobalAvgPool2D

FILTERS = {
    "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    "diagonal": [[1, 0, -1], [0, 0, 0], [-1, 0, 1]],
    "Laplacian": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
    "outline": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
}
DETAIL = np.s_[:250, 30:280]  # what is drawn: enough for each pixel to be seen


def grey_photograph(name, stride):
    """Return every ``stride``-th pixel of a photograph, shape (height, width), black 0 and white 1."""
    return load_sample_image(name)[::stride, ::stride] @ [0.299, 0.587, 0.114] / 255


def by_hand(image, filters):
    """Convolve window by window; image (height, width), filters (3, 3, n), result (height, width, n)."""
    height, width = image.shape
    padded = np.pad(image, 1)
    result = np.empty((height, width, filters.shape[-1]))
    for row in range(height):
        for column in range(width):
            window = padded[row : row + 3, column : column + 3]
            result[row, column] = (window[:, :, np.newaxis] * filters).sum(axis=(0, 1))
    return result


def by_scipy(image, filters):
    """Convolve with SciPy."""
    kernels = np.moveaxis(filters, -1, 0)
    return np.stack([ndimage.correlate(image, kernel, mode="constant") for kernel in kernels], axis=-1)


def by_network(image, filters):
    """Convolve with a network whose weights are replaced by the filters."""
    layers = [("conv1", Conv2D(filters.shape[-1], 3, use_bias=False)), ("pool1", GlobalAvgPool2D())]
    classifier = ConvNetClassifier(layers, input_scaling=None, max_iter=1, random_state=0)
    images = image[np.newaxis, :, :, np.newaxis]
    classifier.fit(np.concatenate([images, -images]), [0, 1])  # only makes the weights, and space for them
    classifier.network_.params["conv1"]["weight"][:, :, 0] = filters
    features = ConvNetFeatures(classifier, "conv1", prefit=True).fit(images).transform(images)
    return features.reshape(*image.shape, -1)


def draw(filters, results):
    """Return a figure: a column for each filter, a row for each way, with the absolute values of results."""
    figure = Figure(figsize=(8, 8.2), layout="constrained")
    axes = figure.subplots(1 + len(results), len(FILTERS))
    for number, (axis, name) in enumerate(zip(axes[0], FILTERS, strict=True)):
        draw_filter(axis, filters[:, :, number])
        axis.set_title(name)
    for row, (way, result) in zip(axes[1:], results.items(), strict=True):
        for number, axis in enumerate(row):
            strength = np.abs(result[*DETAIL, number])
            axis.imshow(strength, cmap="gray", vmin=0, vmax=np.quantile(strength, 0.98))
        row[0].set_ylabel(way)
    for axis in axes.ravel():
        axis.set(xticks=[], yticks=[])
    return figure


def draw_filter(axis, kernel):
    """Draw a filter as a table of its numbers."""
    axis.imshow(np.zeros_like(kernel), cmap="gray_r", vmin=0, vmax=1)
    for row, column in np.ndindex(kernel.shape):
        axis.text(
            column, row, f"{kernel[row, column]:g}".replace("-", "−"), ha="center", va="center", fontsize=14
        )


def main():
    """Convolve in three ways, compare and draw."""
    parser = option_parser(__doc__, "convolution_by_hand.png")
    parser.add_argument("--photograph", default="china.jpg", choices=["china.jpg", "flower.jpg"])
    parser.add_argument("--stride", type=int, default=1, help="take every so manieth pixel, which is quicker")
    arguments = parser.parse_args()

    image = grey_photograph(arguments.photograph, arguments.stride)
    filters = np.stack([np.array(kernel, float) for kernel in FILTERS.values()], axis=-1)
    print(f"{len(FILTERS)} filters on a photograph of {image.shape[0]} x {image.shape[1]} pixels")
    results = {
        "by hand": by_hand(image, filters),
        "SciPy": by_scipy(image, filters),
        "Conv2D": by_network(image, filters),
    }
    for way in ("SciPy", "Conv2D"):
        difference = np.abs(results[way] - results["by hand"]).max()
        print(f"largest difference between {way} and by hand: {difference:.1e}")
    save(draw(filters, results), arguments, colors=16)


if __name__ == "__main__":
    main()
