"""`RawModule` of the pretend CuPy: CUDA C++ compiled for the CPU, with fibers for threads (see shim.hpp)."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from minivgg.testing import pretend

__all__ = ["LAUNCHES", "RawModule", "order", "why_not"]

_HERE = Path(__file__).parent
_CACHE = Path(os.environ.get("MINIVGG_SHIM_CACHE") or Path(tempfile.gettempdir()) / f"minivgg-shim-{os.getuid()}")
_SANITIZERS = os.environ.get("MINIVGG_SHIM_SANITIZERS", "")  # such as "address,undefined"; the process must have libasan preloaded
_MOST_THREADS = 1024

LAUNCHES: list[str] = []  # the name of every function that was launched
order = [0]  # in which order the threads of a block run: 0 upwards, 1 downwards, 2 scattered


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
            self._library = ctypes.CDLL(str(_compiled(self._code, self._options)))
        barriers = re.search(r"__sync|__shfl|mma|ldmatrix|__ballot", self._code) is not None
        return RawKernel(self._library, name, barriers)


class RawKernel:
    """`kernel(grid, block, arguments)`: runs at once, on the CPU."""

    def __init__(self, library: Any, name: str, barriers: bool) -> None:
        self._name, self._barriers = name, barriers
        self._start, self._kinds = getattr(library, f"shim_start_{name}"), getattr(library, f"shim_kinds_{name}")
        self._start.restype = ctypes.c_char_p

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...], *, shared_mem: int = 0) -> None:
        assert len(grid) == len(block) == 3 and all(isinstance(n, int) and n >= 1 for n in (*grid, *block)), (self._name, grid, block)
        assert block[0] * block[1] * block[2] <= _MOST_THREADS and grid[0] < 2**31 and grid[1] < 2**16 and grid[2] < 2**16, (grid, block)
        assert shared_mem == 0, "kernels declare their shared memory"
        self._check(arguments)
        holders = [ctypes.c_void_p(_address(a)) if _is_pointer(a) else np.asarray(a) for a in arguments]
        places = [ctypes.addressof(h) if isinstance(h, ctypes.c_void_p) else h.ctypes.data for h in holders]
        LAUNCHES.append(self._name)
        problem = self._start((ctypes.c_void_p * len(places))(*places), (ctypes.c_uint * 6)(*grid, *block), self._barriers, order[0])
        if problem is not None:
            raise RuntimeError(f"{self._name}: {problem.decode()}")

    def _check(self, values: tuple[Any, ...]) -> None:
        """The arguments have the types that the function was written for: on a card, bytes would be taken for others."""
        buffer = ctypes.create_string_buffer(4096)
        self._kinds(buffer)
        expected = buffer.value.decode().split()
        found = [_kind(v) for v in values]
        fits = [f == e or (f == "null" and e.startswith("pointer")) for f, e in zip(found, expected, strict=False)]
        if len(found) != len(expected) or not all(fits):
            raise TypeError(f"{self._name} takes ({', '.join(expected)}), but was given ({', '.join(found)})[{len(values)}].")
        size = sum(8 if _is_pointer(v) else np.asarray(v).nbytes for v in values)
        assert size <= 4096, f"{self._name}: {size} bytes of arguments, but a launch takes 4096"


def _is_pointer(value: Any) -> bool:
    return value is None or isinstance(value, pretend.Array)


def _address(value: Any) -> int | None:
    return None if value is None else int(value._values.ctypes.data)


def _kind(v: Any) -> str:
    """How an argument arrives. A structure is a NumPy array of size one, by value; None is a null pointer."""
    if v is None:
        return "null"
    if isinstance(v, pretend.Array):
        return f"pointer{v.itemsize}"
    if isinstance(v, (np.void, np.ndarray)) and v.dtype.fields and v.size == 1:
        return f"struct{v.itemsize}"
    if isinstance(v, np.generic):
        return f"{ {'b': 'bool', 'f': 'float'}.get(v.dtype.kind, 'int') }{v.itemsize}"
    return type(v).__name__


def _compiled(code: str, options: tuple[str, ...]) -> Path:
    """The library, from the cache if it was compiled before."""
    names = re.findall(r'extern "C" __global__ void (?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(', code)
    ends = "".join(
        f'extern "C" const char* shim_start_{n}(void** a, const unsigned* s, bool b, int o) {{ return shim::start({n}, a, s, b, o); }}\n'
        f'extern "C" void shim_kinds_{n}(char* out) {{ shim::kinds({n}, out); }}\n'
        for n in names
    )
    head, numbers = ((_HERE / f"{name}.hpp").read_text() for name in ("shim", "shim_numbers"))
    text = head + code + (numbers if "half_t" in code else "") + ends
    flags = ["-O1", "-g", "-shared", "-fPIC", "-ffp-contract=off", "-w", *options]
    flags += [f"-fsanitize={_SANITIZERS}", "-fno-sanitize-recover=all"] if _SANITIZERS else []
    folder = _CACHE / hashlib.sha256(repr((text, flags)).encode()).hexdigest()[:24]
    library = folder / "kernel.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        source, made = folder / f"{os.getpid()}.cpp", folder / f"{os.getpid()}.so"
        source.write_text(text)
        done = subprocess.run(["g++", *flags, "-o", str(made), str(source)], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"g++ could not compile a kernel:\n{done.stderr[:4000]}")
        made.rename(library)
    return library
