"""The table: which Python syntax calls which op.

Tensors know nothing of ops, and ops are written with operators. The circle is closed here, once, in the open.
Comparisons give plain boolean arrays: constants, to be used as masks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autograd.tensor import Tensor
from . import arithmetic, matmul, reductions, shaping

__all__ = ["TABLE"]


def _compare(name: str) -> Callable[[Tensor, Any], Any]:
    return lambda x, w: getattr(x.data, name)(w.data if isinstance(w, Tensor) else w)


TABLE: dict[str, Callable[..., Any]] = {
    "__add__": lambda x, w: arithmetic.Add()(x, w),
    "__radd__": lambda x, w: arithmetic.Add()(w, x),
    "__sub__": lambda x, w: arithmetic.Subtract()(x, w),
    "__rsub__": lambda x, w: arithmetic.Subtract()(w, x),
    "__mul__": lambda x, w: arithmetic.Multiply()(x, w),
    "__rmul__": lambda x, w: arithmetic.Multiply()(w, x),
    "__truediv__": lambda x, w: arithmetic.Divide()(x, w),
    "__rtruediv__": lambda x, w: arithmetic.Divide()(w, x),
    "__pow__": lambda x, p: arithmetic.Power()(x, p),
    "__rpow__": lambda p, x: arithmetic.Power()(x, p),
    "__neg__": lambda x: arithmetic.Negate()(x),
    "__matmul__": matmul.matmul,
    "__rmatmul__": lambda x, w: matmul.matmul(w, x),
    "__getitem__": shaping.index,
    "__lt__": _compare("__lt__"),
    "__le__": _compare("__le__"),
    "__gt__": _compare("__gt__"),
    "__ge__": _compare("__ge__"),
    "sum": reductions.sum,
    "mean": reductions.mean,
    "max": reductions.max,
    "reshape": shaping.reshape,
    "transpose": shaping.transpose,
    "flatten": shaping.flatten,
}

for _name, _function in TABLE.items():
    setattr(Tensor, _name, _function)
Tensor.T = property(shaping.transpose, doc="All axes in reverse order.")  # type: ignore[attr-defined]
