"""Batch norm, with and without the rectifier behind it: 2 reads and 1 write of the activations forwards, 4 reads and 1 write backwards.

What is stored in half precision is computed in float32; statistics are float32 then, as gamma, beta and their gradients are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...backend.arrays import Array, array_module, wide
from ...backend.substitutes import substitute
from ...ops.batch_norm import BatchNorm, ChannelAffine
from ...ops.batch_norm_relu import BatchNormRelu
from ..overlay import kernel
from .activation import channel_sums
from .program import FLOATS, Program, grid, stored_type
from .rows import COLUMN_THREADS, THREADS, as_rows, column_blocks, from_rows, layout, served

__all__ = ["affine", "backward", "backward_relu", "forward", "forward_relu", "gradients", "normalise", "track"]

_FORWARD = Program("batch_norm.cu", STORED=FLOATS)
_GRADIENT = Program("batch_norm_gradient.cu", STORED=FLOATS)
_SUMS = {"each": 8, "most": 1 << 10}  # rows of a thread, blocks: what follows reads one row of each block
_MAPS = {"each": 8, "most": 1 << 12}


def _serves(call: Any, x: Array, *parameters: Array) -> bool:
    return x.ndim >= 2 and served(x, *parameters) and all(v.dtype in (x.dtype, wide(x.dtype)) for v in parameters)


def _wide(rows: Array, *values: Array) -> list[Array]:
    """Values (C,), contiguous, of the type that is computed with; parameters are so already."""
    xp = array_module(rows, *values)
    return [xp.ascontiguousarray(v, wide(rows.dtype)) for v in values]


def statistics(rows: Array) -> tuple[Array, Array]:
    """Mean and biased variance (K,) of the columns of contiguous rows (M, K), in one pass."""
    (m, k), xp, dtype = rows.shape, array_module(rows), wide(rows.dtype)
    blocks, threads = layout(rows, **_SUMS)
    partial, mean, variance = xp.empty((blocks[1], 2, k), dtype), xp.empty(k, dtype), xp.empty(k, dtype)
    stored = stored_type(rows)
    _FORWARD.launch("moments", blocks, threads, rows, partial, m, k, STORED=stored)
    sizes = blocks[1], threads[1], m, k
    _FORWARD.launch("finish_moments", column_blocks(k), COLUMN_THREADS, partial, rows, mean, variance, *sizes, STORED=stored)
    return mean, variance


def normalise(call: Any, x: Array, gamma: Array, beta: Array, relu: bool) -> Array:
    """The forward pass of both ops: saves mean and variance (C,) on the call."""
    rows = as_rows(x)
    call.mean, call.variance = statistics(rows)
    y = array_module(rows).empty(rows.shape, rows.dtype)
    constants = call.mean, call.variance, *_wide(rows, gamma, beta)
    _FORWARD.launch("batch_norm", *layout(rows, **_MAPS), rows, *constants, y, float(call.eps), relu, *rows.shape, STORED=stored_type(rows))
    return from_rows(y, x.shape)


@kernel(BatchNorm, "forward", "cupy", bound=1e-5, when=_serves)
def forward(call: Any, x: Array, gamma: Array, beta: Array) -> Array:
    """The op's operations on each element; only the statistics are summed in another order: a few ulp."""
    return normalise(call, x, gamma, beta, relu=False)


@kernel(BatchNormRelu, "forward", "cupy", bound=1e-5, when=_serves)
def forward_relu(call: Any, x: Array, gamma: Array, beta: Array) -> Array:
    """The op's operations on each element; only the statistics are summed in another order: a few ulp."""
    return normalise(call, x, gamma, beta, relu=True)


@substitute("running statistics", "cupy")
def track(running: Sequence[Array], batch: Sequence[Array], momentum: float, keep: float, unbiased: float) -> bool:
    """running ← keep·running + momentum·batch for mean and variance (C,), the batch's variance times `unbiased`, and one batch counted, in
    one launch and to the bits of the layer's own code. `running` is (mean, variance, count). False, with nothing done, if an array is
    stored in pieces or the statistics are of other dtypes.
    """
    mean, variance, count = running
    if count.dtype.name != "int64" or not all(v.dtype == batch[0].dtype and v.flags.c_contiguous for v in (mean, variance, *batch)):
        return False
    blocks, options = grid(mean.size, most=1 << 30), (float(momentum), float(keep), float(unbiased))
    _FORWARD.launch("track", blocks, THREADS, *batch, mean, variance, count, *options, mean.size, STORED=stored_type(mean))
    return True


@kernel(ChannelAffine, "forward", "cupy", bound=0.0, when=_serves)
def affine(call: Any, x: Array, a: Array, b: Array) -> Array:
    """The op's two operations on each element, each rounded: exact in float32 and float64, one rounding in half precision."""
    rows = as_rows(x)
    y = array_module(rows).empty(rows.shape, rows.dtype)
    _FORWARD.launch("channel_affine", *layout(rows, **_MAPS), rows, *_wide(rows, a, b), y, *rows.shape, STORED=stored_type(rows))
    return from_rows(y, x.shape)


@kernel(BatchNorm, "backward", "cupy", bound=1e-5, when=lambda call, gy: _serves(call, gy))
def backward(call: Any, gy: Array, saved: dict[str, Array], shapes: Sequence[Any], wanted: Sequence[bool]) -> list[Array | None]:
    """[gx, gγ, gβ]. The same sums as the rules', in another order: a few ulp."""
    return gradients(call, gy, saved, wanted, relu=False)


@kernel(BatchNormRelu, "backward", "cupy", bound=1e-5, when=lambda call, gy: _serves(call, gy))
def backward_relu(call: Any, gy: Array, saved: dict[str, Array], shapes: Sequence[Any], wanted: Sequence[bool]) -> list[Array | None]:
    """[gx, gγ, gβ]. The same sums as the rules', in another order: a few ulp."""
    return gradients(call, gy, saved, wanted, relu=True)


def gradients(call: Any, gy: Array, saved: dict[str, Array], wanted: Sequence[bool], relu: bool) -> list[Array | None]:
    """[gx, gγ, gβ] of both ops. `saved` has what the wanted rules read; with `relu` x, gamma and beta."""
    if "x" not in saved:  # only gβ, without the rectifier
        return [None, None, channel_sums(as_rows(gy), wide(gy.dtype))]
    x = as_rows(saved["x"])
    arrived, xp, (m, k) = as_rows(gy.astype(x.dtype, copy=False)), array_module(x, gy), x.shape
    mean, variance = _wide(x, call.mean, call.variance)
    gamma, beta = _wide(x, saved.get("gamma", mean), saved.get("beta", mean))  # without the rectifier sums need neither, gx not beta
    operands, eps, stored = (x, arrived, mean, variance, gamma, beta), float(call.eps), stored_type(x)
    blocks, threads = layout(x, **_SUMS)
    partial, ggamma, gbeta = xp.empty((blocks[1], 2, k), mean.dtype), xp.empty_like(mean), xp.empty_like(mean)
    _GRADIENT.launch("gradient_sums", blocks, threads, *operands, partial, eps, relu, m, k, STORED=stored)
    terms = xp.empty((2, k), mean.dtype)
    sums = partial, variance, ggamma, gbeta, terms
    _GRADIENT.launch("finish_gradient_sums", column_blocks(k), COLUMN_THREADS, *sums, eps, blocks[1], m, k, STORED=stored)
    gx = None
    if wanted[0]:
        gx = xp.empty(x.shape, x.dtype)
        _GRADIENT.launch("input_gradient", *layout(x, **_MAPS), *operands, terms, gx, eps, relu, m, k, STORED=stored)
        gx = from_rows(gx, saved["x"].shape)
    return [gx, ggamma if wanted[1] else None, gbeta if wanted[2] else None]
