"""What comparing one map with its pullback gives: comparisons, kinks met, and what could still be missed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["RELATIVE", "SAFETY", "Comparison", "Outcome"]

RELATIVE = 1e-8  # of the analytic value: it is rounded, too
SAFETY = 10.0  # times the estimated error of the numeric value


@dataclass(frozen=True)
class Comparison:
    """A number twice, such as a derivative by finite differences and by the rules.

    `where` names the coordinate, block or direction; `allowed` is the largest difference that counts as equal; `curve`
    maps steps to the change of the numeric value when the step is doubled (None: it crossed a kink). `noise` is
    the part of `allowed` that is due to the numeric value, `operand` the input that alone was moved.
    """

    where: str
    numeric: float
    analytic: float
    allowed: float
    curve: Mapping[float, float | None] = field(default_factory=dict)
    step: float = 0.0
    noise: float = 0.0
    operand: str = ""

    @property
    def ok(self) -> bool:
        """|numeric − analytic| ≤ allowed; false for NaN."""
        return bool(abs(self.numeric - self.analytic) <= self.allowed)

    @property
    def error(self) -> float:
        """|numeric − analytic| as a multiple of what is allowed; infinite for NaN."""
        difference = abs(self.numeric - self.analytic)
        ratio = difference / self.allowed if self.allowed else 0.0 if difference == 0 else float("inf")
        return float("inf") if np.isnan(ratio) else float(ratio)


@dataclass
class Outcome:
    """Comparisons made; kinks met on the way, each at a sample that another replaced; what was wrong, in words; the
    probability that one wrong element would be missed (None if all were compared); how many elements were compared one
    by one; the noise above which a comparison proves nothing; and the inputs of which all are
    smaller than their noise."""

    comparisons: list[Comparison] = field(default_factory=list)
    kinks: list[str] = field(default_factory=list)
    diagnoses: list[str] = field(default_factory=list)
    missed: float | None = None
    coordinates: int = 0
    step: float = 0.0
    resolution: float = float("inf")
    drowned: list[str] = field(default_factory=list)

    def equal(self, where: str, expected: Any, found: Any, relative: float, unit: float = 1.0) -> None:
        """Compare two arrays: differences up to `relative` times the largest magnitude, or `unit` if that is larger, count as
        none. One comparison is kept, at the element that differs most; a difference of shapes is one, too."""
        if expected.shape != found.shape:
            self.comparisons.append(Comparison(f"{where}: shape {expected.shape} against {found.shape}", 0.0, float("nan"), 0.0))
        elif expected.size:
            difference = np.abs(found - expected)
            index = np.unravel_index(int(np.argmax(np.where(np.isnan(difference), np.inf, difference))), difference.shape)
            allowed = relative * max(float(np.abs(expected).max()), unit)
            place = f"{where}, at {[int(k) for k in index]}"
            self.comparisons.append(Comparison(place, float(expected[index]), float(found[index]), allowed))

    @property
    def wrong(self) -> list[Comparison]:
        """The comparisons that disagree, the worst first."""
        return sorted((c for c in self.comparisons if not c.ok), key=lambda c: -c.error)

    @property
    def unresolved(self) -> list[Comparison]:
        """Those that agree only since the finite differences are too rough to disagree with anything."""
        return [c for c in self.comparisons if c.ok and (c.noise > self.resolution or c.operand in self.drowned)]

    @property
    def ok(self) -> bool:
        """Whether every comparison holds, and there is one: what compared nothing proves nothing."""
        return bool(self.comparisons) and not self.wrong and not self.unresolved
