"""`fetch`: a published file into a folder, whole and right, or not at all.

While it is under way it is FILE.part, with what the server said of it in FILE.part.json: its ETag and its length. A later call, after a cut
connection, Ctrl-C or a full disk, asks for the rest by

    Range: bytes=N-        from byte N on
    If-Range: "ETag"       but for the whole, if the file is not the same any more

and gets 206 with the rest, or 200 with the whole. Without an ETag that names the very bytes (a weak one begins with W/) it begins anew. At
the end the SHA-256 of the whole is compared, and the file takes its name in one step. See RFC 9110, §13.1.5 and §14.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import os
import re
import shutil
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import CheckpointError, StorageError
from ..files import take_over, write_atomically
from .published import PUBLISHED, Published
from .web import Web

__all__ = ["fetch", "is_right"]

_MOST = 1_000_000_000  # bytes; VGG-19 has 575 million
_PIECE = 1 << 18  # bytes
_WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before each further try
_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # what may be otherwise in a moment
_FULL = {errno.ENOSPC, errno.EDQUOT}

Progress = Callable[[int, int | None], None]


class _CutError(Exception):
    """The connection, or the server, failed in a way that another try may mend."""


@dataclass(frozen=True)
class _Fetch:
    """One file on its way. `progress` is told the bytes that are here and those of the whole, if known; `say` what goes wrong."""

    entry: Published
    folder: Path
    web: Web
    progress: Progress
    say: Callable[[str], None]
    most: int

    @property
    def part(self) -> Path:
        return self.folder / f"{self.entry.file}.part"

    @property
    def about(self) -> Path:
        return self.folder / f"{self.entry.file}.part.json"


def is_right(path: Path, entry: Published) -> bool:
    """Whether there is a file at `path` with the SHA-256 of the published one."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest().startswith(entry.digits)
    except OSError:
        return False


def fetch(
    entry: Published,
    folder: Path,
    *,
    web: Web | None = None,
    progress: Progress = lambda here, total: None,
    say: Callable[[str], None] = lambda text: None,
    wait: Callable[[float], None] = time.sleep,
    most: int = _MOST,
) -> Path:
    """The path of the file in `folder`, made if need be; fetched unless it is there and right. A cut connection is tried again five times.

    `web`: what may be opened, by default https on the hosts of PUBLISHED. `most`: bytes that a file may have.
    Raises CheckpointError if what was fetched has another SHA-256, and leaves nothing of it; StorageError without a network, for an answer
    that makes no sense, or on a full disk, and keeps what may be gone on with.
    """
    web = web or Web(frozenset(str(urlsplit(known.address).hostname) for known in PUBLISHED.values()))
    job = _Fetch(entry, folder, web, progress, say, most)
    target = folder / entry.file
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder, say):
            if is_right(target, entry):
                say(f"{target} is here already, with the right SHA-256")
                return target
            if target.exists():
                say(f"{target} is damaged (its SHA-256 does not begin with {entry.digits}): it is fetched anew")
            _whole(job, wait)
            if not is_right(job.part, entry):
                _forget(job)
                raise CheckpointError(
                    f"{target}: what {entry.address} sent has another SHA-256 than {entry.digits}…: it was damaged on the way, or is "
                    "another file. It is deleted; try again."
                )
            take_over(job.part, target)
            _forget(job)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        remedy = "Free some space" if error.errno in _FULL else "Check the folder and its permissions"
        raise StorageError(f"cannot write {job.part}: {error.strerror or error}. {remedy}; the same command then goes on.") from None
    return target


def _whole(job: _Fetch, wait: Callable[[float], None]) -> None:
    """Try until the .part is whole."""
    for seconds in (*_WAITS, None):
        try:
            _try(job)
            return
        except _CutError as cut:
            if seconds is None:
                raise StorageError(
                    f"{job.entry.address}: cannot be fetched ({cut}). Try again later, the same command goes on; or fetch it elsewhere and "
                    f"put it into {job.folder} as {job.entry.file}: its SHA-256 begins with {job.entry.digits}."
                ) from None
            job.say(f"{cut}; trying again in {seconds:g} s")
            wait(seconds)


def _try(job: _Fetch) -> None:
    """Ask for what is missing, and append it. Raises _CutError if it is not all."""
    here, etag, total = _state(job)
    if total is not None and here == total:
        return
    headers = {"Range": f"bytes={here}-", "If-Range": etag} if here else {}
    with _answer(job, headers) as answer:
        if answer.status == 206 and here:
            found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            same = found and (int(found[1]), int(found[3])) == (here, total) and answer.headers.get("ETag", etag) == etag
        else:
            same = False
        if answer.status == 416 or (answer.status == 206 and not same):
            _forget(job)
            raise _CutError("the file is not the one that was begun")
        if answer.status not in {200, 206}:
            reason = f"the server answers {answer.status} {answer.reason}"
            if answer.status in _PASSING:
                raise _CutError(reason)
            raise StorageError(f"{job.entry.address}: {reason}. Nothing was fetched.")
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise StorageError(f"{job.entry.address}: comes encoded, as was not asked for. Nothing was fetched.")
        if not same:
            _forget(job)
            length = answer.headers.get("Content-Length", "")
            here, total = 0, int(length) if re.fullmatch(r"\d{1,15}", length) else None
            etag = answer.headers.get("ETag", "")
        _require_room(job, here, total)
        if not same and total is not None and re.fullmatch(r'"[\x21\x23-\x7e]*"', etag):
            write_atomically(job.about, json.dumps({"etag": etag, "total": total}))
        _append(job, answer, here, total)


@contextmanager
def _answer(job: _Fetch, headers: dict[str, str]) -> Iterator[Any]:
    """The server's answer, closed afterwards. Raises _CutError if there is none."""
    try:
        answer = job.web.open(job.entry.address, headers)
    except StorageError:
        raise
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise StorageError(f"{job.entry.address}: the server's certificate is not valid ({reason}). Nothing was fetched.") from None
        raise _CutError(f"no connection: {reason or type(error).__name__}") from None
    with answer:
        yield answer


def _state(job: _Fetch) -> tuple[int, str, int | None]:
    """(bytes here, ETag, bytes of the whole) of what was begun; (0, "", None) if it cannot be gone on with."""
    with suppress(OSError, ValueError, LookupError, TypeError):
        about = json.loads(job.about.read_text(encoding="utf-8"))
        here, etag, total = job.part.stat().st_size, about["etag"], about["total"]
        if isinstance(etag, str) and isinstance(total, int) and 0 < here <= total:
            return here, etag, total
    _forget(job)
    return 0, "", None


def _forget(job: _Fetch) -> None:
    job.part.unlink(missing_ok=True)
    job.about.unlink(missing_ok=True)


def _require_room(job: _Fetch, here: int, total: int | None) -> None:
    """Raise StorageError for a file beyond the limit, or beyond the disk."""
    if total is not None and total > job.most:
        raise StorageError(f"{job.entry.address}: has {total:,} bytes, but the limit is {job.most:,}. Nothing was fetched.")
    free = shutil.disk_usage(job.folder).free
    if total is not None and free < total - here:
        raise OSError(errno.ENOSPC, f"{total - here:,} bytes are needed, {free:,} are free")


def _append(job: _Fetch, answer: Any, here: int, total: int | None) -> None:
    """Write the answer's body behind the `here` bytes. Raises _CutError if it ends before `total`, StorageError if it goes on after it."""
    most = job.most if total is None else total
    with job.part.open("ab") as file:
        job.progress(here, total)
        while piece := _read(answer):
            here += len(piece)
            if here > most:
                file.close()
                _forget(job)
                raise StorageError(f"{job.entry.address}: sends more than {most:,} bytes. What was fetched is deleted.")
            file.write(piece)
            job.progress(here, total)
    if total is not None and here < total:
        raise _CutError(f"the connection was cut after {here:,} of {total:,} bytes")


def _read(answer: Any) -> bytes:
    try:
        return bytes(answer.read(_PIECE))
    except (OSError, http.client.HTTPException) as error:
        raise _CutError(f"the connection was cut ({error or type(error).__name__})") from None


@contextmanager
def _alone(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Wait until no other process fetches into the folder, and keep others out. Where there are no such locks, on Windows, two processes
    at once disturb each other's .part, which the SHA-256 then refuses."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process is fetching into {folder}: waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
