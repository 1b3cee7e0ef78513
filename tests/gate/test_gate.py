"""Every wrong rule of the catalogue is rejected by a failed comparison, and the right one passes on the same inputs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minivgg.autograd.core import Op

from .catalogue import CATALOGUE
from .planting import Planted, in_place
from .witnesses import WITNESSES, question


def rejections(entry: Planted) -> list[str]:
    """The witnesses that reject the planted rule, in their order, on the first of its cases where any does."""
    with in_place(entry):
        for f, arrays in entry.cases(np.random.default_rng(0)):
            verdicts = question(f, arrays, entry.order, entry.without)
            found = [name for name in WITNESSES if name in verdicts and verdicts[name].rejects]
            if found:
                return found
    return []


@functools.cache
def accused_wrongly(cases: Callable[[np.random.Generator], Any], order: int, without: tuple[str, ...]) -> list[str]:
    """The witnesses that do not hold for the right rules, on the same cases."""
    verdicts = [question(f, arrays, order, without) for f, arrays in cases(np.random.default_rng(0))]
    return sorted({name for verdict in verdicts for name, (ok, _) in verdict.items() if not ok})


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_a_wrong_rule_is_rejected(entry: Planted, record_property: Callable[[str, Any], None]) -> None:
    """At least one comparison fails with the wrong rule in place; nothing raises; with the right rule all witnesses hold."""
    assert not accused_wrongly(entry.cases, entry.order, entry.without)
    found = rejections(entry)
    record_property("planted", [entry.name, entry.rule, entry.slip, found])
    assert found, f"{entry.name} survived: {entry.slip}"


def test_the_catalogue_covers_every_rule_of_the_package() -> None:
    """Each op of the package has at least one planted bug, each entry its own name and a slip that is a sentence."""
    own = {cls for cls in Op.registry if cls.__module__.startswith("minivgg.")}
    assert own <= {entry.op for entry in CATALOGUE}
    assert len({entry.name for entry in CATALOGUE}) == len(CATALOGUE) >= 100
    assert all(entry.slip.endswith((".", "?")) for entry in CATALOGUE)
