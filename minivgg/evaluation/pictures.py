"""Pictures inside a page: arrays and graphs as text that needs no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from PIL import Image

from ..backend.arrays import Array
from .calibration import Calibration

__all__ = ["as_png", "curves", "reliability"]

_INK = "#010203"  # becomes the page's own text colour, which is light on a dark page
_FIRST, _SECOND = "#3f7fd9", "#d9772b"  # readable on white and on black


def as_png(image: Array, most: int | None = None) -> str:
    """uint8 (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) as a data: URI of a PNG; the longest side at most `most` pixels, if given."""
    picture = Image.fromarray(image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    if most is not None:
        picture.thumbnail((most, most))
    content = io.BytesIO()
    picture.save(content, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def curves(rows: Sequence[Mapping[str, float]]) -> str:
    """Loss, accuracy and learning rate of every epoch, from the rows of metrics.jsonl, as SVG. What is not finite is a gap."""
    epochs = [row["epoch"] for row in rows]
    marker = "o" if len(rows) <= 30 else None
    with _figure("curves", (10, 3.2)) as (figure, svg):
        for axes, what in zip(figure.subplots(1, 3), ("loss", "accuracy", "lr"), strict=True):
            lines = {"learning rate": "lr"} if what == "lr" else {"training": f"train_{what}", "validation": f"val_{what}"}
            for (label, column), colour in zip(lines.items(), (_FIRST, _SECOND), strict=False):
                axes.plot(epochs, [row[column] for row in rows], color=colour, label=label, marker=marker, markersize=4)
            axes.set_title("learning rate" if what == "lr" else what)
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(alpha=0.25)
            if what != "lr":
                axes.legend(frameon=False)
    return svg[0]


def reliability(calibration: Calibration) -> str:
    """Accuracy over confidence, a bar a bin, with the diagonal of a calibrated network; below, how many images each bin has. SVG."""
    bins = len(calibration.counts)
    centres = [(b + 0.5) / bins for b in range(bins)]
    with _figure("reliability", (5, 4.6)) as (figure, svg):
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        above.bar(centres, calibration.accuracies, 0.94 / bins, color=_FIRST, label="accuracy")
        above.plot([0, 1], [0, 1], color=_INK, linestyle="--", linewidth=1, label="calibrated")
        used = calibration.counts > 0
        points = calibration.confidences[used], calibration.accuracies[used]
        above.plot(*points, "o", color=_SECOND, markersize=4, label="mean confidence")
        above.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
        above.legend(frameon=False, loc="upper left")
        below.bar(centres, calibration.counts, 0.94 / bins, color=_FIRST)
        below.set(xlabel="confidence", ylabel="images")
    return svg[0]


@contextmanager
def _figure(name: str, inches: tuple[float, float]) -> Iterator[tuple[Any, list[str]]]:
    """A figure to draw on, and a list that holds its SVG afterwards: the same drawing gives the same text.

    The user's own matplotlib settings have no say; `name` makes the identifiers of two figures on a page different.
    """
    import matplotlib
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color"), _INK
    )
    settings |= {"svg.fonttype": "none", "svg.hashsalt": name, "axes.spines.top": False, "axes.spines.right": False}
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings)
        figure, svg = Figure(figsize=inches, layout="constrained"), list[str]()
        yield figure, svg
        text = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    drawn = text.getvalue().replace(_INK, "currentColor")
    svg.append(drawn[drawn.index("<svg") :])
