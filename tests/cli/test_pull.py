"""`minivgg pull`, from the command line to the exit code, against a server on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from minivgg.cli import run
from minivgg.pretrained import fetching, published
from minivgg.pretrained.published import PUBLISHED
from minivgg.pretrained.web import Web

from ..pretrained.flaky_server import Served, serving

CONTENT = b"weights" * 1000


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server of CONTENT as vgg16, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    found = Served(CONTENT)
    with serving(found) as address:
        digits = hashlib.sha256(CONTENT).hexdigest()[:8]
        entry = published.Published("vgg16", f"{address}/vgg16-{digits}.pth", digits)
        monkeypatch.setitem(PUBLISHED, "vgg16", entry)
        web = Web(frozenset({"127.0.0.1"}), frozenset({"http"}))
        fetch = fetching.fetch
        monkeypatch.setattr(fetching, "fetch", lambda *a, **k: fetch(*a, **k, web=web, wait=lambda _: None))
        yield found


def test_the_path_goes_to_stdout(served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fetched, then here already; --folder puts it elsewhere; --list tells what is here."""
    path = tmp_path / "minivgg" / PUBLISHED["vgg16"].file
    for said in ("", "here already"):
        assert run(["pull", "vgg16"]) == 0
        out, err = capsys.readouterr()
        assert out == f"{path}\n" and said in err and path.read_bytes() == CONTENT
    assert run(["pull", "vgg16", "--folder", str(tmp_path / "other")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'other' / path.name}\n"
    assert run(["pull", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8 and [line.split()[0] for line in lines if " here " in line] == ["vgg16"]


def test_what_goes_wrong_has_its_exit_code(served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown name or no name 2, a wrong SHA-256 4, a server without the file 6; nothing is in the cache after any of them."""
    assert run(["pull", "vgg17"]) == 2 and "did you mean vgg1" in capsys.readouterr().err
    assert run(["pull"]) == 2 and run(["pull", "vgg16", "--list"]) == 2 and run(["pull", ""]) == 2
    served.content = CONTENT[:-1] + b"x"
    assert run(["pull", "vgg16"]) == 4
    served.statuses = [404]
    assert run(["pull", "vgg16"]) == 6
    assert [*(tmp_path / "minivgg").iterdir()] == []
    assert "Traceback" not in capsys.readouterr().err


def test_ctrl_c_says_that_the_part_is_kept(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 130, after a line about what is there."""
    fetch = fetching.fetch

    def interrupted(*arguments: object, **options: object) -> None:
        fetch(*arguments, **{**options, "progress": stop})

    def stop(here: int, total: int | None) -> None:
        if here:
            raise KeyboardInterrupt

    monkeypatch.setattr(fetching, "fetch", interrupted)
    assert run(["pull", "vgg16"]) == 130 and "the same command goes on" in capsys.readouterr().err


def test_weights_by_name_that_are_not_here_name_the_command(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """predict with a published name: exit code 4, and the command to fetch it."""
    assert run(["predict", "vgg19_bn", "cat.jpg"]) == 4
    assert "`minivgg pull vgg19_bn` fetches it" in capsys.readouterr().err
