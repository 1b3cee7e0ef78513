"""A record made by hand, its cells and its page."""

from __future__ import annotations

import json

import pytest

import report
from measuring import comparison
from minivgg.errors import DataError

MIB = 1 << 20


def contender(*seconds, alone=None):
    """Seconds of each round, and 10, 20, 60 page faults a step."""
    return {"seconds": list(seconds), "faults": [10.0, 20.0, 60.0], "alone": alone}


def record(title="by hand"):
    """Ten images of a thousand million multiply-adds, beside a GEMM of 200 GF/s."""
    return {
        "title": title,
        "command": "scripts/bench train_step",
        "date": "2026-01-31 12:00 UTC",
        "machine": {"processor": "an abacus"},
        "versions": {"minivgg": "0"},
        "job": {"batch": 10},
        "multiply_adds": 10**9,
        "gemm_gflops": 200.0,
        "contenders": {
            "minivgg": contender(0.1, 0.2, 0.4, alone={"before": 30 * MIB, "peak": 100 * MIB, "faults": 5}),
            "torch eager": contender(0.3, 0.2, 0.4),
            "torch compiled": contender(0.1, 0.1, 0.9, alone={"error": "no compiler"}),
        },
        "failures": {"dezero": "ImportError: no such thing"},
        "notes": ["loss 1 and 1"],
    }


def test_cells_equal_numbers_worked_by_hand():
    """Median 0.2 s: 50 images/s, 2·10·10⁹/0.2 = 100 GF/s, half of GEMM; 70 of 100 MiB; ratios 3, 1, 1 and 1, ½, 2¼."""
    made = record()
    assert comparison.row(made, "minivgg") == ("minivgg", "200.0", "50.0", "100.0", "50%", "", "70 (100)", "20 (5)")
    eager = comparison.row(made, "torch eager")
    assert eager == ("torch eager", "300.0", "33.3", "66.7", "33%", "1.00 (1.00–3.00)", "–", "20")
    assert comparison.row(made, "torch compiled")[5] == "1.00 (0.50–2.25)"


def test_the_better_of_a_peers_contenders_is_the_opponent_and_failures_are_shown():
    """Compiled has the lower median; what failed is in the table with its reason."""
    made = record()
    assert comparison.best_peers(made) == {"torch": "torch compiled"}
    text = comparison.table(made)
    assert "torch's best is torch compiled: ratio 1.00 (0.50–2.25) over 3 rounds" in text
    assert "dezero failed: ImportError: no such thing" in text and "torch compiled failed: in a process of its own: no compiler" in text


def test_contenders_that_fail_are_told_apart_from_bugs_of_minivgg():
    """A peer's failure is its first line; minivgg's is raised; what is left out is not built."""

    def broken():
        raise RuntimeError("first\nsecond")

    def never():
        pytest.fail("built")

    steps = []
    runs, failures = comparison.make_all(
        {"minivgg": lambda: steps.append, "torch eager": broken, "torch compiled": never}, ["torch compiled"]
    )
    assert list(runs) == ["minivgg"] and steps == [1] and failures == {"torch eager": "RuntimeError: first"}
    with pytest.raises(RuntimeError, match="first"):
        comparison.make_all({"minivgg": broken})


def test_the_command_is_kept_without_title_and_place():
    """Both spellings of a flag; everything else stays, quoted for a shell."""
    arguments = ["--title", "a b", "--batch", "8", "--json=here", "--model", "a b", "--json", "there"]
    assert comparison.command("/somewhere/train_step.py", arguments) == "scripts/bench train_step --batch 8 --model 'a b'"


def test_the_page_shows_the_newest_record_of_each_row(tmp_path):
    """Two records of row 2: the later one counts; the other rows say how to measure them."""
    title = report.ROWS[1][0]
    old, new = record(title), record(title)
    old["gemm_gflops"] = 123.0
    file = tmp_path / "results" / "rows.jsonl"
    for made in (old, record("another"), new):
        comparison.keep(made, file)
    assert len(file.read_text().splitlines()) == 3
    assert report.main(["--render", "--records", str(file), "--page", str(tmp_path / "report.md")]) is None
    text = (tmp_path / "report.md").read_text()
    assert f"| 2. {title} | 50.0 | torch compiled | 100.0 | 1.00 (0.50–2.25) | 50% | 70 (100) | – |" in text
    assert "| minivgg | 200.0 | 50.0 | 100.0 | 50% |" in text and "GEMM 200 GF/s" in text and "123" not in text
    assert "an abacus" in text and "loss 1 and 1" in text and "`scripts/bench train_step`" in text
    assert text.count("Not measured yet") == len(report.ROWS) - 1


@pytest.mark.parametrize("line", ["{", "[]", json.dumps({"title_": 1})])
def test_a_damaged_line_is_named(tmp_path, line):
    """A DataError with file and number of the line."""
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"title": "a"}) + "\n" + line + "\n")
    with pytest.raises(DataError, match=r"rows\.jsonl, line 2: not a record"):
        report.newest(file)
