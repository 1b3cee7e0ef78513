"""The command line: `minivgg train | evaluate | predict | summary | bench | check`, one file per command.

Data goes to stdout, progress and messages to stderr. Exit codes are those of `minivgg.errors`: 0 ok, 1 a bug, 2 usage or
configuration, 3 data, 4 checkpoint, 5 NaN or Inf, 6 memory or disk, 7 a wrong gradient, 130 and 143 after a signal.
Only what a command needs is imported, when it runs.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path

import click

from ..errors import MinivggError
from .commands import minivgg

__all__ = ["main", "run"]

_FULL = {errno.ENOSPC, errno.EDQUOT}
_PATHS = {errno.EACCES, errno.ELOOP, errno.ENAMETOOLONG, errno.EPERM}  # what asking for a path, rather than reading it, may raise


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code; `arguments` are sys.argv's by default."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code. Whatever goes wrong has been said on stderr."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  open until the process ends
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show × gets a question mark
    warnings.showwarning = lambda message, *_: _say(f"warning: {message}")
    debug = "--debug" in arguments or os.environ.get("MINIVGG_DEBUG", "") in {"1", "true", "yes"}
    code = 0
    try:
        try:
            context = minivgg.make_context("minivgg", [argument for argument in arguments if argument != "--debug"])
            with context.scope():
                minivgg.invoke(context)
        except click.exceptions.Exit as end:  # --help, --version, or a command that found something wrong
            code = end.exit_code
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except BaseException as error:
        if debug:
            traceback.print_exc()
        return _explain(error)
    return code


def _explain(error: BaseException) -> int:
    """Say what happened, and return the exit code."""
    code = 1
    if isinstance(error, KeyboardInterrupt):
        code = 130
        _say("stopped")
    elif not isinstance(error, Exception) and hasattr(error, "exit_code"):  # train.Interrupted, which need not be imported for this
        code = error.exit_code
        _say(str(error))
    elif isinstance(error, click.ClickException):
        code = 2
        error.show(sys.stderr)
    elif isinstance(error, MinivggError):
        code = error.exit_code
        _say("\n  ".join([f"error: {error}", *getattr(error, "__notes__", [])]))
    elif isinstance(error, MemoryError):
        code = 6
        _say(f"error: out of memory{f' ({error})' if str(error) else ''}. Lower --batch-size, --width or --image-size.")
    elif isinstance(error, OSError) and error.errno in _FULL:
        code = 6
        _say(f"error: {error}. Free some space.")
    elif isinstance(error, OSError) and error.errno in _PATHS and error.filename:
        code = 2
        _say(f"error: {error.filename}: {error.strerror}. Check the path and its permissions.")
    else:
        _say("".join(traceback.format_exception(error)).rstrip())
        _say("This is a bug in minivgg: please report it with the lines above.")
    return code


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
