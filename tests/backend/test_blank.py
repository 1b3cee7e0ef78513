"""Arrays without values behave as NumPy's do in all but their values."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from minivgg.backend.arrays import array_module, owner
from minivgg.backend.blank import Blanks


@pytest.mark.parametrize(
    "f",
    [
        lambda xp, x, y: x + y,
        lambda xp, x, y: 2 * x - 1.5,
        lambda xp, x, y: x > 0,
        lambda xp, x, y: -x ** 2,
        lambda xp, x, y: xp.exp(x).sum(axis=(0, 2), keepdims=True),
        lambda xp, x, y: x.mean(),
        lambda xp, x, y: x.max(axis=-1),
        lambda xp, x, y: x.argmax(axis=1),
        lambda xp, x, y: xp.where(x > 0, x, 0),
        lambda xp, x, y: x @ y.T,
        lambda xp, x, y: xp.matmul(x, xp.zeros((2, 4, 3), "float32")),
        lambda xp, x, y: xp.concatenate([x, x], axis=1),
        lambda xp, x, y: x.transpose(2, 0, 1).reshape(4, 6),
        lambda xp, x, y: x[:, None, ::2, 1],
        lambda xp, x, y: x[0, 1, 2],
        lambda xp, x, y: x[..., -1],
        lambda xp, x, y: x[:, [0, 2]],
        lambda xp, x, y: x.astype("float16") * 0.5,
        lambda xp, x, y: xp.zeros_like(x.transpose(0, 2, 1), dtype="uint8"),
        lambda xp, x, y: xp.isfinite(x.sum()) & xp.ones((), bool),
        lambda xp, x, y: xp.full((2, 3), 1.0, "float64"),
        lambda xp, x, y: xp.arange(5) * np.float32(2),
        lambda xp, x, y: xp.broadcast_to(y, (2, 3, 4)),
        lambda xp, x, y: xp.lib.stride_tricks.as_strided(x, (2, 2), (16, 4)),
        lambda xp, x, y: xp.ascontiguousarray(x.transpose(1, 0, 2), "float64"),
        lambda xp, x, y: xp.add.reduce(x, axis=0),
        lambda xp, x, y: xp.array(y.T),
    ],
)  # fmt: skip
def test_shapes_dtypes_and_views_are_numpys(f):
    """The result has NumPy's shape and dtype, and shares memory with an operand where NumPy's does."""
    x, y = np.ones((2, 3, 4), "float32"), np.ones((3, 4), "float32")
    expected = f(np, x, y)
    xp = Blanks()
    bx, by = xp.asarray(x), xp.asarray(y)
    found = f(xp, bx, by)
    assert array_module(found) is xp and found.shape == np.shape(expected) and found.dtype == expected.dtype
    if np.ndim(expected):  # a single element of NumPy's is no array
        assert any(owner(found) is a for a in (bx, by)) == (np.shares_memory(expected, x) or np.shares_memory(expected, y))


def test_memory_is_counted_while_an_array_lives():
    """In multiples of 512 bytes, once for all views, until the last is gone; the peak stays, with the phase of what was alive at it."""
    gc.disable()  # no cycle may be needed to free an array
    try:
        xp = Blanks()
        ledger = xp.ledger
        ledger.phase = "first"
        x = xp.empty((1000,), "float32")
        view = x[10:20]
        assert ledger.used == 4096
        ledger.phase = "second"
        y = x + 1
        y += x
        assert ledger.used == 8192 == ledger.peak
        del x, y
        assert ledger.used == 4096
        del view
        assert ledger.used == 0 and sorted(ledger.at_peak.values()) == [(4096, "first"), (4096, "second")]
    finally:
        gc.enable()


@pytest.mark.parametrize("read", [float, int, bool, np.asarray, lambda x: x.item(), lambda x: x.get(), lambda x: [0][x]])
def test_values_are_refused(read):
    """There are none: whatever would wait for a card raises."""
    with pytest.raises(TypeError, match="no values"):
        read(Blanks().empty(()))
