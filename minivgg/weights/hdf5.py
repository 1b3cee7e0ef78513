"""HDF5, as much of it as Keras writes, read in Python: no C code sees a stranger's file, and no plug-in is ever loaded.

    superblock 0   \\x89HDF…, the sizes of addresses, where the file ends, the root group's header
    header 1       messages: 1 shape, 3 type, 8 layout, 11 filters, 12 attribute, 16 continuation, 17 a group's table
    table          a B-tree ("TREE") of nodes ("SNOD") of (offset of a name in a heap ("HEAP"), address of a header)
    data           within the header, in one piece, or in chunks under another B-tree (`hdf5_data`)

That is what h5py writes unless told otherwise. Refused, each by name: links that are soft or lead out of the file, objects with two names,
data in other files or put together from other data, types but IEEE floats of 16, 32 and 64 bits, filters but gzip, shuffle and fletcher32,
and the layouts of libver="latest". The library (HDF5 1.14.2 and 2.0.0, through h5py) stood 6,000 mutated files each without a crash;
this is here for memory that the file bounds, for links and plug-ins that cannot be followed, and to need no package.
See "HDF5 File Format Specification", version 3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from .hdf5_data import read_array
from .hdf5_tables import Tables

__all__ = ["Names", "read_hdf5"]

Names = tuple[str, ...]
_Messages = list[tuple[int, bytes]]

_MAX_DEPTH = 16
_MAX_ARRAYS = 10_000  # a VGG-19 with its optimiser has 120; more tiny ones would take more memory than their file
_MAX_MESSAGES = 4_000
_KEPT = {1, 3, 8, 11, 12, 17}
_REFUSED = {
    2: "is a group in the layout of newer files",
    6: "has links in the layout of newer files, of which some lead out of a file",
    7: "has its data in other files",
}


def read_hdf5(
    file: BinaryIO, path: str, limit: int, wanted: Callable[[Names], bool], span: tuple[int, int] | None = None
) -> tuple[dict[Names, Any], dict[Names, str]]:
    """(arrays, the attributes "name" of groups), both by the names from the root on, if `wanted` is true of all names on the way.

    `limit` bounds the bytes of all arrays together; `path` is for messages; `span` is (first byte, size) of HDF5 within another file.
    Raises CheckpointError for a file that is damaged, or has what is refused above.
    """
    tables = Tables(file, path, limit, span)
    start = tables.read(0, min(96, tables.size))
    if not start.startswith(b"\x89HDF\r\n\x1a\n"):
        raise tables.damaged(f"is no HDF5 file: it begins with {start[:8]!r}")
    version, root = tables.number(start, 8, 1), 24
    if version > 1:
        raise tables.refused(f"is HDF5 with a superblock of version {version}, as libver='latest' writes it")
    root += 4 * version
    if start[13:15] != b"\x08\x08" or tables.number(start, root):
        raise tables.refused("is HDF5 with addresses that have not 8 bytes, or with something before it")
    if (end := tables.number(start, root + 16)) > tables.size:
        raise tables.damaged(f"{end:,} bytes were expected, but there are {tables.size:,}")
    arrays: dict[Names, Any] = {}
    labels: dict[Names, str] = {}
    for names, messages in _objects(tables, (), tables.number(start, root + 40), wanted, set()):
        where = "/".join(names)
        if any(kind == 8 for kind, _ in messages):
            arrays[names] = read_array(tables, dict(reversed(messages)), where)
        elif label := _label(tables, messages, where):
            labels[names] = label
        if len(arrays) + len(labels) > _MAX_ARRAYS:
            raise tables.damaged(f"has more than {_MAX_ARRAYS:,} arrays and groups with {where}")
    return arrays, labels


def _objects(
    tables: Tables, names: Names, address: int, wanted: Callable[[Names], bool], seen: set[int]
) -> Iterator[tuple[Names, _Messages]]:
    """Each group and dataset from here on, depth first, with the messages of its header."""
    where = "/".join(names) or "the root"
    if address in seen or len(names) > _MAX_DEPTH:
        raise tables.refused(f"{where} has two names, or is {_MAX_DEPTH} groups deep")
    seen.add(address)
    messages = _messages(tables, address, where)
    yield names, messages
    for kind, table in messages:
        if kind == 17:
            for name, child in _members(tables, table, where):
                if wanted((*names, name)):
                    yield from _objects(tables, (*names, name), child, wanted, seen)


def _messages(tables: Tables, address: int, where: str) -> _Messages:
    """(kind, contents) of those in an object's header, its continuations included."""
    prefix = tables.read(address, 16)
    if prefix[:2] != b"\1\0":
        raise tables.damaged(f"the header of {where} is not of version 1, but begins with {prefix[:4]!r}")
    found: _Messages = []
    blocks = [(address + 16, tables.number(prefix, 8, 4))]
    for begin, size in blocks:  # which grow on the way
        data, at = tables.read(begin, size), 0
        while at + 8 <= size:
            kind, length, flags = tables.number(data, at, 2), tables.number(data, at + 2, 2), data[at + 4]
            content = data[at + 8 : at + 8 + length]
            if len(content) < length:
                raise tables.damaged(f"the header of {where} ends within a message")
            if kind in _REFUSED or (flags & 2 and kind in {1, 3, 8, 11, 17}):
                raise tables.refused(f"{where} {_REFUSED.get(kind, 'shares its type with others')}")
            if kind == 16:
                blocks.append((tables.number(content, 0), tables.number(content, 8)))
            if kind in _KEPT:
                found.append((kind, content))
            if len(found) > _MAX_MESSAGES:
                raise tables.damaged(f"the header of {where} has more than {_MAX_MESSAGES:,} messages")
            at += 8 + length
            tables.spend(0)
    return found


def _members(tables: Tables, table: bytes, where: str) -> Iterator[tuple[str, int]]:
    """(name, address of the header) of each object in a group."""
    heap = tables.read(tables.number(table, 8), 32, b"HEAP")
    texts = tables.read(tables.number(heap, 24), tables.number(heap, 8))
    nodes = [tables.number(table, 0)]
    while nodes:
        address = nodes.pop()
        node = tables.read(address, 8)
        count = tables.number(node, 6, 2)
        if node.startswith(b"TREE\0"):
            children = tables.read(address + 24, 16 * count + 8)
            nodes += [tables.number(children, 8 + 16 * i) for i in reversed(range(count))]
            continue
        entries = tables.read(address, 8 + 40 * count, b"SNOD")
        for at in range(8, len(entries), 40):
            begin = tables.number(entries, at)
            name = tables.text(texts[begin : begin + 801].partition(b"\0")[0], where)
            if tables.number(entries, at + 16, 4) > 1:
                raise tables.refused(f"{name} in {where} is a link to another name")
            yield name, tables.number(entries, at + 8)


def _label(tables: Tables, messages: _Messages, where: str) -> str:
    """The attribute "name", a text in the header, or in a heap elsewhere; "" if there is none."""
    for kind, data in messages:
        if kind != 12:
            continue
        sizes = [tables.number(data, at, 2) for at in (2, 4, 6)]  # of name, type, shape
        name, form, shape = (-(-size // 8) * 8 if data[0] == 1 else size for size in sizes)
        at = 9 if data[0] == 3 else 8
        if data[at : at + sizes[0]].rstrip(b"\0") != b"name":
            continue
        form_of, value = data[at + name : at + name + form], data[at + name + form + shape :]
        if form_of[:1] and form_of[0] & 15 == 3:  # a text of fixed length
            return tables.text(value.rstrip(b"\0"), where)
        if len(form_of) > 1 and form_of[0] & 15 == 9 and form_of[1] & 15 == 1:  # one of any length
            found = _item(tables, tables.number(value, 4), tables.number(value, 12, 4), where)
            return tables.text(found[: tables.number(value, 0, 4)], where)
    return ""


def _item(tables: Tables, address: int, index: int, where: str) -> bytes:
    """What a heap of texts has under the index. Where its items are is found out once."""
    if address not in tables.heaps:
        end = address + tables.number(tables.read(address, 16, b"GCOL"), 8)
        items = tables.heaps[address] = dict[int, tuple[int, int]]()
        at = address + 16
        while at + 16 <= end:
            item = tables.read(at, 16)
            size = tables.number(item, 8)
            items.setdefault(tables.number(item, 0, 2), (at + 16, min(size, 801)))
            at += 16 + -(-size // 8) * 8
    if index not in tables.heaps[address]:
        raise tables.damaged(f'the attribute "name" of {where} is missing')
    return tables.read(*tables.heaps[address][index])
