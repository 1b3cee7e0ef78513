"""One opponent in a process of its own: how high its memory rises, and how many pages it has mapped at each step.

The high-water mark is VmHWM where Linux tells it. `ru_maxrss` would not do: it outlives exec, so that a child begins with the
peak of the process that started it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .timing import Run, faults_of_this_process

__all__ = ["apart", "peak_bytes", "tell_alone"]

_STATUS = Path("/proc/self/status")


def peak_bytes() -> int:
    """The most memory that this process has had resident."""
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def tell_alone(make: Callable[[], Run], steps: int, warm_up: int = 2) -> None:
    """Build an opponent, run it, and print as JSON its peak before and after, in bytes, and its page faults a steady step."""
    before = peak_bytes()
    run = make()
    run(warm_up)
    faults = faults_of_this_process()
    run(steps)
    faults = faults_of_this_process() - faults
    print(json.dumps({"before": before, "peak": peak_bytes(), "faults": faults / steps}))


def apart(script: str, arguments: Sequence[str], name: str) -> dict[str, Any]:
    """What `script`, called again with --alone `name`, tells; or {"error": its last line on stderr}."""
    done = subprocess.run([sys.executable, script, *arguments, "--alone", name], capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
