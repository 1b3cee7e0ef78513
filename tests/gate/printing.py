"""At the end of a run: the table of planted bugs and who rejected them, and on request the page docs/gate.md."""

from __future__ import annotations

import os
from typing import Any

from .page import PAGE, Findings

__all__ = ["report_gate"]


def report_gate(terminalreporter: Any) -> None:
    """Print what the tests recorded; their properties arrive here from all worker processes. With GATE_WRITE in the
    environment, the command that was run, the page is written, too."""
    findings = Findings()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call":
                findings.read(report.user_properties)
    if not findings.rows:
        return
    terminalreporter.section("the gate")
    for line in findings.text():
        terminalreporter.write_line(line)
    command = os.environ.get("GATE_WRITE")
    if command:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(findings.markdown(command), encoding="utf-8")
        terminalreporter.write_line(f"written: docs/{PAGE.name}")
