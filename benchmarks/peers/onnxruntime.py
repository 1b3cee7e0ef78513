"""ONNX Runtime on the CPU: all graph optimisations, all threads, float32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime

import minivgg as mv
from measuring.timing import Run

__all__ = ["Inference"]


class Inference:
    """A session on the network's file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._output: Any = None

    def inference(self, images: Any) -> dict[str, Callable[[], Run]]:
        """One batch after the other."""

        def make() -> Run:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = mv.threads()
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
            session = onnxruntime.InferenceSession(str(self.file), options, providers=["CPUExecutionProvider"])

            def run(steps: int) -> None:
                for _ in range(steps):
                    (self._output,) = session.run(None, {"images": images})

            return run

        return {"onnxruntime": make}

    def outputs(self, contender: str) -> Any:
        """Logits of the last run."""
        return self._output
