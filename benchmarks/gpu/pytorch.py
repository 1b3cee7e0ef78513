"""PyTorch at its best on a card: cuDNN chooses by measuring, SGD is fused, both memory formats; like precision with like.

fp32    strict: no TF32 anywhere          tf32    in convolutions and in matrix products (its default is convolutions only)
fp16    autocast with a scaler            bf16    autocast
"""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from measuring.agreement import Sweep
from measuring.job import Job
from measuring.timing import Run
from peers.torch import Network as OnCpu

from .card import HostClock

__all__ = ["FORMATS", "Network", "clock", "peak", "reset"]

FORMATS = {"NCHW": torch.contiguous_format, "channels-last": torch.channels_last}
_HALF = {"fp16": torch.float16, "bf16": torch.bfloat16}


@lru_cache(maxsize=1)
def _drawn(job: Job) -> Any:
    """The network on the host, with weights, which are drawn once and copied for each contender."""
    return OnCpu(job).network


class Network:
    """One contender: a network with weights of its own, in one precision and memory format."""

    def __init__(self, job: Job, dry: bool, name: str = "fp32", form: str = "NCHW") -> None:
        self.place, self.name, self.form = "cpu" if dry else "cuda", name, FORMATS[form]
        self._dry = dry
        self.network: Any = copy.deepcopy(_drawn(job)).to(self.place, memory_format=self.form)

    def load(self, state: dict[str, Any]) -> None:
        """Take over minivgg's weights."""
        self.network.load_state_dict({name: torch.from_numpy(np.array(array, order="C")) for name, array in state.items()})

    def gradients(self, images: Any, targets: Any) -> Sweep:
        """Loss and gradients in the images' dtype, without dropout."""
        self._settle()
        self._dropout(0.0)
        self.network.to(torch.from_numpy(images[:0]).dtype)
        loss = torch.nn.functional.cross_entropy(self.network(self._images(images)), self._labels(targets))
        loss.backward()
        found = {name: p.grad.cpu().numpy() for name, p in self.network.named_parameters()}
        self.network.zero_grad(set_to_none=True)
        self.network.float()
        self._dropout(0.5)
        return loss.item(), found

    def training(self, images: Any, targets: Any) -> Run:
        """Forward, loss, backward, fused SGD with momentum and weight decay."""
        x, labels = self._images(images), self._labels(targets)
        sgd = torch.optim.SGD(self.network.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4, fused=True)
        scaler = torch.amp.GradScaler(self.place, enabled=self.name == "fp16" and not self._dry)

        def run(steps: int) -> None:
            self._settle()
            for _ in range(steps):
                with self._autocast():
                    loss = torch.nn.functional.cross_entropy(self.network(x), labels)
                sgd.zero_grad(set_to_none=True)
                scaler.scale(loss).backward()
                scaler.step(sgd)
                scaler.update()

        return run

    def inference(self, images: Any) -> Run:
        """Evaluation in inference mode."""
        x = self._images(images)
        self.network.eval()

        def run(steps: int) -> None:
            self._settle()
            with torch.inference_mode(), self._autocast():
                for _ in range(steps):
                    self.network(x)

        return run

    def _settle(self) -> None:
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = self.name != "fp32"

    def _autocast(self) -> Any:
        return torch.autocast(self.place, dtype=_HALF.get(self.name, torch.bfloat16), enabled=self.name in _HALF)

    def _images(self, images: Any) -> Any:
        return torch.from_numpy(images).to(self.place).contiguous(memory_format=self.form)

    def _labels(self, targets: Any) -> Any:
        return torch.from_numpy(targets).to(self.place)

    def _dropout(self, p: float) -> None:
        for module in self.network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = p


def reset(dry: bool) -> int:
    """Begin to count memory anew; bytes in use already."""
    if dry:
        return 0
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return int(torch.cuda.memory_allocated())


def peak(dry: bool) -> tuple[int, int]:
    """Bytes since `reset`: the most that tensors were in, and the most that the allocator held."""
    return (0, 0) if dry else (int(torch.cuda.max_memory_allocated()), int(torch.cuda.max_memory_reserved()))


class _Clock:
    """Seconds between two of torch's events."""

    def __init__(self) -> None:
        self._start, self._stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def start(self) -> None:
        """Now."""
        self._start.record()

    def stop(self) -> float:
        """Seconds since."""
        self._stop.record()
        self._stop.synchronize()
        return float(self._start.elapsed_time(self._stop)) / 1e3


def clock(dry: bool) -> Any:
    """For torch's work."""
    return HostClock() if dry else _Clock()
