"""What an ONNX file says about itself beside its graph: texts by key.

ModelProto              14 metadata_props, repeated
StringStringEntryProto  1 key  2 value
"""

from __future__ import annotations

from typing import BinaryIO

from ..protobuf import fields, text

__all__ = ["read_properties"]

_LONGEST = 1 << 19  # bytes of a text


def read_properties(file: BinaryIO, path: str, keys: frozenset[str]) -> dict[str, str]:
    """The texts under those of `keys` that the file has; ones of more than 512 KB are passed over. `path` is for messages.

    Raises CheckpointError for a damaged file.
    """
    file.seek(0)
    found = {}
    for number, entry in fields(memoryview(file.read()), path):
        if number == 14 and isinstance(entry, memoryview) and len(entry) <= _LONGEST:
            values = dict(fields(entry, path))
            key = text(values.get(1, memoryview(b"")), path)
            if key in keys:
                found[key] = text(values.get(2, memoryview(b"")), path)
    return found
