"""Show what each augmentation makes of a photograph.

A row for each: the image as it is, then five of the images that training may see in its place. Mixup and
CutMix mix in a second photograph; their titles give the share of the first one's target that stays.

Run it with ``python examples/augmentation.py``; it writes ``augmentation.png``. It needs matplotlib, which
``pip install "skcnn[plot]"`` brings. The photographs are those of :func:`sklearn.datasets.load_sample_image`.
"""

import argparse

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from skcnn import (
    CutMix,
    Cutout,
    Mixup,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomFlip,
    RandomRotation,
    RandomShift,
    RandomZoom,
)
from skcnn.augmentation import Mixing

AUGMENTATIONS = [
    RandomFlip(),
    RandomShift(16),
    RandomCrop(32),
    Cutout(48),
    RandomRotation(30),
    RandomZoom(0.2),
    RandomBrightness(0.8),
    RandomContrast(0.6),
    Mixup(0.4),
    CutMix(),
]
N_DRAWS = 5


def load_images():
    """Return squares of two photographs, shape (128, 128, 2, 3), with values from -1 to 1."""
    temple = load_sample_image("china.jpg")[60:316:2, 120:376:2]
    flower = load_sample_image("flower.jpg")[100:356:2, 200:456:2]
    return np.stack([temple, flower], axis=2) / 127.5 - 1


def augmented(augmentation, images, rng):
    """Return some augmented versions of the first image, the batch axis first, and their titles."""
    draws = rng.random((N_DRAWS, augmentation.n_draws))
    copies = np.repeat(images[:, :, :1], N_DRAWS, axis=2)
    titles = [""] * N_DRAWS
    if isinstance(augmentation, Mixing):
        augmentation.apply(copies, np.repeat(images[:, :, 1:], N_DRAWS, axis=2), draws)
        titles = [f"{share:.2f}" for share in augmentation.shares(draws, copies.shape[:2])]
    else:
        copies = augmentation.apply(copies, draws)
    return copies.transpose(2, 0, 1, 3), titles


def draw(images, random_state):
    """Return a figure with a row for each augmentation."""
    rng = np.random.default_rng(random_state)
    figure, axes = plt.subplots(
        len(AUGMENTATIONS), 1 + N_DRAWS, figsize=(9, 16), layout="constrained", squeeze=False
    )
    for row, augmentation in zip(axes, AUGMENTATIONS, strict=True):
        versions, titles = augmented(augmentation, images, rng)
        for axis, image, title in zip(row, [images[:, :, 0], *versions], ["", *titles], strict=True):
            axis.imshow(np.clip((image + 1) / 2, 0, 1))
            axis.set_title(title, fontsize=8)
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(repr(augmentation).replace("(", "\n("), fontsize=8)
    return figure


def main():
    """Draw and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="augmentation.png", help="file to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws")
    arguments = parser.parse_args()
    matplotlib.use("Agg")
    figure = draw(load_images(), arguments.seed)
    figure.savefig(arguments.output, dpi=80)
    plt.close(figure)
    print(f"{len(AUGMENTATIONS)} augmentations, {N_DRAWS} draws each: {arguments.output}")


if __name__ == "__main__":
    main()
