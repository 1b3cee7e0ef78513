"""Substitutes: functions found by name and array library, under the switch that kernels obey."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import minivgg as mv
from minivgg.backend import substitutes
from minivgg.backend.substitutes import substitute, substituted


@pytest.fixture
def registered(monkeypatch):
    """A substitute for "work" on the arrays of "elsewhere"."""
    monkeypatch.setattr(substitutes, "table", {})

    @substitute("work", "elsewhere")
    def work():
        return 7

    return SimpleNamespace(__name__="elsewhere")


def test_found_by_name_and_library(registered):
    """The function that was registered for this work on this library, or None."""
    work = substituted("work", registered)
    assert work is not None
    assert work() == 7
    assert substituted("work", np) is None
    assert substituted("other work", registered) is None


def test_reference_switches_them_off(registered):
    """Inside `reference()` there are none, afterwards there are again."""
    with mv.reference():
        assert substituted("work", registered) is None
    assert substituted("work", registered) is not None


def test_the_first_question_imports_the_kernels():
    """The table is filled when it is first asked, before any op ran."""
    script = (
        "import sys, types, minivgg\n"
        "from minivgg.backend.substitutes import substituted\n"
        "assert 'minivgg.fast.kernels' not in sys.modules\n"
        "print(substituted('draws', types.SimpleNamespace(__name__='cupy')).__module__)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "minivgg.fast.cuda.philox"
