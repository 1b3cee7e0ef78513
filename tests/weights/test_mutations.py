"""Readers of weights on thousands of damaged files: a result or one line, in little time and memory, and nothing run."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from .fuzz import FORMATS, ROOT, campaign
from .mutations import mutated
from .sample_arrays import samples

COUNT = 2000


@pytest.mark.parametrize("name", FORMATS)
def test_mutated_files_are_read_or_refused_in_a_line(name: str, tmp_path: Path) -> None:
    """2,000 of each format: no other exception, crash, hang, file written, module loaded or memory beyond twice the file and 32 MB; and of
    this package's own format, nothing but the very network that was written."""
    result = campaign(name, COUNT, seed=0, folder=tmp_path)
    assert not result.failures, result.failures[:5]
    assert result.refused > COUNT / 2


def test_a_file_is_made_from_its_seed_and_index_alone() -> None:
    """The same bytes each time, so that a failure can be looked at; others of another index."""
    contents = [*samples().values()]
    made = [mutated(contents, 1, index) for index in range(50)]
    assert made == [mutated(contents, 1, index) for index in range(50)]
    assert len(set(made)) > 45


WATCHED = """
import pickle, sys
from pathlib import Path
from minivgg.errors import CheckpointError
from tests.weights import watched
watched.SECONDS = 0.2
watched.begin()
def refuse(message):
    raise CheckpointError(message)
def spin(path):
    while True: pass
def swallow(path):
    try: eval("1 + 1")
    except BaseException: pass
READERS = {
    "eval": lambda path: eval("1 + 1"), "swallowed": swallow, "pickle": lambda path: pickle.loads(Path(path).read_bytes()),
    "write": lambda path: Path(path + "x").write_text("x"), "process": lambda path: __import__("os").system("true"),
    "module": lambda path: __import__("this"), "hang": spin, "memory": lambda path: bytearray(40 << 20),
    "other": lambda path: {}["x"], "lines": lambda path: refuse(path + ": a" + chr(10) + "b"), "no path": lambda path: refuse("bad"),
    "right": lambda path: refuse(path + ": bad"), "fine": lambda path: 1,
}
for name, read in READERS.items():
    try: watched.watch(read, Path(sys.argv[1])); print(name, "passed")
    except watched.FindingError as finding: print(name, str(finding).split(":")[0])
"""


def test_the_watch_notices_what_no_reader_may_do(tmp_path: Path) -> None:
    """Planted readers: each kind of wrong-doing is found, even where it is hidden by `except`, and what is allowed is not."""
    path = tmp_path / "x.pickle"
    path.write_bytes(pickle.dumps(os.getcwd))
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run([sys.executable, "-c", WATCHED, str(path)], cwd=ROOT, capture_output=True, text=True, check=True, env=environment)
    found = dict(line.rsplit(" ", 1) if line.endswith("passed") else line.split(" ", 1) for line in done.stdout.splitlines())
    forbidden = {name for name, text in found.items() if text == "a forbidden event"}
    assert forbidden == {"eval", "swallowed", "pickle", "write", "process", "module"}
    assert found["hang"] == "a hang" and found["memory"] == "memory" and found["other"] == "KeyError"
    assert found["right"] == found["fine"] == "passed"
    assert done.stdout.count("a message that is not one line which begins with the path") == 2
    assert list(tmp_path.iterdir()) == [path]


def test_a_crash_is_found_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that dies at file 3 of 6: it is named, the others are read, and the file is kept."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys, minivgg.weights\nload = sys.modules['minivgg.weights.load']\nread = load.read_npz\n"
        "def dying(file, path):\n    if path.endswith('/3.npz'): os.abort()\n    return read(file, path)\n"
        "load.READERS['.npz'] = dying\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    result = campaign("npz", 6, seed=0, folder=tmp_path / "failures")
    assert [(index, where) for index, where, _ in result.failures if where == "process"] == [(3, "process")]
    assert "npz-0-3.npz" in {path.name for path in (tmp_path / "failures").iterdir()}
