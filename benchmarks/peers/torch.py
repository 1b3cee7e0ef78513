"""PyTorch at its best on a CPU: channels-last, all threads, the fused SGD, once eager and once compiled; strict float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import minivgg as mv
from measuring.architecture import Layer, classifier, features
from measuring.job import Job
from measuring.timing import Run

__all__ = ["Network"]


class Network:
    """The network from torch's own layers, under minivgg's names, stored channels-last (torch's faster layout)."""

    def __init__(self, job: Job) -> None:
        torch.set_num_threads(mv.threads())
        self.network: Any = torch.nn.Sequential()
        self.network.add_module("features", torch.nn.Sequential(*map(_layer, features(job))))
        head = [_layer(layer) for layer in classifier(job)]
        if job.head == "linear":
            for name, layer in zip(("avgpool", "flatten", "classifier"), head, strict=True):
                self.network.add_module(name, layer)
        else:
            self.network.add_module("flatten", head[0])
            self.network.add_module("classifier", torch.nn.Sequential(*head[1:]))
        self.network.to(memory_format=torch.channels_last)
        self._output: Any = None

    def load(self, state: dict[str, Any]) -> None:
        """Take over minivgg's weights."""
        self.network.load_state_dict({name: torch.from_numpy(np.array(a, order="C")) for name, a in state.items()})

    def gradients(self, images: Any, targets: Any) -> tuple[float, dict[str, Any]]:
        """Loss and gradients in the images' dtype."""
        self._dropout(0.0)
        self.network.to(torch.from_numpy(images[:0]).dtype)
        loss = torch.nn.functional.cross_entropy(self.network(_channels_last(images)), torch.from_numpy(targets))
        loss.backward()
        found = {name: p.grad.numpy() for name, p in self.network.named_parameters()}
        self.network.zero_grad(set_to_none=True)
        self.network.float()
        self._dropout(0.5)
        return loss.item(), found

    def loss(self, images: Any, targets: Any) -> float:
        """In training mode, without dropout; nothing is recorded."""
        self._dropout(0.0)
        with torch.no_grad():
            found = torch.nn.functional.cross_entropy(self.network(_channels_last(images)), torch.from_numpy(targets)).item()
        self._dropout(0.5)
        return float(found)

    def training(self, images: Any, targets: Any) -> dict[str, Callable[[], Run]]:
        """Forward, loss, backward, SGD with momentum and weight decay, both ways."""
        x, y = _channels_last(images), torch.from_numpy(targets)

        def make(compiled: bool) -> Run:
            sgd = torch.optim.SGD(self.network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, fused=True)

            def loss_of(x: Any, y: Any) -> Any:
                return torch.nn.functional.cross_entropy(self.network(x), y)

            forward = torch.compile(loss_of) if compiled else loss_of

            def run(steps: int) -> None:
                for _ in range(steps):
                    loss = forward(x, y)
                    sgd.zero_grad(set_to_none=True)
                    loss.backward()
                    sgd.step()

            return run

        return {"torch eager": lambda: make(False), "torch compiled": lambda: make(True)}

    def inference(self, images: Any) -> dict[str, Callable[[], Run]]:
        """Evaluation in inference mode; compiled with the weights frozen, which folds batch norm and packs them once."""
        x = _channels_last(images)

        def make(compiled: bool) -> Run:
            self.network.eval()
            forward = torch.compile(self.network, options={"freezing": True}) if compiled else self.network

            def run(steps: int) -> None:
                with torch.no_grad() if compiled else torch.inference_mode():
                    for _ in range(steps):
                        self._output = forward(x)

            return run

        return {"torch eager": lambda: make(False), "torch compiled": lambda: make(True)}

    def outputs(self, contender: str) -> Any:
        """Logits of the last run."""
        return self._output.numpy()

    def kept_bytes(self, images: Any, targets: Any) -> int:
        """Bytes of the tensors that the eager graph saves, each storage once, without the parameters and the images."""
        own = {p.untyped_storage().data_ptr() for p in self.network.parameters()}
        x = _channels_last(images)
        own.add(x.untyped_storage().data_ptr())
        saved: dict[int, int] = {}

        def pack(tensor: Any) -> Any:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                saved[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = torch.nn.functional.cross_entropy(self.network(x), torch.from_numpy(targets))
        del loss
        return sum(saved.values())

    def _dropout(self, p: float) -> None:
        for module in self.network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = p


def _layer(layer: Layer) -> Any:
    made: dict[str, Callable[[], Any]] = {
        "conv": lambda: torch.nn.Conv2d(layer.inputs, layer.outputs, layer.kernel, padding=layer.kernel // 2),
        "bn": lambda: torch.nn.BatchNorm2d(layer.inputs),
        "relu": lambda: torch.nn.ReLU(inplace=True),
        "pool": lambda: torch.nn.MaxPool2d(2),
        "lrn": lambda: torch.nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),  # torch divides alpha by the size
        "mean": lambda: torch.nn.AdaptiveAvgPool2d(1),
        "flatten": torch.nn.Flatten,
        "linear": lambda: torch.nn.Linear(layer.inputs, layer.outputs),
        "dropout": lambda: torch.nn.Dropout(0.5),
    }
    return made[layer.kind]()


def _channels_last(images: Any) -> Any:
    return torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
