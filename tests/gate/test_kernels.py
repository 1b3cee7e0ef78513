"""Every wrong kernel is rejected in the sections "with kernels", while the sections "reference" stay ok."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minivgg.fast import overlay
from minivgg.testing import Section, check_adjoint, check_definition, check_gradients, check_layouts, check_precision

from .catalogue import KERNELS
from .kernels import PlantedKernel

CHECKS: dict[str, Callable[..., Any]] = {
    "adjoint": check_adjoint,
    "definition": check_definition,
    "precision": check_precision,
    "layouts": check_layouts,
}


def sections(op: Any, arrays: Any) -> list[tuple[str, Section]]:
    """(witness, section) of all checks that can be called for the op."""
    found = [(s.title.partition(",")[0], s) for s in check_gradients(op, *arrays, coordinates=8, directions=1).sections]
    for name, check in CHECKS.items():
        if (name != "adjoint" or getattr(op, "linear", ())) and (name != "definition" or hasattr(op, "definition")):
            found += [(name, s) for s in check(op, *(x if x is None else x.copy() for x in arrays)).sections]
    return found


def rejections(planted: PlantedKernel, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The witnesses whose section with kernels fails. The sections without must hold, and all of them with the real kernel."""
    cases = list(planted.cases(np.random.default_rng(0)))
    assert all(section.ok for op, arrays in cases for _, section in sections(op, arrays))
    monkeypatch.setitem(overlay.table, planted.key, [planted.entry()])
    found = [pair for op, arrays in cases for pair in sections(op, arrays)]
    assert any(section.kernels for _, section in found)
    assert all(section.ok for _, section in found if not section.kernels)
    return list(dict.fromkeys(name for name, section in found if section.kernels and section.outcome.wrong))


@pytest.mark.parametrize("planted", KERNELS, ids=lambda planted: planted.name)
def test_a_wrong_kernel_is_rejected(
    planted: PlantedKernel, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, Any], None]
) -> None:
    """At least one comparison with kernels fails, and none without: the rule is not accused of the kernel's fault."""
    found = rejections(planted, monkeypatch)
    record_property("planted", [planted.name, planted.rule, planted.slip, found])
    assert found


def test_the_catalogue_covers_every_kernel() -> None:
    """Each kernel of the overlay has at least one planted bug."""
    assert {key for key in overlay.table if key[2] == "numpy"} <= {planted.key for planted in KERNELS}
    assert len({planted.name for planted in KERNELS}) == len(KERNELS) >= 12
