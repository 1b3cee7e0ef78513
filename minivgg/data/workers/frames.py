"""What passes through a worker's pipes: frames of JSON, with the bytes of an array behind; and errors as JSON.

frame     length of the JSON (4 bytes, little-endian) · JSON, an object · if it has "shape": float32, C order
"""

from __future__ import annotations

import builtins
import contextlib
import json
import struct
import traceback
from io import RawIOBase
from typing import Any

import numpy as np

from ... import errors
from ...backend.arrays import Array

__all__ = ["error_from_json", "error_to_json", "receive", "send"]

_LENGTH = struct.Struct("<I")


def send(pipe: RawIOBase, message: dict[str, Any], array: Array | None = None) -> None:
    """Write one frame; `array` float32, contiguous. Raises BrokenPipeError if nobody reads."""
    if array is not None:
        message = {**message, "shape": array.shape}
    text = json.dumps(message).encode()  # ASCII: a file name that is no UTF-8 comes through as well
    for part in (_LENGTH.pack(len(text)) + text, array.data.cast("B") if array is not None else b""):
        left = memoryview(part)
        while left:
            left = left[pipe.write(left) :]


def receive(pipe: RawIOBase) -> tuple[dict[str, Any], Array | None]:
    """Read one frame. Raises EOFError if the writer is gone."""
    (length,) = _LENGTH.unpack(_exactly(pipe, bytearray(_LENGTH.size)))
    message: dict[str, Any] = json.loads(_exactly(pipe, bytearray(length)))
    if "shape" not in message:
        return message, None
    array = np.empty(message.pop("shape"), np.float32)
    _exactly(pipe, array.data.cast("B"))
    return message, array


def _exactly(pipe: RawIOBase, buffer: Any) -> Any:
    left = memoryview(buffer)
    while left:
        count = pipe.readinto(left)
        if not count:
            raise EOFError
        left = left[count:]
    return buffer


def error_to_json(error: Exception) -> dict[str, Any]:
    """Class, text and notes; for an error that is not minivgg's own, with the traceback as a last note."""
    notes = list(getattr(error, "__notes__", []))
    if not isinstance(error, errors.MinivggError):
        notes.append("in a worker process:\n" + "".join(traceback.format_tb(error.__traceback__)).rstrip())
    return {"error": type(error).__name__, "text": str(error), "notes": notes}


def error_from_json(data: dict[str, Any]) -> Exception:
    """The error again: of the same class if it is minivgg's or Python's own, else a RuntimeError that names the class."""
    name, text = data["error"], data["text"]
    kind = vars(errors).get(name) or vars(builtins).get(name)
    error: Exception = RuntimeError(f"{name}: {text}")
    if isinstance(kind, type) and issubclass(kind, Exception):
        with contextlib.suppress(TypeError):  # one that is made of more than a text
            error = kind(text)
    for note in data["notes"]:
        error.add_note(note)
    return error
