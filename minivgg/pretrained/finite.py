"""NaN and infinity are refused before anything is computed with them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..backend.arrays import Array
from ..errors import CheckpointError

__all__ = ["require_finite"]


def require_finite(arrays: Mapping[str, Array], path: str) -> None:
    """Raise CheckpointError for the first array with a NaN or an infinity. Takes no memory: the least and the largest value tell, since
    NaN goes through both."""
    for name, array in arrays.items():
        if array.size and array.dtype.kind in "fc" and not (np.isfinite(array.min()) and np.isfinite(array.max())):
            raise CheckpointError(
                f"{path}: {name} {array.shape} holds NaN or infinite values. The file is damaged, or its training failed."
            )
