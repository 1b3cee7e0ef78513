"""A file of CUDA C++ and how its functions are launched.

A program is compiled by CuPy (NVRTC) when one of its functions is first launched, for the card at hand, and CuPy keeps the
result on disk. What varies between launches and must be known to the compiler, such as the type of the numbers, is a definition
(`-DSTORED=float`); a program names the values that each may have, so that all variants can be compiled without a card.

Sources include each other by `#include "name.cuh"` and nothing else: the text is put in before it is compiled, so that CuPy's cache
notices when it changes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ...backend.arrays import Array, array_module

__all__ = ["FLOATS", "Program", "grid", "programs", "stored_type"]

_FOLDER = Path(__file__).parent / "source"
_TYPES = {"float32": "float", "float64": "double", "float16": "half_t", "bfloat16": "bfloat_t"}
FLOATS = tuple(_TYPES.values())
_NUMBERS: dict[type, Any] = {bool: np.bool_, int: np.int64, float: np.float64}  # how they are passed
_HOST = {*_NUMBERS, type(None), np.ndarray, np.uint64}  # arguments that are no array of a card's

programs: list[Program] = []


def stored_type(array: Array) -> str:
    """The name of an array's number type in the sources. Raises KeyError for what is not a float."""
    return _TYPES[array.dtype.name]


def grid(count: int, block: int = 256, most: int = 1 << 16) -> int:
    """How many blocks of threads a loop over `count` elements is shared among; at least one, at most `most`."""
    return max(min(-(-count // block), most), 1)


class Program:
    """`Program("relu.cu", STORED=FLOATS).launch("relu", blocks, threads, x, y, x.size, STORED=stored_type(x))`.

    Arrays must be contiguous as the function expects. A Python int arrives as `long long`, a float as `double`, a bool as `bool`.
    """

    def __init__(self, file: str, **choices: tuple[Any, ...]) -> None:
        self.file, self.choices = file, choices
        self._modules: dict[tuple[Any, ...], Any] = {}
        self._kernels: dict[tuple[Any, ...], Any] = {}  # CuPy's get_function makes a new one each time, which takes as long as a launch
        programs.append(self)

    def source(self) -> str:
        """The text of the file, with what it includes in place."""
        return _text(self.file)

    def variants(self) -> Iterator[dict[str, Any]]:
        """All combinations of definitions that a launch may ask for."""
        for values in itertools.product(*self.choices.values()):
            yield dict(zip(self.choices, values, strict=True))

    def launch(
        self,
        function: str,
        blocks: int | tuple[int, ...],
        threads: int | tuple[int, ...],
        *arguments: Any,
        xp: Any = None,
        **definitions: Any,
    ) -> None:
        """Run `function` on the current stream, with so many blocks of so many threads; nothing is waited for.

        `xp` must be given if no argument is an array of the card's. None arrives as a null pointer, and a NumPy array without axes, of a
        structured dtype, as a structure by value.
        """
        xp = xp or array_module(*(a for a in arguments if type(a) not in _HOST))
        key = (function, id(xp), *definitions.items())
        kernel = self._kernels.get(key)
        if kernel is None:
            kernel = self._kernels[key] = self._module(xp, definitions).get_function(function)
        kernel(_three(blocks), _three(threads), tuple([_NUMBERS[type(a)](a) if type(a) in _NUMBERS else a for a in arguments]))

    def _module(self, xp: Any, definitions: Mapping[str, Any]) -> Any:
        key = (id(xp), *sorted(definitions.items()))
        if key not in self._modules:
            if definitions.keys() != self.choices.keys() or any(v not in self.choices[k] for k, v in definitions.items()):
                raise KeyError(f"{self.file} has the variants {self.choices}, not {dict(definitions)}.")
            self._modules[key] = xp.RawModule(code=self.source(), options=options(definitions))
        return self._modules[key]


def options(definitions: Mapping[str, Any]) -> tuple[str, ...]:
    """What the compiler is told: the language, and a -D for each definition."""
    return ("-std=c++17", *(f"-D{name}={value}" for name, value in definitions.items()))


@cache
def _text(file: str) -> str:
    """A file with what it includes in place. Lines keep their file and number in what compilers and the card's tools say."""
    lines = (_FOLDER / file).read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines):
        if included := re.fullmatch(r'#include "(\w+\.cuh)"', line):
            lines[number] = f'{_text(included[1])}\n#line {number + 2} "{file}"'
    return f'#line 1 "{file}"\n' + "\n".join(lines)


def _three(size: int | tuple[int, ...]) -> tuple[int, ...]:
    return (*size, 1, 1)[:3] if isinstance(size, tuple) else (size, 1, 1)
