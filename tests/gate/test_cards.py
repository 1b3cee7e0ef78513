"""Every wrong kernel for cards is rejected on the pretend card, where the right ones pass the same comparisons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from minivgg.fast.cuda.program import programs

from ..cuda.pretend_cupy.raw_module import SANITIZERS, why_not
from .cards import cases
from .cards.catalogue import CARD_KERNELS
from .cards.planting import PlantedCardKernel, functions_of, in_place
from .cards.witnesses import ORDERS, Case, question

CASES = {name: value for name, value in vars(cases).items() if isinstance(value, Case)}
SEEDS = 3
compiles = pytest.mark.skipif(bool(why_not() or SANITIZERS), reason=why_not() or "wrong kernels would end a process with sanitizers")


@compiles
@pytest.mark.parametrize("name", CASES)
def test_right_kernels_pass(name: str, record_property: Callable[[str, Any], None]) -> None:
    """No comparison fails for the kernels as they are, on each case with several draws, in three orders of threads."""
    accused = [found for seed in range(SEEDS) if (found := question(CASES[name], seed)[0])]
    record_property("false alarms on cards", [len(accused), SEEDS * len(ORDERS)])
    assert accused == []


@compiles
@pytest.mark.parametrize("planted", CARD_KERNELS, ids=lambda planted: planted.name)
def test_a_wrong_kernel_for_cards_is_rejected(planted: PlantedCardKernel, record_property: Callable[[str, Any], None]) -> None:
    """At least one comparison fails with the bug in place; the functions that it spoils were launched, and it compiles."""
    with in_place(planted):
        found, launched = question(planted.case)
    record_property("planted", [planted.name, planted.rule, planted.slip, found])
    assert set(planted.functions) <= launched
    assert found, f"{planted.name} survived: {planted.slip}"


def test_the_catalogue_covers_every_function_of_the_sources() -> None:
    """Each function that can be launched has at least one bug, each bug its own name and a slip that is a sentence; each case is used."""
    assert {name for p in programs for name in functions_of(p)} == {name for planted in CARD_KERNELS for name in planted.functions}
    assert len({planted.name for planted in CARD_KERNELS}) == len(CARD_KERNELS) >= 80
    assert all(planted.slip.endswith(".") for planted in CARD_KERNELS)
    assert {name for name, case in CASES.items() if case not in {planted.case for planted in CARD_KERNELS}} == set()


def test_a_bug_leaves_when_its_block_ends() -> None:
    """The sources and what was compiled of them are those of before."""
    before = {p: (p.source(), p._modules, p._kernels) for p in programs}
    for planted in CARD_KERNELS:
        with in_place(planted):
            changed = {p.file for p in programs if p.source() != before[p][0]}
            assert (changed == {planted.file}) or planted.file.endswith(("cuh", "py"))
            assert not any(p._modules or p._kernels for p in programs if p.file in changed)
    assert all(p.source() == source and p._modules is modules and p._kernels is kept for p, (source, modules, kept) in before.items())
