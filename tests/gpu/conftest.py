"""The card of a test: the pretend one, on every machine, and a real one where there is one (`pytest -m gpu`).

The same test functions run on both, so that those for a real card cannot rot. Without a real card its half is skipped with the
reason; MINIVGG_REQUIRE_GPU=1 makes that a failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from minivgg.backend.arrays import to_numpy
from minivgg.backend.device import Device
from minivgg.errors import DeviceError

from ..cuda.pretend_cupy import install
from ..cuda.pretend_cupy.raw_module import why_not


@dataclass(frozen=True)
class Card:
    """A card and how to put arrays there."""

    real: bool
    device: Device

    def pick(self, small: Any, large: Any) -> Any:
        """What the pretend card can do in time, or what a real one deserves."""
        return large if self.real else small

    def stored(self, x: Any, layout: str = "C") -> Any:
        """A NumPy array on the card, stored as `layout` says: "C", "channels-last" (of four axes) or "gaps"; others as they are."""
        if not isinstance(x, np.ndarray):
            return x
        if layout == "channels-last" and x.ndim == 4:
            return self.device.asarray(np.ascontiguousarray(x.transpose(0, 2, 3, 1))).transpose(0, 3, 1, 2)
        if layout == "gaps" and x.ndim:
            return self.device.asarray(np.repeat(x, 2, axis=-1))[..., ::2]
        return self.device.asarray(np.array(x, order="C"))

    def close(self, found: Any, expected: Any, bound: float) -> bool:
        """Equal shapes, and values within `bound` of the largest magnitude, or of 1 if that is larger. NaN is nobody's equal."""
        found = to_numpy(found).astype(np.float64)
        scale = max(float(np.abs(expected).max(initial=0.0)), 1.0)
        return found.shape == np.shape(expected) and bool(np.abs(found - expected).max(initial=0.0) <= bound * scale)


@pytest.fixture(params=["pretend", pytest.param("cupy", marks=pytest.mark.gpu)])
def card(request: pytest.FixtureRequest) -> Iterator[Card]:
    """Either card, as the device "cuda"."""
    if request.param == "pretend":
        if why_not():
            pytest.skip(why_not() or "")
        with install():
            yield Card(False, Device("cuda"))
        return
    try:
        device = Device("cuda")
    except DeviceError as error:
        if os.environ.get("MINIVGG_REQUIRE_GPU") == "1":
            pytest.fail(f"MINIVGG_REQUIRE_GPU=1, but {error}")
        pytest.skip(str(error))
    yield Card(True, device)
