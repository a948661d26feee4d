"""A convolutional network that is a scikit-learn estimator, written on numpy."""

from skcnn.classifier import ConvNetClassifier
from skcnn.layers import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    Layer,
    MaxPool2D,
    MergingLayer,
    ReLU,
    Sigmoid,
    Tanh,
)

__version__ = "0.1.0"

__all__ = [
    "AvgPool2D",
    "BatchNorm",
    "Conv2D",
    "ConvNetClassifier",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2D",
    "Layer",
    "MaxPool2D",
    "MergingLayer",
    "ReLU",
    "Sigmoid",
    "Tanh",
]
