"""Bugs in kernels for cards: a piece of a CUDA source replaced by a wrong one in the text that the compiler is given, or a wrong launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from minivgg.fast.cuda import kernels, program  # noqa: F401  importing the list makes all programs

from ...cuda.pretend_cupy.raw_module import FUNCTIONS
from .witnesses import Case

__all__ = ["CARD_KERNELS", "PlantedCardKernel", "functions_of", "in_place", "wrong_launch", "wrong_text"]


@dataclass(frozen=True)
class PlantedCardKernel:
    """One bug: the file it is in, the functions of the sources that it spoils, the slip in a sentence, and the case to ask about.

    `plant` puts it in place until the patch is undone.
    """

    name: str
    file: str
    functions: tuple[str, ...]
    slip: str
    case: Case
    plant: Callable[[pytest.MonkeyPatch], None]

    @property
    def rule(self) -> str:
        """Such as "sgd.cu: sgd"."""
        return f"{self.file}: {', '.join(self.functions)}"


CARD_KERNELS: list[PlantedCardKernel] = []


def wrong_text(name: str, file: str, functions: str, case: Case, right: str, wrong: str, slip: str) -> None:
    """Enter a bug: `right`, which stands once in the file, becomes `wrong`. `functions` are names with spaces between."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        read, sources = program._text.__wrapped__, {p: p.source() for p in program.programs}

        def text(asked: str) -> str:
            found: str = read(asked)
            if asked != file:
                return found
            assert found.count(right) == 1, f"{name}: {file} has {right!r} {found.count(right)} times, not once: bring the bug up to date."
            return found.replace(right, wrong)

        patch.setattr(program, "_text", text)
        spoiled = [p for p, source in sources.items() if p.source() != source]
        assert spoiled and set(functions.split()) <= {f for p in spoiled for f in functions_of(p)}, name
        for p in spoiled:  # what was compiled before must not be found, nor what is compiled now be kept
            for kept in [key for key, value in vars(p).items() if key.startswith("_") and isinstance(value, dict)]:
                patch.setattr(p, kept, {})

    CARD_KERNELS.append(PlantedCardKernel(name, file, tuple(functions.split()), slip, case, plant))


def wrong_launch(name: str, functions: str, case: Case, modules: tuple[Any, ...], attribute: str, wrong: Any, slip: str) -> None:
    """Enter a bug of what launches: `attribute` of these modules, the first of which defines it, is `wrong`."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        for module in modules:
            patch.setattr(module, attribute, wrong)

    file = modules[0].__name__.rpartition(".")[2] + ".py"
    CARD_KERNELS.append(PlantedCardKernel(name, file, tuple(functions.split()), slip, case, plant))


def functions_of(source: program.Program) -> set[str]:
    """The names of the functions that can be launched."""
    return {name for _, name in FUNCTIONS.findall(source.source())}


@contextmanager
def in_place(planted: PlantedCardKernel) -> Iterator[None]:
    """With the bug until the block ends."""
    with pytest.MonkeyPatch.context() as patch:
        planted.plant(patch)
        yield
