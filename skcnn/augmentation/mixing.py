"""Augmentations that mix two images, and their targets."""

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
        Both parameters of the beta distribution of the weight. If alpha is small, one image dominates.

    Notes
    -----
    .. math:: x = \lambda x_i + (1 - \lambda) x_j, \quad \lambda \sim B(\alpha, \alpha),

    and the same for the targets. The other sample is drawn from the training samples with probabilities
    proportional to their weights. Since the network learns from mixed images, its predicted probabilities for
    unmixed images tend to be underconfident, the more so the larger alpha is.

    References
    ----------
    Zhang, Cisse, Dauphin and Lopez-Paz (2018), "mixup: beyond empirical risk minimization", ICLR.
    """

    _parameter_constraints = {"alpha": [Interval(Real, 0, None, closed="neither")]}

    def __init__(self, alpha=0.2):
        self.alpha = alpha

    def shares(self, draws, image_size):
        """Return the weight of each image, as opposed to the other one."""
        return betaincinv(self.alpha, self.alpha, draws[:, 0])

    def apply(self, images, others, draws):
        """Replace images by the weighted means."""
        shares = self.shares(draws, images.shape[:2]).astype(images.dtype)[:, np.newaxis]
        np.multiply(images, shares, out=images)
        np.multiply(others, 1 - shares, out=others)
        np.add(images, others, out=images)


class CutMix(Mixing):
    r"""Replaces a rectangle of an image by the same rectangle of another, and mixes targets by area.

    Parameters
    ----------
    alpha : float, default=1.0
        Both parameters of the beta distribution of the share of the area that is kept.

    Notes
    -----
    The rectangle has the proportions of the image and :math:`1 - \lambda` of its area,
    :math:`\lambda \sim B(\alpha, \alpha)`. Its center may be any pixel, so part of it may lie beyond the
    image; targets are mixed by the area within. The other sample is drawn, and predicted probabilities tend
    to be underconfident, as with :class:`Mixup`.

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
        """Return the share of its area that each image keeps."""
        start, stop = self._boxes(draws, image_size)
        return 1 - (stop - start).prod(axis=1) / np.prod(image_size)

    def apply(self, images, others, draws):
        """Replace the rectangles."""
        image_size = images.shape[:2]
        np.copyto(images, others, where=inside(self._boxes(draws, image_size), image_size))
