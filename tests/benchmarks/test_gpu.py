"""The script for a machine with a card, at miniature sizes on the pretend one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpu import __main__ as command
from gpu import algorithms, ours, race
from gpu.card import Place
from gpu.page import page
from measuring.command import run
from measuring.job import Job
from minivgg import models
from minivgg.fast.cuda import winograd

from ..cuda.pretend_cupy.raw_module import why_not

ROOT = Path(__file__).parents[2]
needs_compiler = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@needs_compiler
def test_the_whole_script_runs_dry(tmp_path: Path) -> None:
    """Tests, the ceilings, rows, the profile and the algorithms: exit code 0, a line of JSON for each and a page with all of them."""
    environment = {**os.environ, "DRY": "1", "PYTHON": sys.executable, "ROWS": "vgg16-fp32 vgg16-inference", "MINIVGG_THREADS": "1"}
    done = subprocess.run(
        [ROOT / "benchmarks" / "gpu.sh", tmp_path], capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout and "exit code 0" in done.stdout.splitlines()[-1]
    (file,) = tmp_path.glob("*.jsonl")
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert [record["part"] for record in records] == ["card", "ceilings", "vgg16-fp32", "vgg16-inference", "ops", "algorithms"]
    assert not any("error" in record for record in records)
    race = records[2]["contenders"]
    assert "minivgg fp32" in race and all(len(found["seconds"]) == 2 for found in race.values())
    assert {"Conv2dRelu backward", "SGD step"} <= {name for name, _ in records[4]["families"]} and records[4]["rest"] >= 0
    assert all(figure.split()[0].replace(".", "").replace("e-", "").isdigit() for figure in records[1]["figures"].values())
    text = file.with_suffix(".md").read_text()
    assert "minivgg fp32" in text and "A dry run" in text and "one launch" in text and "Algorithms of convolutions" in text


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


@needs_compiler
def test_every_algorithm_is_checked_then_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each layer, precision and pass all algorithms that serve, beside what `choice` takes: a millisecond each on the pretend card.
    One whose result is wrong by 2 % is not timed but named, and none is the fastest that was not measured."""
    plain = winograd.weight_gradient
    monkeypatch.setattr(winograd, "weight_gradient", lambda *arguments: plain(*arguments) * 1.02)
    monkeypatch.setattr(algorithms, "PRECISIONS", ("fp32", "fp16"))
    with Place(dry=True) as place:
        *_, record = algorithms.measure(place)
        rows = record["convolutions"]
        assert len(rows) == 3 * 2 * 4 and [row["pass"] for row in rows[:2]] == ["forward", "images' gradient"]
        direct, every = ["im2col", "implicit"], ["im2col", "winograd", "implicit"]
        assert [list(row["ms"]) for row in rows[:8]] == [every, every, direct, direct, *[direct] * 4]
        assert rows[3]["ms"] == {"im2col": 3.0, "implicit": 3.0} and [row["chosen"] for row in rows[3:8:4]] == ["winograd", "im2col"]
        assert rows[3]["floor"] == pytest.approx(3 * rows[0]["floor"]) and record["rates"]["fp16"] > 0
        assert len(record["notes"]) == 3 and all("off by 2.0e-02 of the largest" in note and "winograd" in note for note in record["notes"])
        monkeypatch.setattr(algorithms, "_SECONDS", -1.0)
        *_, record = algorithms.measure(place)
    assert not record["convolutions"] and len(record["notes"]) == 6 and "No time was left for 32 → 32, 4×4" in page_of(record)


def page_of(record: dict[str, Any]) -> str:
    """The page of one record."""
    return page([{"date": "2031-01-01", "command": "x", "place": {"card": "C", "memory": 2**30, "versions": {}}, **record}])


def test_the_page_says_where_another_algorithm_was_faster() -> None:
    """In a pass, in its line; in all passes together, above the table too, with the rule that chose; 2 % is noise."""
    common = {"layer": "3 → 64", "precision": "tf32", "chosen": "implicit", "why": "a rule", "floor": 0.5}
    times = {
        "forward": {"im2col": 2.0, "implicit": 3.0},
        "weights' gradient": {"im2col": 2.0},
        "together": {"im2col": 1.0, "implicit": 1.5},
    }
    rows: list[Any] = [{**common, "pass": name, "ms": ms} for name, ms in times.items()]
    rows.append({**common, "layer": "64 → 64", "pass": "together", "ms": {"im2col": 1.0, "implicit": 1.02}})
    text = page_of({"title": "t", "convolutions": rows, "rates": {"copy": 3.0, "tf32": 400.0}, "notes": ["a note"]})
    assert "- 3 → 64, tf32: implicit is chosen (a rule); im2col, 1.50×" in text and "- 64 → 64" not in text and "a note" in text
    assert "| 3 → 64 | tf32 | forward | 2.000 | 3.000 | 0.500 | implicit | im2col, 1.50× |" in text
    assert "| 3 → 64 | tf32 | weights' gradient | 2.000 | – | 0.500 | implicit |  |" in text
    assert "copy 3 TB/s, tf32 400 TFLOP/s" in text


def test_every_part_has_its_time() -> None:
    """What the script keeps for its parts is less than what it has, with two kills of five seconds."""
    script = (ROOT / "benchmarks" / "gpu.sh").read_text()
    seconds, rows = re.search(r"^seconds\(\) \{.*?^\}", script, re.S | re.M), re.search(r"ROWS:-(.*?)\}", script)
    assert seconds is not None and rows is not None
    code = f"{seconds[0]}\nfor name in card ceilings tests names {rows[1]} ops algorithms; do seconds $name; done"
    done = subprocess.run(["sh", "-c", code], capture_output=True, text=True, check=True)
    assert len(done.stdout.split()) == 11 and sum(map(int, done.stdout.split())) <= 540 - 2 * 5


@needs_compiler
def test_contenders_share_one_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two networks of one job have equal weights that were drawn once, and none of the other's memory."""
    drawn = []
    build = models.build
    monkeypatch.setattr(models, "build", lambda *arguments, **options: drawn.append(1) or build(*arguments, **options))
    job = Job("vgg11", 32, 2, 1 / 64, "linear", 3, 7)
    with Place(dry=True) as place:
        one, other = ours.Network(job, place), ours.Network(job, place, "fp16")
        before = other.state()
        next(iter(one.model.parameters())).data[...] = 7.0
        after = other.state()
        assert len(drawn) == 1 and all(np.array_equal(before[name], after[name]) for name in before)
        assert all(np.array_equal(before[name], array) for name, array in ours.Network(job, place).state().items())


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
