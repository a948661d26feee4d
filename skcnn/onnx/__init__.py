"""Fitted networks as ONNX models, which other runtimes compute."""

from skcnn.onnx.export import to_onnx
from skcnn.onnx.layers import register_layer
from skcnn.onnx.pipelines import register

__all__ = ["register", "register_layer", "to_onnx"]
