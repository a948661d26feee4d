"""From hyperparameters to named layers, and stacks that the field knows by name."""

from skcnn.architecture.classics import lenet5, small_resnet, small_vgg, teaching_network
from skcnn.architecture.hyperparameters import (
    NORMALIZATION,
    POOLING,
    compact_layers,
    complete_layers,
    explicit_layers,
)
from skcnn.architecture.torchvision import from_torchvision, mobilenet_v2, resnet18, vgg11_bn

__all__ = [
    "NORMALIZATION",
    "POOLING",
    "compact_layers",
    "complete_layers",
    "explicit_layers",
    "from_torchvision",
    "lenet5",
    "mobilenet_v2",
    "resnet18",
    "small_resnet",
    "small_vgg",
    "teaching_network",
    "vgg11_bn",
]
