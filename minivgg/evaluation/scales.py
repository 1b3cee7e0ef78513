"""The scales Q, in pixels of the shortest side, at which a network is tested: the paper's rules, or a list of one's own."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ConfigError
from .sight import Sight

__all__ = ["scales_for"]

_MARGIN, _FULL = 32, 224  # the paper's scales beside S are S ± 32 for crops of 224
_MOST = 8192


def scales_for(sight: Sight, wanted: str | Sequence[int] = "", least: int | None = None) -> tuple[int, ...]:
    """The scales for a network, rising or as listed. `wanted` is

    ""               the paper's single scale: S, or ½(S_min + S_max) of one trained at several
    "multi"          the paper's several: S − 32, S, S + 32, or S_min, ½(S_min + S_max), S_max; for crops of other sizes than 224
                     the 32 is scaled, and no scale is smaller than the crop
    "256,384,512"    these; or a sequence of numbers
    `least` is the smallest side that the network can look at, by default the crop's.
    Raises ConfigError for anything else, for a scale twice, or for one that is too small.
    """
    if wanted == "":
        return (sight.middle,)
    if wanted == "multi":
        margin = max(1, round(_MARGIN * sight.size / _FULL))
        low, high = (sight.low, sight.high) if sight.low < sight.high else (sight.low - margin, sight.high + margin)
        return tuple(sorted({max(sight.size, side) for side in (low, sight.middle, high)}))
    sides = _numbers(wanted) if isinstance(wanted, str) else tuple(wanted)
    if not sides:
        raise ConfigError("the list of scales is empty: name at least one, such as --scales 256,384,512.")
    twice = sorted({side for side in sides if sides.count(side) > 1})
    if twice:
        raise ConfigError(f"the scale {twice[0]} is listed twice, and would count twice. List it once.")
    least = sight.size if least is None else least
    small = [side for side in sides if side < least]
    if small:
        raise ConfigError(
            f"a scale of {small[0]} pixels is too small: the network looks at {least}×{least} pixels at once, and an image's "
            f"shortest side would have {small[0]}. Raise --scales to {least} or more (it was trained at {_range(sight)})."
        )
    if max(sides) > _MOST:
        raise ConfigError(f"a scale of {max(sides)} pixels is more than {_MOST}. Lower --scales.")
    return sides


def _numbers(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    wrong = [part for part in parts if not (part.isascii() and part.isdecimal() and len(part) <= 9)]
    if wrong:
        raise ConfigError(f'--scales must be whole numbers of pixels such as 256,384,512, or multi, but has "{wrong[0]}".')
    return tuple(int(part) for part in parts)


def _range(sight: Sight) -> str:
    return str(sight.low) if sight.low == sight.high else f"{sight.low}..{sight.high}"
