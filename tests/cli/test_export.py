"""`minivgg export`, from the command line to the file and the exit code."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from minivgg import models, train
from minivgg.cli import run
from minivgg.errors import MinivggError
from minivgg.pretrained import Network, agreement, preparation, save
from minivgg.weights.onnx import IMAGES


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A file of a narrow VGG-11 with batch norm for images of 64 pixels."""
    options = {"num_classes": 3, "in_channels": 3, "image_size": 64, "width": 1 / 16, "head": "paper"}
    arrays = models.vgg11_bn(**options).state_dict()
    save(tmp_path / "net.safetensors", Network("vgg11_bn", options, arrays, ("a", "b", "c"), preparation("torchvision").transform(64)))
    return tmp_path / "net.safetensors"


def line(out: Path, given: str, gives: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Assert that one line was printed, about a file with these shapes."""
    pattern = rf"{re.escape(str(out))}: \d+ nodes, 0\.\d MB, images {given} → {gives}, of random images within \d\.\de-0\d of minivgg's, "
    assert re.fullmatch(pattern + "relative to the largest\n", capsys.readouterr().out)


def test_a_file_of_weights_becomes_an_onnx_file(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line tells nodes, size, shapes and the difference; again, the bytes are the same; the options change the shapes."""
    out = saved.with_name("net.onnx")
    assert run(["export", str(saved), str(out)]) == 0
    line(out, r"\(N, 3, 64, 64\)", r"logits \(N, 3\)", capsys)
    first = out.read_bytes()
    assert run(["export", str(saved), str(out)]) == 0 and out.read_bytes() == first
    capsys.readouterr()
    assert run(["export", str(saved), str(out), "--dense", "--softmax", "--fold", "--include-preparation"]) == 0
    line(out, r"\(N, 3, height, width\)", r"probabilities \(N, 3, rows, columns\)", capsys)
    assert [node.op_type for node in onnx.load(out).graph.node][:3] == ["Sub", "Div", "Conv"]
    assert run(["export", str(saved), str(out), "--image-size", "128"]) == 0
    line(out, r"\(N, 3, 128, 128\)", r"logits \(N, 3\)", capsys)
    assert sorted(path.name for path in saved.parent.iterdir()) == ["net.onnx", "net.safetensors"]


def test_a_run_is_exported_as_it_predicts(tmp_path: Path) -> None:
    """The logits of a run's file are those of its `Predictor`, grey images included."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x_train=rng.integers(0, 256, (24, 28, 28), dtype=np.uint8), y_train=np.arange(24) % 3)
    config = train.TrainConfig(data=str(tmp_path / "d.npz"), width=1 / 16, epochs=1, batch_size=8, out=str(tmp_path), device="cpu")
    folder = train.train(config).folder
    assert run(["export", str(folder), str(tmp_path / "run.onnx"), "--best"]) == 0
    predictor = train.Predictor.load(folder, best=True, device="cpu")
    images = rng.standard_normal((2, 32, 32, 1), dtype=np.float32)
    found = agreement.scores_of((tmp_path / "run.onnx").read_bytes(), images.transpose((0, 3, 1, 2)))
    assert found is not None and IMAGES == "images"
    assert np.abs(found - predictor.scores(images)).max() <= 1e-5 * np.abs(found).max()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["net.onnx2"], "OUT must name an .onnx file"),
        (["nowhere/net.onnx"], "OUT must name an .onnx file in a folder that exists"),
        (["net.onnx", "--image-size", "small"], '"any", but is'),
        (["net.onnx", "--image-size", "any"], "2×2 cells"),
        (["net.onnx", "--image-size", "72"], ""),
        (["net.onnx", "--image-size", "100"], "2×2 cells of a map of 3×3"),
        (["net.onnx", "--image-size", "16"], "larger image"),
        ([""], "OUT is empty"),
    ],
)
def test_wrong_usage_writes_nothing(
    saved: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 2 with what to do, and no file."""
    monkeypatch.chdir(saved.parent)
    code = run(["export", str(saved), *arguments])
    assert code == (2 if message else 0)
    assert message in capsys.readouterr().err
    assert Path("net.onnx").exists() == (code == 0)


def test_the_input_is_not_overwritten(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """OUT may not be RUN, under another name either."""
    link = saved.with_name("same.onnx")
    link.symlink_to(saved)
    before = saved.read_bytes()
    assert run(["export", str(saved), str(link)]) == 2
    assert "OUT is RUN itself" in capsys.readouterr().err and saved.read_bytes() == before


def test_a_file_that_disagrees_is_not_written(saved: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 1 where ONNX Runtime's scores are others, and the old file stays."""
    out = saved.with_name("net.onnx")
    out.write_bytes(b"old")
    true = agreement.scores_of
    monkeypatch.setattr(agreement, "scores_of", lambda content, images: np.asarray(true(content, images)) * 1.001)
    assert run(["export", str(saved), str(out)]) == MinivggError.exit_code
    assert "Nothing was written" in capsys.readouterr().err and out.read_bytes() == b"old"


def test_missing_packages_are_said(saved: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without onnxruntime the line says that nothing was compared; without onnx the error names the extra."""
    out = saved.with_name("net.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert run(["export", str(saved), str(out)]) == 0
    assert "not compared with minivgg's: onnxruntime is not installed" in capsys.readouterr().out
    out.unlink()
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert run(["export", str(saved), str(out)]) == 2
    assert "pip install 'minivgg[onnx]'" in capsys.readouterr().err and not out.exists()
