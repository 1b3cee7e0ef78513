"""The learning-rate finder's curve as a picture."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path

from ..errors import ConfigError
from ..files import write_atomically
from .lr_finder import RateCurve

__all__ = ["SUFFIXES", "plot_rates", "require_plot"]

SUFFIXES = (".pdf", ".png", ".svg")


def plot_rates(curve: RateCurve, path: str | Path) -> None:
    """Draw smoothed loss against rate, and the suggestion, into a PNG, SVG or PDF file, as its suffix says.

    Raises what `require_plot` raises; StorageError if the file cannot be written.
    """
    require_plot(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.semilogx(curve.rates, curve.losses)
    axes.axvline(curve.suggested, linestyle="--", color="grey", label=f"suggested: {curve.suggested:.2g}")
    axes.axvline(curve.steepest, linestyle=":", color="grey", label=f"steepest: {curve.steepest:.2g}")
    axes.set(xlabel="learning rate", ylabel="smoothed training loss")
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format=Path(path).suffix.lower()[1:])
    write_atomically(path, buffer.getvalue())


def require_plot(path: str | Path) -> None:
    """Raise ConfigError unless a picture can be drawn under this name: another suffix, no matplotlib, no such folder."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: the suffix of a picture must be one of {', '.join(SUFFIXES)}.")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.parent}. Make it first.")
    if find_spec("matplotlib") is None:
        raise ConfigError("a picture of the curve needs matplotlib: pip install 'minivgg[report]', or leave out --plot.")
