"""What NVIDIA's compiler says about a program, without a card: the registers, stack and spills of each of its functions.

The compiler is NVRTC from the wheel `nvidia-cuda-nvrtc` if it is installed (what CuPy uses at run time, with the options that
CuPy 14 adds), otherwise nvcc. Both end in ptxas, whose report (`-v`) is read.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

__all__ = ["CompileError", "Usage", "compiler", "usage"]

CUPY = ("-ftz=true",)  # what CuPy adds to the options of a RawModule, beside the architecture
Compiler = Callable[[str, tuple[str, ...]], str]  # (source, options) → ptxas's report, or CompileError


class CompileError(RuntimeError):
    """The compiler's own message."""


@dataclass(frozen=True)
class Usage:
    """What a thread of one function takes: registers, and bytes of stack, of spill stores and of spill loads."""

    function: str
    registers: int  # 0 for a function that is called, not launched
    stack: int
    stores: int
    loads: int


def usage(source: str, options: tuple[str, ...], architecture: str) -> list[Usage]:
    """Compile for one architecture ("sm_90"), and tell what each function takes. Raises CompileError."""
    found = compiler()
    assert found is not None
    report = found[1](source, (*options, *CUPY, f"-arch={architecture}"))
    parts = re.split(r"Function properties for (\w+)\n", report)
    return [Usage(name, *_numbers(text)) for name, text in zip(parts[1::2], parts[2::2], strict=True)]


def _numbers(text: str) -> tuple[int, int, int, int]:
    memory = re.match(r".*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", text)
    registers = re.search(r"Used (\d+) registers", text)
    assert memory, text
    return (int(registers[1]) if registers else 0, int(memory[1]), int(memory[2]), int(memory[3]))


@cache
def compiler() -> tuple[str, Compiler] | None:
    """Its name and how it is called; None if this machine has none."""
    library = _nvrtc()
    if library is not None:
        return "NVRTC", lambda source, options: _by_nvrtc(library, source, options)
    return ("nvcc", _by_nvcc) if shutil.which("nvcc") else None


def _nvrtc() -> ctypes.CDLL | None:
    try:
        files = metadata.files("nvidia-cuda-nvrtc") or ()
    except metadata.PackageNotFoundError:
        return None
    return next((ctypes.CDLL(str(f.locate())) for f in files if re.fullmatch(r"libnvrtc\.so\.\d+", f.name)), None)


def _by_nvrtc(library: ctypes.CDLL, source: str, options: tuple[str, ...]) -> str:
    program = ctypes.c_void_p()
    assert library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None) == 0
    words = [word.encode() for word in (*options, "--device-as-default-execution-space", "--ptxas-options=-v")]
    failed = library.nvrtcCompileProgram(program, len(words), (ctypes.c_char_p * len(words))(*words))
    size = ctypes.c_size_t()
    assert library.nvrtcGetProgramLogSize(program, ctypes.byref(size)) == 0
    log = ctypes.create_string_buffer(size.value)
    assert library.nvrtcGetProgramLog(program, log) == 0
    library.nvrtcDestroyProgram(ctypes.byref(program))
    if failed:
        raise CompileError(log.value.decode())
    return log.value.decode()


def _by_nvcc(source: str, options: tuple[str, ...]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cu"
        file.write_text(source, encoding="utf-8")
        command = ["nvcc", "-cubin", "-Xptxas", "-v", *options, "-o", f"{folder}/kernel.cubin", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileError(done.stdout + done.stderr)
    return done.stdout + done.stderr
