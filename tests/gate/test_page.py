"""The page docs/gate.md and the catalogue name the same bugs."""

from __future__ import annotations

from .cards.catalogue import CARD_KERNELS
from .catalogue import CATALOGUE, KERNELS
from .page import PAGE, Findings, named_on


def test_the_page_has_one_row_for_each_planted_bug() -> None:
    """Exactly one; `scripts/gate --write` brings the page up to date."""
    planted = [entry.name for entry in (*CATALOGUE, *KERNELS, *CARD_KERNELS)]
    assert sorted(named_on(PAGE.read_text(encoding="utf-8"))) == sorted(planted)


def test_the_page_tells_survivors_from_rejected_bugs() -> None:
    """A bug without a witness is counted as a survivor; bars in a sentence do not end a cell."""
    findings = Findings()
    findings.read([("planted", ["a", "Exp.grad_x", "|gy| for gy.", ["order 1", "layouts"]])])
    findings.read([("planted", ["b", "Exp.grad_x", "Stale.", []]), ("false alarms", [0, 40])])
    findings.read([("planted", ["c", "Exp, forward kernel", "Off.", ["layouts"]]), ("false alarms", [1, 2])])
    findings.read([("planted", ["d", "sgd.cu: sgd", "Off.", ["values"]]), ("false alarms on cards", [1, 9])])
    assert findings.counts() == [
        "wrong rules: 2 planted, 1 rejected, 1 survive",
        "wrong kernels: 1 planted, 1 rejected, 0 survive",
        "wrong kernels for cards: 1 planted, 1 rejected, 0 survive",
        "false alarms: 1 in 42 random correct cases",
        "false alarms on the pretend card: 1 in 9 runs of right kernels",
    ]
    assert findings.by_witness() == [("order 1", 1, 1, 0), ("layouts", 2, 1, 1), ("values", 1, 1, 1)]
    page = findings.markdown("a command")
    assert "| `a` | Exp.grad_x | \\|gy\\| for gy. | order 1, layouts |" in page
    assert "| `b` | Exp.grad_x | Stale. | **survives** |" in page
    assert named_on(page) == ["a", "b", "c", "d"]
