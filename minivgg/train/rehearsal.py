"""What a step needs of a card's memory: the step itself on blank arrays, which are as large as the card's and hold nothing.

The kernels that would run allocate what they would allocate, so this knows of each one's workspaces, of every precision, and of any
batch, without the card. What it tells is the peak of the bytes that arrays use; CuPy's pool, which hands out multiples of 512
bytes, cannot take less. It may take more, where no block that was given back is large enough for a new array; and
driver, context and cuBLAS have memory of their own besides: `OUTSIDE` bytes are left to them when a batch is sought that fits.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from .. import ops
from ..autograd import mode
from ..autograd.core import Tensor
from ..backend.arrays import owner
from ..backend.blank import Blanks
from ..backend.device import Device
from ..backend.layout import as_nchw
from ..backend.precision import as_images, rehearsed
from ..data import Batch
from .build import build_model, build_optimizer, build_schedule
from .config import TrainConfig
from .feeding import ON_CARD
from .guard import Guard
from .progress import Progress
from .scaling import LossScale
from .update import update

__all__ = ["OUTSIDE", "Prediction", "Rehearsal"]

OUTSIDE = 1 << 30  # bytes of a card for what is not an array; an assumption
_MOST = 10**6  # images: TrainConfig allows no more


@dataclass(frozen=True)
class Prediction:
    """The peak of a step on `batch` images: its parts in bytes, by name, which sum up to `peak`. `str` is a table of them."""

    batch: int
    parts: dict[str, int]

    @property
    def peak(self) -> int:
        """Bytes of all arrays at the step's peak."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        rows = [*self.parts.items(), ("at the peak", self.peak)]
        width = max(len(name) for name, _ in rows)
        lines = [f"{name.ljust(width)}  {size / 2**20:10,.1f} MiB" for name, size in rows]
        rule = "-" * max(map(len, lines))
        return "\n".join([*lines[:-1], rule, lines[-1]])


class Rehearsal:
    """The model of `config` for so many classes and image channels, ready for steps of any size on a card that need not be here."""

    def __init__(self, config: TrainConfig, classes: int, channels: int, training: bool = True) -> None:
        self.config, self.training = config, training
        self.shape = (config.image_size, config.image_size, channels)
        self.xp = Blanks()
        self.ledger = self.xp.ledger
        self.device = Device.of(self.xp.empty(()))
        self.ledger.phase = "parameters"
        self.model = build_model(config, classes, channels).to(device=self.device).train(training)
        self.ledger.phase = "velocities"
        self.optimizer = build_optimizer(config, self.model)
        if training:
            self.optimizer.state_dict()  # zeros, until the first step
        scaling = LossScale(self.device) if config.precision == "fp16" else None
        self.parts = {"optimizer": self.optimizer, "scaling": scaling, "schedule": build_schedule(config, 1)}

    def predict(self, batch: int, accumulate: int | None = None) -> Prediction:
        """The peak of a step on `batch` images, in `accumulate` micro-batches (by default the configuration's)."""
        self.optimizer.zero_grad()
        buffers = self._buffers(batch)
        step = self._train if self.training else self._evaluate
        with rehearsed(self.config.precision), self.device.use():
            for _ in range(2):  # in the second one gradients of the first are there when it begins
                self.ledger.begin()
                gradients = step(buffers, batch, self.config.accumulate if accumulate is None else accumulate)
        return Prediction(batch, self._parts(gradients))

    def micro_batches(self, batch: int, free: int, least: int = 1) -> int:
        """In how few micro-batches, `least` or twice as many and so on, a step on `batch` images has a peak of at most `free`
        bytes; 0 if in none."""
        counts = (least << k for k in range(batch.bit_length()) if least << k <= batch)
        return next((count for count in counts if self.predict(batch, count).peak <= free), 0)

    def most(self, free: int) -> int:
        """The largest batch whose peak is at most `free` bytes, 0 if not even one image's is; to within one part in 64. By trial:
        the peak grows nearly in proportion to the batch."""
        fits, peak, fails = 0, 0, 1
        while (above := self.predict(fails).peak) <= free and fails < _MOST:
            slope = max((above - peak) / (fails - fits), 1.0)
            fits, peak = fails, above
            fails = min(max(int(fits + 1.1 * (free - peak) / slope), fits + 1), 4 * fits, _MOST)
        for trial in range(_MOST):
            close = max(fits // 64, 1)
            if fails - fits <= close:
                break
            guess = fits + (free - peak) / (above - peak) * (fails - fits) + close * (0.4 if trial % 2 else -0.4)
            middle = min(max(int(guess) if trial % 3 < 2 else (fits + fails) // 2, fits + 1), fails - 1)
            found = self.predict(middle).peak
            if found <= free:
                fits, peak = middle, found
            else:
                fails, above = middle, found
        return fits

    def _buffers(self, batch: int) -> list[tuple[Any, Any]]:
        """What the feeding ring has on the card."""
        self.ledger.phase = "batches on the card"
        return [(self.xp.empty((batch, *self.shape), "float32"), self.xp.empty(batch, "int64")) for _ in range(ON_CARD)]

    def _train(self, buffers: list[tuple[Any, Any]], batch: int, accumulate: int) -> set[int]:
        """As the loop does a step. Returns the numbers of the gradients' arrays."""
        config = dataclasses.replace(self.config, batch_size=batch, accumulate=accumulate)
        job: Any = SimpleNamespace(**self.parts, config=config, device=self.device, model=self._model)
        update(job, Guard(job), Batch(as_nchw(buffers[0][0]), buffers[0][1], None), Progress())
        return {owner(p.grad).number for _, p in self.optimizer.parameters() if p.grad is not None}

    def _evaluate(self, buffers: list[tuple[Any, Any]], batch: int, accumulate: int) -> set[int]:
        """As evaluation does a batch."""
        with mode.no_grad():
            logits = self._model(Tensor(as_images(self.device, as_nchw(buffers[0][0]))))
            ops.cross_entropy(logits, buffers[0][1])
        return set()

    def _model(self, x: Any) -> Any:
        """The model; what is made in it is the graph's, if it lasts."""
        self.ledger.phase = "graph"
        y = self.model(x)
        self.ledger.phase = "sweep"
        return y

    def _parts(self, gradients: set[int]) -> dict[str, int]:
        """What was alive at the peak, by what it is."""
        names = {"graph": "kept by the graph" if self.training else "activations and workspaces"}
        passing = "gradients in flight, workspaces"
        order = ["parameters", "velocities", "batches on the card", *names.values(), "parameters' gradients", passing]
        parts = dict.fromkeys(order, 0)
        for number, (size, phase) in self.ledger.at_peak.items():
            name = "parameters' gradients" if number in gradients else names.get(phase, phase)
            parts[name if name in parts else passing] += size
        return {name: size for name, size in parts.items() if size}
