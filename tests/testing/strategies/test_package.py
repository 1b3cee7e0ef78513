"""The package as a whole: its names, and what importing it costs."""

from __future__ import annotations

import importlib
import subprocess
import sys
import types
from pathlib import Path

from minivgg.testing import strategies


def test_every_public_name_is_a_strategy_or_a_class() -> None:
    """With all of its modules imported no name of `__all__` has turned into a module of the same name."""
    for path in Path(strategies.__file__).parent.glob("*.py"):
        importlib.import_module(f"minivgg.testing.strategies.{path.stem}".removesuffix(".__init__"))
    for name in strategies.__all__:
        value = getattr(strategies, name)
        assert callable(value) and not isinstance(value, types.ModuleType), name
    assert set(strategies.__all__) <= set(dir(strategies))


def test_registering_imports_no_strategy() -> None:
    """Hypothesis starts with the engine's types alone; calls, graphs and networks wait until they are drawn."""
    script = (
        "import sys\nfrom minivgg.testing.strategies.registration import register\nregister()\n"
        "print(sorted(m.rpartition('.')[2] for m in sys.modules if m.startswith('minivgg.testing.strategies.')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['registration']"


def test_importing_the_checks_does_not_import_hypothesis() -> None:
    """`minivgg.testing` serves without it."""
    script = "import sys\nfrom minivgg.testing import check_gradients, check_model\nprint('hypothesis' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
