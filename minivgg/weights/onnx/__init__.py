"""ONNX files: networks as graphs of operators that other programs run, https://onnx.ai/onnx/operators."""

from __future__ import annotations

from .nodes import IMAGES
from .writing import OPSET, Written, write

__all__ = ["IMAGES", "OPSET", "Written", "write"]
