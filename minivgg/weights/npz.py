"""NumPy's .npz: a zip of .npy members, read without pickle and without believing the sizes it claims."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from ..errors import CheckpointError

__all__ = ["read_npz"]

_MAX_BYTES = 8 << 30  # of all arrays together; VGG-19 has 0.6e9


def read_npz(file: BinaryIO, path: str) -> tuple[dict[str, Any], dict[str, str]]:
    """(arrays by name, {}) of an .npz file; `path` is for messages.

    Raises CheckpointError for a damaged zip, a name that occurs twice, an array of Python objects, a shape that
    does not fit its bytes, or more than 8 GiB in all.
    """
    arrays: dict[str, Any] = {}
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if size > _MAX_BYTES:
                raise CheckpointError(f"{path}: its arrays would take {size:,} bytes; the limit is {_MAX_BYTES:,}.")
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name in arrays:
                    raise CheckpointError(f'{path}: the name "{name}" occurs twice, so its contents are ambiguous.')
                with archive.open(member) as content:
                    arrays[name] = _array(content.read(member.file_size), name, path)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise CheckpointError(f"{path}: is not a whole .npz file ({error}).") from None
    return arrays, {}


def _array(data: bytes, name: str, path: str) -> Any:
    stream = io.BytesIO(data)
    try:
        read = npy.read_array_header_1_0 if npy.read_magic(stream) == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except (ValueError, TypeError, SyntaxError) as error:
        raise CheckpointError(f"{path}: {name} is not a NumPy array ({error}).") from None
    if dtype.hasobject:
        raise CheckpointError(f"{path}: {name} holds Python objects; reading them could run code from the file, so it is refused.")
    rest = data[stream.tell() :]
    if math.prod(shape) * dtype.itemsize != len(rest):
        raise CheckpointError(f"{path}: {name} {dtype} {shape} needs {math.prod(shape) * dtype.itemsize:,} bytes, but has {len(rest):,}.")
    return np.frombuffer(rest, dtype).reshape(shape, order="F" if fortran else "C").copy()
