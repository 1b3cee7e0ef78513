"""Kernels under AddressSanitizer and UndefinedBehaviorSanitizer: no access outside an array, no undefined arithmetic.

Everything runs in processes of their own, with libasan loaded first, so that NumPy's arrays, which stand for the card's, have red
zones around them. Each process sees a report as its end: whatever it says is in the failure's text.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from .pretend_cupy.raw_module import SANITIZERS, why_not

ROOT = Path(__file__).parents[2]
WITHOUT_KERNELS = ("everything", "feeding", "waiting")  # files that ask when and from where kernels are launched, not what they do


@cache
def libasan() -> str | None:
    """AddressSanitizer's library, or None."""
    if why_not() or sys.platform != "linux":
        return None
    found = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout.strip()
    return found if Path(found).is_absolute() else None


pytestmark = [
    pytest.mark.skipif(libasan() is None, reason="no libasan beside g++: kernels did not run under sanitizers"),
    pytest.mark.skipif(bool(SANITIZERS), reason="runs under sanitizers already"),
]


def sanitized(*arguments: str, reports: str = "") -> subprocess.CompletedProcess[str]:
    """Run Python in a process with sanitizers. They report on stderr, or in files whose names begin with `reports`."""
    place = f":log_path={reports}" if reports else ""
    settings = {
        "MINIVGG_SHIM_SANITIZERS": "address,undefined",
        "LD_PRELOAD": libasan() or "",
        "ASAN_OPTIONS": f"detect_leaks=0:detect_stack_use_after_return=0{place}",  # Python never frees all
        "UBSAN_OPTIONS": f"print_stacktrace=1{place}",
    }
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True, check=False)


def test_kernels_stay_inside_their_arrays(tmp_path: Path) -> None:
    """The kernels' own tests, each with its first and last parameters in float and half; MINIVGG_SOAK=1 takes all."""
    ignored = [f"--ignore={Path(__file__).parent / f'test_{name}.py'}" for name in ("sanitizers", "compiles", *WITHOUT_KERNELS)]
    options = ["-q", "-p", "no:xdist", "-p", "no:cacheprovider", str(Path(__file__).parent)]
    done = sanitized("-m", "pytest", *options, *ignored, reports=str(tmp_path / "report"))
    found = "\n".join(file.read_text() for file in tmp_path.iterdir())
    assert done.returncode == 0, done.stdout[-6000:] + found[:6000]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) >= 20, done.stdout[-6000:]


PLANTED = {
    "reads_past": ("y[t] = x[t + 1];", "heap-buffer-overflow.*READ of size 4"),
    "writes_before": ("y[t - 1] = x[t];", "heap-buffer-overflow.*WRITE of size 4"),
    "shifts_too_far": ("y[t] = 1 << (t + 1);", "shift exponent 32 is too large"),
    "overflows": ("y[t] = 100000 * (n * 1000);", "signed integer overflow"),
    "misaligned": ("y[t] = ((const float4*)(x + 1))->x;", "misaligned address .* for .*'const struct float4'.* requires 16 byte alignment"),
    "shared_past": ("__shared__ float tile[32]; float* p = tile; y[t] = (p + n)[t];", "global-buffer-overflow"),
    "shared_index": ("__shared__ float tile[32]; y[t] = tile[t + 1];", "index 32 out of bounds for type 'float *\\[32\\]'"),
    "local_past": ("float s[3]; float* p = s; __syncthreads(); y[t] = (p + 3)[t];", "stack-buffer-overflow"),
    "right": ("__shared__ float tile[32]; tile[t] = x[t]; __syncthreads(); y[t] = tile[t ^ 1];", ""),
}
SCRIPT = """
import os, sys
import numpy as np
from minivgg.testing.pretend import Array
from tests.cuda.pretend_cupy.raw_module import RawModule
names, code = sys.argv[1].split(), sys.argv[2]
module = RawModule(code=code, options=("-std=c++17",))
module.get_function(names[0])
def run(name):
    x, y = np.zeros(32, "f4"), np.zeros(32, "f4")
    module.get_function(name)((1, 1, 1), (32, 1, 1), (Array(x), Array(y), np.int32(32)))
for name in names:
    print(f"\\n== {name}", file=sys.stderr, flush=True)
    child = os.fork()
    if not child:
        try: run("stuck")
        except RuntimeError as error: print(error, file=sys.stderr)
        run(name)
        os._exit(77)
    print("exit", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=sys.stderr, flush=True)
"""


def test_planted_faults_are_reported() -> None:
    """A kernel that reads one element past its input, writes before its output, shifts too far, loads a float4 from where none can
    lie, leaves shared memory or its own array, overflows: each ends its process with the right report, with fibers, and after
    a launch that got stuck at a barrier. A right kernel does not."""
    head = 'extern "C" __global__ void {}(const float* x, float* y, int n) {{ int t = threadIdx.x; {} }}\n'
    code = "".join(head.format(name, body) for name, (body, _) in PLANTED.items())
    code += head.format("stuck", "if (t == 3) __syncthreads();")
    done = sanitized("-W", "ignore", "-c", SCRIPT, " ".join(PLANTED), code)
    parts = re.split(r"\n== (\w+)\n", done.stderr)
    assert parts[1::2] == list(PLANTED), done.stderr
    for name, report in zip(parts[1::2], parts[2::2], strict=True):
        assert "stuck: not all threads reach one barrier" in report, name
        assert report.endswith("exit 77\n") == (name == "right"), (name, report)
        assert re.search(PLANTED[name][1], report, re.DOTALL), (name, report)
