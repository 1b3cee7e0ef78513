"""What the commands tell of a card: how long it waits for data, what a step costs, what memory it needs."""

from __future__ import annotations

import re

import pytest

import minivgg
from minivgg import cli, models
from minivgg.data import Loader
from minivgg.train import TrainConfig, measure, throughput
from minivgg.train.throughput import Throughput

from .pretend_cupy import streams

_TINY = ("--width", "0.0625", "--head", "linear")


def test_the_share_of_waiting_is_read_from_events(card, tmp_path, monkeypatch):
    """On the pretend card a millisecond passes between two events, one of them between a step's end and the next one's beginning: the
    card waits half of the time. Images count after the warm-up; nothing is written; the host waits for one event,
    at the end: for the copies that nobody uses."""
    monkeypatch.chdir(tmp_path)
    config = TrainConfig(model="vgg11", width=1 / 16, batch_size=4, device="cuda")
    found = throughput(config, steps=3)
    assert found == Throughput(3, 12, pytest.approx(0.006), pytest.approx(0.003), "cuda:0") and found.waiting == pytest.approx(0.5)
    assert "2000.0 images/s, 2.00 ms a step\n50.0% of the time the device waited for data (1.00 ms a step)" in str(found)
    assert found.delivered > 0 and "\nThe loader alone prepares" in str(found) and "images/s with 1 thread.\n" in str(found)
    assert not list(tmp_path.iterdir()) and streams.waits == [1]


def test_a_run_shorter_than_the_benchmark_is_begun_again(card, monkeypatch):
    """Steps go through as many epochs as they need: with 5 batches an epoch 5 + 8 steps reach the third; then the loader is timed alone."""
    epochs, whole = [], Loader.epoch

    def few(self, number, start=0):
        epochs.append(number)
        return (batch for batch, _ in zip(whole(self, number, start), range(5), strict=False))

    monkeypatch.setattr(Loader, "epoch", few)
    assert throughput(TrainConfig(model="vgg11", width=1 / 16, batch_size=2, device="cuda", workers=0), steps=8).images == 16
    assert epochs == [0, 1, 2, 0]


def test_a_step_is_timed_by_events(card):
    """One millisecond between two marks, so one for each part; the pool's bytes are told, page faults are not."""
    cost = measure(models.vgg11(num_classes=3, image_size=32, width=1 / 16, head="linear"), (2, 3, 32, 32), 3, steps=1, device="cuda")
    assert (cost.forward, cost.backward, cost.update) == pytest.approx((1e-3, 1e-3, 1e-3)) and cost.place == "cuda:0 in fp32"
    assert cost.page_faults is None and cost.taken == card.get_default_memory_pool().total_bytes() > cost.kept > 0
    assert "MiB of the card taken at most" in str(cost) and "page faults" not in str(cost)


def test_summary_needs_no_card(capsys):
    """--device cuda without CuPy: the parts of the peak and their sum; with --memory how many images fit."""
    assert cli.run(["summary", "vgg11", "--image-size", "32", *_TINY, "--device", "cuda", "--batch-size", "16"]) == 0
    table = capsys.readouterr().out.split("A training step of 16 images in fp32 on a card, predicted:\n")[1].splitlines()
    sizes = {
        name: float(size) for line in table if (found := re.fullmatch(r"(.*?)  +([\d.,]+) MiB", line)) for name, size in [found.groups()]
    }
    assert {"parameters", "velocities", "batches on the card", "kept by the graph", "at the peak"} <= set(sizes)
    assert sizes.pop("at the peak") == pytest.approx(sum(sizes.values()), abs=0.3) and "fit" not in table[-1]
    assert cli.run(["summary", "vgg11", "--image-size", "32", *_TINY, "--device", "cuda", "--inference", "--memory", "1.1GB"]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\d+ images fit 1\.1 GB, of which 1\.07 GB are left to driver and libraries\.", last)


def test_explain_needs_no_card(capsys):
    """--explain --device cuda without CuPy: a line for each convolution, with what the card would choose in the precision, and the rule;
    an algorithm that is forced holds, or is refused with the layer."""
    command = ["bench", "vgg16_1x1", "--image-size", "224", "--batch-size", "64", "--explain", "--device", "cuda:1"]
    found = {}
    for precision in ("fp32", "tf32", "fp16"):
        assert cli.run([*command, "--precision", precision]) == 0
        head, *rows, note = capsys.readouterr().out.splitlines()
        assert head.split() == ["layer", "image", "channels", "kernel", "algorithm", "because"] and f"in {precision} on a card" in note
        assert rows[0].split()[:6] == ["features.0", "224×224", "3", "→", "64", "3×3"] and all("  " in row[40:] for row in rows)
        found[precision] = [row.split()[6] for row in rows]
    assert found["fp32"] == ["implicit", *["winograd"] * 5, "im2col", "winograd", "winograd", "im2col", "winograd", "winograd", "im2col"]
    assert found["tf32"] == found["fp16"] == ["implicit"] * 4 + ["im2col"] * 9
    with minivgg.conv_algorithm("implicit"):
        assert cli.run(command) == 2
        error = capsys.readouterr().err
        assert "its kernel is 1×1" in error and "of layer features.14" in error
        assert cli.run(["bench", "vgg11", "--image-size", "32", *_TINY, "--explain", "--device", "cuda", "--precision", "fp16"]) == 0
        assert capsys.readouterr().out.count(" implicit ") == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["summary", "vgg11", "--device", "gpu"], '--device must be cpu, cuda or such as cuda:1, but is "gpu"'),
        (["summary", "vgg11", "--memory", "80GB"], "add --device cuda"),
        (["summary", "vgg11", "--precision", "fp16"], "add --device cuda"),
        (["summary", "vgg11", "--device", "cuda", "--memory", "lots"], "an amount of memory such as"),
        (["summary", "vgg11", "--device", "cuda", "--precision", "fp8"], "fp8"),
        (["bench", "vgg11", "--device", "cuda"], "cannot be used"),
        (["bench", "vgg11", "--precision", "fp16"], "needs a card"),
        (["bench", "vgg11", "--explain", "--precision", "fp16"], "needs a card"),
        (["bench", "vgg11", "--explain", "--device", "cuda", "--precision", "fp8"], "fp8"),
        (["bench", "vgg11", "--explain", "--device", "gpu"], 'unknown device "gpu"'),
        (["train", "--benchmark", "--device", "cpu", "--gpu-memory", "1GB"], "but the device is the CPU"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_arguments_end_with_exit_2(capsys, arguments, message):
    """One line that names the remedy, no traceback."""
    small = [*_TINY, "--image-size", "32"] if arguments[0] != "train" else []
    assert cli.run([*arguments, *small]) == 2
    text = capsys.readouterr().err
    assert message in text and "Traceback" not in text


def test_benchmark_on_the_cpu(capsys, tmp_path, monkeypatch):
    """The command on the CPU, with a clock that ticks once a look: half of the ticks are waits."""
    ticks = iter(range(10**6))
    monkeypatch.setattr("minivgg.backend.clock.time.perf_counter", lambda: next(ticks) / 1e3)
    monkeypatch.setattr(throughput, "__defaults__", (2,))
    monkeypatch.chdir(tmp_path)
    assert (
        cli.run(["train", "--benchmark", "--device", "cpu", "--model", "vgg11", "--width", "0.0625", "--batch-size", "2", "--workers", "0"])
        == 0
    )
    text = capsys.readouterr().out
    assert "2 steps on cpu" in text and "50.0% of the time the device waited for data" in text and not list(tmp_path.iterdir())
