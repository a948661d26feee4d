"""Augmentations that change single images."""

from itertools import product
from math import radians
from numbers import Integral, Real

import numpy as np

from skcnn._sklearn import Interval, StrOptions
from skcnn.augmentation.base import Augmentation, whole_numbers
from skcnn.kernels.geometry import FILLS, boxes, inside, shift, warp


class RandomFlip(Augmentation):
    """Mirrors images at random.

    Parameters
    ----------
    horizontal : bool, default=True
        Whether to swap left and right in half of the images.
    vertical : bool, default=False
        Whether to swap top and bottom in half of the images, independently.
    alternate : bool, default=False
        Whether to mirror each image in every other epoch, instead of at random in each. The first of these
        epochs is random. Two epochs then show each image both ways; with both axes, four epochs show all four
        ways. A call of ``partial_fit`` counts as an epoch.

    References
    ----------
    Jordan (2024), "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv:2404.00498, section 3.6, for
    ``alternate``.

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.augmentation import RandomFlip
    >>> images = np.arange(3.0).reshape(1, 3, 1, 1)
    >>> RandomFlip().apply(images, np.array([[0.3, 0.8]]))[0, :, 0, 0]
    array([2., 1., 0.])
    """

    n_draws = 2
    _parameter_constraints = {"horizontal": ["boolean"], "vertical": ["boolean"], "alternate": ["boolean"]}

    def __init__(self, horizontal=True, vertical=False, alternate=False):
        self.horizontal = horizontal
        self.vertical = vertical
        self.alternate = alternate

    def apply(self, images, draws):
        """Mirror the images whose draw is below one half."""
        if self.horizontal:
            chosen = np.flatnonzero(draws[:, 0] < 0.5)
            images[:, :, chosen] = images[:, ::-1, chosen]
        if self.vertical:
            chosen = np.flatnonzero(draws[:, 1] < 0.5)
            images[:, :, chosen] = images[::-1, :, chosen]
        return images

    def moved_on(self, draws, epoch):
        """Return the draws of an epoch; with both axes, the second changes half as often."""
        turns = np.array([epoch, epoch // 2 if self.horizontal else epoch])
        return (draws + turns % 2 / 2) % 1

    def views(self):
        """Return the draws of the unchanged image and of all its mirror images."""
        return list(
            product(*((0.5, 0.0) if wanted else (0.5,) for wanted in (self.horizontal, self.vertical)))
        )


class RandomShift(Augmentation):
    """Moves images by whole pixels.

    Parameters
    ----------
    pixels : int, default=2
        Largest shift up, down, left and right.
    fill : {"edge", "reflect", "zeros"}, default="edge"
        What fills the gap: copies of the pixels at the edge, the image mirrored at the edge, or zeros (the
        mean of standardized images).

    Examples
    --------
    >>> import numpy as np
    >>> from skcnn.augmentation import RandomShift
    >>> images = np.arange(4.0).reshape(1, 4, 1, 1)
    >>> RandomShift(2).apply(images, np.array([[0.5, 0.99]]))[0, :, 0, 0]
    array([0., 0., 0., 1.])
    """

    n_draws = 2
    _parameter_constraints = {
        "pixels": [Interval(Integral, 0, None, closed="left")],
        "fill": [StrOptions(set(FILLS))],
    }

    def __init__(self, pixels=2, fill="edge"):
        self.pixels = pixels
        self.fill = fill

    def apply(self, images, draws):
        """Move images down and to the right, or up and to the left for draws below one half."""
        return shift(images, whole_numbers(draws, self.pixels), self.fill)


class RandomCrop(Augmentation):
    """Pads images on all sides and crops a random part of the original size.

    Parameters
    ----------
    padding : int, default=4
        Pixels added on each side.
    fill : {"reflect", "edge", "zeros"}, default="reflect"
        What fills the padding: the image mirrored at the edge, copies of the pixels at the edge, or zeros
        (the mean of standardized images).

    References
    ----------
    He, Zhang, Ren and Sun (2016), "Deep residual learning for image recognition", CVPR, section 4.2.
    """

    n_draws = 2
    _parameter_constraints = {
        "padding": [Interval(Integral, 0, None, closed="left")],
        "fill": [StrOptions(set(FILLS))],
    }

    def __init__(self, padding=4, fill="reflect"):
        self.padding = padding
        self.fill = fill

    def apply(self, images, draws):
        """Crop padded images, which is the same as shifting the images."""
        return shift(images, whole_numbers(draws, self.padding), self.fill)


class Cutout(Augmentation):
    """Covers a square with zeros, the mean of standardized images.

    Parameters
    ----------
    size : int, default=8
        Side length of the square in pixels. Its center may be any pixel; it is clipped to the image.

    References
    ----------
    DeVries and Taylor (2017), "Improved regularization of convolutional neural networks with cutout",
    arXiv:1708.04552.
    """

    n_draws = 2
    _parameter_constraints = {"size": [Interval(Integral, 1, None, closed="left")]}

    def __init__(self, size=8):
        self.size = size

    def apply(self, images, draws):
        """Write zeros into the squares."""
        sizes = np.full((len(draws), 2), self.size)
        np.copyto(images, 0, where=inside(boxes(draws, sizes, images.shape[:2]), images.shape[:2]))
        return images

    def views(self):
        """Return no views: hiding parts of an image does not help to recognise it."""
        return []


class RandomRotation(Augmentation):
    """Turns images around their center, with bilinear interpolation.

    Parameters
    ----------
    degrees : float, default=15
        Largest angle, clockwise and counterclockwise.
    fill : {"edge", "reflect", "zeros"}, default="edge"
        What fills the corners, as in :class:`RandomShift`.
    """

    _parameter_constraints = {
        "degrees": [Interval(Real, 0, 180, closed="both")],
        "fill": [StrOptions(set(FILLS))],
    }

    def __init__(self, degrees=15, fill="edge"):
        self.degrees = degrees
        self.fill = fill

    def apply(self, images, draws):
        """Turn images counterclockwise, or clockwise for draws below one half."""
        angles = (2 * draws[:, 0] - 1) * radians(self.degrees)
        cosine, sine = np.cos(angles), np.sin(angles)
        return warp(images, np.array([[cosine, sine], [-sine, cosine]]), self.fill)


class RandomZoom(Augmentation):
    """Enlarges or shrinks images around their center, with bilinear interpolation.

    Parameters
    ----------
    amount : float, default=0.1
        Factors are from 1 - amount to 1 + amount, the same along both axes.
    fill : {"edge", "reflect", "zeros"}, default="edge"
        What fills the border of shrunk images, as in :class:`RandomShift`.
    """

    _parameter_constraints = {
        "amount": [Interval(Real, 0, 1, closed="left")],
        "fill": [StrOptions(set(FILLS))],
    }

    def __init__(self, amount=0.1, fill="edge"):
        self.amount = amount
        self.fill = fill

    def apply(self, images, draws):
        """Scale images by factors that rise with the draw, from 1 - amount to 1 + amount."""
        inverse = 1 / (1 + (2 * draws[:, 0] - 1) * self.amount)
        zero = np.zeros_like(inverse)
        return warp(images, np.array([[inverse, zero], [zero, inverse]]), self.fill)


class RandomBrightness(Augmentation):
    """Adds a number to all pixels of an image.

    Parameters
    ----------
    amount : float, default=0.2
        Largest absolute value of the number, in standard deviations of the values of the image.
    """

    _parameter_constraints = {"amount": [Interval(Real, 0, None, closed="left")]}

    def __init__(self, amount=0.2):
        self.amount = amount

    def apply(self, images, draws):
        """Add numbers, in place."""
        offsets = (2 * draws[:, 0] - 1) * self.amount * images.std(axis=(0, 1, 3))
        return np.add(images, offsets.astype(images.dtype)[:, np.newaxis], out=images)


class RandomContrast(Augmentation):
    """Scales the deviations of an image from the mean of each of its channels.

    Parameters
    ----------
    amount : float, default=0.2
        Factors are from 1 - amount to 1 + amount.
    """

    _parameter_constraints = {"amount": [Interval(Real, 0, 1, closed="left")]}

    def __init__(self, amount=0.2):
        self.amount = amount

    def apply(self, images, draws):
        """Scale deviations, in place."""
        factors = (1 + (2 * draws[:, 0] - 1) * self.amount).astype(images.dtype)[:, np.newaxis]
        means = images.mean(axis=(0, 1))
        np.multiply(images, factors, out=images)
        return np.add(images, means * (1 - factors), out=images)


def auto_augmentation(image_shape: tuple[int, int, int]) -> list[Augmentation]:
    """Return what ``augmentation="auto"`` stands for.

    Images with three channels are probably photographs: they are mirrored, and shifted by up to an eighth of
    their size. Others may be letters, which must not be mirrored: they are shifted by up to a sixteenth.

    Parameters
    ----------
    image_shape : (height, width, channels)

    Returns
    -------
    augmentations : list of Augmentation

    Examples
    --------
    >>> from skcnn.augmentation import auto_augmentation
    >>> auto_augmentation((32, 32, 3))
    [RandomFlip(), RandomCrop()]
    >>> auto_augmentation((28, 28, 1))
    [RandomShift()]
    """
    size = min(image_shape[:2])
    if image_shape[2] == 3:
        return [RandomFlip(), RandomCrop(max(1, size // 8))]
    return [RandomShift(max(1, round(size / 16)))]
