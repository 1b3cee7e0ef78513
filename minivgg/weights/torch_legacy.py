"""The files of torch.save before version 1.6, as torchvision's VGGs are: pickles, then bytes.

pickle    0x1950a86a20f9469cfc6c, the magic number
pickle    1001, the protocol
pickle    a table about the machine, not used: numbers are little-endian on all
pickle    the value, in which storages are named by keys
pickle    a list of these keys
then for each key in turn: 8 bytes, how many numbers; the numbers
"""

from __future__ import annotations

from typing import Any, BinaryIO

from ..errors import CheckpointError
from .torch_names import StorageRef, shown
from .torch_pickle import MAX_BYTES, unpickle
from .torch_tensors import ITEMSIZES, Extent

__all__ = ["read_legacy"]

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


def read_legacy(file: BinaryIO, size: int) -> tuple[Any, dict[str, Extent]]:
    """(the value, where the storages are, by key). Raises CheckpointError, without the file's path, if it is not such a file."""
    file.seek(0)
    data = file.read(MAX_BYTES)
    try:
        magic = unpickle(data)
    except CheckpointError:
        magic = None
    if magic is None or magic.value != _MAGIC:
        raise CheckpointError("is no file of torch.save: it begins neither as a zip nor with torch's magic number.")
    protocol = unpickle(data, magic.end)
    if protocol.value != _PROTOCOL:
        raise CheckpointError(f"is not of torch.save's protocol {_PROTOCOL}. The file is damaged.")
    about = unpickle(data, protocol.end)
    value = unpickle(data, about.end)
    keys = unpickle(data, value.end)
    return value.value, _extents(file, keys.end, size, keys.value, value.storages)


def _extents(file: BinaryIO, at: int, size: int, keys: Any, storages: dict[str, StorageRef]) -> dict[str, Extent]:
    if type(keys) is not list or not all(type(key) is str for key in keys) or len(keys) != len(set(keys)):
        raise CheckpointError("lists its storages by something other than distinct texts. The file is damaged.")
    extents: dict[str, Extent] = {}
    for key in keys:
        if key not in storages:
            raise CheckpointError(f"has a storage {shown(key)} that no tensor uses. The file is damaged.")
        file.seek(at)
        count = int.from_bytes(file.read(8), "little")
        length = count * ITEMSIZES[storages[key].dtype]
        if count != storages[key].size or at + 8 + length > size:
            raise CheckpointError(
                f"has storage {shown(key)} of {count:,} numbers at byte {at:,} of {size:,}, where {storages[key].size:,} were expected. "
                "It is damaged or incomplete."
            )
        extents[key] = Extent(at + 8, length)
        at += 8 + length
    if at != size:
        raise CheckpointError(f"has {size - at:,} bytes behind its last storage. The file is damaged.")
    return extents
