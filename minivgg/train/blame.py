"""A step that made NaN or Inf is run again, slowly, to find the op and the layer that made the first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autograd import mode
from ..errors import NumericalError

__all__ = ["blame"]

_REMEDY = "Lower the learning rate (--lr), clip the gradients (--clip 1), or warm up for longer (--warmup)."
_RANGE = "float16 ends at 65,504; bfloat16 has float32's range (--precision bf16)."


def blame(step: int, model: Any, compute: Callable[[], Any], narrow: bool = False) -> NumericalError:
    """The error that names the culprit of step number `step` (from 0).

    `compute()` computes that step's gradients again: same batch, same augmentation, same dropout. Running statistics are left
    alone. Parameters must be as they were before the step; their gradients are overwritten. narrow: the numbers are float16.
    """
    advice = f"{_RANGE} {_REMEDY}" if narrow else _REMEDY
    for name, p in model.named_parameters():
        p.grad = None
        if not bool((p.data - p.data == 0).all()):
            remedy = f"The update before overflowed. {advice}" if step else "Start from a sound checkpoint."
            return NumericalError(f"step {step}: {name} {p.shape} itself holds NaN or Inf, before the step. {remedy}")
    try:
        with mode.frozen_state(), mode.check_finite():
            compute()
    except NumericalError as error:
        notes = getattr(error, "__notes__", [])
        return NumericalError(f"step {step}: {notes[0] if notes else 'an op'}: {error}. The update was not applied. {advice}")
    return NumericalError(f"step {step}: loss and gradients are finite one by one, but their sum overflows. {advice}")
