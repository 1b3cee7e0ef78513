"""ONNX files, both ways: networks as graphs of operators that other programs run, https://onnx.ai/onnx/operators.

Written with the package onnx (`writing`, `nodes`); read without it. It builds every message of a file as an object and copies its weights:
how much memory a damaged or hostile file makes it take cannot be said beforehand. Here the wire format is walked (`weights.protobuf`),
each claim is checked against the file's size before anything is made, and the whole stays within twice the file's size and 32 MB:
`messages` and `tensors` are what is in the file, `graph` goes from node to node, `operators` is the table of rules.
"""

from __future__ import annotations

from .graph import Graph, read_graph, read_onnx
from .nodes import IMAGES
from .writing import OPSET, Written, write

__all__ = ["IMAGES", "OPSET", "Graph", "Written", "read_graph", "read_onnx", "write"]
