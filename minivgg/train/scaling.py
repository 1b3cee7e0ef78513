"""Loss scaling, for gradients in float16.

The gradients of a network's activations are small: many are below 6·10⁻⁸, the least number that float16 has, and would become zero,
while its range above them, up to 65,504, stays empty. The loss is multiplied by a scale s before the backward pass, and so, the pass being
linear, is every gradient; the update divides s out again in float32. A power of two costs no rounding.

Which s fits is found by trying. It is doubled after `interval` good steps. When it is too large some gradient overflows to Inf: that
step's update is left out, and s is halved. So one step in about `interval` is lost, and s stays just below what is possible.

    start 2¹⁶, halved at an overflow, doubled after 2,000 good steps, at most 2²⁴

See Micikevicius et al. 2018, "Mixed Precision Training", arXiv:1710.03740, §3.2, for the method; the constants are those that NVIDIA's
Apex and torch's GradScaler start with (torch has no upper bound, Apex has this one).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..autograd.core import Tensor
from ..backend.arrays import array_module
from ..backend.device import Device
from ..errors import CheckpointError

__all__ = ["LossScale", "unscale"]

_START, _INTERVAL, _MOST = 2.0**16, 2000, 2.0**24


class LossScale:
    """The scale, the good steps since it last changed, and the updates left out so far: 0-d arrays on `device`, of float32, int64
    and int64, so that a card need not be waited for.
    """

    def __init__(self, device: Device, start: float = _START, interval: int = _INTERVAL) -> None:
        self.device, self.interval = device, interval
        self.scale: Any
        self.good: Any
        self.skipped: Any
        self.load_state({"scale": start, "good": 0, "skipped": 0})

    def update(self, finite: Any) -> None:
        """Take note of a step: `finite` is a 0-d boolean on the device, whether all its gradients were."""
        xp = array_module(finite)
        good = xp.where(finite, self.good + 1, 0)
        full = good >= self.interval
        self.scale = xp.where(finite, xp.where(full, xp.minimum(self.scale * 2.0, _MOST), self.scale), self.scale * 0.5)
        self.good = xp.where(full, 0, good)
        self.skipped = self.skipped + ~finite

    def state(self) -> dict[str, Any]:
        """Plain numbers for a checkpoint; a card is waited for."""
        return {"scale": float(self.scale), "good": int(self.good), "skipped": int(self.skipped)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state()` gave. Raises CheckpointError if it is anything else."""
        try:
            scale, good, skipped = (state[name] for name in ("scale", "good", "skipped"))
            right = type(scale) in (int, float) and 0.0 < scale <= _MOST and all(type(n) is int and 0 <= n < 2**63 for n in (good, skipped))
        except (KeyError, TypeError):
            right = False
        if not right:
            raise CheckpointError(
                f"a loss scale's state needs the numbers scale, in (0, {_MOST:.0f}], good and skipped, integers from 0, but is "
                f"{state!r:.100}. Go on from another checkpoint, or start a new run."
            )
        self.scale = self.device.full((), scale)
        self.good, self.skipped = (self.device.full((), value, "int64") for value in (good, skipped))


def unscale(parameters: Iterable[tuple[str, Tensor]], scale: Any) -> None:
    """Divide the gradients of (name, parameter) pairs by a scale, for what wants to see them as they are: clipping, a norm that is shown.

    They are replaced, never written into. The update of `SGD.step(guard, scale)` does it on its way.
    """
    for _, p in parameters:
        if p.grad is not None:
            p.grad = p.grad / scale
