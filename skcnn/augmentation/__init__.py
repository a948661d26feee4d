"""Random changes of training images, which make few images worth many.

An augmentation holds hyperparameters and nothing else. What it draws comes from outside as uniform numbers,
so that a sample is changed in the same way whatever its place in whichever minibatch of an epoch.
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
