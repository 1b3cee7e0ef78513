"""Settings for all tests: Hypothesis without deadlines and, by default, without randomness."""

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from minivgg.backend.device import Device
from minivgg.errors import DeviceError

from .gate.printing import report_gate

pytest_plugins = ["pytester"]

settings.register_profile("ci", derandomize=True, deadline=None, database=None)
settings.register_profile("soak", deadline=None, max_examples=10_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True, scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests keep their hands off the user's cache."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print which planted bugs were rejected by what, and which array libraries really ran: "all green" must not mean "never
    tried"."""
    report_gate(terminalreporter)
    try:
        cupy = f"CuPy on {Device('cuda')}"
    except DeviceError as error:
        cupy = f"CuPy did not run ({error})"
    terminalreporter.write_line(f"backends: NumPy {np.__version__} ran; the pretend GPU ran; {cupy}")
