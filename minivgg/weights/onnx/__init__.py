"""ONNX graphs read as chains of layers, without the onnx package and without running anything of the file.

The package `onnx` builds every message of a file as an object and copies its weights; how much memory a damaged or hostile file makes it
take cannot be said beforehand. Here the wire format is walked (`weights.protobuf`), each claim is checked against the file's size before
anything is made, and the whole stays within twice the file's size and 32 MB.
"""

from __future__ import annotations

from .graph import Graph, read_graph, read_onnx

__all__ = ["Graph", "read_graph", "read_onnx"]
