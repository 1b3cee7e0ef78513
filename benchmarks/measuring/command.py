"""Arguments, messages and exit codes of a benchmark: what is wrong is said in one line, with the package's own codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from minivgg.errors import ConfigError, MinivggError
from minivgg.train import Interrupted

__all__ = ["Parser", "at_least", "run"]


class Parser(argparse.ArgumentParser):
    """Raises ConfigError for wrong usage, in place of printing the usage and leaving."""

    def __init__(self, description: str) -> None:
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Wrong usage, as argparse words it."""
        raise ConfigError(f"{message}. Ask with --help.")


def at_least(least: int, **values: int) -> None:
    """Raise ConfigError for a flag below `least`."""
    for name, value in values.items():
        if value < least:
            raise ConfigError(f"--{name.replace('_', '-')} must be a whole number ≥ {least}, but is {value}.")


def run(main: Callable[[Sequence[str]], None], arguments: Sequence[str] | None = None) -> int:
    """Call `main` with the arguments (sys.argv's by default) and return its exit code: 0, or that of its MinivggError, said on stderr."""
    try:
        main(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except MinivggError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Interrupted as error:  # while training
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0
