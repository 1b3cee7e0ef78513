"""Checks of gradients, for this engine's ops and for your own.

    from minivgg.testing import check_gradients
    check_gradients(f, *arrays).raise_if_failed()

`strategies` (needs Hypothesis) draws inputs, ops, graphs and networks; pytest loads `plugin` by itself. Names are imported
when they are first used, so that a pytest run that checks no gradients does not wait for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .adjoint import check_adjoint
    from .definition import check_definition
    from .equality import check_backend, check_layouts
    from .gradients import check_gradients
    from .kinks import pattern
    from .laws import check_equivariance, check_invariance, check_linearity, check_loss, check_norm, check_orthogonality
    from .memory import layouts
    from .models import check_model
    from .outcome import Comparison, Outcome
    from .precision import check_precision
    from .report import GradientReport, Section
    from .suspects import BlameReport, blame

__all__ = [
    "BlameReport",
    "Comparison",
    "GradientReport",
    "Outcome",
    "Section",
    "blame",
    "check_adjoint",
    "check_backend",
    "check_definition",
    "check_equivariance",
    "check_gradients",
    "check_invariance",
    "check_layouts",
    "check_linearity",
    "check_loss",
    "check_model",
    "check_norm",
    "check_orthogonality",
    "check_precision",
    "layouts",
    "pattern",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "adjoint": ("check_adjoint",),
        "suspects": ("BlameReport", "blame"),
        "definition": ("check_definition",),
        "equality": ("check_backend", "check_layouts"),
        "gradients": ("check_gradients",),
        "kinks": ("pattern",),
        "laws": ("check_equivariance", "check_invariance", "check_linearity", "check_loss", "check_norm", "check_orthogonality"),
        "memory": ("layouts",),
        "models": ("check_model",),
        "outcome": ("Comparison", "Outcome"),
        "precision": ("check_precision",),
        "report": ("GradientReport", "Section"),
    },
    first="minivgg.ops",  # gives Tensor its operators
    modules=["strategies"],
)
