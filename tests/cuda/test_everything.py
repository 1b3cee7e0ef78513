"""What the package as a whole uses of a card."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from minivgg.fast import overlay
from minivgg.fast.cuda import kernels as listed  # noqa: F401  importing the list fills the table
from minivgg.fast.cuda.program import programs
from minivgg.testing.overlay_switch import kernels_found

from .everything import everything
from .pretend_cupy import install
from .pretend_cupy.names import recorded
from .pretend_cupy.raw_module import LAUNCHES, why_not

NAMES = Path(__file__).parent / "cupy_names.txt"


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The names of CuPy, the kernels of the overlay and the functions of the sources that everything together uses."""
    if why_not():
        pytest.skip(why_not() or "")
    shown = warnings.showwarning
    LAUNCHES.clear()
    with install(), recorded() as names, kernels_found() as kernels:
        everything(tmp_path_factory.mktemp("everything"))
    warnings.showwarning = shown  # the commands replace it
    yield SimpleNamespace(names=names, kernels=set(kernels), launched=set(LAUNCHES))


def test_every_kernel_of_the_overlay_is_used(used: Any) -> None:
    """A kernel for cards that nothing meets would be one that no test has tried."""
    registered = {k.function for (_, _, library), entries in overlay.table.items() if library == "cupy" for k in entries}
    assert registered - used.kernels == set()


def test_every_function_of_the_sources_is_launched(used: Any) -> None:
    """The same of the functions in source/*.cu."""
    pattern = r'extern "C" __global__ void (?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\('
    functions = {name for program in programs for name in re.findall(pattern, program.source())}
    assert functions - used.launched == set()


def test_the_names_of_cupy_are_those_that_were_looked_up(used: Any) -> None:
    """cupy_names.txt lists them, and tests/oracles/test_cupy_names.py looks each up in the real CuPy. MINIVGG_WRITE_NAMES=1 renews it."""
    if os.environ.get("MINIVGG_WRITE_NAMES") == "1":
        NAMES.write_text("\n".join(sorted(used.names)) + "\n")
    assert sorted(used.names) == NAMES.read_text().split()
