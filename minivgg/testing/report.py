"""What a check found, to be read whole."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import GradientError
from .observers import observers
from .outcome import Comparison, Outcome

__all__ = ["GradientReport", "Section"]


@dataclass(frozen=True)
class Section:
    """One witness: its title, such as "order 2, reference", and what it found. `kernels`: with the overlay's kernels or
    without, None where that makes no difference; `note` says more."""

    title: str
    outcome: Outcome
    kernels: bool | None = None
    note: str = ""

    def worst(self) -> Comparison | None:
        """The comparison with the largest error."""
        return max(self.outcome.comparisons, key=lambda c: c.error, default=None)

    @property
    def ok(self) -> bool:
        """Whether something was compared, and agrees."""
        return self.outcome.ok

    def lines(self) -> list[str]:
        """The section, printed."""
        worst, outcome = self.worst(), self.outcome
        if worst is None:
            return [f"  {self.title}: nothing to compare: every sample met a kink"]
        step = f"; eps {outcome.step:.0e}" if outcome.step else ""
        lines = [
            f"  {self.title}: {len(outcome.wrong)} of {len(outcome.comparisons)} wrong; "
            f"worst error {worst.error:.2g} of what is allowed, at {worst.where}{step}{self.note}"
        ]
        if outcome.missed is not None and not outcome.wrong:
            lines[0] += f"; one element lost or doubled would be missed with probability {outcome.missed:.2g}"
        for c in outcome.wrong[:5]:
            lines.append(
                f"    {c.where}: numeric {c.numeric:.10g}, analytic {c.analytic:.10g}, error {abs(c.numeric - c.analytic):.3g}, "
                f"allowed {c.allowed:.3g}, ratio {_ratio(c)}"
            )
        shown = next((c for c in outcome.wrong if c.curve), None)
        if shown:
            points = "  ".join(f"{h:.0e}: {'kink' if e is None else f'{e:.1e}'}" for h, e in shown.curve.items())
            lines.append(f"    error of the numeric value by eps, at {shown.where}:  {points}")
        if outcome.unresolved:
            c = max(outcome.unresolved, key=lambda c: c.allowed)
            lines.append(
                f"    {len(outcome.unresolved)} not resolved: at {c.where} the differences do not settle, whatever the step (error up to "
                f"{c.allowed:.1g}). The function has a kink that no op reports, rounds coarsely inside (float32?), or is too steep."
            )
        return [*lines, *(f"    diagnosis: {d}" for d in outcome.diagnoses)]


@dataclass(frozen=True)
class GradientReport:
    """All sections of a check. `str(report)` prints them; `raise_if_failed()` is for tests."""

    subject: str
    sections: tuple[Section, ...]

    def __post_init__(self) -> None:
        for observer in tuple(observers):
            observer(self)

    @property
    def ok(self) -> bool:
        """Whether every section holds. What compared nothing proves nothing."""
        return bool(self.sections) and all(section.ok for section in self.sections)

    @property
    def kinks(self) -> list[str]:
        """The samples that crossed a kink and were replaced."""
        return [kink for section in self.sections for kink in section.outcome.kinks]

    @property
    def diagnoses(self) -> list[str]:
        """What the wrong gradients look like, each once."""
        return list(dict.fromkeys(d for section in self.sections for d in section.outcome.diagnoses))

    @property
    def comparisons(self) -> int:
        """How many there are."""
        return sum(len(section.outcome.comparisons) for section in self.sections)

    @property
    def coordinates(self) -> int:
        """How many single elements were compared."""
        return sum(section.outcome.coordinates for section in self.sections)

    @property
    def missed(self) -> float:
        """The probability that one element, lost or doubled at a random place of the inputs, would be missed."""
        return max((section.outcome.missed or 0.0 for section in self.sections), default=0.0)

    @property
    def worst(self) -> float:
        """The largest error as a multiple of what is allowed; above 1 something is wrong."""
        return max((c.error for section in self.sections for c in section.outcome.comparisons), default=0.0)

    def raise_if_failed(self) -> None:
        """Raise GradientError with the whole report unless all is well."""
        __tracebackhide__ = True
        if not self.ok:
            raise GradientError(str(self))

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return f"<GradientReport of {self.subject}: {'ok' if self.ok else 'WRONG'}, {self.comparisons} comparisons>"

    def __str__(self) -> str:
        wrong = any(section.outcome.wrong for section in self.sections)
        verdict = "ok" if self.ok else "WRONG" if wrong else "NOT PROVED"
        lines = [f"{verdict}: gradients of {self.subject}: {self.comparisons} comparisons, {len(self.kinks)} kinks met and resampled"]
        for section in self.sections:
            lines += section.lines()
        return "\n".join([*lines, *(f"  {kink}" for kink in self.kinks[:5])])


def _ratio(c: Comparison) -> str:
    return f"{c.analytic / c.numeric:.6g}" if c.numeric else "–"
