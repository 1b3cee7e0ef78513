"""`RawModule` of the pretend CuPy: CUDA C++ compiled for the CPU, with fibers for threads (see shim.hpp and README.md)."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from minivgg.testing import pretend

__all__ = ["FUNCTIONS", "LAUNCHES", "SANITIZERS", "RawModule", "order", "why_not"]

_HERE = Path(__file__).parent
_CACHE = Path(os.environ.get("MINIVGG_SHIM_CACHE") or Path(tempfile.gettempdir()) / f"minivgg-shim-{os.getuid()}")
SANITIZERS = os.environ.get("MINIVGG_SHIM_SANITIZERS", "")  # such as "address,undefined"; the process must have libasan preloaded
FUNCTIONS = re.compile(r'extern "C" __global__ void\s+(?:__launch_bounds__\(([^)]*)\)\s*)?(\w+)\s*\(')  # what the bounds say, the name

LAUNCHES: list[str] = []  # the name of every function that was launched
order = [0]  # in which order blocks, and threads in a block, run: 0 upwards, 1 downwards, 2 scattered


def why_not() -> str | None:
    """None if kernels can be compiled for the CPU here, or what is missing."""
    return None if shutil.which("g++") else "g++ is not installed, so the kernels cannot run on the CPU"


class RawModule:
    """As CuPy's, of which only `code` and `options` may be used. Compiled when a function is first asked for."""

    def __init__(self, *, code: str, options: tuple[str, ...] = ()) -> None:
        self._code, self._options = code, options
        self._library: Any = None

    def get_function(self, name: str) -> RawKernel:
        """The kernel `name`, an extern "C" function."""
        if self._library is None:
            self._library = ctypes.PyDLL(str(_compiled(self._code, self._options)))  # which keeps other Python threads out
        barriers = re.search(r"__sync|__shfl|mma|ldmatrix|__ballot", self._code) is not None
        return RawKernel(self._library, name, barriers, flush="-DSTORED=double" not in self._options)


class RawKernel:
    """`kernel(grid, block, arguments)`: runs at once, on the CPU."""

    def __init__(self, library: Any, name: str, barriers: bool, flush: bool) -> None:
        self._name, self._barriers, self._flush = name, barriers, flush
        self._start, self._kinds = getattr(library, f"shim_start_{name}"), getattr(library, f"shim_kinds_{name}")
        self._start.restype = ctypes.c_char_p

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...], *, shared_mem: int = 0) -> None:
        assert len(grid) == len(block) == 3 and all(isinstance(n, int) and n >= 1 for n in (*grid, *block)), (self._name, grid, block)
        assert block[2] <= 64 and grid[0] < 2**31 and grid[1] < 2**16 and grid[2] < 2**16, (grid, block)
        assert shared_mem == 0, "kernels declare their shared memory"
        self._check(arguments)
        holders = [ctypes.c_void_p(_address(a)) if _is_pointer(a) else np.asarray(a) for a in arguments]
        places = [ctypes.addressof(h) if isinstance(h, ctypes.c_void_p) else h.ctypes.data for h in holders]
        LAUNCHES.append(self._name)
        sizes = (ctypes.c_uint * 6)(*grid, *block)
        problem = self._start((ctypes.c_void_p * len(places))(*places), sizes, self._barriers, order[0], self._flush)
        if problem is not None:
            raise RuntimeError(f"{self._name}: {problem.decode()}")

    def _check(self, values: tuple[Any, ...]) -> None:
        """The arguments have the types that the function was written for: on a card, bytes would be taken for others."""
        buffer = ctypes.create_string_buffer(4096)
        self._kinds(buffer)
        expected, found = buffer.value.decode().split(), [_kind(v) for v in values]
        if len(found) != len(expected) or not all(map(_fits, found, expected)):
            raise TypeError(f"{self._name} takes ({', '.join(expected)}), but was given ({', '.join(found)})[{len(values)}].")
        for v in (v._values for v in values if isinstance(v, pretend.Array) and v.size):
            low, high = np.lib.array_utils.byte_bounds(v)
            if high - low != v.nbytes:
                raise TypeError(f"{self._name} was given an array with gaps: shape {v.shape}, strides {v.strides}.")
        size = sum(8 if _is_pointer(v) else np.asarray(v).nbytes for v in values)
        assert size <= 4096, f"{self._name}: {size} bytes of arguments, but a launch takes 4096"


def _is_pointer(value: Any) -> bool:
    return value is None or isinstance(value, pretend.Array)


def _address(value: Any) -> int | None:
    return None if value is None else int(value._values.ctypes.data)


def _kind(value: Any) -> str:
    """An argument's type, as shim.hpp writes a parameter's: float4* for an array of float32, int8 for np.int64. A structure is a NumPy
    array of size one, by value; None is a null pointer."""
    if value is None:
        return "null"
    if not isinstance(value, (np.ndarray, np.generic, pretend.Array)):
        return type(value).__name__  # CuPy would guess a C type; `Program.launch` leaves nothing to guess
    if isinstance(value, np.ndarray) and not (value.dtype.fields and value.size == 1):
        return "an array of the host"
    what = {"b": "bool", "f": "float", "i": "int", "u": "int"}.get(value.dtype.kind, "struct")
    return f"{what}{value.dtype.itemsize}{'*' if isinstance(value, pretend.Array) else ''}"


def _fits(found: str, expected: str) -> bool:
    """Whether bits are taken for what they are. A half is a struct of two bytes in the sources, any array of two bytes outside;
    bytes may stand for anything."""
    if found == "null":
        return expected.endswith("*")
    anything = expected in ("int1*", "void*") or (expected == "struct2*" and found in ("float2*", "int2*"))
    return found == expected or (anything and found.endswith("*"))


def _compiled(code: str, options: tuple[str, ...]) -> Path:
    """The library, from the cache if it was compiled before."""
    ends = "".join(
        f'extern "C" const char* shim_start_{n}(void** a, const unsigned* s, bool b, int o, bool f) '
        f"{{ return shim::start({n}, a, s, b, o, f, shim::bound({bounds})); }}\n"
        f'extern "C" void shim_kinds_{n}(char* out) {{ shim::kinds({n}, out); }}\n'
        for bounds, n in FUNCTIONS.findall(code)
    )
    fibers, head, matrix, numbers = (_part(part) for part in ("_fibers", "", "_matrix", "_numbers"))
    # In a namespace without a name nothing is shared with other modules, and shared memory can have a section of its own.
    before, behind = matrix if "load_four" in code else "", numbers if "half_t" in code else ""
    flags = ["-O1", "-g1", "-shared", "-fPIC", "-ffp-contract=off", "-w", *options]
    if SANITIZERS:  # -O0 compiles in a third of the time, and nothing wrong is optimised away
        flags += ["-O0", f"-fsanitize={SANITIZERS}", "-fno-sanitize-recover=all", "-fsanitize-sections=shim_shared"]
    first = f"{fibers}{head}" if SANITIZERS else f'#include "{_headers(fibers + head, _of_headers(flags))}"\n'
    text = f'{first}namespace {{\n{before}\n#line 1 "kernel.cu"\n{code}\n{behind}}}\n{ends}'
    return _made("kernel.so", text, flags)


def _part(name: str) -> str:
    return (_HERE / f"shim{name}.hpp").read_text()


def _of_headers(flags: Iterable[str]) -> tuple[str, ...]:
    """What compiles the shim's headers, in which the kernels' own definitions do not occur."""
    return tuple(flag for flag in flags if not flag.startswith("-D") or flag.startswith("-DSHIM_"))


@cache
def _headers(text: str, flags: tuple[str, ...]) -> Path:
    """The header that all kernels begin with, beside its compiled form: reading it takes a compiler longer than most kernels do. One that
    knows no such form reads the text."""
    compiled = _made("shim.hpp.gch", text, (*flags, "-x", "c++-header"))
    header = compiled.with_suffix("")
    if not header.exists():
        written = compiled.with_name(f"{os.getpid()}.hpp")
        written.write_text(text)
        written.rename(header)
    return header


def _made(name: str, text: str, flags: Iterable[str]) -> Path:
    """The file that g++ makes of a text, from the cache if it was made before."""
    folder = _CACHE / hashlib.sha256(repr((text, [*flags])).encode()).hexdigest()[:24]
    target = folder / name
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        source, made = folder / f"{os.getpid()}.cpp", folder / f"{os.getpid()}.made"
        source.write_text(text)
        environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}  # the compiler needs no sanitizer
        done = subprocess.run(["g++", *flags, "-o", str(made), str(source)], capture_output=True, text=True, env=environment)
        if done.returncode:
            raise RuntimeError(f"g++ could not compile a kernel:\n{done.stderr[:4000]}")
        made.rename(target)
    return target
