"""Mutated files: from valid ones, by a seed and an index, as a damaged disk, a cut connection or an attacker would leave them.

A mutation is a change of bytes (flips, interesting values, cuts, insertions, deletions, blocks doubled and swapped), of integers
(binary of 1 to 8 bytes in both orders, or in decimal digits: ±1, 0, huge), or a splice with another sample. Half of the zips are taken
apart, changed within a member or in their order, and put together with the right check sums, as are half of the safetensors files, whose
header's length is set right: otherwise the outermost check would stop nearly all of them.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["mutated"]

_HUGE = (0, 1, 2, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
_DIGITS = re.compile(rb"-?\d+")
Rng = np.random.Generator


def mutated(samples: Sequence[bytes], seed: int, index: int) -> bytes:
    """The file number `index` of those that `seed` makes of the samples; each can be made without the others."""
    rng = np.random.default_rng([seed, index])
    content = samples[rng.integers(len(samples))]
    changed = content
    for _ in range(int(rng.choice([1, 1, 1, 2, 3, 8]))):
        whole = changed
        if rng.random() < 0.5:
            if whole[:2] == b"PK":
                changed = _zip_changed(whole, rng)
            elif len(whole) > 16 and whole[8:9] == b"{":
                changed = _header_changed(whole, rng)
        if changed is whole:
            other = samples[rng.integers(len(samples))] if rng.random() < 0.05 else None
            changed = _changed(whole, rng, other)
    return changed


def _changed(content: bytes, rng: Rng, other: bytes | None = None) -> bytes:
    """One mutation."""
    if not content:
        return bytes(rng.integers(0, 256, 8, dtype=np.uint8))
    if other is not None:
        return content[: rng.integers(len(content) + 1)] + other[rng.integers(len(other) + 1) :]
    return _WAYS[rng.integers(len(_WAYS))](content, rng)


def _block(content: bytes, rng: Rng) -> tuple[int, int]:
    """A range of bytes; small ones are as likely as large ones, and the file's first 512 bytes as likely as all others."""
    size = len(content)
    first = int(rng.integers(min(size, 512) if rng.random() < 0.5 else size))
    return first, min(size, first + int(2 ** (rng.random() * np.log2(size + 1))))


def _flip(content: bytes, rng: Rng) -> bytes:
    at, _ = _block(content, rng)
    return content[:at] + bytes([content[at] ^ (1 << rng.integers(8))]) + content[at + 1 :]


def _byte(content: bytes, rng: Rng) -> bytes:
    at, _ = _block(content, rng)
    values = (0, 255, 0x7F, 0x80, 1, rng.integers(256), *b'"{}[]:,\n\\.')
    return content[:at] + bytes([values[rng.integers(len(values))]]) + content[at + 1 :]


def _cut(content: bytes, rng: Rng) -> bytes:
    return content[: _block(content, rng)[0]]


def _insert(content: bytes, rng: Rng) -> bytes:
    at, end = _block(content, rng)
    filling = rng.bytes(min(end - at, 64)) if rng.random() < 0.5 else bytes([rng.choice([0, 255, 32])]) * (end - at)
    return content[:at] + filling + content[at:]


def _delete(content: bytes, rng: Rng) -> bytes:
    at, end = _block(content, rng)
    return content[:at] + content[end:]


def _repeat(content: bytes, rng: Rng) -> bytes:
    at, end = _block(content, rng)
    times = min(int(rng.choice([1, 1, 2, 16, 1000])), max(1, 65536 // (end - at)))
    return content[:end] + content[at:end] * times + content[end:]


def _swap(content: bytes, rng: Rng) -> bytes:
    (a, b), (c, d) = sorted((_block(content, rng), _block(content, rng)))
    b = min(b, c)
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def _integer(content: bytes, rng: Rng) -> bytes:
    width, order = int(rng.choice([1, 2, 4, 8])), ("little", "big")[rng.integers(2)]
    if width > len(content):
        return content
    at = min(_block(content, rng)[0], len(content) - width)
    old = int.from_bytes(content[at : at + width], order)  # type: ignore[arg-type]
    new = _another(old, len(content), rng) % 256**width
    return content[:at] + new.to_bytes(width, order) + content[at + width :]  # type: ignore[arg-type]


def _digits(content: bytes, rng: Rng) -> bytes:
    at, _ = _block(content, rng)
    found = _DIGITS.search(content, at, min(len(content), at + 4096))
    if found is None:
        return _flip(content, rng)
    old = int(found.group()[:20])
    new = (
        b"%d" % _another(old, len(content), rng) if rng.random() < 0.9 else (b"-1", b"1e999", b"NaN", b"9" * 4000, b"0.5")[rng.integers(5)]
    )
    return content[: found.start()] + new + content[found.end() :]


def _another(old: int, size: int, rng: Rng) -> int:
    """An integer in place of `old`: a neighbour, one near the file's size, or an extreme one."""
    kind = rng.integers(4)
    return int((old + 1, old - 1, size + int(rng.integers(-2, 3)), _HUGE[rng.integers(len(_HUGE))])[kind])


_WAYS: tuple[Callable[[bytes, Rng], bytes], ...] = (
    _flip, _flip, _byte, _byte, _cut, _insert, _delete, _repeat, _swap, _integer, _integer, _digits,
)  # fmt: skip


def _header_changed(content: bytes, rng: Rng) -> bytes:
    """A safetensors file with a changed header, whose length is right."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = _changed(content[8:end], rng)
    return len(header).to_bytes(8, "little") + header + content[end:]


def _zip_changed(content: bytes, rng: Rng) -> bytes:
    """A zip with a changed member, name, order or number of members, and right check sums; as it was, if it is no zip any more."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [[info.filename, archive.read(info), info.compress_type] for info in archive.infolist()]
    except Exception:  # whatever a mutation before this one has done
        return content
    if not members:
        return content
    at = rng.integers(len(members))
    kind = rng.integers(8)
    if kind == 0:
        del members[at]
    elif kind == 1:
        members.append([*members[at][:1], _changed(members[at][1], rng), members[at][2]])
    elif kind == 2:
        members[at][0] = _changed(members[at][0].encode(), rng).decode("latin-1")
    elif kind == 3:
        other = rng.integers(len(members))
        members[at][1], members[other][1] = members[other][1], members[at][1]
    else:
        members[at][1] = _changed(members[at][1], rng)
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w") as archive:
        warnings.simplefilter("ignore")  # a name twice is what is wanted
        for name, data, method in members:
            info = zipfile.ZipInfo(name.split("\0")[0] or "x")
            info.compress_type = method
            archive.writestr(info, data)
    return stream.getvalue()
