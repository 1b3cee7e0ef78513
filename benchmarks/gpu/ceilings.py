"""What the card itself can do, through CuPy: the shares in the tables are of these."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator
from typing import Any

from minivgg.backend.precision import image_dtype, precision

from .card import Place

__all__ = ["SQUARE", "copied", "measure", "product"]

SQUARE = (8192, 8192, 8192)  # as large as a product need be to reach the card's rate

# (rows, inner, columns): a square; VGG-16's second convolution of a quarter of the batch, one of the fourth block and one of the fifth.
_PRODUCTS = [SQUARE, (802_816, 576, 64), (50_176, 4608, 512), (12_544, 4608, 512)]


def measure(place: Place) -> Iterator[dict[str, Any]]:
    """Records with more and more figures."""
    record: dict[str, Any] = {"title": "Ceilings", "figures": {}}
    for name, unit, find in _figures(place):
        try:
            record["figures"][name] = f"{find():.3g} {unit}"
        except Exception as error:  # a figure that cannot be had must not take the others with it
            record["figures"][name] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        yield record


def _seconds(place: Place, work: Callable[[], Any], repeats: int = 7) -> float:
    work()
    found = []
    for _ in range(place.pick(repeats, 1)):
        clock = place.clock()
        clock.start()
        work()
        found.append(clock.stop())
    return statistics.median(found)


def _figures(place: Place) -> Iterator[tuple[str, str, Callable[[], float]]]:
    xp = place.cupy

    def launched() -> float:
        a, n = xp.zeros(1, "float32"), place.pick(2000, 3)

        def many() -> None:
            for _ in range(n):
                xp.add(a, a, out=a)

        return _seconds(place, many, 3) / n * 1e6

    yield "copy", "TB/s, read and written", lambda: copied(place)
    yield "one launch", "µs", launched
    for name in ("fp32", "tf32", "fp16", "bf16"):
        for m, k, n in [_PRODUCTS[1]] if place.dry else _PRODUCTS:
            sizes = (m, k, n) if not place.dry else (8, 4, 2)
            for form in ("forward", "images' gradient", "weights' gradient"):
                yield f"{name} {form} {m}×{k}×{n}", "TFLOP/s", lambda name=name, sizes=sizes, form=form: product(place, name, sizes, form)


def copied(place: Place) -> float:
    """TB/s of a copy of 1 GiB, read and written."""
    xp, count = place.cupy, place.pick(1 << 28, 1 << 10)
    a, b = xp.zeros(count, "float32"), xp.zeros(count, "float32")
    return 8 * count / _seconds(place, lambda: xp.copyto(b, a)) / 1e12


def product(place: Place, name: str, sizes: tuple[int, int, int], form: str) -> float:
    """TFLOP/s of a product of (rows, inner, columns) in the precision `name`: of a layer's "forward", "images' gradient" or
    "weights' gradient"."""
    xp, (m, k, n) = place.cupy, sizes
    dtype = image_dtype(name)
    with contextlib.ExitStack() as stack:
        stack.enter_context(precision(name))
        x, w, g = (xp.full(shape, 0.5, "float32") for shape in ((m, k), (k, n), (m, n)))
        if dtype is not None:
            x, w, g = (array.astype(dtype) for array in (x, w, g))
        work = {"forward": lambda: x @ w, "images' gradient": lambda: g @ w.T, "weights' gradient": lambda: x.T @ g}[form]
        return 2 * m * k * n / _seconds(place, work) / 1e12
