"""Predict what is on a picture of your own.

The picture, of any format that Pillow reads, is cut to its middle square, turned into the size and colours
that the network was trained on, and predicted. The figure shows the square, what the network gets to see of
it, the probabilities, and which parts matter: the map is red where the score of the predicted class falls if
that part is covered, and blue where it rises.

The first run trains a network, on CIFAR-10 or with ``--data fashion_mnist`` on Fashion-MNIST, and saves it
with joblib to the file that ``--network`` names; later runs load it. (Load only files that you trust, as
with every pickle.) CIFAR-10 knows airplanes, automobiles, birds, cats, deer, dogs, frogs, horses, ships and
trucks, and takes everything else for one of these; clothes of Fashion-MNIST are bright on black, so
``--invert`` photographs on white. With 10,000 images of CIFAR-10 and ten epochs it predicts seven of ten
test images rightly (measured: 0.709), and a close-up of a cat, of which there are few in the set, as a frog.

Run it with ``python examples/own_picture.py cat.jpg``.
"""

from pathlib import Path

import cifar10
import fashion_mnist
import joblib
import numpy as np
from comparing import COLORS, DATA_SETS, add_data_options, load
from gallery import option_parser, save
from matplotlib.figure import Figure
from PIL import Image, ImageOps

from skcnn import ConvNetClassifier
from skcnn.inspection import saliency_maps

CLASS_NAMES = {"cifar10": cifar10.CLASS_NAMES, "fashion_mnist": fashion_mnist.CLASS_NAMES}


def trained_network(arguments):
    """Return a network whose labels are names: from the file if there is one, else trained and saved."""
    path = Path(arguments.network or f"own_picture_{arguments.data}.joblib")
    if path.exists():
        print(f"network from {path}")
        return joblib.load(path)
    X_train, y_train, X_test, y_test = load(arguments.data, arguments)
    names = np.array(CLASS_NAMES[arguments.data])
    classifier = ConvNetClassifier(max_iter=arguments.epochs, random_state=0).fit(X_train, names[y_train])
    print(f"trained on {len(X_train)} images, test accuracy {classifier.score(X_test, names[y_test]):.4f}")
    joblib.dump(classifier, path)
    print(f"network saved to {path}")
    return classifier


def read_square(path, *, invert):
    """Return the middle square of a picture file as a Pillow image in colour, turned as it was taken."""
    with Image.open(path) as file:
        picture = ImageOps.exif_transpose(file).convert("RGB")
    square = ImageOps.fit(picture, (min(picture.size),) * 2)
    return ImageOps.invert(square) if invert else square


def as_sample(square, image_shape):
    """Return what a network gets to see of a square: shape (1, height, width, channels), bytes."""
    height, width, channels = image_shape
    small = square.convert("L" if channels == 1 else "RGB").resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(small).reshape(1, *image_shape)


def draw(square, sample, classifier, probabilities):
    """Return a figure of the picture, the sample, probabilities and the map of what matters."""
    side = max(classifier.image_shape_[:2]) // 4
    (importance,) = saliency_maps(classifier, sample, method="occlusion", patch_size=side, strides=side // 4)
    figure = Figure(figsize=(11, 2.9), layout="constrained")
    first, second, third, last = figure.subplots(1, 4)
    first.imshow(square)
    first.set_title("your picture")
    second.imshow(sample[0], cmap="gray")
    second.set_title("what the network sees")
    order = np.argsort(probabilities)
    third.barh(classifier.classes_[order], probabilities[order], color=COLORS[0])
    third.set(xlim=(0, 1), title="probability")
    last.imshow(sample[0].mean(axis=-1), cmap="gray")
    limit = np.abs(importance).max()
    last.imshow(importance, cmap="RdBu_r", vmin=-limit, vmax=limit, alpha=0.6)
    last.set_title(f"what speaks for {classifier.classes_[order[-1]]}")
    for axis in (first, second, last):
        axis.set(xticks=[], yticks=[])
    return figure


def main():
    """Train or load a network, predict and draw."""
    parser = option_parser(__doc__, "own_picture.png", epochs=10)
    parser.add_argument("picture", help="picture file")
    parser.add_argument("--data", choices=list(DATA_SETS), default="cifar10", help="images to train on")
    parser.add_argument(
        "--network",
        metavar="FILE",
        help="file of the network, trained and saved where there is none (default: one for each set)",
    )
    parser.add_argument("--invert", action="store_true", help="exchange bright and dark")
    add_data_options(parser, samples=10_000)
    arguments = parser.parse_args()

    square = read_square(arguments.picture, invert=arguments.invert)
    classifier = trained_network(arguments)
    sample = as_sample(square, classifier.image_shape_)
    (probabilities,) = classifier.predict_proba(sample)
    for code in np.argsort(-probabilities)[:3]:
        print(f"{classifier.classes_[code]}: {probabilities[code]:.3f}")
    save(draw(square, sample, classifier, probabilities), arguments)


if __name__ == "__main__":
    main()
