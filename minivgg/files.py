"""The one writer: a file is either the old one or the whole new one, whatever happens in between.

A temporary file in the same folder is written, flushed and fsynced, renamed over the target, and the
folder is fsynced so that the rename itself survives a power cut. Readers never see half a file, and a
kill at any instant leaves at most a temporary file, which `remove_orphans` sweeps away at the next start.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from .errors import ConfigError, StorageError

__all__ = ["remove_orphans", "require_outside", "take_over", "write_atomically"]

_SUFFIX = ".partial"
_FULL = {errno.ENOSPC, errno.EDQUOT}


def write_atomically(path: str | Path, content: bytes | str) -> None:
    """Replace `path` by `content` in one step, keeping the permissions of a file already there.

    Text is encoded as UTF-8. Raises StorageError when the disk is full or the folder cannot be written;
    the old file is then untouched.
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    partial = path.with_name(f".{path.name}.{os.getpid()}{_SUFFIX}")
    try:
        free = shutil.disk_usage(path.parent).free
        if free < len(data):
            raise OSError(errno.ENOSPC, f"{len(data):,} bytes are needed, {free:,} are free", str(path))
        mode = path.stat().st_mode & 0o777 if path.exists() else None
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            partial.chmod(mode)
        partial.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        _discard(partial)
        remedy = "Free some space" if error.errno in _FULL else "Check the folder and its permissions"
        raise StorageError(f"cannot write {path}: {error.strerror or error}. {remedy}; the old file is unchanged.") from None
    except BaseException:  # Ctrl-C in the middle: leave nothing half-written behind
        _discard(partial)
        raise


def take_over(partial: Path, path: Path) -> None:
    """Give the finished file `partial`, of the same folder, the name `path` in one step, its contents safely on the disk before. For files
    that are too large to be written from memory. Raises OSError."""
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(path)
    _sync_folder(path.parent)


def require_outside(what: str, path: str | Path, data: str | Path | None) -> None:
    """Raise ConfigError if `path`, which the option `what` names to be written, is the data set `data`, or lies in its folder.

    A data set is never written to: a picture or a folder of runs among the images would be taken for one of them, or for a class.
    """
    if not data:
        return
    written, source = os.path.realpath(path), os.path.realpath(data)
    if written == source or written.startswith(source.rstrip(os.sep) + os.sep):
        raise ConfigError(f"{what} {path} lies in the data set {data}, which is only ever read. Name a place outside it.")


def remove_orphans(folder: str | Path) -> list[Path]:
    """Delete what killed writers left in `folder`, and return the paths."""
    orphans = sorted(Path(folder).glob(f".*{_SUFFIX}"))
    for orphan in orphans:
        orphan.unlink(missing_ok=True)
    return orphans


def _discard(partial: Path) -> None:
    with suppress(OSError):  # it is not there, or its folder is none
        partial.unlink()


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there; NTFS journals the rename itself
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
