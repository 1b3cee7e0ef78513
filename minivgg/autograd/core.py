"""Reverse-mode differentiation, whole.

Calling an `Op` on tensors runs the op's `forward` on their arrays and, if a gradient is wanted, leaves a
`Node` behind: the op, the operands' nodes, and the arrays that the op's rules name. `grad(y, xs)` walks
the nodes from the result back to the inputs. At each it multiplies the incoming gradient gy = ∂L/∂y by the
local Jacobian, which is what a rule such as `grad_x` does:

    gx_i = Σ_j gy_j · ∂y_j/∂x_i          (the chain rule; contributions of several consumers are added)

Three conventions carry the rest of the package.

1. *Arrays in, array out; tensors in, tensor out.* A rule is written with operators and ops, which arrays
   and tensors both understand. An ordinary sweep calls it with arrays and records nothing. With
   `create_graph=True` it is called with tensors: the same text records a graph, which can be
   differentiated again. So there are derivatives of any order.
2. *A rule's parameters say what is kept.* `grad_x(self, gy, w)` keeps w; `grad_x(self, gy, y)` keeps the
   result; `x_shape` keeps a tuple of integers. What no rule names is dropped.
3. *An order without recursion.* Nodes are numbered as they are made, so that the sweep is a loop over a
   sorted list: a chain of 20,000 ops is as good as one of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backend.arrays import array_module, as_array, beside, owner
from ..errors import GraphError, ShapeError
from . import mode
from .broadcasting import BroadcastTo, Cast, SumTo, broadcast_to, cast, sum_to
from .op import Op, find_kernel, op, reads_of, require_finite, rule_of
from .tensor import Node, Tensor

__all__ = [
    "BroadcastTo",
    "Cast",
    "Node",
    "Op",
    "SumTo",
    "Tensor",
    "backward",
    "broadcast_to",
    "cast",
    "grad",
    "op",
    "reachable",
    "sum_to",
    "sweep",
]


def grad(y: Tensor, xs: Sequence[Tensor] | Tensor, gy: Any = None, create_graph: bool = False) -> list[Any]:
    """The gradients of y by each of xs, weighted by gy: a list, one per x, of arrays.

    gy has y's shape, and may be left out if y is a single number. With `create_graph` the list holds tensors
    that can be differentiated again. An x that y does not depend on gets zeros. The graph is kept, `.grad` is
    not touched. The arrays may be views of each other or of gy: copy before writing into one. Raises GraphError
    if an x does not require a gradient, or a part of the graph has been freed.
    """
    xs = [xs] if isinstance(xs, Tensor) else list(xs)
    if any(x.node is None for x in xs):
        raise GraphError("grad() can differentiate by tensors with requires_grad=True, or tensors made from such, only.")
    found: dict[Node, Any] = {}
    if y.node is not None:
        found = sweep(y, {x.node for x in xs if x.node}, gy, create_graph, free=False)
    zeros = [array_module(x.data).zeros_like(x.data) if x.node not in found else None for x in xs]
    return [found[x.node] if x.node in found else Tensor(z) if create_graph else z for x, z in zip(xs, zeros, strict=True)]


def backward(y: Tensor, gy: Any = None, retain_graph: bool = False) -> None:
    """Add the gradient of y, weighted by gy, to `.grad` of every leaf that requires one.

    gy has y's shape, and may be left out if y is a single number. The graph is freed on the way unless
    `retain_graph`; GraphError if it was freed before, or if nothing was recorded.
    """
    if y.node is None:
        raise GraphError(
            "backward() of a tensor that was not made from tensors with requires_grad=True: there is nothing to differentiate."
        )
    targets = {node for node in reachable(y.node) if node.op is None or node.retain}
    taken = {id(owner(gy.data if isinstance(gy, Tensor) else gy))}  # memory that belongs to somebody already
    for node, g in sweep(y, targets, gy, record=False, free=not retain_graph).items():
        tensor = node.tensor()
        if tensor is not None and node.op is None and tensor.grad is not None:
            tensor.grad = tensor.grad + g
        elif tensor is not None:
            if id(owner(g)) in taken or 0 in g.strides:  # each .grad is its own to write to: clipping scales it in place
                g = array_module(g).array(g)
            taken.add(id(owner(g)))
            tensor.grad = g


Tensor.backward = backward  # bound here: tensors know nothing of the sweep


def reachable(root: Node) -> list[Node]:
    """The nodes that `root` depends on, itself included, in the order in which they were made."""
    seen, stack = {root}, [root]
    while stack:
        for parent in stack.pop().parents:
            if parent is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return sorted(seen, key=lambda node: node.number)


def sweep(y: Tensor, targets: set[Node], gy: Any, record: bool, free: bool) -> dict[Node, Any]:
    """The gradients at `targets`, found by going once through the graph of y from consumers to producers."""
    root = y.node
    assert root is not None
    gradients: dict[Node, Any] = {root: _seed(y, gy, record)}
    found: dict[Node, Any] = {}
    order = reachable(root)
    needed: set[Node] = set()  # those through which a target is reached: no other rule is called
    for node in order:
        if node in targets or any(parent in needed for parent in node.parents):
            needed.add(node)
    with mode.enable_grad() if record else mode.no_grad():
        while order:
            node = order.pop()
            if node.freed:
                raise GraphError(
                    f"{node.op!r} was freed by an earlier backward(). Call that one with retain_graph=True, or run the forward pass again."
                )
            g = gradients.pop(node, None)
            if g is not None:
                for hook in tuple(node.hooks):
                    replacement = hook(g)
                    g = g if replacement is None else _replaced(node, replacement, record)
                if node in targets:
                    found[node] = g
                for parent, gx in _pull(node, g, needed, record):
                    gradients[parent] = gradients[parent] + gx if parent in gradients else gx
            if free and node.op is not None:
                node.free()
            del node, g  # the last references to saved arrays and to this gradient
    return found


def _replaced(node: Node, g: Any, record: bool) -> Any:
    """What a hook returned in place of a gradient: of the right shape, dtype and kind, or a ShapeError."""
    if getattr(g, "shape", None) != node.shape:
        found = f"shape {g.shape}" if hasattr(g, "shape") else f"a {type(g).__name__}"
        raise ShapeError(f"a hook returned {found} for the gradient of a tensor of shape {node.shape}: they must be equal.")
    g = g.data if isinstance(g, Tensor) and not record else Tensor(g) if record and not isinstance(g, Tensor) else g
    return cast(g, node.dtype)


def _seed(y: Tensor, gy: Any, record: bool) -> Any:
    if gy is None:
        if y.size != 1:
            raise GraphError(
                f"y has shape {y.shape}: only a single number has a gradient without gy. Pass gy of that shape, or take y.sum()."
            )
        gy = array_module(y.data).ones_like(y.data)
    elif not isinstance(gy, Tensor):
        gy = as_array(gy, None if hasattr(gy, "dtype") else y.dtype)
    if beside(y.data, gy.data if isinstance(gy, Tensor) else gy).shape != y.shape:
        raise ShapeError(f"gy must have y's shape {y.shape}, but has {gy.shape}.")
    if isinstance(gy, Tensor):
        return gy if record else gy.data
    return Tensor(gy) if record else gy


def _pull(node: Node, gy: Any, needed: set[Node], record: bool) -> list[tuple[Node, Any]]:
    """[(operand's node, its gradient), …] at one node, by its op's rules or by a kernel that does all at once."""
    if node.op is None:
        return []
    call, pulled = node.op, []
    try:
        wanted = [parent is not None and parent in needed for parent in node.parents]
        kernel = None if record else find_kernel(call, "backward", [gy])
        if kernel:
            values = {k: [s.read(False) for s in v] if isinstance(v, list) else v.read(False) for k, v in node.saved.items()}
            gradients = kernel(call, gy, values, node.shapes, wanted)
        elif call.variadic and "wanted" in reads_of(call, rule_of(call, 0)):
            gradients = _apply(node, wanted, gy, record)  # one rule that answers for all operands
        else:
            gradients = [_apply(node, i, gy, record) if want else None for i, want in enumerate(wanted)]
        for parent, gx, shape in zip(node.parents, gradients, node.shapes, strict=True):
            if parent in needed and parent is not None:
                if not hasattr(gx, "shape"):
                    raise GraphError(f"a rule must return an array or a tensor of its operand's shape {shape}, but returned {gx!r:.40}.")
                gx = sum_to(gx, shape)  # undoes broadcasting
                gx = cast(gx, parent.dtype)
                if mode.state.finite:
                    require_finite(gx.data if isinstance(gx, Tensor) else gx, "its rule made")
                pulled.append((parent, gx))
    except Exception as error:
        error.add_note(f"while differentiating {call!r}{f' of layer {node.layer}' if node.layer else ''}")
        raise
    return pulled


def _apply(node: Node, i: Any, gy: Any, record: bool) -> Any:
    """Call operand i's rule with gy and what it reads, as arrays or, while recording, as tensors. Of a rule that answers for
    all operands, i is the list of those wanted."""
    call = node.op
    values: list[Any] = []
    rule = rule_of(call, i)
    for name in reads_of(call, rule):
        if name in ("index", "wanted"):
            values.append(i)
        elif name.endswith("_shape") and name not in call.operands:
            values.append(
                node.shape if name == "y_shape" else node.shapes if call.variadic else node.shapes[call.operands.index(name[:-6])]
            )
        elif name not in node.saved:
            raise GraphError(f"{rule} reads {name}, which was not kept: the rule was replaced after the forward pass.")
        else:
            saved = node.saved[name]
            own = node if name == "y" else None
            values.append([s.read(record) for s in saved] if isinstance(saved, list) else saved.read(record, own))
    return getattr(call, rule)(gy, *values)
