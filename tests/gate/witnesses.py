"""The witnesses: every check that `minivgg.testing` has, called on one case, and whether it holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

import minivgg as mv
from minivgg.autograd.core import Cast, Op
from minivgg.testing import (
    GradientReport,
    Section,
    check_adjoint,
    check_backend,
    check_definition,
    check_gradients,
    check_layouts,
    check_precision,
)

__all__ = ["WITNESSES", "Verdict", "applicable", "question"]

WITNESSES = ("order 1", "order 2", "repeated", "adjoint", "definition", "precision", "layouts", "backend")

OTHERS: dict[str, Callable[..., GradientReport]] = {
    "adjoint": check_adjoint,
    "definition": check_definition,
    "precision": check_precision,
    "layouts": check_layouts,
    "backend": check_backend,
}


class Verdict(NamedTuple):
    """Whether a witness holds, and whether a comparison failed; neither if all that it has is too rough to prove anything."""

    ok: bool
    rejects: bool


def applicable(f: Any, order: int, without: Sequence[str] = ()) -> list[str]:
    """The witnesses that can be called for f: the adjoint identity needs a linear op, a definition needs to be there, and a
    conversion's dtype is its own business."""
    missing = {*without}
    missing |= set() if isinstance(f, Op) and f.linear else {"adjoint"}
    missing |= set() if hasattr(f, "definition") else {"definition"}
    missing |= {"precision"} if isinstance(f, Cast) else set()
    missing |= {"order 2"} if order == 1 else set()
    return [name for name in WITNESSES if name not in missing]


def question(f: Any, arrays: Sequence[Any], order: int = 2, without: Sequence[str] = ()) -> dict[str, Verdict]:
    """What each witness says on one case, without kernels. What a check raises is not caught."""
    sections: dict[str, tuple[Section, ...]] = {}
    names = applicable(f, order, without)
    with mv.reference(), np.errstate(all="ignore"):
        gradients = check_gradients(f, *(copied(x) for x in arrays), order=order, coordinates=8, directions=1)
        for name in names:
            if name in OTHERS:
                sections[name] = OTHERS[name](f, *(copied(x) for x in arrays)).sections
            else:
                sections[name] = tuple(s for s in gradients.sections if s.title.startswith(name))
    return {name: Verdict(all(s.ok for s in found), any(s.outcome.wrong for s in found)) for name, found in sections.items()}


def copied(x: Any) -> Any:
    """An operand of its own for each witness: a rule that writes into what it reads should spoil one only."""
    return x.copy() if isinstance(x, np.ndarray) else x
