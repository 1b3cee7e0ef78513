"""Every CUDA source compiles, in every variant that may be launched, and nothing spills. No card is needed, only a compiler."""

from __future__ import annotations

import pkgutil
import re
from importlib import import_module
from pathlib import Path

import pytest

from minivgg.fast import cuda
from minivgg.fast.cuda.program import options, programs

from .compilers import CompileError, compiler, usage
from .pretend_cupy.raw_module import FUNCTIONS

for _module in pkgutil.walk_packages(cuda.__path__, cuda.__name__ + "."):
    import_module(_module.name)  # which puts its programs on the list

FOLDER = Path(cuda.__path__[0]) / "source"
SOURCES = {p.file: p.source() for p in programs}
VARIANTS = {file: [options(v) for p in programs if p.file == file for v in p.variants()] for file in SOURCES}
REGISTERS, MOST_THREADS = 1 << 16, 1024  # of a multiprocessor; of a block
compiles = pytest.mark.skipif(compiler() is None, reason="neither the wheel nvidia-cuda-nvrtc nor nvcc is installed")


def faults(source: str, definitions: tuple[str, ...], architecture: str) -> list[str]:
    """What is wrong with a source: a line for each function that does not keep everything in registers, or needs too many."""
    wrong, launched = [], {name: bool(bounds) for bounds, name in FUNCTIONS.findall(source)}
    found = usage(source, definitions, architecture)
    if set(launched) != {u.function for u in found if u.registers}:
        wrong.append(f"the compiler reports on {found}, the source has the functions {launched}")
    for u in found:
        if u.stack or u.stores or u.loads:
            wrong.append(f"{u.function}: {u.stack} bytes of stack, {u.stores} of spill stores, {u.loads} of spill loads; expected 0, 0, 0")
        if u.registers * MOST_THREADS > REGISTERS and not launched.get(u.function):
            wrong.append(f"{u.function}: {u.registers} registers, too many for {MOST_THREADS} threads: state __launch_bounds__")
    return [f"{line} ({architecture}, {' '.join(definitions)})" for line in wrong]


@compiles
@pytest.mark.parametrize("file", SOURCES)
def test_every_variant_compiles_and_keeps_to_registers(file: str) -> None:
    """All variants for sm_90, and the first for sm_80: no stack, no spills, and blocks of the stated size fit a multiprocessor."""
    variants = list(dict.fromkeys(VARIANTS[file]))
    assert variants
    wrong = [line for v in variants for line in faults(SOURCES[file], v, "sm_90")]
    assert not [*wrong, *faults(SOURCES[file], variants[0], "sm_80")]


def test_no_source_is_forgotten() -> None:
    """Each .cu has a program, and each .cuh is included by one of them, so that all that lies there is compiled."""
    assert set(SOURCES) == {f.name for f in FOLDER.glob("*.cu")}
    included = {name for f in FOLDER.iterdir() for name in re.findall(r'#include "(.*)"', f.read_text(encoding="utf-8"))}
    assert included == {f.name for f in FOLDER.glob("*.cuh")}
    assert {f.suffix for f in FOLDER.iterdir()} <= {".cu", ".cuh"}


def test_sources_need_no_header_of_the_toolkit() -> None:
    """NVRTC has no standard headers: a source includes its neighbours and nothing else, and they are put in."""
    for file, source in SOURCES.items():
        assert "#include" not in source, file


@compiles
@pytest.mark.parametrize("file", ["relu.cu", "numbers.cuh"])
def test_compilers_name_the_line_of_the_file(file: str) -> None:
    """What is wrong is reported where it stands in its own file, although included files are put in."""
    text = (FOLDER / file).read_text(encoding="utf-8")
    wrong = next(line for line in reversed(text.splitlines()) if line.endswith(";") or line.endswith("}"))
    number = len(text[: text.rindex(wrong)].splitlines()) + 1
    source = SOURCES["relu.cu"].replace(wrong, f"undeclared_name; {wrong}")
    with pytest.raises(CompileError, match=rf"{re.escape(file)}\({number}\): error"):
        faults(source, VARIANTS["relu.cu"][0], "sm_90")


@compiles
def test_a_spill_a_stack_and_too_many_registers_are_noticed() -> None:
    """The report of kernels that are wrong in each way: 128 sums in the 64 registers of a block of 1024 threads, a table indexed
    by the thread, 100 sums in registers without a stated block."""
    sums = "{{ float s[{0}]; for (int j = 0; j < {0}; j++) s[j] = x[j]; for (int k = 0; k < n; k++) {{ float v = x[k]; {1}"
    sums += "for (int j = 0; j < {0}; j++) s[j] = s[j] * v + x[k * {0} + j]; }} for (int j = 0; j < {0}; j++) y[j] = s[j]; }}"
    head = 'extern "C" __global__ void {} spiller(const float* x, float* y, int n) '
    (spilled,) = faults(head.format("__launch_bounds__(1024)") + sums.format(128, ""), (), "sm_90")
    assert re.match(r"spiller: [1-9]\d* bytes of stack, [1-9]\d* of spill stores, [1-9]\d* of spill loads", spilled)
    table = "{ float s[64]; for (int j = 0; j < n; j++) s[j & 63] = x[j]; y[0] = s[(n * 7) & 63]; }"
    (stacked,) = faults(head.format("") + table, (), "sm_90")
    assert re.match(r"spiller: 256 bytes of stack, 0 of spill stores", stacked)
    (crowded,) = faults(head.format("") + sums.format(100, ""), (), "sm_90")
    assert re.match(r"spiller: 1\d\d registers, too many for 1024 threads: state __launch_bounds__", crowded)
    with pytest.raises(CompileError, match="undeclared_name"):
        faults(head.format("") + "{ y[0] = undeclared_name; }", (), "sm_90")
