"""What the entry point does: strategies for the package's types, also for tests that Hypothesis writes itself."""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from minivgg.autograd.core import Op, Tensor
from minivgg.ops import Geometry
from minivgg.testing.strategies.registration import register

MODULE = '''
from minivgg import Tensor, ops


def energy(x: Tensor) -> Tensor:
    """Half of the squared norm."""
    return (x * x).sum() * 0.5
'''


register()  # as Hypothesis does when it starts: before a strategy asks for a type


@settings(max_examples=20)
@given(st.from_type(Tensor), st.from_type(Op), st.from_type(Geometry))
def test_types_are_drawn(x: Tensor, op: Op, geometry: Geometry) -> None:
    """from_type gives a float64 tensor, an op of the package, and windows that fit an image of 16×16."""
    assert x.dtype == "float64" and type(op) in Op.registry
    assert min(geometry.output(16, 16)) >= 1


def test_annotations_are_enough() -> None:
    """`given(...)` fills an argument annotated as a tensor."""

    @settings(max_examples=10)
    @given(...)
    def check(x: Tensor) -> None:
        assert isinstance(x, Tensor)

    check()


def test_tensors_by_type_shrink_to_one_number() -> None:
    """The smallest that requires a gradient is 0-d."""
    assert find(st.from_type(Tensor), lambda x: x.requires_grad).shape == ()


def test_the_ghostwriter_writes_a_test_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its source for a function of a tensor imports what it names, and calls the function with drawn tensors."""
    if importlib.util.find_spec("black") is None:  # only lays the source out
        black = types.ModuleType("black")
        black.format_str = lambda source, mode: source  # type: ignore[attr-defined]
        black.Mode = lambda: None  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "black", black)
    from hypothesis.extra import ghostwriter

    (tmp_path / "energies.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    energies = importlib.import_module("energies")
    seen = []
    plain = energies.energy
    source = ghostwriter.fuzz(energies.energy)
    monkeypatch.setattr(energies, "energy", lambda x: seen.append(plain(x)))
    names: dict[str, object] = {}
    exec(source, names)
    names["test_fuzz_energy"]()  # type: ignore[operator]
    assert len(seen) > 10 and all(isinstance(y, Tensor) for y in seen)
