"""`read_graph`: an ONNX file as the list of a network's layers with their arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from ...nn import Layer

__all__ = ["Graph", "read_graph", "read_onnx"]


@dataclass(frozen=True)
class Graph:
    """What an ONNX file says, ready for `nn.build_chain(graph.layers, shapes)` and `load_state_dict(graph.arrays)`.

    layers         in order, named "0", "1", …
    arrays         by "<layer's name>.weight" and so on, in the dtype of the file (bfloat16 as float32)
    input_shape    (N, C, H, W), None where the file leaves a size open
    channels_last  whether the file's own input is (N, H, W, C); the layers here take (N, C, H, W) all the same
    classes        number of scores, (N, classes); 0 if the graph ends in a map of features (N, C, H, W)
    softmax        whether the graph ended with a softmax, which is left out: the layers give logits
    notes          what was done to make the graph a chain, a sentence each
    """

    layers: tuple[Layer, ...]
    arrays: Mapping[str, Any]
    input_shape: tuple[int | None, int | None, int | None, int | None]
    channels_last: bool
    classes: int
    softmax: bool
    notes: tuple[str, ...]


def read_graph(file: BinaryIO, path: str) -> Graph:
    """The network in an ONNX file; `path` is for messages.

    Raises CheckpointError, in one line that names node and operator, for a damaged file or a graph that is not one chain of known layers.
    """
    raise NotImplementedError


def read_onnx(file: BinaryIO, path: str) -> tuple[dict[str, Any], dict[str, str]]:
    """(floating-point initialisers by name, {}) of an ONNX file, whatever its graph; `path` is for messages. Raises CheckpointError."""
    raise NotImplementedError
