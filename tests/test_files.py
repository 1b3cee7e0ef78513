"""The one writer: the file is the old one or the whole new one, and errors are one clear line."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from minivgg.errors import StorageError
from minivgg.files import remove_orphans, write_atomically


def names(folder):
    """What lies in the folder."""
    return sorted(path.name for path in folder.iterdir())


def test_bytes_and_text_arrive_and_nothing_else_is_left(tmp_path):
    """Bytes as they are, text as UTF-8, over an old file or none."""
    path = tmp_path / "a"
    write_atomically(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    write_atomically(str(path), "µ")
    assert path.read_bytes() == b"\xc2\xb5" and names(tmp_path) == ["a"]


def test_permissions_of_the_old_file_are_kept(tmp_path):
    """A file of mode 640 stays one."""
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o640)
    write_atomically(path, "new")
    assert path.stat().st_mode & 0o777 == 0o640 and path.read_text() == "new"


def test_the_bytes_are_on_disk_before_the_rename_and_the_folder_after(tmp_path, monkeypatch):
    """fsync of the file, rename, fsync of the folder, in this order; the target is never opened for writing."""
    events, real_sync, real_rename = [], os.fsync, os.rename
    folder = tmp_path.stat().st_ino

    def sync(descriptor):
        inode = os.fstat(descriptor).st_ino
        events.append("sync folder" if inode == folder else "sync file")
        real_sync(descriptor)

    def replaced(real):
        def rename(source, target, **options):
            events.append("rename")
            assert Path(source).read_bytes() == b"new" and Path(target).read_bytes() == b"old"
            assert Path(source).parent == Path(target).parent
            real(source, target, **options)

        return rename

    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replaced(os.replace))
    monkeypatch.setattr(os, "rename", replaced(real_rename))
    write_atomically(tmp_path / "a", b"new")
    assert events == ["sync file", "rename", "sync folder"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=["full disk", "Ctrl-C"])
def test_a_failure_at_any_step_leaves_the_old_file(tmp_path, monkeypatch, step, failure):
    """A full disk is a StorageError that says so; Ctrl-C goes through; the old file is whole and no other lies there."""
    path = tmp_path / "a"
    path.write_text("old")

    def fail(*arguments, **options):
        raise failure

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(StorageError if isinstance(failure, OSError) else KeyboardInterrupt) as caught:
        write_atomically(path, "new")
    if isinstance(failure, OSError):
        assert str(path) in str(caught.value) and "Free some space" in str(caught.value) and "old file is unchanged" in str(caught.value)
    assert path.read_text() == "old" and names(tmp_path) == ["a"]


def test_a_disk_without_room_is_noticed_before_writing(tmp_path, monkeypatch):
    """The message counts the bytes needed and free."""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(StorageError, match=r"2,000 bytes are needed, 1,000 are free.*Free some space"):
        write_atomically(tmp_path / "a", bytes(2000))
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "place", ["missing/a", "file/a", "folder", "x" * 300, "y" * 250], ids=["no folder", "file as folder", "a folder", "long", "nearly long"]
)
def test_places_that_cannot_be_written_are_storage_errors(tmp_path, place):
    """Whatever the system says becomes one StorageError with the path and a remedy."""
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    before = names(tmp_path)
    with pytest.raises(StorageError, match=r"cannot write .*Check the folder and its permissions"):
        write_atomically(tmp_path / place, b"x")
    assert names(tmp_path) == before


def test_orphans_of_killed_writers_are_removed(tmp_path):
    """Only temporary files of this writer go, and their paths are returned."""
    for name in (".last.safetensors.123.partial", ".metrics.csv.9.partial", "last.safetensors", ".hidden", "a.partial"):
        (tmp_path / name).write_text("")
    assert [path.name for path in remove_orphans(tmp_path)] == [".last.safetensors.123.partial", ".metrics.csv.9.partial"]
    assert names(tmp_path) == [".hidden", "a.partial", "last.safetensors"] and remove_orphans(tmp_path) == []


def test_a_killed_writer_leaves_only_what_orphans_removes(tmp_path):
    """A process that dies in the middle (here: before the rename) leaves the old file and an orphan."""
    path = tmp_path / "a"
    path.write_text("old")
    script = (
        "import os, sys; from minivgg import files; os.replace = os.rename = lambda *a, **k: os._exit(9);"
        "files.write_atomically(sys.argv[1], 'new')"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == 9
    assert path.read_text() == "old" and len(names(tmp_path)) == 2
    assert len(remove_orphans(tmp_path)) == 1 and names(tmp_path) == ["a"]
