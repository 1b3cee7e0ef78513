"""Initial values of weights, drawn from named streams. Biases start at zero everywhere.

Each initialiser is a function (rng, shape) → float32 array; shape is (out, in) or (K, C, R, S).
fan_in = in or C·R·S is the number of summands of one output, fan_out the same seen from the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..backend import layout
from ..backend.arrays import Array
from ..backend.device import Device
from ..errors import ConfigError, nearest

__all__ = ["INITIALISERS", "Initialiser", "fans", "glorot", "he", "initialiser", "normal", "zeros"]

Initialiser = Callable[[Any, tuple[int, ...]], Array]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight's shape."""
    taps = math.prod(shape[2:])
    return shape[1] * taps, shape[0] * taps


def _stored(values: Array) -> Array:
    """Filters are drawn in logical order (K, R, S, C), and stored as convolutions read them."""
    return layout.as_kcrs(layout.rsck(layout.as_nchw(values))) if values.ndim == 4 else values


def _drawn_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], *shape[2:], shape[1])


def normal(std: float) -> Initialiser:
    """N(0, std²). The VGG paper's is std 0.01: its "10⁻² variance" taken as a standard deviation, since as a variance
    (std 0.1) the logits of net A start at a deviation of 10⁸.
    """

    def draw(rng: Any, shape: tuple[int, ...]) -> Array:
        values = rng.standard_normal(_drawn_shape(shape), dtype="float32")
        values *= std
        return _stored(values)

    return draw


def he(rng: Any, shape: tuple[int, ...]) -> Array:
    """N(0, 2 / fan_in): keeps the size of activations through ReLU layers (He et al. 2015, arXiv:1502.01852, §2.2)."""
    return normal(math.sqrt(2.0 / fans(shape)[0]))(rng, shape)


def glorot(rng: Any, shape: tuple[int, ...]) -> Array:
    """U(−a, a), a² = 6 / (fan_in + fan_out): a compromise between both directions (Glorot & Bengio 2010, eq. 16)."""
    values = rng.random(_drawn_shape(shape), dtype="float32")
    values -= 0.5
    values *= 2.0 * math.sqrt(6.0 / sum(fans(shape)))
    return _stored(values)


def zeros(rng: Any, shape: tuple[int, ...]) -> Array:
    """All 0, for weights that are put in afterwards."""
    return Device("cpu").full(shape, 0.0)


INITIALISERS: dict[str, Initialiser] = {"he": he, "glorot": glorot, "paper": normal(0.01)}


def initialiser(init: str | Initialiser) -> Initialiser:
    """The initialiser of that name, or the function itself. Raises ConfigError for an unknown name."""
    if callable(init):
        return init
    if init not in INITIALISERS:
        raise ConfigError(f'unknown initialiser "{init}": {nearest(str(init), INITIALISERS)}')
    return INITIALISERS[init]
