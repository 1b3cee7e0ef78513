"""What Hypothesis calls when it starts, by the entry-point group `hypothesis`: strategies for the package's types.

With it `st.from_type(Tensor)` draws tensors, and the ghostwriter writes working tests for functions of tensors.

Hypothesis is imported inside the functions: its import is what loads this module, which must then be complete, also
where this module was imported first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...autograd.op import Op
from ...autograd.tensor import Tensor
from ...ops.windows import Geometry

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["register"]


def register() -> None:
    """Tell Hypothesis how to draw a Tensor, an Op and a Geometry. The strategies are imported when the first one is drawn."""
    from hypothesis.strategies import register_type_strategy

    register_type_strategy(Tensor, _tensors)
    register_type_strategy(Op, _ops)
    register_type_strategy(Geometry, _geometries)


def _tensors(thing: Any) -> SearchStrategy[Tensor]:
    """Written with `builds`, which the ghostwriter can print and import."""
    from hypothesis import strategies as st

    from .values import seeded_tensor, seeds

    return st.builds(seeded_tensor, sides=st.lists(st.integers(1, 4), max_size=3), seed=seeds(), requires_grad=st.booleans())


def _ops(thing: Any) -> SearchStrategy[Op]:
    from .call import calls

    return calls().map(lambda call: call.op)


def _geometries(thing: Any) -> SearchStrategy[Geometry]:
    from .geometry import windows

    return windows()
