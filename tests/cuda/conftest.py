"""A card for tests, on the CPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from .pretend_cupy import install, raw_module
from .pretend_cupy.raw_module import SANITIZERS, why_not


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under sanitizers, which are slow, each test runs with its first and its last parameters, those in double left out, whose
    code is that of float; MINIVGG_SOAK=1: with all."""
    if SANITIZERS and os.environ.get("MINIVGG_SOAK") != "1":
        cases: dict[str, list[pytest.Item]] = {}
        for test in items:
            if "float64" not in test.name:
                cases.setdefault(test.nodeid.partition("[")[0], []).append(test)
        kept = [test for group in cases.values() for test in dict.fromkeys((group[0], group[-1]))]
        config.hook.pytest_deselected(items=[test for test in items if test not in kept])
        items[:] = kept


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
