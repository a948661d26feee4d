"""Data augmentation: random changes of training images.

An augmentation holds hyperparameters and nothing else. It gets uniform random numbers from its caller, so the
change of a sample in an epoch depends neither on the minibatch nor on the place in it.
"""

from skcnn.augmentation.base import Augmentation, Mixing
from skcnn.augmentation.changes import (
    Cutout,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomFlip,
    RandomRotation,
    RandomShift,
    RandomZoom,
    auto_augmentation,
)
from skcnn.augmentation.mixing import CutMix, Mixup

__all__ = [
    "Augmentation",
    "CutMix",
    "Cutout",
    "Mixing",
    "Mixup",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomFlip",
    "RandomRotation",
    "RandomShift",
    "RandomZoom",
    "auto_augmentation",
]
