"""A card for tests, on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .pretend_cupy import install
from .pretend_cupy.raw_module import why_not


@pytest.fixture
def card() -> Iterator[Any]:
    """The pretend CuPy, installed: `Device("cuda")` and all kernels for cards work, on the CPU."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with install() as cupy:
        yield cupy
