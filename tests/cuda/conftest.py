"""A card for tests, on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .pretend_cupy import install, raw_module
from .pretend_cupy.raw_module import why_not


@pytest.fixture
def card() -> Iterator[Any]:
    """The pretend CuPy, installed: `Device("cuda")` and all kernels for cards work, on the CPU."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with install() as cupy:
        yield cupy


@pytest.fixture(params=[0, 1, 2], ids=["upwards", "downwards", "scattered"])
def order(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The threads of a block run in this order: the test runs in each of three."""
    monkeypatch.setattr(raw_module, "order", [request.param])
    return int(request.param)
