"""From hyperparameters to named layers, and stacks that the field knows by name."""

from skcnn.architecture.classics import lenet5, small_resnet, small_vgg, teaching_network
from skcnn.architecture.hyperparameters import (
    NORMALIZATION,
    POOLING,
    compact_layers,
    complete_layers,
    explicit_layers,
)

__all__ = [
    "NORMALIZATION",
    "POOLING",
    "compact_layers",
    "complete_layers",
    "explicit_layers",
    "lenet5",
    "small_resnet",
    "small_vgg",
    "teaching_network",
]
