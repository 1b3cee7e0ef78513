"""Wrong usage is one line and exit code 2; right usage measures."""

from __future__ import annotations

import importlib.util
import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest

import data_wait
import inference
import loader
import ops
import peers
import report
import train_step
from measuring.command import run
from minivgg.train import Interrupted

SCRIPTS = {script.__name__: script for script in (train_step, inference, ops, data_wait, loader, report)}


def failed(capsys, script, arguments):
    """The one line on stderr of a call that ends with code 2."""
    assert run(SCRIPTS[script].main, shlex.split(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("error: ")
    return err


@pytest.mark.parametrize(
    ("script", "arguments", "said"),
    [
        ("train_step", "--against tochr", "did you mean torch? Valid: dezero, none, torch"),
        ("train_step", "--against openvino", 'unknown peer "openvino"'),
        ("train_step", "--against none --batch 0", "--batch must be a whole number ≥ 1, but is 0"),
        ("train_step", "--against none --batch many", "invalid int value: 'many'"),
        ("train_step", "--against none --size 31", "--size must be a whole number ≥ 32"),
        ("train_step", "--against none --width nan", "--width must be a finite number > 0"),
        ("train_step", "--against none --model vgg12", 'unknown model "vgg12"'),
        ("train_step", "--against none --head round", "--head must be linear or paper"),
        ("train_step", "--against none --rounds 0", "--rounds must be a whole number ≥ 1"),
        ("train_step", "--against none --alone torch", '"torch" is not among the contenders'),
        ("inference", "--against dezero", 'unknown peer "dezero"'),
        ("inference", "--against none --steps 0", "--steps must be a whole number ≥ 1"),
        ("inference", "--bacth 3", "unrecognized arguments: --bacth 3"),
        ("ops", "--against none --only polo", "did you mean pool?"),
        ("ops", "--against none --settings tiny", 'unknown setting "tiny"'),
        ("ops", "--against none --shape 2x3x4", "name one with --only"),
        ("ops", "--against none --only conv --shape 2x3x4", "N×C×H×K"),
        ("ops", "--against none --only pool --shape 2x0x4", '"2x0x4"'),
        ("ops", "--against none --steps 0", "--steps must be"),
        ("data_wait", "--workers one", 'but is "one"'),
        ("data_wait", "--batch-size 0", "--batch-size must be"),
        ("loader", "--workers 1,two", 'but is "1,two"'),
        ("loader", "--photos 1", "--photos must be a whole number ≥ 2"),
        ("report", "--row 7", "--row must be 1 to 6, but is 7"),
        ("report", "--row x", "invalid int value"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(capsys, script, arguments, said):
    """It says what was expected, and nothing is printed on stdout."""
    assert said in failed(capsys, script, arguments)


@pytest.mark.parametrize(("script", "peer"), [("train_step", "dezero"), ("inference", "openvino"), ("ops", "torch")])
def test_a_peer_that_is_not_installed_is_named_with_the_remedy(capsys, monkeypatch, script, peer):
    """Before anything is built."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert f"{peer} is not installed here. Use scripts/bench" in failed(capsys, script, f"--against {peer}")


def test_a_reader_that_has_seen_enough_is_no_error():
    """`scripts/bench … | head` ends with code 0 and without a traceback."""
    command = [sys.executable, report.__file__, "--list"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait() == 0
    process.stderr.close()


def test_a_signal_during_training_is_a_line_and_its_code(capsys):
    """Ctrl-C is 130, SIGTERM 143, as with minivgg train."""
    for number in (signal.SIGINT, signal.SIGTERM):

        def stopped(arguments, number=number):
            raise Interrupted(number, "all is saved")

        assert run(stopped, []) == 128 + number
        assert capsys.readouterr().err == f"stopped by {number.name}: all is saved\n"


def test_peers_are_taken_once_and_none_is_nobody():
    """Commas separate them, spaces do not matter."""
    known = {"json": ["json"], "csv": ["csv", "json"]}
    assert peers.choose("csv, json,csv", known) == ["csv", "json"] and peers.choose("none", known) == []
    assert peers.packages(["csv", "json"], known) == ["csv", "json"]


@pytest.mark.parametrize("number", range(1, len(report.ROWS) + 1))
def test_each_row_of_the_report_is_a_command_that_its_script_takes(monkeypatch, number):
    """Its flags are read and its network is legal: it gets as far as building."""

    class ReachedError(Exception):
        pass

    def load(name):
        raise ReachedError(name)

    monkeypatch.setattr(peers, "load", load)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    script, *arguments = shlex.split(report.ROWS[number - 1][1])
    with pytest.raises(ReachedError, match="minivgg"):
        SCRIPTS[script].main([*arguments, "--title", "x", "--json", "y"])


def test_the_report_hands_on_what_does_not_change_a_row(tmp_path, monkeypatch):
    """The row's script gets counts and switches, and where to put its record; the row's failure is the report's, with its code."""
    calls = []

    class Done:
        returncode = 0

    monkeypatch.setattr(report.subprocess, "run", lambda command, check: calls.append(command) or Done)
    places = ["--records", str(tmp_path / "rows.jsonl"), "--page", str(tmp_path / "report.md")]
    assert run(report.main, ["--row", "3", "--rounds", "2", "--no-compile", *places]) == 0
    (command,) = calls
    assert command[1].endswith("train_step.py") and command[-7:-4] == ["--rounds", "2", "--no-compile"]
    assert command[-4:] == ["--title", report.ROWS[2][0], "--json", str(tmp_path / "rows.jsonl")]
    Done.returncode = 7
    assert run(report.main, ["--row", "1", *places]) == 7


@pytest.mark.parametrize("script", ["train_step", "inference"])
def test_a_small_network_is_measured_also_in_a_process_of_its_own(capsys, tmp_path, script):
    """minivgg alone, with a record that says what was measured."""
    flags = "--against none --model vgg11_bn --size 32 --batch 2 --width 0.05 --head linear --rounds 2 --steps 1 --title small --json"
    assert run(SCRIPTS[script].main, [*flags.split(), str(tmp_path / "rows.jsonl")]) == 0
    (made,) = report.newest(tmp_path / "rows.jsonl").values()
    assert made["title"] == "small" and made["job"]["width"] == 0.05 and made["gemm_gflops"] > 0
    found = made["contenders"]["minivgg"]
    assert len(found["seconds"]) == 2 and min(found["seconds"]) > 0 and found["alone"]["peak"] > found["alone"]["before"] > 0
    assert "minivgg" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("op", "shape"),
    [("conv", "2x4x4x3"), ("bn_relu", "2x3x4"), ("pool", "2x3x4"), ("linear", "2x3x4"), ("sgd", "30x7"), ("cross_entropy", "4x3")],
)
def test_every_op_is_measured_on_a_shape(capsys, op, shape):
    """A line for each phase, with the time and the rate."""
    assert run(ops.main, ["--against", "none", "--only", op, "--shape", shape, "--rounds", "1", "--steps", "1"]) == 0
    _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [op] * (1 if op in {"sgd", "cross_entropy"} else 2)
    assert all("GF/s" in line if op in {"conv", "linear"} else "GB/s" in line for line in lines)


def test_waits_are_those_of_next(monkeypatch):
    """A loader that takes 2 s for the first batch and 1 s for another, in a loop that works 10 s on each."""
    now = [0.0]

    class Loader:
        def __len__(self):
            return 2

        def epoch(self, epoch, start):
            for seconds in (2.0, 1.0):
                now[0] += seconds
                yield seconds
            now[0] += 0.5

    loader = data_wait.WaitedFor(Loader(), clock=lambda: now[0])
    for _ in loader.epoch(0):
        now[0] += 10.0
    assert loader.waits == [2.0, 1.0, 0.5] and len(loader) == 2
    said = data_wait.line(1, loader.waits, 23.5)
    assert said.startswith(
        "1 loader thread: 3.500 of 23.50 s (14.9%) spent waiting for 2 batches, 1750.00 ms each; the first took 2000.0 ms"
    )


def test_data_wait_trains_an_epoch_with_each_number_of_threads(capsys, tmp_path, monkeypatch):
    """On 40 images, and leaves nothing behind."""
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 255, (40, 32, 32), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", x_train=images, y_train=np.arange(40) % 2)
    assert run(data_wait.main, ["--data", "images.npz", "--width", "0.02", "--batch-size", "9", "--workers", "0,2"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("0 loader threads") and second.startswith("2 loader threads") and "for 4 batches" in first
    assert [path.name for path in tmp_path.iterdir()] == ["images.npz"]
