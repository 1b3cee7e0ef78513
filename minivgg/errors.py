"""Every exception that minivgg raises on purpose, and the exit code a command ends with.

    MinivggError                     exit 1   (a bug, if nothing more precise fits)
    ├── ShapeError(ValueError)       exit 2   sizes that do not fit together
    ├── DeviceError(TypeError)       exit 2   arrays of two libraries mixed, or a device that is not there
    ├── GraphError(RuntimeError)     exit 1   the recorded graph cannot be differentiated as asked
    ├── ConfigError(ValueError)      exit 2   an unknown option, name or value
    ├── DataError(ValueError)        exit 3   images or labels that cannot be used
    ├── CheckpointError(ValueError)  exit 4   a damaged or foreign file of weights; nothing was changed
    ├── NumericalError(ArithmeticError)  exit 5   NaN or Inf where a number was expected
    ├── StorageError(OSError)        exit 6   a full disk, a folder that cannot be written
    ├── OutOfMemoryError(MemoryError)    exit 6   a step that needs more memory than there is
    └── GradientError(AssertionError)    exit 7   a gradient check that failed

Each also derives from the built-in that Python programmers would catch. A message states what was
expected, what was there, and what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DeviceError",
    "GradientError",
    "GraphError",
    "MinivggError",
    "NumericalError",
    "OutOfMemoryError",
    "ShapeError",
    "StorageError",
    "nearest",
]


class MinivggError(Exception):
    """Base of all of them; `exit_code` is what a command returns when it ends with one."""

    exit_code = 1


class ShapeError(MinivggError, ValueError):
    """Sizes that do not fit together."""

    exit_code = 2


class DeviceError(MinivggError, TypeError):
    """Arrays of two libraries in one call, or a device that cannot be used."""

    exit_code = 2


class GraphError(MinivggError, RuntimeError):
    """The graph cannot be differentiated: freed, overwritten, or never recorded."""


class ConfigError(MinivggError, ValueError):
    """An unknown option, name or value."""

    exit_code = 2


class DataError(MinivggError, ValueError):
    """Images or labels that are missing, unreadable or out of range."""

    exit_code = 3


class CheckpointError(MinivggError, ValueError):
    """A damaged or foreign file of weights; whatever was to be loaded is unchanged."""

    exit_code = 4


class NumericalError(MinivggError, ArithmeticError):
    """NaN or Inf where a finite number was expected."""

    exit_code = 5


class StorageError(MinivggError, OSError):
    """The disk is full, or a file cannot be written."""

    exit_code = 6


class OutOfMemoryError(MinivggError, MemoryError):
    """A training step needs more memory than this process may have; the message names a batch size that fits."""

    exit_code = 6


class GradientError(MinivggError, AssertionError):
    """A gradient disagrees with its finite differences."""

    exit_code = 7


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown `name`: the nearest valid one, then all of them.

    >>> nearest("vgg12", ["vgg11", "vgg16"])
    'did you mean vgg11? Valid: vgg11, vgg16.'
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{hint}Valid: {', '.join(names)}."
