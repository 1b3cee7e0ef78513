"""The table of planted bugs: gathered from the tests' properties, printed at the end of a run, written as docs/gate.md."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import minivgg

__all__ = ["PAGE", "Findings", "Row", "named_on"]

PAGE = Path(__file__).parents[2] / "docs" / "gate.md"
KINDS = ("rules", "kernels", "kernels for cards")
HEAD = "| planted bug | op and rule | the slip | rejected by |"


@dataclass(frozen=True)
class Row:
    """One planted bug and the witnesses that reject it, the first one first; none: it survives."""

    name: str
    rule: str
    slip: str
    witnesses: tuple[str, ...]

    @property
    def kind(self) -> str:
        """What was planted: one of `KINDS`."""
        return "kernels for cards" if ": " in self.rule else "kernels" if self.rule.endswith("kernel") else "rules"

    def markdown(self) -> str:
        """A line of the page's table."""
        verdict = ", ".join(self.witnesses) or "**survives**"
        return f"| `{self.name}` | {self.rule} | {escaped(self.slip)} | {verdict} |"


@dataclass
class Findings:
    """What the tests of one run recorded."""

    rows: list[Row] = field(default_factory=list)
    alarms: int = 0
    cases: int = 0
    on_cards: list[int] = field(default_factory=lambda: [0, 0])

    def read(self, properties: Iterable[tuple[str, Any]]) -> None:
        """Take in one test's properties."""
        for name, value in properties:
            if name == "planted":
                bug, rule, slip, witnesses = value
                self.rows.append(Row(bug, rule, slip, tuple(witnesses)))
            elif name == "false alarms":
                self.alarms, self.cases = self.alarms + value[0], self.cases + value[1]
            elif name == "false alarms on cards":
                self.on_cards = [a + b for a, b in zip(self.on_cards, value, strict=True)]

    def counts(self) -> list[str]:
        """How many were planted, rejected, and accused wrongly, a line each."""
        lines = []
        for kind in KINDS:
            chosen = [row for row in self.rows if row.kind == kind]
            rejected = sum(bool(row.witnesses) for row in chosen)
            lines.append(f"wrong {kind}: {len(chosen)} planted, {rejected} rejected, {len(chosen) - rejected} survive")
        lines.append(f"false alarms: {self.alarms} in {self.cases:,} random correct cases")
        return [*lines, f"false alarms on the pretend card: {self.on_cards[0]} in {self.on_cards[1]:,} runs of right kernels"]

    def by_witness(self) -> list[tuple[str, int, int, int]]:
        """(witness, bugs that it rejects, those that it is the first to reject, those that it alone rejects)."""
        rejected = [row.witnesses for row in self.rows if row.witnesses]
        names = list(dict.fromkeys(name for witnesses in rejected for name in witnesses))
        return [(n, sum(n in w for w in rejected), sum(w[0] == n for w in rejected), sum(w == (n,) for w in rejected)) for n in names]

    def text(self) -> list[str]:
        """The table for the terminal, the counts last."""
        cells = [(row.name, row.rule, ", ".join(row.witnesses) or "SURVIVES") for row in self.sorted()]
        return [*aligned([("planted bug", "op and rule", "rejected by"), *cells]), "", *self.counts()]

    def markdown(self, command: str) -> str:
        """The page."""
        made = f"Python {platform.python_version()}, NumPy {np.__version__}, minivgg {minivgg.__version__}, {datetime.date.today()}"
        witnesses = [f"| {name} | {all_} | {first} | {alone} |" for name, all_, first, alone in self.by_witness()]
        return "\n".join(
            [
                "# The gate: wrong rules that the gradient checkers must reject",
                "",
                f"Written by `{command}` with {made}.",
                "Each bug is planted in the place of the right rule, and all checks of `minivgg.testing` are made on the op's",
                "examples or on inputs of the bug's own. A bug counts as rejected if a comparison fails; with the right rule",
                "all checks hold on the same inputs. The bugs are in `tests/gate`.",
                "",
                "Kernels for cards are wrong in the text that the compiler is given, or launched wrongly, and run on the pretend",
                "card, whose threads take turns on the CPU: `tests/gate/cards`. Their witnesses are values (the op's own formula in",
                "float64, within the bound that its kernels state), orders (the same bits in three orders of threads), memory (nothing",
                "written beside an array) and launch (all threads reach each barrier, tensor cores get rounded operands). No bug and",
                "no right kernel of these ran on a card.",
                "",
                *(f"- {line}" for line in self.counts()),
                "",
                "| witness | rejects | is the first to | alone |",
                "| --- | ---: | ---: | ---: |",
                *witnesses,
                "",
                HEAD,
                "| --- | --- | --- | --- |",
                *(row.markdown() for row in self.sorted()),
                "",
            ]
        )

    def sorted(self) -> list[Row]:
        """Rules before kernels, by op, rule and name."""
        return sorted(self.rows, key=lambda row: (KINDS.index(row.kind), row.rule, row.name))


def escaped(text: str) -> str:
    """Text without bars that would end a cell."""
    return text.replace("|", "\\|")


def aligned(table: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns of equal width."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def named_on(page: str) -> list[str]:
    """The bugs' names in the page's table, in its order."""
    rows = page.partition(HEAD)[2].splitlines()
    return [row.split("`")[1] for row in rows if row.startswith("| `")]
