"""What lies in a folder of images, found without opening a file: parts, classes, image files; and what is wrong with it.

Hidden entries (.name) and __MACOSX are passed over. A link to a folder is followed; each real folder is visited once, so circles
end. The order is that of the names' code points, the same on every machine.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DataError
from .bounded import one_line

__all__ = ["PARTS", "SUFFIXES", "Found", "faults", "scan"]

SUFFIXES = frozenset(
    {".apng", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
PARTS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}  # the folders' names, in lower case
_LAYOUTS = "root/train/<class>/photo.jpg (with root/val and root/test beside it, if there are such) or root/<class>/photo.jpg"
_SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Found:
    """One part: `classes` has each class folder's image files, relative to `root`; `loose` images lie beside the class folders;
    `ignored` files have no image's suffix."""

    root: Path
    classes: dict[str, list[str]] = field(default_factory=dict)
    loose: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def scan(root: Path) -> dict[str, Found]:
    """The parts of an image folder: "train", and "val" and "test" if there are such. Opens folders only, never a file.

    Raises DataError if a folder cannot be read, if two folders are the same part (val and valid), or if there is val or test
    but no train.
    """
    folders = [entry.name for entry in _entries(root) if _is_folder(entry)]
    by_part = {part: [name for name in folders if name.lower() in PARTS[part]] for part in PARTS}
    for names in by_part.values():
        if len(names) > 1:
            raise DataError(f"{one_line(root)}: {' and '.join(names)} mean the same part. Keep one of these folders.")
    named = [name for names in by_part.values() for name in names]
    if by_part["train"]:
        return {part: _part(root / names[0]) for part, names in by_part.items() if names}
    if named and len(named) == len(folders):
        raise DataError(f"{one_line(root)}: there is {' and '.join(named)}, but no train. Expected {_LAYOUTS}.")
    return {"train": _part(root)}


def faults(parts: Mapping[str, Found]) -> list[str]:
    """Why these parts cannot be trained with, a sentence each with path and remedy; empty if nothing is wrong."""
    train = parts["train"]
    if not any(train.classes.values()):
        return [_nothing(train)]
    found = []
    empty = [name for name, images in train.classes.items() if not images]
    if empty:
        found.append(
            f"{one_line(train.root)}: no images in the class folder{'s' * (len(empty) > 1)} {_some(empty)}. Add images"
            f"{_known(train.ignored)}, or remove the folder{'s' * (len(empty) > 1)}."
        )
    odd = [name for name in train.classes if not name.isprintable()]
    if odd:
        found.append(f"{one_line(train.root)}: class {one_line(odd[0])} is no printable text in UTF-8. Rename the folder.")
    alike: dict[str, str] = {}
    for name in train.classes:
        other = alike.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            found.append(f"{one_line(train.root)}: classes {other} and {name} differ only in case. Merge or rename the folders.")
    for part in ("val", "test"):
        if part not in parts:
            continue
        unknown = [name for name, images in parts[part].classes.items() if images and name not in train.classes]
        if unknown:
            found.append(
                f"{one_line(parts[part].root)}: {_some(unknown)} {'is' if len(unknown) == 1 else 'are'} no class of "
                f"{one_line(train.root)}, which has {_some(list(train.classes))}. Rename or remove the folder, or add it to train."
            )
        elif not any(parts[part].classes.values()):
            found.append(f"{one_line(parts[part].root)}: there are no images in folders of their class. Add images or remove the folder.")
    return found


def _nothing(train: Found) -> str:
    where = one_line(train.root)
    if train.loose:
        count = len(train.loose)
        return (
            f"{where}: {count:,} image{'s lie' if count > 1 else ' lies'} in the folder itself ({_some(train.loose)}) and none in the "
            f"folder of its class. Move each into one: {_LAYOUTS}."
        )
    return (
        f"{where}: there are no images in folders of their class{_known(train.ignored)}. Expected {_LAYOUTS}; or, in MNIST's format, "
        "train-images-idx3-ubyte and train-labels-idx1-ubyte."
    )


def _known(ignored: list[str]) -> str:
    """A hint where files were passed over for their suffix."""
    if not ignored:
        return ""
    return f" with a known suffix ({', '.join(sorted(SUFFIXES))}; {_some(ignored)} {'has' if len(ignored) == 1 else 'have'} another)"


def _some(names: list[str]) -> str:
    return ", ".join(one_line(name) for name in names[:_SHOWN]) + (f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")


def _part(root: Path) -> Found:
    found = Found(root)
    folders = []
    for entry in _entries(root):
        if _is_folder(entry):
            folders.append(entry.name)
        else:
            (found.loose if _is_image(entry.name) else found.ignored).append(entry.name)
    seen = {_identity(root)} | {_identity(root / name) for name in folders}
    taken: dict[tuple[int, int], str] = {}
    for name in folders:
        other = taken.setdefault(_identity(root / name), name)
        if other != name:
            raise DataError(f"{one_line(root)}: the class folders {_some([other, name])} are one folder under two names. Remove the link.")
        files = [str(path.relative_to(root).as_posix()) for path in _files(root / name, seen)]
        found.classes[name] = [path for path in files if _is_image(path)]
        found.ignored.extend(path for path in files if not _is_image(path))
    return found


def _files(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """Every entry below `folder` that is no folder, depth first in the order of names; `seen` are folders not to be entered."""
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        below = []
        for entry in _entries(current):
            path = current / entry.name
            if not _is_folder(entry):
                yield path
            elif _identity(path) not in seen:
                seen.add(_identity(path))
                below.append(path)
        waiting.extend(reversed(below))


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122  of a name, which may be odd


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """The visible entries, in the order of their names."""
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".") and entry.name != "__MACOSX"]
    except OSError as error:
        raise DataError(f"{one_line(folder)}: the folder cannot be read: {error.strerror or error}.") from None
    return sorted(visible, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or a link to one; a link to nothing, or to itself, is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(folder: Path) -> tuple[int, int]:
    """The same for two names of one folder."""
    try:
        status = folder.stat()
    except OSError as error:
        raise DataError(f"{one_line(folder)}: the folder cannot be read: {error.strerror or error}.") from None
    return status.st_dev, status.st_ino
