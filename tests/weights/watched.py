"""A reader of files, watched: what it says, how long it takes, what memory, and whether it does what no reader may.

`watch(read, path)` requires a result or a CheckpointError of one line that begins with the path; and that meanwhile no code is run or
compiled, no module loaded, nothing unpickled, no process, socket or library opened, no file written or removed (Python's audit events, see
https://docs.python.org/3/library/audit_events.html).
"""

from __future__ import annotations

import os
import signal
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minivgg.errors import CheckpointError

__all__ = ["FindingError", "Seen", "begin", "watch"]

SECONDS = 5  # of the processor; longer is a hang
PATIENCE = 60  # seconds by the clock, on however busy a machine
MEMORY = 32 << 20  # bytes beyond twice the file's size

_EVENTS = {
    "exec", "compile", "import", "code.__new__", "function.__new__", "pickle.find_class", "marshal.loads", "marshal.load",
    "ctypes.dlopen", "ctypes.dlsym", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.startfile", "os.putenv",
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown", "os.kill",
    "subprocess.Popen", "urllib.Request", "webbrowser.open", "mmap.__new__", "sys.addaudithook", "tempfile.mkstemp", "tempfile.mkdtemp",
}  # fmt: skip
_FAMILIES = ("socket.", "shutil.", "ftplib.", "http.client.", "sqlite3.", "pty.", "smtplib.")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_seen: list[str] = []
_watching = False


class FindingError(Exception):
    """What a reader did and may not do."""


class _Forbidden(BaseException):
    """Raised in the reader at a forbidden event, so that it does not come to pass. No `except Exception` hides it."""


class _Hang(BaseException):
    """Raised in the reader when its time is up."""


@dataclass
class Seen:
    """Of one file: what the reader returned (None where it refused), its message, seconds of the processor, bytes at the peak."""

    value: Any
    message: str
    seconds: float
    memory: int


def begin() -> None:
    """Begin to listen; once in a process, which it slows down. Only in processes made for it: a hook cannot be taken out again."""
    sys.addaudithook(_hook)
    signal.signal(signal.SIGALRM, _ring)
    signal.signal(signal.SIGPROF, _ring)
    tracemalloc.start()


def watch(read: Callable[[str], Any], path: Path) -> Seen:
    """`read(path)`. Raises FindingError for whatever is not allowed."""
    size = path.stat().st_size
    value, message = None, ""
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    started = time.process_time()
    try:
        with _listening():
            value = read(str(path))
    except CheckpointError as error:
        message = str(error)
        if not message.startswith(str(path)) or len(message.splitlines()) != 1 or not message.isprintable() or len(message) > 2000:
            raise FindingError(f"a message that is not one line which begins with the path: {message!r}") from error
    except _Forbidden:
        pass
    except _Hang:
        raise FindingError(f"a hang: more than {SECONDS} seconds") from None
    except BaseException as error:
        if not _seen:
            raise FindingError(f"{type(error).__name__}: {error}") from error
    seconds = time.process_time() - started
    memory = tracemalloc.get_traced_memory()[1] - before
    if _seen:
        raise FindingError(f"a forbidden event: {'; '.join(_seen[:3])}")
    if memory > 2 * size + MEMORY:
        raise FindingError(f"memory: {memory:,} bytes for a file of {size:,}")
    return Seen(value, message, seconds, memory)


@contextmanager
def _listening() -> Iterator[None]:
    global _watching
    _seen.clear()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    _watching = True
    try:
        yield
    finally:
        _watching = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _ring(*_: object) -> None:
    raise _Hang


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    bad = event in _EVENTS or event.startswith(_FAMILIES)
    if event == "open":
        _, mode, flags = arguments
        bad = (isinstance(mode, str) and bool(set(mode) & set("wax+"))) or bool((flags or 0) & _WRITING)
    if bad:
        _seen.append(f"{event} {arguments!r}"[:200])
        raise _Forbidden
