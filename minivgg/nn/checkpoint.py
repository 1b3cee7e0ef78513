"""Recomputation: keep a module's input in place of all that happens inside, and run the module again when its gradients are wanted.

Memory for time. Of n layers in √n checkpoints about 2√n outputs are alive at once instead of n, for one more forward pass
(a third of a training step). See Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..autograd import mode
from ..autograd.core import sweep
from ..autograd.op import Op, op
from ..autograd.tensor import Tensor
from ..errors import GraphError
from ..ops.shaping import reshape
from .functional import functional_call
from .module import Buffer, Module

__all__ = ["Checkpoint", "Recompute", "checkpoint"]

_SWITCHES = ("frozen", "kernels", "path", "step")  # of mode.state: what decides the values that a module computes


class Checkpoint(Module):
    """`module`, of whose inside nothing is kept for the backward pass: it is computed again. See `checkpoint`."""

    def __init__(self, module: Module) -> None:
        self.module = module

    def forward(self, *inputs: Any) -> Any:
        """module(*inputs)."""
        return checkpoint(self.module, *inputs)


def checkpoint(module: Module, *inputs: Any) -> Any:
    """module(*inputs), one tensor, of which the graph keeps the inputs only: the backward pass runs the module again.

    Values and gradients, of any order, have the bits that they would have without. The second run sees what the first one saw:
    dropout masks, training step, modes, and parameters (GraphError if they were written to in between). What it does to
    running statistics and counters is thrown away. Forward hooks inside are called in both runs; tensors inside are
    recorded in the second only, so `register_hook` on them is refused in the first. While ops are observed (`blame`,
    `keep_statistics`, kinks in gradient checks) everything is recorded, and kept.

    Gradients reach the inputs and the module's parameters. Raises GraphError, when differentiated, if the module uses any
    other tensor that requires one, and at once if it does not return a tensor.
    """
    if mode.state.observers or not mode.state.recording:
        return module(*inputs)
    operands: dict[str, Tensor] = {}
    for path, tensor in _tensors(module):
        if not any(tensor is known for known in operands.values()):
            operands[path] = tensor
    return Recompute(module, tuple(operands))(*inputs, *operands.values())


@op
class Recompute(Op, listed=False):
    """A module as a function of its inputs and its own tensors; `paths` names the latter, the last operands.

    Shapes     x… (as the module takes them), then its tensors  →  y, as the module makes it
    Gradients  Those of the module: it is run again, recorded this time, from stand-ins for the operands, and swept. While a graph
               of the gradient is recorded the stand-ins are the operands themselves behind an identity, so that the recomputed part
               is joined to the graph, and can be differentiated again; the sweep ends at the identities.
    Cost       The module's forward once more.
    """

    module: Module
    paths: tuple[str, ...]

    def forward(self, *xs: Any) -> Any:
        self.switches = {name: getattr(mode.state, name) for name in _SWITCHES}
        self.attributes = [(m, _plain(m)) for _, m in self.module.named_modules()]
        with mode.no_grad():
            return self._run([_tensor(x) for x in xs], {}).data

    def grad_xs(self, gy: Any, wanted: Sequence[bool], xs: Sequence[Any]) -> list[Any]:
        record = isinstance(gy, Tensor)
        inner = [reshape(x, x.shape) if isinstance(x, Tensor) else _tensor(x, want) for x, want in zip(xs, wanted, strict=True)]
        written = {path: t for path, t in _tensors(self.module, written=True) if path not in self.paths}
        with mode.switches(recording=True, observers=(), **self.switches), _as_they_were(self.attributes):
            y = self._run(inner, {path: Buffer(tensor.data.copy()) for path, tensor in written.items()})
        nodes = [x.node if isinstance(x, Tensor) else None for x in inner]
        _refuse_strangers(y, nodes, self.module)
        targets = {node for node, want in zip(nodes, wanted, strict=True) if node is not None and want}
        found = sweep(y, targets, gy, record, free=not record) if y.node is not None else {}
        return [None if not want else found[node] if node in found else x * 0.0 for x, node, want in zip(xs, nodes, wanted, strict=True)]

    def _run(self, xs: Sequence[Any], written: dict[str, Tensor]) -> Tensor:
        count = len(xs) - len(self.paths)
        y = functional_call(self.module, {**dict(zip(self.paths, xs[count:], strict=True)), **written}, *xs[:count])
        if not isinstance(y, Tensor):
            raise GraphError(
                f"a checkpoint needs a module that returns one tensor, but {type(self.module).__name__} returned a "
                f"{type(y).__name__}. Checkpoint the parts of it that do."
            )
        return y

    def __repr__(self) -> str:
        return f"Recompute({type(self.module).__name__})"


def _tensors(module: Module, written: bool = False) -> Iterator[tuple[str, Tensor]]:
    """(path, tensor) of the module's own: those that it reads, or the buffers that it may write to, being in training."""
    for path, m in module.named_modules():
        for name, value in vars(m).items():
            if isinstance(value, Tensor) and written == (isinstance(value, Buffer) and m.training):
                yield f"{path}.{name}" if path else name, value


def _tensor(x: Any, requires_grad: bool = False) -> Any:
    """A leaf around an array; numbers and None as they are."""
    return Tensor(x, requires_grad) if hasattr(x, "dtype") else x


def _plain(module: Module) -> dict[str, Any]:
    """What a module knows beside its tensors and modules: its mode, the calls that it has counted."""
    return {"training": module.training, **{k: v for k, v in vars(module).items() if not isinstance(v, (Tensor, Module))}}


@contextmanager
def _as_they_were(attributes: Sequence[tuple[Module, dict[str, Any]]]) -> Iterator[None]:
    """Modules with the attributes that were noted."""
    now = [(module, _plain(module)) for module, _ in attributes]
    try:
        for module, values in attributes:
            vars(module).update(values)
        yield
    finally:
        for module, values in now:
            vars(module).update(values)


def _refuse_strangers(y: Tensor, known: Sequence[Any], module: Module) -> None:
    """Raise GraphError if y depends on a leaf that is not behind one of the `known` nodes: its gradient would be lost."""
    seen, stack = {*known}, [y.node]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        if node.op is None or node.freed:
            raise GraphError(
                f"inside a checkpoint {type(module).__name__} used {node.name or 'a tensor'} {node.shape}, which requires a gradient "
                "and is neither an input nor an attribute of the module or of one below. Pass it as an input."
            )
        seen.add(node)
        stack.extend(node.parents)
