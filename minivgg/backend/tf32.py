"""CuPy's switch for products of float32 arrays: strict, or with operands rounded to TF32's 11 bits. One for the whole process."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from ..errors import ConfigError

__all__ = ["settle", "settle_once"]


@cache
def settle_once(cupy: Any) -> None:
    """When a card is first used: strict from then on, whatever CUPY_TF32 says."""
    settle(cupy, tf32=False)


def settle(cupy: Any, tf32: bool) -> Callable[[], None]:
    """Tell CuPy how to multiply float32 arrays, unless `cupy` is None or has no card.

    Returns a function that puts back what was set before. The switch is private to CuPy 13 and 14 (`cupy._core._routines_linalg`), since
    the public one, CUPY_TF32, is read once for the process. Raises ConfigError if this CuPy has it no longer.
    """
    if cupy is None or not cupy.cuda.is_available():
        return lambda: None
    try:
        linalg = cupy._core._routines_linalg
        wanted = linalg.COMPUTE_TYPE_TF32 if tf32 else linalg.COMPUTE_TYPE_DEFAULT
        before, put = linalg.get_compute_type(np.float32), linalg.set_compute_type
        put(np.float32, wanted)
    except AttributeError as error:
        raise ConfigError(
            f"CuPy {cupy.__version__} has no switch for TF32 where versions 13 and 14 have it ({error}), so that it is unknown how it "
            "multiplies. Install such a version: pip install 'cupy-cuda13x>=14,<15'."
        ) from None
    return lambda: put(np.float32, before)
