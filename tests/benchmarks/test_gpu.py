"""The script for a machine with a card, at miniature sizes on the pretend one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gpu import __main__ as command
from gpu import race
from gpu.page import page
from measuring.command import run

from ..cuda.pretend_cupy.raw_module import why_not

ROOT = Path(__file__).parents[2]
needs_compiler = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@needs_compiler
def test_the_whole_script_runs_dry(tmp_path: Path) -> None:
    """Tests, a row, the profile and the ceilings: exit code 0, a line of JSON for each and a page with all of them."""
    environment = {**os.environ, "DRY": "1", "PYTHON": sys.executable, "ROWS": "vgg16-fp32 vgg16-inference", "MINIVGG_THREADS": "1"}
    done = subprocess.run(
        [ROOT / "benchmarks" / "gpu.sh", tmp_path], capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout and "exit code 0" in done.stdout.splitlines()[-1]
    (file,) = tmp_path.glob("*.jsonl")
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert [record["part"] for record in records] == ["card", "vgg16-fp32", "vgg16-inference", "ops", "ceilings"]
    assert not any("error" in record for record in records)
    race = records[1]["contenders"]
    assert "minivgg fp32" in race and all(len(found["seconds"]) == 2 for found in race.values())
    assert {"Conv2dRelu backward", "SGD step"} <= {name for name, _ in records[3]["families"]} and records[3]["rest"] >= 0
    assert all(figure.split()[0].replace(".", "").replace("e-", "").isdigit() for figure in records[-1]["figures"].values())
    text = file.with_suffix(".md").read_text()
    assert "minivgg fp32" in text and "A dry run" in text and "one launch" in text


@needs_compiler
def test_a_script_without_time_says_so(tmp_path: Path) -> None:
    """Parts for which no time is left are named, and the exit code is 1."""
    environment = {**os.environ, "DRY": "1", "PYTHON": sys.executable, "SECONDS_IN_ALL": "0"}
    done = subprocess.run([ROOT / "benchmarks" / "gpu.sh", tmp_path], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1 and "no time left for" in done.stdout


@needs_compiler
def test_what_is_measured_is_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A row that dies in its third round leaves two rounds; one that fails leaves the reason, and the next part runs."""

    def dies(row: Any, place: Any) -> Any:
        record: dict[str, Any] = {"title": row.title, "job": {"batch": 2}, "multiply_adds": 1, "notes": ["agreed"], "failures": {}}
        for rounds in ([0.5], [0.5, 0.25]):
            record["contenders"] = {name: {"seconds": rounds, "wall": rounds} for name in ("minivgg fp32", "torch fp32 NCHW")}
            yield record
        raise KeyboardInterrupt

    monkeypatch.setattr(race, "measure", dies)
    assert run(command.main, ["vgg16-fp32", "--dry", "--out", str(tmp_path)]) == 130
    (file,) = tmp_path.glob("*.jsonl")
    (record,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert record["contenders"]["minivgg fp32"]["seconds"] == [0.5, 0.25]
    monkeypatch.setattr(race, "measure", lambda row, place: 1 / 0)
    assert run(command.main, ["vgg16-tf32", "card", "--dry", "--out", str(tmp_path)]) == 0
    text = file.with_suffix(".md").read_text()
    assert "1.00 (1.00–1.00)" in text and "Failed: ZeroDivisionError" in text and "pretend card" in text


def test_wrong_usage_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown part is named with the nearest known one; exit code 2."""
    assert run(command.main, ["vgg16-fp23"]) == 2
    assert "did you mean vgg16-fp32" in capsys.readouterr().err


def test_the_page_compares_like_with_like() -> None:
    """Each precision of ours with the better format of torch's same precision; at the end the best of each with the other's."""
    seconds = {
        "minivgg tf32": [2.0, 2.0],
        "minivgg fp16": [1.0, 1.0],
        "torch tf32 NCHW": [3.0, 5.0],
        "torch tf32 channels-last": [4.0, 2.0],
        "torch fp16 NCHW": [2.0, 1.0],
    }
    record = {
        "title": "a race", "date": "2031-01-01", "command": "x", "place": {"card": "C", "memory": 2**30, "versions": {"numpy": "2"}},
        "job": {"batch": 10}, "multiply_adds": 10**12, "notes": ["they agree"], "failures": {"torch bf16 NCHW": "no such thing"},
        "contenders": {name: {"seconds": found, "wall": found, "reserved": 2**30} for name, found in seconds.items()},
    }  # fmt: skip
    lines = {line.split("|")[1].strip(): line for line in page([record]).splitlines() if line.startswith("|")}
    assert lines["minivgg tf32"].endswith("| 1.50 (1.00–2.00) |") and lines["minivgg fp16"].endswith("| 1.50 (1.00–2.00) |")
    assert lines["minivgg fp16"].startswith("| minivgg fp16 | 1000.00 | 10 | 20.0 | 1000.00 | 1.00 |")
    text = page([record])
    assert "minivgg fp16 against torch fp16 NCHW: **1.50 (1.00–2.00)**" in text and "torch bf16 NCHW failed: no such thing" in text
