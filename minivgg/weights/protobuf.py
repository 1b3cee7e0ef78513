"""The wire format of protocol buffers, read without a schema: .caffemodel and .onnx files are such messages.

A message is a sequence of fields, each a key and a value. The key is a varint, number·8 + kind:

    kind 0   a varint: 7 bits a byte, the lowest first, the high bit set in all bytes but the last
    kind 1   8 bytes, little-endian
    kind 2   a length as varint, then so many bytes: a text, raw bytes, a message, or many numbers packed
    kind 5   4 bytes, little-endian

Nothing is copied: values of kind 2 are views on the file's contents, so that reading takes no memory beyond it.
See https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import CheckpointError

__all__ = ["Value", "field", "fields", "text", "varints"]

Value = int | memoryview


def fields(message: memoryview, path: str) -> Iterator[tuple[int, Value]]:
    """(number, value) of each field in turn: an int of kind 0, otherwise a view on the value's bytes. Raises as `field` does."""
    at, size = 0, len(message)
    while at < size:
        number, value, at = field(message, at, path)
        yield number, value


def field(message: memoryview, at: int, path: str) -> tuple[int, Value, int]:
    """(number, value, where the next begins) of the field that begins at `at`.

    Raises CheckpointError, with `path`, for a field that is cut off, of a kind that is not in use any more, or of number 0.
    """
    key, at = _varint(message, at, path)
    number, kind = key >> 3, key & 7
    if kind == 0:
        value, at = _varint(message, at, path)
        return number, value, at
    if kind == 2:
        length, at = _varint(message, at, path)
    elif kind in {1, 5}:
        length = 8 if kind == 1 else 4
    else:
        raise CheckpointError(f"{path}: has a field of kind {kind}, which protocol buffers do not have. The file is damaged.")
    left = len(message) - at
    if not number or length > left:
        raise CheckpointError(f"{path}: field {number} claims {length:,} bytes, but {left:,} are left. The file is damaged.")
    return number, message[at : at + length], at + length


def varints(packed: memoryview, path: str) -> Iterator[int]:
    """The numbers of a packed field of varints, unsigned."""
    at = 0
    while at < len(packed):
        value, at = _varint(packed, at, path)
        yield value


def text(value: Value, path: str) -> str:
    """A text's value. Raises CheckpointError if it is none."""
    try:
        return bytes(value).decode() if isinstance(value, memoryview) else _no_text(path)
    except UnicodeDecodeError:
        return _no_text(path)


def _no_text(path: str) -> str:
    raise CheckpointError(f"{path}: a name in it is no text. The file is damaged.")


def _varint(message: memoryview, at: int, path: str) -> tuple[int, int]:
    """(value, where the next field begins)."""
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
    raise CheckpointError(f"{path}: ends within a number, or has one of more than 64 bits. The file is damaged or incomplete.")
