"""The commands through real processes: exit codes, stdout and stderr, and no traceback for a user's mistake."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
TINY = ["--width", "0.0625", "--epochs", "1", "--batch-size", "16", "--lr", "0.02"]


def environment(**changes):
    """A plain environment: no colours asked for, one thread for BLAS."""
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1", "COLUMNS": "200", **changes}


def minivgg(*arguments, cwd, **changes):
    """Run a command to its end."""
    command = [sys.executable, "-W", "error", "-m", "minivgg.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment(**changes), check=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with tiny data: 96 noisy images of three classes to train, 30 to test."""
    folder = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (126, 28, 28), dtype=np.uint8)
    labels = np.arange(126) % 3
    classes = np.array(["cat", "dog, old", "ü"])
    np.savez(folder / "d.npz", x_train=images[:96], y_train=labels[:96], x_test=images[96:], y_test=labels[96:], classes=classes)
    Image.fromarray(images[0]).save(folder / "a.png")
    return folder


@pytest.fixture(scope="module")
def run(place):
    """A finished run in that folder, and what its command printed."""
    done = minivgg("train", "d.npz", *TINY, cwd=place)
    assert done.returncode == 0, done.stderr
    (folder,) = (place / "runs").iterdir()
    return folder, done


def test_training_prints_results_on_stdout_and_the_rest_on_stderr(run):
    """stdout has two lines of results; stderr the table of epochs, without escape codes."""
    folder, done = run
    lines = done.stdout.splitlines()
    assert lines[0].startswith("validation accuracy 0.") and lines[1].startswith("test accuracy 0.") and lines[1].endswith("/30)")
    assert len(lines) == 2 and folder.name in done.stderr and "train loss" in done.stderr and "\x1b" not in done.stderr
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        "best.safetensors", "classes.json", "config.toml", "env.json", "last.safetensors", "metrics.csv", "metrics.jsonl",
    ]  # fmt: skip


def test_evaluate_repeats_the_runs_own_test_result(run, place):
    """For the folder, and for its checkpoint file; as text and as JSON."""
    folder, done = run
    text = minivgg("evaluate", folder, cwd=place)
    assert text.stdout.splitlines()[0] == done.stdout.splitlines()[1]
    found = json.loads(minivgg("evaluate", folder / "checkpoints/last.safetensors", "d.npz", "--format", "json", cwd=place).stdout)
    assert found["count"] == 30 and f"{found['accuracy']:.4f}" in done.stdout


def test_predict_in_three_formats(run, place):
    """The same ranking as text, JSON and CSV; probabilities fall; awkward class names survive."""
    folder, _ = run
    (entry,) = json.loads(minivgg("predict", folder, "a.png", "--format", "json", cwd=place).stdout)
    names, probabilities = zip(*((p["class"], p["probability"]) for p in entry["predictions"]), strict=True)
    assert sorted(names) == ["cat", "dog, old", "ü"] and sum(probabilities) == pytest.approx(1)
    assert list(probabilities) == sorted(probabilities, reverse=True)
    rows = list(csv.DictReader(io.StringIO(minivgg("predict", folder, "a.png", "--format", "csv", cwd=place).stdout)))
    assert [row["class"] for row in rows] == list(names) and [row["rank"] for row in rows] == ["1", "2", "3"]
    text = minivgg("predict", folder, "a.png", "--top", "1", cwd=place).stdout.splitlines()
    assert text == ["a.png", f"  {probabilities[0]:.4f}  {names[0]}"]


def test_dry_run_writes_nothing(place):
    """Everything is built and one step computed, but no folder appears."""
    done = minivgg("train", "d.npz", *TINY, "--dry-run", "--out", "dry", cwd=place)
    assert done.returncode == 0 and "Nothing was written" in done.stdout and not (place / "dry").exists()


def test_flags_override_the_file(place):
    """--config sets the batch size, a flag overrides its number of epochs; config.toml says both."""
    (place / "c.toml").write_text('batch_size = 8\nepochs = 3\nmodel = "vgg11"\n')
    flags = ["--width", "0.0625", "--no-mirror"]
    done = minivgg("train", "d.npz", "--config", "c.toml", "--epochs", "1", *flags, "--out", "file", "--quiet", cwd=place)
    assert done.returncode == 2  # there is no --quiet
    done = minivgg("train", "d.npz", "--config", "c.toml", "--epochs", "1", *flags, "--out", "file", cwd=place)
    text = next((place / "file").glob("*/config.toml")).read_text()
    assert done.returncode == 0 and "batch_size = 8\n" in text and "epochs = 1\n" in text and "mirror = false\n" in text


def test_resume_of_a_finished_run_says_so(run, place):
    """auto and the folder's name: nothing is trained, the results are printed again."""
    folder, done = run
    for arguments in (["d.npz", *TINY, "--resume"], ["--resume", folder], ["--resume", folder, "--workers", "0"]):
        again = minivgg("train", *arguments, cwd=place)
        assert again.returncode == 0 and "is finished" in again.stderr and again.stdout == done.stdout


MISTAKES = {
    "unknown command": (["trian"], 2, "did you mean train"),
    "unknown flag": (["train", "--epoch", "3"], 2, "--epochs"),
    "wrong type": (["train", "--lr", "fast"], 2, "--lr"),
    "out of range": (["train", "--momentum", "2"], 2, "momentum must be"),
    "unknown model": (["train", "--model", "vgg12"], 2, "did you mean vgg"),
    "unknown model to summarise": (["summary", "vgg"], 2, "did you mean vgg"),
    "unknown device": (["train", "--device", "tpu"], 2, 'unknown device "tpu"'),
    "no such configuration": (["train", "--config", "none.toml"], 2, "none.toml"),
    "nothing to resume": (["train", "--resume", "none"], 2, "not a run folder"),
    "other choices on resuming": (["train", "--resume", "RUN", "--lr", "3"], 2, "begun with lr"),
    "missing data": (["train", "none.npz"], 3, "none.npz"),
    "empty data": (["train", "empty.npz"], 3, "empty.npz"),
    "data without labels": (["train", "unlabeled.npz"], 3, "unlabeled"),
    "an image that is none": (["predict", "RUN", "d.npz"], 3, "d.npz"),
    "missing image": (["predict", "RUN", "a.png", "none.png"], 3, "none.png"),
    "missing checkpoint": (["evaluate", "none.safetensors"], 4, "none.safetensors"),
    "damaged checkpoint": (["evaluate", "damaged.safetensors"], 4, "damaged.safetensors"),
    "foreign checkpoint": (["predict", "d.npz", "a.png"], 4, "d.npz"),
    "divergence": (["train", "d.npz", *TINY, "--lr", "1e30", "--schedule", "constant", "--out", "nan"], 5, "step 1"),
    "a file in the place of a folder": (["train", "d.npz", *TINY, "--out", "d.npz"], 6, "d.npz"),
    "out of memory": (["summary", "vgg16", "--width", "1e4"], 6, "out of memory"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_with_its_own_exit_code(run, place, name):
    """One line that names the culprit, on stderr; nothing on stdout; no traceback unless it is asked for."""
    folder, _ = run
    content = bytearray((folder / "checkpoints" / "last.safetensors").read_bytes())
    content[-100] ^= 1
    (place / "damaged.safetensors").write_bytes(content)
    (place / "empty.npz").write_bytes(b"")
    np.savez(place / "unlabeled.npz", x_train=np.zeros((4, 28, 28), np.uint8))
    arguments, code, text = MISTAKES[name]
    done = minivgg(*[str(folder) if a == "RUN" else a for a in arguments], cwd=place)
    assert done.returncode == code, done.stderr
    assert text in done.stderr and done.stdout == "" and "Traceback" not in done.stderr


@pytest.mark.parametrize(("flags", "changes"), [(["--debug"], {}), ([], {"MINIVGG_DEBUG": "1"})])
def test_a_traceback_on_request(place, flags, changes):
    """--debug after the command, or the variable: the same error and exit code, with its traceback."""
    done = minivgg("train", "none.npz", *flags, cwd=place, **changes)
    assert done.returncode == 3 and "Traceback" in done.stderr and "none.npz" in done.stderr


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_resuming_is_exact(place, signum, code):
    """Sent once training has begun: exit 130 or 143, "saved" on stderr; the resumed run ends with the uninterrupted one's bits."""
    out = f"signal-{signum}"
    arguments = ["train", "d.npz", *TINY, "--epochs", "12", "--checkpoint-every", "0"]
    command = [sys.executable, "-m", "minivgg.cli", *arguments, "--out", out]
    process = subprocess.Popen(command, cwd=place, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment())
    for line in process.stderr:
        if "   1/12" in line:
            break
    time.sleep(0.05)
    process.send_signal(signum)
    _, rest = process.communicate()
    assert process.returncode == code and "is saved" in rest and "Traceback" not in rest
    assert minivgg(*arguments, "--out", out, "--resume", cwd=place).returncode == 0
    whole = next((place / "whole").glob("*/checkpoints/last.safetensors"), None) if (place / "whole").exists() else None
    if whole is None:
        assert minivgg(*arguments, "--out", "whole", cwd=place).returncode == 0
        whole = next((place / "whole").glob("*/checkpoints/last.safetensors"))
    assert next((place / out).glob("*/checkpoints/last.safetensors")).read_bytes() == whole.read_bytes()


def test_killed_at_random_moments_and_resumed(place):
    """scripts/kill_test with two kills: SIGKILL, --resume auto, the same bytes as without."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "kill_test", "--kills", "2", "--seed", "5"],
        capture_output=True, text=True, cwd=place, env=environment(), check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "2 of 2" in done.stdout, done.stdout + done.stderr


def test_a_closed_pipe_is_no_error(run, place):
    """`minivgg summary vgg11 | true` says nothing on stderr and ends well."""
    line = f"{sys.executable} -m minivgg.cli summary vgg11 --width 0.1 --image-size 32"
    done = subprocess.run(
        ["bash", "-c", f"({line}; echo rc=$? >&2) | true"], cwd=place, capture_output=True, text=True, env=environment(), check=False
    )
    assert done.stderr.strip() == "rc=0"


def test_summary_draws_and_counts(place):
    """The paper's 133 million parameters of vgg11 are in the table, and the drawing stands above it."""
    done = minivgg("summary", "vgg11", cwd=place)
    assert done.returncode == 0 and "132,863,336" in done.stdout and "block 5" in done.stdout


def test_check_tells_right_from_wrong(place):
    """A sound model: exit 0 and "ok". With one rule halved: exit 7 and "WRONG"."""
    arguments = ["check", "vgg11", "--coordinates", "6", "--directions", "1"]
    done = minivgg(*arguments, cwd=place)
    assert done.returncode == 0 and done.stdout.startswith("ok")
    script = (
        "from minivgg.ops.linear import Linear\nfrom minivgg.cli import main\ntrue = Linear.grad_w\n"
        "import functools\nhalf = functools.wraps(true)(lambda *a, **k: true(*a, **k) * 0.5)\nLinear.grad_w = half\n"
        f"main({[*arguments[:3], '60', *arguments[4:]]!r})\n"
    )
    env = environment(MINIVGG_REFERENCE="1")
    wrong = subprocess.run([sys.executable, "-c", script], cwd=place, capture_output=True, text=True, env=env, check=False)
    assert wrong.returncode == 7 and wrong.stdout.startswith("WRONG"), wrong.stderr


def test_help_and_version_need_no_numpy(place):
    """--help and --version of the group import neither NumPy nor rich; each command has a help of its own."""
    for flag in ("--help", "--version"):
        script = (
            f"import sys\nfrom minivgg.cli import run\ncode = run([{flag!r}])\nprint(code, {{'numpy', 'rich', 'PIL'}} & set(sys.modules))"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=place, check=True)
        assert done.stdout.splitlines()[-1] == "0 set()"
    for command in ("train", "evaluate", "predict", "summary", "check"):
        done = minivgg(command, "--help", cwd=place)
        assert done.returncode == 0 and done.stdout.startswith(f"Usage: minivgg {command}")


def test_a_terminal_gets_a_bar_and_no_colour_is_honoured(place):
    """On a pseudo-terminal there is a bar with loss, accuracy and images/s; with NO_COLOR no colour code is sent."""
    import pty

    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "minivgg.cli", "train", "d.npz", *TINY, "--epochs", "4", "--out", "tty"]
    env = environment(NO_COLOR="1", TERM="xterm")
    process = subprocess.Popen(command, cwd=place, stderr=follower, stdout=subprocess.PIPE, env=env)
    os.close(follower)
    seen = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # the other side has closed
            break
        if not part:
            break
        seen += part
    os.close(leader)
    out, _ = process.communicate()
    text = seen.decode()
    assert process.returncode == 0 and b"test accuracy" in out
    assert "images/s" in text and "accuracy" in text and "4/4" in text
    assert "\x1b[3" not in text.replace("\x1b[3A", "") and "\x1b[38" not in text
