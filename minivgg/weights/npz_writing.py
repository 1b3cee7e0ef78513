"""NumPy's .npz, written: a zip of .npy members, without dates, so that equal arrays are equal files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib import format as npy

__all__ = ["npz_bytes"]


def npz_bytes(arrays: Mapping[str, Any]) -> bytes:
    """The contents of an .npz file, not compressed. Equal arrays under equal names give equal bytes; no date is in it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            with archive.open(member, "w", force_zip64=True) as content:
                npy.write_array(content, np.asarray(arrays[name], order="C"), allow_pickle=False)
    return stream.getvalue()
