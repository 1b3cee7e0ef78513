"""Values as Python source: what a failing example prints can be pasted and run."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ...autograd.op import Op
from ...autograd.tensor import Tensor

__all__ = ["source"]


def source(value: Any) -> str:
    """An expression that evaluates to `value`, with `np` for NumPy and the names of `minivgg.ops` and `minivgg.autograd.core`.

    For arrays, tensors, ops, slices, and tuples, lists and dictionaries of such; `repr` for all others.
    """
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, Tensor):
        return f"Tensor({_array(value.data)}{', requires_grad=True' if value.requires_grad else ''})"
    if isinstance(value, Op) and dataclasses.is_dataclass(value):
        fields = [f"{field.name}={source(getattr(value, field.name))}" for field in dataclasses.fields(value)]
        return f"{type(value).__name__}({', '.join(fields)})"
    if isinstance(value, tuple):
        return f"({', '.join(map(source, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return f"[{', '.join(map(source, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{source(k)}: {source(v)}' for k, v in value.items())}}}"
    return "..." if value is Ellipsis else repr(value)


def _array(x: Any) -> str:
    dtype = "" if x.dtype in (np.float64, np.bool_) else f", dtype=np.{x.dtype}"
    if x.size == 0:
        return f"np.zeros({x.shape}, dtype=np.{'bool_' if x.dtype == np.bool_ else x.dtype})"
    return f"np.array({x.tolist()}{dtype})"
