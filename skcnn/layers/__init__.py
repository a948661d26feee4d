"""Layers of a network, one file per family."""

from skcnn.layers.activation import HardSigmoid, Sigmoid, Softmax, Softsign, Tanh
from skcnn.layers.base import Activation, Block, ElementwiseActivation, Layer, MergingLayer
from skcnn.layers.containers import Container, Parallel, Residual, Sequential
from skcnn.layers.convolution import Conv2D, DepthwiseConv2D
from skcnn.layers.dense import Dense
from skcnn.layers.dropout import Dropout, SpatialDropout2D
from skcnn.layers.gates import GELU, HardSwish, Mish, SiLU
from skcnn.layers.local_response import LocalResponseNorm
from skcnn.layers.normalization import BatchNorm, GroupNorm, LayerNorm
from skcnn.layers.pooling import AvgPool2D, GlobalAvgPool2D, GlobalMaxPool2D, MaxPool2D
from skcnn.layers.rectifiers import CELU, ELU, SELU, LeakyReLU, PReLU, ReLU, ReLU6, Softplus
from skcnn.layers.rescale import Rescale
from skcnn.layers.reshape import Flatten, ZeroPad2D
from skcnn.layers.whitening import PatchWhitening

__all__ = [
    "Activation",
    "AvgPool2D",
    "BatchNorm",
    "Block",
    "CELU",
    "Container",
    "Conv2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "ELU",
    "ElementwiseActivation",
    "Flatten",
    "GELU",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "GroupNorm",
    "HardSigmoid",
    "HardSwish",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "LocalResponseNorm",
    "MaxPool2D",
    "MergingLayer",
    "Mish",
    "PReLU",
    "Parallel",
    "PatchWhitening",
    "ReLU",
    "ReLU6",
    "Rescale",
    "Residual",
    "SELU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "SpatialDropout2D",
    "Tanh",
    "ZeroPad2D",
]
