"""What a gradient check found."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import GradientError
from .stencil import Comparison, Outcome

__all__ = ["GradientReport", "Section"]


@dataclass(frozen=True)
class Section:
    """The comparisons of one order of derivative, with the overlay's kernels or without them."""

    order: int
    kernels: bool
    outcome: Outcome

    @property
    def title(self) -> str:
        """Such as "order 2, reference"."""
        return f"order {self.order}, {'with kernels' if self.kernels else 'reference'}"

    def worst(self) -> Comparison | None:
        """The comparison with the largest error."""
        return max(self.outcome.comparisons, key=lambda c: c.error, default=None)


@dataclass(frozen=True)
class GradientReport:
    """All sections of a check. `str(report)` prints them; `raise_if_failed()` is for tests."""

    subject: str
    sections: tuple[Section, ...]

    @property
    def ok(self) -> bool:
        """Whether every comparison holds, and each section has one: what compared nothing proves nothing."""
        return all(s.outcome.comparisons and all(c.ok for c in s.outcome.comparisons) for s in self.sections)

    @property
    def kinks(self) -> list[str]:
        """The samples that crossed a kink and were replaced."""
        return [kink for section in self.sections for kink in section.outcome.kinks]

    @property
    def comparisons(self) -> int:
        """How many there are."""
        return sum(len(section.outcome.comparisons) for section in self.sections)

    def raise_if_failed(self) -> None:
        """Raise GradientError with the whole report unless all is well."""
        if not self.ok:
            raise GradientError(str(self))

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        lines = [
            f"{'ok' if self.ok else 'WRONG'}: gradients of {self.subject}: {self.comparisons} comparisons, "
            f"{len(self.kinks)} kinks met and resampled"
        ]
        for section in self.sections:
            worst = section.worst()
            if worst is None:
                lines.append(f"  {section.title}: nothing to compare")
                continue
            wrong = [c for c in section.outcome.comparisons if not c.ok]
            lines.append(
                f"  {section.title}: {len(wrong)} of {len(section.outcome.comparisons)} wrong; "
                f"worst error {worst.error:.2g} of what is allowed, at {worst.where}"
            )
            for c in sorted(wrong, key=lambda c: -c.error)[:5]:
                lines.append(f"    {c.where}: numeric {c.numeric:.10g}, analytic {c.analytic:.10g}, ratio {_ratio(c)}")
        lines += [f"  {kink}" for kink in self.kinks[:5]]
        return "\n".join(lines)


def _ratio(c: Comparison) -> str:
    return f"{c.analytic / c.numeric:.6g}" if c.numeric else "–"
