"""Checks of gradients, for this engine's ops and for your own."""

from .gradients import check_gradients
from .kinks import pattern
from .layouts import layouts
from .models import check_model
from .report import GradientReport, Section
from .stencil import Comparison

__all__ = ["Comparison", "GradientReport", "Section", "check_gradients", "check_model", "layouts", "pattern"]
