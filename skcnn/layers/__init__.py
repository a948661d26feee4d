"""Layers of a network, one family a file."""

from skcnn.layers.activation import Activation, ReLU, Sigmoid, Tanh
from skcnn.layers.base import Layer, MergingLayer
from skcnn.layers.convolution import Conv2D
from skcnn.layers.dense import Dense
from skcnn.layers.dropout import Dropout
from skcnn.layers.normalization import BatchNorm
from skcnn.layers.pooling import AvgPool2D, GlobalAvgPool2D, MaxPool2D
from skcnn.layers.reshape import Flatten

__all__ = [
    "Activation",
    "AvgPool2D",
    "BatchNorm",
    "Conv2D",
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
