"""The zip files of torch.save, version 1.6 and later: members stored as they are, in one folder of any name.

    NAME/data.pkl      the pickle, in which storages are named by number
    NAME/data/0, …     their bytes
    NAME/byteorder     "little" or "big"
    NAME/version, NAME/.format_version, …   not used

    zip: [local header, name, padding, bytes] for each member; [central header, name] for each; then 22 bytes: how many, where

The central headers are believed only as far as the file goes: members are stored, each within the file, none over another, no name
twice or outside of the folder. Nothing is unpacked to a disk.

See PKWARE's APPNOTE.TXT, §4.3.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, BinaryIO

from ..errors import CheckpointError
from .torch_names import shown
from .torch_pickle import MAX_BYTES, unpickle
from .torch_tensors import Extent

__all__ = ["read_zip"]

_END = struct.Struct("<4s4H2LH")  # signature, disk, disk, members here, members, bytes of central headers, their begin, comment
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MAX_MEMBERS, _MAX_CENTRAL = 50_000, 8 << 20  # bytes


def read_zip(file: BinaryIO, size: int) -> tuple[Any, dict[str, Extent]]:
    """(the value of the pickle, where the storages are, by key). Raises CheckpointError, without the file's path, if it is no such zip."""
    members = _members(file, size)
    pickles = [name for name in members if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise CheckpointError(f"is a zip with {len(pickles)} members data.pkl; a file of torch.save has one.")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in members and _content(file, members[f"{folder}byteorder"], 100, "byteorder") != b"little":
        raise CheckpointError("was not written in little-endian order. Load and save it with torch on an ordinary machine.")
    value = unpickle(_content(file, members[pickles[0]], MAX_BYTES, "data.pkl")).value
    data = f"{folder}data/"
    return value, {name.removeprefix(data): extent for name, extent in members.items() if name.startswith(data)}


def _content(file: BinaryIO, member: Extent, limit: int, name: str) -> bytes:
    if member.size > limit:
        raise CheckpointError(f"has {member.size:,} bytes of {name}; {limit:,} are the most. Save model.state_dict() alone.")
    file.seek(member.begin)
    content = file.read(member.size)
    if member.crc and zlib.crc32(content) != member.crc:
        raise CheckpointError(f"{name} in it has another CRC than was written. The file is damaged.")
    return content


def _members(file: BinaryIO, size: int) -> dict[str, Extent]:
    """All members by name."""
    count, begin, length = _directory(file, size)
    file.seek(begin)
    central = file.read(length)
    members: dict[str, Extent] = {}
    at = last = 0
    for _ in range(count):
        if _CENTRAL.size > length - at or not central.startswith(b"PK\x01\x02", at):
            raise CheckpointError(f"has a zip directory of {count:,} members that is shorter, or elsewhere. The file is damaged.")
        entry = _CENTRAL.unpack_from(central, at)
        crc, packed, full, name_size, extra, comment = entry[7:13]
        at += _CENTRAL.size
        name = _name(central[at : at + name_size])
        at += name_size + extra + comment
        if name.split("/")[1:2] in (["constants.pkl"], ["code"]):
            raise CheckpointError("is a TorchScript program. Save its tensors: torch.save(torch.jit.load(FILE).state_dict(), OTHER).")
        if name in members:
            raise CheckpointError(f"has the member {shown(name)} twice, so its contents are ambiguous.")
        if entry[3] & 1 or entry[4] or packed != full:
            raise CheckpointError(f"has a member {shown(name)} that is compressed or encrypted; torch.save stores members as they are.")
        members[name] = Extent(_data(file, entry[16], full, begin, name), full, crc)
    for name, extent in sorted(members.items(), key=lambda item: item[1].begin):
        if extent.begin < last:
            raise CheckpointError(f"has a member {shown(name)} that lies over another. The file is damaged.")
        last = extent.begin + extent.size
    return members


def _directory(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """(how many members, where the central headers begin, their bytes)."""
    file.seek(max(0, size - _END.size))
    tail = file.read(_END.size)
    if len(tail) < _END.size or not tail.startswith(b"PK\x05\x06"):
        raise CheckpointError("is a zip without its end: it is cut off, or something was added to it.")
    _, _, _, _, count, length, begin, _ = _END.unpack(tail)
    if begin == 0xFFFFFFFF:
        raise CheckpointError("is larger than 4 GB. Save the tensors alone: torch.save(model.state_dict(), FILE).")
    if count > _MAX_MEMBERS or length > _MAX_CENTRAL or begin + length > size - _END.size:
        raise CheckpointError(f"claims {count:,} members in {length:,} bytes at {begin:,} of {size:,}. It is damaged, or too large.")
    return count, begin, length


def _name(data: bytes) -> str:
    try:
        name = data.decode()
    except UnicodeDecodeError:
        raise CheckpointError("has a member whose name is not UTF-8. The file is damaged.") from None
    parts = name.split("/")
    if not name.isprintable() or "\\" in name or ":" in name or not parts[0] or ".." in parts:
        raise CheckpointError(f"has a member {shown(name)}, which is no name within a folder. The file is refused.")
    return name


def _data(file: BinaryIO, header: int, length: int, limit: int, name: str) -> int:
    """Where a member's bytes begin, behind its local header."""
    file.seek(header)
    local = file.read(_LOCAL.size)
    if len(local) < _LOCAL.size or not local.startswith(b"PK\x03\x04"):
        raise CheckpointError(f"has no member {shown(name)} where its zip directory says. The file is damaged.")
    *_, name_size, extra = _LOCAL.unpack(local)
    begin: int = header + _LOCAL.size + name_size + extra
    if begin + length > limit:
        raise CheckpointError(f"has a member {shown(name)} of {length:,} bytes at {begin:,} of {limit:,}. The file is damaged.")
    return begin
