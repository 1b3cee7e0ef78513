"""A folder in MNIST's format: idx files of images and labels under their well-known names, gzipped or not."""

from __future__ import annotations

from pathlib import Path

from ..errors import DataError

__all__ = ["IdxPair", "find_pairs", "has_pairs"]

IdxPair = tuple[Path, Path]  # images, labels


def has_pairs(folder: Path) -> bool:
    """Whether any of the well-known names is in the folder."""
    wanted = {name for part in ("train", "t10k") for what in ("images", "labels") for name in _names(part, what)}
    try:
        return any(entry.name in wanted for entry in folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: the folder cannot be read: {error.strerror or error}.") from None


def find_pairs(folder: Path) -> tuple[IdxPair, IdxPair | None]:
    """The (images, labels) files for training, and for testing if there are any.

    Raises DataError that says what was looked for, if there are none, or images without labels.
    """
    try:
        present = {entry.name for entry in folder.iterdir()}
    except OSError as error:
        raise DataError(f"{folder}: the folder cannot be read: {error.strerror or error}.") from None
    train, test = _pair(folder, "train", present), _pair(folder, "t10k", present)
    if train is None:
        state = "the folder is empty" if not present else f"none of its {len(present)} entries is a known training file"
        wanted = " and ".join(_names("train", what)[0] for what in ("images", "labels"))
        raise DataError(
            f"{folder}: {state}. Looked for {wanted} (also with a dot, train-images.idx3-ubyte, and with .gz). "
            "A folder of image files has them in folders of their class, root/train/<class>/… or root/<class>/…."
        )
    return train, test


def _names(part: str, what: str) -> list[str]:
    """The names that a file may have, the preferred first."""
    kind = f"idx{3 if what == 'images' else 1}-ubyte"
    return [f"{part}-{what}{joint}{kind}{suffix}" for suffix in ("", ".gz") for joint in ("-", ".")]


def _pair(folder: Path, part: str, present: set[str]) -> IdxPair | None:
    images, labels = ([name for name in _names(part, what) if name in present] for what in ("images", "labels"))
    if images and labels:
        return folder / images[0], folder / labels[0]
    if images:
        raise DataError(f"{folder / images[0]}: unlabeled: no labels beside it. Looked for {', '.join(_names(part, 'labels'))}.")
    if labels:
        raise DataError(f"{folder / labels[0]}: labels without images. Looked for {', '.join(_names(part, 'images'))}.")
    return None
