"""The house is built as the design says: directions, sizes, names, docstrings, types, and kernels that can be deleted."""

from __future__ import annotations

import ast
import importlib
import io
import os
import shutil
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

import minivgg

PACKAGE = Path(minivgg.__file__).parent
ROOT = PACKAGE.parent
FILES = sorted(PACKAGE.rglob("*.py"))
every_file = pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command in the repository, with its output."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment}, check=False)


@pytest.mark.parametrize(
    "command",
    [("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",), ("lint-imports", "--no-cache")],
    ids=["lint", "format", "types", "imports"],
)
def test_tools_find_nothing(command: tuple[str, ...]) -> None:
    """The linter, the formatter, mypy in strict mode and the import contracts are all content."""
    tool = Path(sys.executable).parent / command[0]
    result = run(str(tool), *command[1:])
    assert result.returncode == 0, result.stdout + result.stderr


@every_file
def test_a_room_is_small(path: Path) -> None:
    """At most 300 lines a file; and, so that brevity is not bought with density, at most 2,600 tokens without docstrings and
    comments a file and 75 a line."""
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: dict[int, int] = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        docstring = token.type == tokenize.STRING and token.string.startswith('"""')
        if token.type not in skipped and not docstring:
            lines[token.start[0]] = lines.get(token.start[0], 0) + 1
    assert sum(lines.values()) <= 2600
    assert max(lines.values(), default=0) <= 75


def test_the_engine_is_small() -> None:
    """The whole of autograd, its prose included, is under 1,000 lines; the sweep is in one file under 220."""
    assert sum(len(p.read_text().splitlines()) for p in (PACKAGE / "autograd").glob("*.py")) < 1000
    assert len((PACKAGE / "autograd" / "core.py").read_text().splitlines()) < 220


def test_no_room_without_a_name() -> None:
    """No file is called utils, helpers, misc or common."""
    assert not [p for p in FILES if p.stem in {"util", "utils", "helper", "helpers", "misc", "common"}]


@every_file
def test_public_names_are_listed_and_explained(path: Path) -> None:
    """Every module has a docstring; `__all__` is true; what it lists and the file defines has a docstring."""
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    if path.name == "__main__.py":
        return
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", [])
    assert len(set(listed)) == len(listed)  # their order is the linter's affair
    assert all(hasattr(module, n) for n in listed)
    if path.name != "__init__.py":
        assert "__all__" in vars(module)
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in listed:
            assert ast.get_docstring(node), f"{name}.{node.name}"


def test_ops_do_not_mention_a_device() -> None:
    """No op knows NumPy from CuPy: none imports the other library, asks for a device or compares the array module."""
    for path in (PACKAGE / "ops").glob("*.py"):
        text = path.read_text()
        assert "cupy" not in text.lower().replace("cupy arrays", ""), path
        assert "Device(" not in text, path
        assert " is np" not in text and "__name__ ==" not in text, path


def test_deleting_the_kernels_leaves_everything_working(tmp_path: Path) -> None:
    """A copy of the package without `fast/` computes a training step with the same loss and, within rounding, gradients."""
    shutil.copytree(PACKAGE, tmp_path / "minivgg", ignore=shutil.ignore_patterns("fast", "__pycache__"))
    script = (
        "import numpy as np, minivgg as mv\n"
        "from minivgg import models, ops\n"
        "m = models.vgg11_bn(num_classes=3, image_size=32, width=0.0625, head='linear')\n"
        "x = np.random.default_rng(0).standard_normal((4, 3, 32, 32)).astype('float32')\n"
        "loss = ops.cross_entropy(m(mv.Tensor(x)), np.array([0, 1, 2, 0]))\n"
        "loss.backward()\n"
        "print(mv.__file__, loss.item(), sum(float(np.abs(p.grad).sum()) for p in m.parameters()))\n"
    )
    results = []
    for folder in (tmp_path, ROOT):
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=folder,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(folder)},
            check=True,
        )
        file, *numbers = done.stdout.split()
        assert Path(file).is_relative_to(folder)
        results.append([float(n) for n in numbers])
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-6)
    assert results[0][1] == pytest.approx(results[1][1], rel=1e-3)


def test_help_does_not_wait_for_numpy() -> None:
    """`minivgg --help` imports neither NumPy nor rich nor Pillow: it starts in the time of Python and click."""
    script = "import sys; sys.argv = ['minivgg', '--help']\nimport minivgg.cli\ntry: minivgg.cli.main()\nexcept SystemExit: pass\n"
    script += "print(sorted({'numpy', 'rich', 'PIL', 'safetensors'} & set(sys.modules)), file=sys.stderr)"
    done = run(sys.executable, "-c", script)
    assert done.stderr.strip().splitlines()[-1] == "[]", done.stderr
    assert "train" in done.stdout


def test_public_names_of_the_package_exist() -> None:
    """Every name in minivgg.__all__ can be imported, and dir() shows it."""
    for name in minivgg.__all__:
        assert getattr(minivgg, name) is not None
    assert set(minivgg.__all__) <= set(dir(minivgg))
    with pytest.raises(AttributeError, match="no attribute 'tensor'"):
        _ = minivgg.tensor
