"""Operators on values, place by place or as products: Relu, Mul and its like, BatchNormalization, LRN, Gemm, MatMul, Dropout, Softmax.

Gemm    y = alpha·x·B + beta·c, B transposed if transB   →  linear: weight alpha·Bᵀ (out, in), bias beta·c
LRN     y_c = x_c / (bias + alpha/size · Σ x_j²)^beta, j from c − ⌊(size − 1)/2⌋ to c + ⌈(size − 1)/2⌉  →  lrn with alpha_over_n; for even
        sizes that layer's window begins one channel earlier, so they are refused
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .messages import Defaults
from .shapes import product
from .step import Flow, Sizes, Step

__all__ = [
    "BATCH_NORM", "GEMM", "LRN", "add", "batch_norm", "div", "dropout", "gemm", "lrn", "matmul", "mul", "relu", "softmax", "sub",
]  # fmt: skip

BATCH_NORM: Defaults = {"epsilon": 1e-5, "momentum": 0.9, "training_mode": 0, "spatial": 1}
GEMM: Defaults = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}
LRN: Defaults = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0, "size": 0}


def relu(step: Step) -> Flow:
    """Relu → relu."""
    step.flow()
    step.chain.add("relu")
    return step.onward()


def add(step: Step) -> Flow:
    """Add → a shift."""
    return _affine(step, None, _constants(step, _place(step)))


def sub(step: Step) -> Flow:
    """Sub → a shift, or, of x from constants, a scale of −1 with a shift."""
    at = _place(step)
    constants = _constants(step, at)
    return _affine(step, None, -constants) if at == 1 else _affine(step, np.float64(-1.0), constants)


def mul(step: Step) -> Flow | Sizes:
    """Mul → a scale; of two sizes, their product."""
    if not any(isinstance(value, Flow) for value in step.inputs):
        return product(step)
    return _affine(step, _constants(step, _place(step)), None)


def div(step: Step) -> Flow:
    """Div by constants → a scale."""
    if _place(step) == 0:
        raise step.error("divides constants by what comes from the image")
    return _affine(step, 1.0 / _constants(step, 1), None)


def batch_norm(step: Step) -> Flow:
    """BatchNormalization with running statistics → batch_norm, or of (N, C) a scale and shift."""
    step.flow()
    chain, eps = step.chain, step.setting("epsilon", float)
    if step.setting("training_mode", int) or sum(map(bool, step.node.outputs)) > 1 or step.setting("spatial", int) != 1:
        raise step.error("normalises by the batch's own statistics, or place by place. Export the network in evaluation mode")
    if chain.letters[1] != "C":
        raise step.error(f"normalises the second axis of ({', '.join(chain.letters)}), which is not that of the channels")
    channels = chain.sizes["C"] or next(iter(step.constant(1).shape), 0)
    chain.sizes["C"] = channels
    if chain.flat or not eps > 0:
        gamma, beta, mean, variance = (step.wide(index, (channels,)) for index in range(1, 5))
        if not (variance + eps > 0).all():
            raise step.error("has a variance + epsilon that is not positive")
        scale = gamma / np.sqrt(variance + eps)
        return _affine(step, scale, beta - scale * mean)
    names = "weight", "bias", "running_mean", "running_var"
    arrays = {name: step.array(index, (channels,)) for index, name in enumerate(names, 1)}
    chain.add("batch_norm", {"eps": eps}, **arrays, num_batches_tracked=np.zeros((), np.int64))
    return step.onward()


def lrn(step: Step) -> Flow:
    """LRN → lrn."""
    step.flow()
    step.demand(step.chain.needs_image())
    size = step.setting("size", int)
    if size < 1 or size % 2 == 0:
        raise step.error(f"has size {size}: only odd windows of channels lie around their channel")
    options = {"alpha": step.setting("alpha", float), "beta": step.setting("beta", float), "k": step.setting("bias", float)}
    step.chain.add("lrn", {"size": size, **options, "alpha_over_n": True})
    return step.onward()


def gemm(step: Step) -> Flow:
    """Gemm → linear."""
    step.flow()
    if step.setting("transA", int):
        raise step.error("has transA, which would exchange the images with their features")
    alpha, beta = step.setting("alpha", float), step.setting("beta", float)
    weight = _weight(step, turned=not step.setting("transB", int))
    bias = None
    if step.given(2):
        shape, out = step.constant(2).shape, weight.shape[0]
        if shape not in {(), (1,), (1, 1), (out,), (1, out)}:
            raise step.error(f"has a bias {list(shape)} for {out} outputs")
        step.source.charge(8 * out, step.node.label)
        bias = np.broadcast_to(step.array(2).reshape(-1), (out,)).copy()
        bias *= bias.dtype.type(beta)
    if alpha != 1.0:
        weight *= weight.dtype.type(alpha)
    step.chain.add("linear", weight=weight, bias=bias)
    return step.onward()


def matmul(step: Step) -> Flow:
    """MatMul by a matrix of constants → linear without bias; the Add behind it becomes its bias."""
    step.flow()
    step.chain.add("linear", weight=_weight(step, turned=True))
    return step.onward()


def dropout(step: Step) -> Flow:
    """Dropout → dropout with its ratio; in evaluation it does nothing."""
    step.flow()
    ratio = step.number(1) if step.given(1) else step.setting("ratio", float)
    if not 0 <= ratio <= 1:
        raise step.error(f"has the ratio {ratio}, which is not between 0 and 1")
    if step.given(2) and any(step.sizes(2).values):
        step.chain.notes.append(f"{step.node.label}: is on in the file; here it is off in evaluation.")
    step.chain.add("dropout", {"p": ratio})
    return step.onward()


def softmax(step: Step) -> Flow:
    """Softmax over the scores: left out."""
    step.flow()
    letters = step.chain.letters
    axis = step.setting("axis", int)
    axis = (1 if step.opset < 13 else -1) if "axis" not in step.node.attributes else axis
    if not -len(letters) <= axis < len(letters) or letters[axis] != "C":
        raise step.error(f"has the axis {axis} of ({', '.join(letters)}), which is not that of the scores")
    if step.opset < 13 and len(letters) > 2 and (step.chain.sizes["H"], step.chain.sizes["W"]) != (1, 1):
        raise step.error("is over channels and places together")
    step.chain.softmax = True
    step.chain.notes.append(f"{step.node.label}: left out, so that the network gives logits.")
    return Flow.of(step.chain)


def _place(step: Step) -> int:
    """Which of two inputs is the constant one."""
    at = 0 if isinstance(step.inputs[1], Flow) and not isinstance(step.inputs[0], Flow) else 1
    if isinstance(step.inputs[at], Flow):
        raise step.error("joins two values that come from the image: the graph branches, and is no chain")
    return at


def _constants(step: Step, at: int) -> Any:
    """The constants beside the flow, float64: () or (C,)."""
    step.flow(1 - at)
    letters, shape = step.chain.letters, step.constant(at).shape
    wide = [letter for letter, size in zip(letters[::-1], shape[::-1], strict=False) if size != 1]
    if len(shape) > len(letters) or wide not in ([], ["C"]):
        raise step.error(f"has constants {list(shape)} for ({', '.join(letters)}); only one number, or one for each channel, can be read")
    return step.wide(at).reshape(-1 if wide else ())


def _affine(step: Step, scale: Any, shift: Any) -> Flow:
    step.demand(step.chain.affine(scale, shift, step.node.label))
    return step.onward()


def _weight(step: Step, turned: bool) -> Any:
    """The weight (out, in) of a product; `turned`: it is (in, out) in the file."""
    chain, constant = step.chain, step.constant(1)
    step.demand(chain.needs_matrix())
    if len(constant.shape) != 2 or min(constant.shape) < 1:
        raise step.error(f"has weights {list(constant.shape)}, where a matrix was expected")
    out, features = constant.shape[::-1] if turned else constant.shape
    if chain.sizes["C"] not in {None, features}:
        raise step.error(f"has weights for {features} features, but gets {chain.sizes['C']}")
    array = step.array(1)
    chain.sizes["C"] = out
    return array.T if turned else array
