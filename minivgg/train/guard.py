"""Which steps are fit to be applied: NaN and Inf are found on the device, and never reach the parameters.

    unscaled (fp32, tf32, bf16)    a step is sound if its loss and all its gradients are finite
    scaled (fp16)                  a step is sound if its loss is finite and the scale is 1 or more behind it; if its gradients are
                                   not finite it is sound, but left out (see `scaling`)

After the first step that is not sound no update is applied. The host reads the flags of several steps at once, and runs the first bad
one again to name the culprit.
"""

from __future__ import annotations

from typing import Any

from ..backend.arrays import array_module
from .blame import blame
from .build import Job
from .gradients import gradients

__all__ = ["Guard"]

_CARD_EVERY = 10  # steps between two looks at a card's flags; a CPU is looked at in every step


class Guard:
    """Judges each step of `job` from its loss and gradients; `look` raises for the first bad one since the last look."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.waits = job.device.kind != "cpu"  # whether reading a flag would make the host wait
        self._unread: list[tuple[int, int, Any, Any]] = []  # (step, position, sound, the loss scale of its gradients)

    def judge(self, step: int, position: int, loss: Any) -> Any:
        """Whether to apply the gradients that the parameters have now, a 0-d boolean on the device. The loss scale moves on.

        position: how many batches of the epoch came before. Flags that are at hand, on a CPU, are read at once: see `look`.
        """
        xp, scaling = array_module(loss), self.job.scaling
        scale = None if scaling is None else scaling.scale
        finite = sound = xp.isfinite(loss) & self.job.optimizer.finite()
        if scaling is not None:
            scaling.update(finite)
            sound = xp.isfinite(loss) & (scaling.scale >= 1.0)
        if self._unread:
            sound = sound & self._unread[-1][2]
        self._unread.append((step, position, sound, scale))
        return finite & sound

    @property
    def full(self) -> bool:
        """Whether it is time to look."""
        return len(self._unread) >= (_CARD_EVERY if self.waits else 1)

    @property
    def clear(self) -> bool:
        """Whether all flags have been read: a card has done all steps so far, and what they left there can be had at once."""
        return not self._unread

    def look(self, epoch: int) -> None:
        """Read the flags since the last look, all of `epoch`. Raises NumericalError, which names the culprit, if a step was not sound."""
        unread, self._unread = self._unread, []
        if unread and not bool(unread[-1][2]):
            step, position, _, scale = next(entry for entry in unread if not bool(entry[2]))
            batch = next(iter(self.job.train.epoch(epoch, position)))
            if self.job.scaling is not None:
                self.job.scaling.scale = scale
            raise blame(step, self.job.model, lambda: gradients(self.job, batch, step), narrow=scale is not None)
