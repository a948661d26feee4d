"""Augmentations that change single images."""

from itertools import product
from math import radians
from numbers import Integral, Real

import numpy as np

from skcnn._sklearn import Interval, StrOptions
from skcnn.augmentation.base import Augmentation, whole_numbers
from skcnn.kernels.geometry import FILLS, boxes, inside, shift, warp


class RandomFlip(Augmentation):
    """Mirrors every other image.

    Parameters
    ----------
    horizontal : bool, default=True
        Whether left and right change places in half of the images.
    vertical : bool, default=False
        Whether top and bottom change places in half of the images, independently.
    alternate : bool, default=False
        Whether each image is mirrored in every other epoch, with a random first one, instead of being drawn
        for anew in each: two epochs then show it once in either way, and four in all four ways where it is
        mirrored along both axes. A call of ``partial_fit`` is an epoch.

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
        """Return the draws of an epoch; of two axes, the second changes half as often."""
        turns = np.array([epoch, epoch // 2 if self.horizontal else epoch])
        return (draws + turns % 2 / 2) % 1

    def views(self):
        """Return the draws of the image as it is, and of all its mirror images."""
        return list(
            product(*((0.5, 0.0) if wanted else (0.5,) for wanted in (self.horizontal, self.vertical)))
        )


class RandomShift(Augmentation):
    """Moves images by whole pixels.

    Parameters
    ----------
    pixels : int, default=2
        How far at most, up, down, left and right.
    fill : {"edge", "reflect", "zeros"}, default="edge"
        What appears at the other side: copies of the pixels at the edge, the image mirrored there, or zeros,
        the mean of standardized images.

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
        """Move images down and to the right, or the other way where the draw is below one half."""
        return shift(images, whole_numbers(draws, self.pixels), self.fill)


class RandomCrop(Augmentation):
    """Pads images on all sides and cuts out a part of the former size.

    Parameters
    ----------
    padding : int, default=4
        Pixels on each side.
    fill : {"reflect", "edge", "zeros"}, default="reflect"
        What the padding consists of: the image mirrored at its edge, copies of the pixels at the edge, or
        zeros, the mean of standardized images.

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
        """Cut images out of padded ones, which is to shift them."""
        return shift(images, whole_numbers(draws, self.padding), self.fill)


class Cutout(Augmentation):
    """Covers a square with zeros, the mean of standardized images.

    Parameters
    ----------
    size : int, default=8
        Pixels along an edge of the square, whose center may be any pixel; what lies beyond the image is lost.

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
        """Return nothing: there is no sense in hiding parts of what is to be recognised."""
        return []


class RandomRotation(Augmentation):
    """Turns images around their center, with bilinear interpolation.

    Parameters
    ----------
    degrees : float, default=15
        How far at most, clockwise and counterclockwise.
    fill : {"edge", "reflect", "zeros"}, default="edge"
        What appears in the corners, as in :class:`RandomShift`.
    """

    _parameter_constraints = {
        "degrees": [Interval(Real, 0, 180, closed="both")],
        "fill": [StrOptions(set(FILLS))],
    }

    def __init__(self, degrees=15, fill="edge"):
        self.degrees = degrees
        self.fill = fill

    def apply(self, images, draws):
        """Turn images counterclockwise, or clockwise where the draw is below one half."""
        angles = (2 * draws[:, 0] - 1) * radians(self.degrees)
        cosine, sine = np.cos(angles), np.sin(angles)
        return warp(images, np.array([[cosine, sine], [-sine, cosine]]), self.fill)


class RandomZoom(Augmentation):
    """Enlarges and shrinks images around their center, with bilinear interpolation.

    Parameters
    ----------
    amount : float, default=0.1
        Factors are from 1 - amount to 1 + amount, the same along both axes.
    fill : {"edge", "reflect", "zeros"}, default="edge"
        What appears around smaller images, as in :class:`RandomShift`.
    """

    _parameter_constraints = {
        "amount": [Interval(Real, 0, 1, closed="left")],
        "fill": [StrOptions(set(FILLS))],
    }

    def __init__(self, amount=0.1, fill="edge"):
        self.amount = amount
        self.fill = fill

    def apply(self, images, draws):
        """Scale images by 1 - amount for a draw of zero, by nearly 1 + amount for a draw of nearly one."""
        inverse = 1 / (1 + (2 * draws[:, 0] - 1) * self.amount)
        zero = np.zeros_like(inverse)
        return warp(images, np.array([[inverse, zero], [zero, inverse]]), self.fill)


class RandomBrightness(Augmentation):
    """Adds a number to all pixels of an image.

    Parameters
    ----------
    amount : float, default=0.2
        How large the number is at most, in standard deviations of the numbers of the image.
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

    Images of three channels are taken for photographs, which show the same when mirrored, and are shifted
    by an eighth of their size; others, which may be letters, are only shifted, by a sixteenth.

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
