"""Dropout's mask, drawn on the card: the bits that NumPy's Philox generator would have drawn on the host."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backend.arrays import Array
from ...backend.substitutes import substitute
from .program import Program, grid

__all__ = ["draws"]

_PROGRAM = Program("philox.cu")
_WORDS = 8  # 32-bit words in a block


@substitute("draws", "cupy")
def draws(xp: Any, rng: np.random.Generator, shape: tuple[int, ...], p: float) -> Array | None:
    """`rng.random(shape, dtype=float32) >= p` on the card, nothing drawn on the host and nothing sent; None if it cannot be.

    It can for a Philox generator whose next numbers are its stream's next 32-bit words: a fresh one, or one that has drawn only
    float32 numbers. `rng` is left in the state that NumPy's own draw would have left it in.
    """
    generator, count = rng.bit_generator, math.prod(shape)
    if type(generator) is not np.random.Philox:
        return None
    state: Any = generator.state
    start = _position(state)
    if start is None:
        return None
    kept = xp.empty(shape, bool)
    if count:
        block = _number(state["state"]["counter"]) + start // _WORDS
        counter = [np.uint64(block >> 64 * i & (2**64 - 1)) for i in range(4)]
        threshold = math.ceil(float(np.float32(p)) * 2**24)
        blocks, start = grid(-(-(count + start % _WORDS) // _WORDS)), start % _WORDS
        _PROGRAM.launch("keep", blocks, 256, kept, count, start, threshold, *counter, *state["state"]["key"])
        _skip(rng, state, count)
    return kept


def _position(state: Any) -> int | None:
    """The number of the next 32-bit word, counted from the block that the state's counter names: 0 to 8.

    NumPy keeps the second half of a 64-bit word for the next 32-bit number. If 64-bit words were drawn in between, that half is
    of an older word, and the numbers are not in the stream's order: None.
    """
    next_word = int(state["buffer_pos"])
    if not state["has_uint32"]:
        return 2 * next_word
    follows = next_word > 0 and int(state["buffer"][next_word - 1]) >> 32 == int(state["uinteger"])
    return 2 * next_word - 1 if follows else None


def _skip(rng: np.random.Generator, state: Any, count: int) -> None:
    """Bring the generator behind `count` float32 numbers: to the last block they touch, of which NumPy draws its share itself."""
    start = _position(state)
    assert start is not None
    passed = (start + count - 1) // _WORDS  # blocks that end before the last number's
    if passed:
        last = _number(state["state"]["counter"]) + passed - 1  # the generator counts up before it makes a block
        counter = np.array([last >> 64 * i & (2**64 - 1) for i in range(4)], np.uint64)
        rng.bit_generator.state = {**state, "state": {**state["state"], "counter": counter}, "buffer_pos": 4, "has_uint32": 0}
        count -= passed * _WORDS - start
    rng.random(count, dtype=np.float32)


def _number(words: Any) -> int:
    return sum(int(word) << 64 * i for i, word in enumerate(words))
