"""Peak memory is that of the process asked about."""

from __future__ import annotations

from pathlib import Path

import pytest

from measuring import memory

SCRIPT = f"""
import sys
sys.path.insert(0, {str(Path(memory.__file__).parents[1])!r})
from measuring.memory import tell_alone
if "--fail" in sys.argv:
    sys.exit("no such network")
def make():
    def run(steps):
        for _ in range(steps):
            bytearray(b"x") * (64 << 20)
    return run
print("something else")
tell_alone(make, 3)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell VmHWM")
def test_a_child_does_not_begin_with_its_parents_peak(tmp_path):
    """After 400 MiB here, a process that fills 64 MiB has risen by about 64, from a start far below 400."""
    (tmp_path / "script.py").write_text(SCRIPT)
    filled = bytearray(b"x") * (400 << 20)
    assert memory.peak_bytes() > 400 << 20
    found = memory.apart(str(tmp_path / "script.py"), [], "minivgg")
    del filled
    assert 60 < (found["peak"] - found["before"]) / 2**20 < 90 and found["before"] < 200 << 20
    assert found["faults"] > 0


def test_a_child_that_fails_is_told_with_its_last_line(tmp_path):
    """Its exit is no exception: the other opponents still count."""
    (tmp_path / "script.py").write_text(SCRIPT)
    assert memory.apart(str(tmp_path / "script.py"), ["--fail"], "torch eager") == {"error": "no such network"}
    (tmp_path / "script.py").write_text("import sys; sys.exit(3)")
    assert memory.apart(str(tmp_path / "script.py"), [], "torch eager") == {"error": "exit code 3"}
