"""Show what each augmentation makes of a photograph.

The photograph as it is, and for each augmentation four of the images that training may see in its place.
Mixup and CutMix mix in a second photograph; their titles give the share of the first one's target that stays.
Training draws at random; here the draws are spread evenly over what may come, so that four show the range.

Run it with ``python examples/augmentation.py``; it writes ``augmentation.png``. It needs matplotlib and
Pillow, which ``pip install "skcnn[examples]"`` brings. The photographs are those of
:func:`sklearn.datasets.load_sample_image`.
"""

import numpy as np
from gallery import option_parser, save
from matplotlib.figure import Figure
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
    RandomFlip(vertical=True),
    RandomShift(24),
    RandomCrop(32),
    Cutout(48),
    RandomRotation(30),
    RandomZoom(0.3),
    RandomBrightness(0.8),
    RandomContrast(0.8),
    Mixup(1.0),
    CutMix(),
]
N_DRAWS = 4
N_COLUMNS = 2


def load_images():
    """Return squares of two photographs, shape (128, 128, 2, 3), with values from -1 to 1."""
    temple = load_sample_image("china.jpg")[60:316:2, 120:376:2]
    flower = load_sample_image("flower.jpg")[100:356:2, 200:456:2]
    return np.stack([temple, flower], axis=2) / 127.5 - 1


def even_draws(n_draws, rng):
    """Return numbers for each image, (N_DRAWS, n_draws): the same ones in each column, in some order."""
    columns = np.tile((np.arange(N_DRAWS) + 0.5) / N_DRAWS, (n_draws, 1))
    return rng.permuted(columns, axis=1).T


def augmented(augmentation, images, rng):
    """Return some augmented versions of the first image, the batch axis first, and their titles."""
    draws = even_draws(augmentation.n_draws, rng)
    copies = np.repeat(images[:, :, :1], N_DRAWS, axis=2)
    titles = [""] * N_DRAWS
    if isinstance(augmentation, Mixing):
        augmentation.apply(copies, np.repeat(images[:, :, 1:], N_DRAWS, axis=2), draws)
        titles = [f"{share:.2f}" for share in augmentation.shares(draws, copies.shape[:2])]
    else:
        copies = augmentation.apply(copies, draws)
    return copies.transpose(2, 0, 1, 3), titles


def draw_images(axes, images, titles):
    """Draw images with values from -1 to 1 on axes."""
    for axis, image, title in zip(axes, images, titles, strict=True):
        axis.imshow(np.clip((image + 1) / 2, 0, 1))
        axis.set_title(title, fontsize=9, pad=2)
        axis.set(xticks=[], yticks=[])


def draw(images, seed):
    """Return a figure with the photographs and a block for each augmentation."""
    rng = np.random.default_rng(seed)
    n_rows = len(AUGMENTATIONS) // N_COLUMNS
    figure = Figure(figsize=(10.5, 1.62 * (1 + n_rows)), layout="constrained")
    top, *rows = figure.subfigures(1 + n_rows, 1)
    originals = top.subplots(1, N_COLUMNS * N_DRAWS)
    draw_images(originals[:2], images.transpose(2, 0, 1, 3), ["the photograph", "and one to mix in"])
    for axis in originals[2:]:
        axis.set_axis_off()
    blocks = [block for row in rows for block in row.subfigures(1, N_COLUMNS)]
    for block, augmentation in zip(blocks, AUGMENTATIONS, strict=True):
        block.suptitle(repr(augmentation), fontsize=11)
        draw_images(block.subplots(1, N_DRAWS), *augmented(augmentation, images, rng))
    return figure


def main():
    """Draw and save."""
    parser = option_parser(__doc__, "augmentation.png")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws")
    arguments = parser.parse_args()
    print(f"{len(AUGMENTATIONS)} augmentations, {N_DRAWS} draws each")
    save(draw(load_images(), arguments.seed), arguments)


if __name__ == "__main__":
    main()
