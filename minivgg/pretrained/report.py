"""What became of each array of a file when its network was read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Match", "Report", "listed"]

_ROWS = 40  # VGG-19 has 19 layers
_WIDTHS = (8, 16, 30, 14, 24)  # characters of a column, at most: 100 in all


@dataclass(frozen=True)
class Match:
    """One array: its name in the file and here, the layer's name in the paper (or here, where it has none), its shape here, and what was
    done to it, "" for nothing."""

    theirs: str
    ours: str
    layer: str
    shape: tuple[int, ...]
    done: str = ""


@dataclass(frozen=True)
class Report:
    """`matched` arrays are in the network, `missing` ones it lacks (names here), `left_over` ones are of no use to it (names in the
    file). `str` makes a table of it, a line for each layer, of at most 100 characters."""

    matched: tuple[Match, ...] = ()
    missing: tuple[str, ...] = ()
    left_over: tuple[str, ...] = ()

    def __str__(self) -> str:
        layers: dict[str, list[Match]] = {}
        for match in self.matched:
            layers.setdefault(match.layer, []).append(match)
        rows = [("layer", "here", "in the file", "weight", "done")]
        rows += [_row(layer, matches) for layer, matches in list(layers.items())[:_ROWS]]
        widths = [min(most, max(len(row[i]) for row in rows)) for i, most in enumerate(_WIDTHS)]
        lines = ["  ".join(_cut(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines += [f"… and {len(layers) - _ROWS} layers more"] * (len(layers) > _ROWS)
        lines += [f"{len(self.matched)} arrays matched, {len(self.missing)} missing, {len(self.left_over)} left over"]
        lines += [f"missing: {listed(self.missing)}"] * bool(self.missing)
        lines += [f"left over: {listed(self.left_over)}"] * bool(self.left_over)
        return "\n".join(lines)


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first few names, and how many there are more."""
    rest = len(names) - most
    return ", ".join(_cut(name, 60) for name in names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _row(layer: str, matches: list[Match]) -> tuple[str, str, str, str, str]:
    """A layer's convolution or matrix, and what belongs to it."""
    first = max(matches, key=lambda match: len(match.shape))
    matches = [first, *(match for match in matches if match is not first)]
    ours = dict.fromkeys(match.ours.rpartition(".")[0] for match in matches)
    here, *others = ours
    here += "".join(f", {name.rpartition('.')[2]}" for name in others)
    done = "; ".join(dict.fromkeys(match.done for match in matches if match.done))
    more = f" +{len(matches) - 1}" if len(matches) > 1 else ""
    room = _WIDTHS[2] - len(more)
    theirs = first.theirs if len(first.theirs) <= room else f"…{first.theirs[1 - room :]}"
    return layer, here, theirs + more, "×".join(map(str, first.shape)), done


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
