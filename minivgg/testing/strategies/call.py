"""`calls`: every op of the package with valid arguments, and a user's own op with its examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from ...autograd.core import Op
from ...backend.random import stream
from ...errors import ConfigError
from . import axes, elementwise, moving, sliding
from .elementwise import Drawn, Recipe
from .source import source
from .storage import draw_stored
from .values import seeds

__all__ = ["TABLE", "Call", "calls"]

TABLE: dict[type[Op], Recipe] = {**elementwise.TABLE, **axes.TABLE, **moving.TABLE, **sliding.TABLE}


@dataclass(frozen=True, eq=False)
class Call:
    """An op and the operands to call it with: `call()` does. `layouts` names how each operand is stored, "" for plain."""

    op: Op
    arrays: tuple[Any, ...]
    layouts: tuple[str, ...] = ()

    def __call__(self) -> Any:
        return self.op(*self.arrays)

    def code(self) -> str:
        """The call as an expression, to be evaluated with `from minivgg.ops import *`, `from minivgg.autograd.core import *`,
        `import numpy as np`, and for stored operands `from minivgg.testing.strategies import store`.
        """
        return f"{source(self.op)}({', '.join(self._operands())})"

    def __repr__(self) -> str:
        """The gradient check of this call, to be pasted."""
        return f"check_gradients({', '.join([source(self.op), *self._operands()])}).raise_if_failed()"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Hypothesis prints a failing call so, too."""
        printer.text(repr(self))

    def _operands(self) -> list[str]:
        names = self.layouts or ("",) * len(self.arrays)
        return [f"store({source(x)}, {name!r})" if name else source(x) for x, name in zip(self.arrays, names, strict=True)]


@st.composite
def calls(draw: st.DrawFn, op_class: type[Op] | None = None, *, layouts: bool = False, empty: bool = False) -> Call:
    """Calls of `op_class`, or of any op of the package: fields and float64 operands in the op's domain, away from kinks.

    Constants have their own dtypes, an absent bias is None, an exponent may be a whole Python number. With `layouts` each
    operand is stored in a drawn memory layout; with `empty` operands may have no elements where the op allows it. Without
    it at least one operand can be differentiated, and no operand is empty. An op of your own is drawn from its
    `examples(rng)`, with a drawn seed; raises ConfigError if it has none.
    """
    cls = op_class or draw(st.sampled_from(tuple(TABLE)))
    op, arrays = TABLE[cls](draw, empty) if cls in TABLE else _example(draw, cls)
    if not layouts:
        return Call(op, arrays)
    stored = [draw_stored(draw, x) if isinstance(x, np.ndarray) else ("", x) for x in arrays]
    return Call(op, tuple(x for _, x in stored), tuple(name for name, _ in stored))


def _example(draw: st.DrawFn, cls: type[Op]) -> Drawn:
    if not hasattr(cls, "examples"):
        raise ConfigError(f"{cls.__name__} has no examples(rng) to draw calls from. Give it a static method that yields (op, arrays).")
    cases = list(cls.examples(stream(draw(seeds()), "examples", cls.__name__)))
    op, arrays = draw(st.sampled_from(cases))
    return op, tuple(arrays)
