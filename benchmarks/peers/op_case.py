"""One op on given arrays, whoever computes it: a preparation, which is not timed, and the action that is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from measuring.cases import Case

__all__ = ["OpCase"]


class OpCase(ABC):
    """minivgg's and torch's tensors share the names that are used here: `grad`, `backward`."""

    def __init__(self, case: Case, arrays: dict[str, Any]) -> None:
        self.case = case
        self.gy, self.targets = arrays.get("gy"), arrays.get("targets")
        self.tensors = {n: self.tensor(a, n != "x" or case.wants_image_gradient) for n, a in arrays.items() if n[0] in "xwb"}
        self.result: Any = None
        self.sgd: Any = None
        if case.family == "sgd":
            for name, tensor in self.tensors.items():
                tensor.grad = self.gradient(arrays[f"g{name}"])
        self.forward = self.build()

    @abstractmethod
    def build(self) -> Callable[[], Any]:
        """The function that computes the result from `tensors`; for sgd, set `sgd` and return any."""

    @staticmethod
    @abstractmethod
    def tensor(array: Any, requires_grad: bool) -> Any:
        """An operand."""

    @staticmethod
    @abstractmethod
    def gradient(array: Any) -> Any:
        """A gradient given from outside."""

    @staticmethod
    @abstractmethod
    def array(tensor: Any) -> Any:
        """Back to NumPy."""

    def prepare(self) -> None:
        """Drop the last result and gradients; before a backward pass, go forward."""
        if self.sgd is not None:
            return
        self.result = None
        for tensor in self.tensors.values():
            tensor.grad = None
        if self.case.phase == "backward":
            self.result = self.forward()

    def act(self) -> None:
        """What is timed."""
        if self.sgd is not None:
            self.sgd.step()
        elif self.case.phase == "backward":
            self.result.backward(self.gy)
        else:
            self.result = self.forward()
            if self.case.phase == "both":
                self.result.backward()

    def results(self) -> dict[str, Any]:
        """Output and gradients, or the parameters after the update."""
        if self.sgd is not None:
            return {name: self.array(tensor) for name, tensor in self.tensors.items()}
        gradients = {f"g{name}": self.array(tensor.grad) for name, tensor in self.tensors.items() if tensor.grad is not None}
        return {"y": self.array(self.result), **gradients}
