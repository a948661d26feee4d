"""Augmentations that mix an image with another one, and their targets alike."""

from numbers import Real

import numpy as np
from scipy.special import betaincinv

from skcnn._sklearn import Interval
from skcnn.augmentation.base import Mixing
from skcnn.kernels.geometry import boxes, inside


class Mixup(Mixing):
    r"""Takes the weighted mean of two images, and of their targets.

    Parameters
    ----------
    alpha : float, default=0.2
        Both parameters of the beta distribution of the weight: with small ones one image prevails.

    Notes
    -----
    .. math:: x = \lambda x_i + (1 - \lambda) x_j, \quad \lambda \sim B(\alpha, \alpha),

    and the same for the targets. The other sample is drawn from the training samples by their weights.
    Probabilities are learned from mixed images: those of whole images tend to be less certain than they are
    right, the more so the larger alpha is.

    References
    ----------
    Zhang, Cisse, Dauphin and Lopez-Paz (2018), "mixup: beyond empirical risk minimization", ICLR.
    """

    _parameter_constraints = {"alpha": [Interval(Real, 0, None, closed="neither")]}

    def __init__(self, alpha=0.2):
        self.alpha = alpha

    def shares(self, draws, image_size):
        """Return the weights of the own images."""
        return betaincinv(self.alpha, self.alpha, draws[:, 0])

    def apply(self, images, others, draws):
        """Take the means."""
        shares = self.shares(draws, images.shape[:2]).astype(images.dtype)[:, np.newaxis]
        np.multiply(images, shares, out=images)
        np.multiply(others, 1 - shares, out=others)
        np.add(images, others, out=images)


class CutMix(Mixing):
    r"""Replaces a rectangle of an image by that of another one, and mixes targets by the areas.

    Parameters
    ----------
    alpha : float, default=1.0
        Both parameters of the beta distribution of the share of the area that stays.

    Notes
    -----
    The rectangle has the proportions of the image and :math:`1 - \lambda` of its area,
    :math:`\lambda \sim B(\alpha, \alpha)`. Its center may be any pixel, so some of it may lie beyond the
    image; targets are mixed by what lies within. The other sample is drawn from the training samples by their
    weights. As with :class:`Mixup`, probabilities of whole images tend to be less certain than they are
    right.

    References
    ----------
    Yun, Han, Oh, Chun, Choe and Yoo (2019), "CutMix: regularization strategy to train strong classifiers with
    localizable features", ICCV.
    """

    n_draws = 3
    _parameter_constraints = {"alpha": [Interval(Real, 0, None, closed="neither")]}

    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def _boxes(self, draws, image_size):
        cut = np.sqrt(1 - betaincinv(self.alpha, self.alpha, draws[:, 2]))
        return boxes(draws, np.rint(np.outer(cut, image_size)).astype(int), image_size)

    def shares(self, draws, image_size):
        """Return the shares of the areas that stay."""
        start, stop = self._boxes(draws, image_size)
        return 1 - (stop - start).prod(axis=1) / np.prod(image_size)

    def apply(self, images, others, draws):
        """Replace the rectangles."""
        image_size = images.shape[:2]
        np.copyto(images, others, where=inside(self._boxes(draws, image_size), image_size))
