"""OpenVINO on the CPU in strict float32, all threads: tuned once for latency and once for throughput.

It is imported without its telemetry, which would send a message from a thread of its own that forks. A fork shuts down the threads
of NumPy's OpenBLAS, and a matrix product that runs at that moment waits for them for ever.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import minivgg as mv
from measuring.timing import Run

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # as if it were not installed: openvino then uses its stub
import openvino  # noqa: E402

__all__ = ["Inference"]


class Inference:
    """The network's file, compiled for the CPU."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._outputs: dict[str, Any] = {}

    def inference(self, images: Any) -> dict[str, Callable[[], Run]]:
        """Latency: one batch after the other on all threads. Throughput: as many at a time as it likes."""
        return {
            "openvino latency": lambda: self._one_by_one(images, "openvino latency"),
            "openvino throughput": lambda: self._several(images, "openvino throughput"),
        }

    def _one_by_one(self, images: Any, name: str) -> Run:
        request = self._compiled("LATENCY").create_infer_request()

        def run(steps: int) -> None:
            for _ in range(steps):
                self._outputs[name] = request.infer({0: images}, share_inputs=True)[0]

        return run

    def _several(self, images: Any, name: str) -> Run:
        queue = openvino.AsyncInferQueue(self._compiled("THROUGHPUT"))

        def keep(request: Any, _: Any) -> None:
            self._outputs[name] = request.get_output_tensor(0).data.copy()

        queue.set_callback(keep)

        def run(steps: int) -> None:
            for _ in range(steps):
                queue.start_async({0: images}, share_inputs=True)
            queue.wait_all()

        return run

    def _compiled(self, hint: str) -> Any:
        core = openvino.Core()
        options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": hint, "INFERENCE_NUM_THREADS": mv.threads()}
        return core.compile_model(core.read_model(str(self.file)), "CPU", options)

    def outputs(self, contender: str) -> Any:
        """Logits of the contender's last run."""
        return self._outputs[contender]
