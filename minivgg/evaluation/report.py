"""What an evaluation leaves behind: predictions.csv, classes.csv, scores.json and report.html in one folder.

report.html is one file that opens offline: styles and pictures are inside it, it runs no script and refers to nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.arrays import Array
from ..errors import ConfigError, DataError, StorageError
from ..files import write_atomically
from ..train import Predictor
from .calibration import Calibration, calibrate
from .confused import most_confused
from .inside import filters, silent_units, spread
from .pictures import as_png, curves, reliability
from .scored import Scored
from .scores import Scores, score
from .tables import classes_csv, predictions_csv, scores_json

__all__ = ["make_folder", "page", "write_outputs"]

_MISTAKES, _UNCERTAIN = 24, 12  # pictures
_THUMBNAIL = 80  # pixels of the longest side
_CLASSES = 1000  # rows of the table
_CURVES = ("epoch", "train_loss", "val_loss", "train_accuracy", "val_accuracy", "lr")
_SAMPLE = 256  # images that ReLUs are watched on


def make_folder(folder: Path) -> None:
    """Create `folder` unless it is there: before a long evaluation rather than after it. StorageError if that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise StorageError(f"{folder}: there is a file of that name, or of a folder's above it. Choose another folder.") from None
    except OSError as error:
        raise StorageError(f"{folder}: cannot be made ({error.strerror or error}). Check the folder and its permissions.") from None


def write_outputs(
    folder: Path, scored: Scored, run: Path | None, predictor: Predictor | None, image: Callable[[int], Array] | None
) -> list[Path]:
    """Write the four files into `folder`, each in one step, and return their paths. Equal arguments give equal bytes.

    run: the run's folder, whose metrics.jsonl gives the curves. predictor: the (first) trained model, whose filters and silent
    units are shown. image(k): the image that `scored` is about at k, uint8 (H, W, C), for thumbnails and silent units. What is None
    is left out of the page.

    Raises StorageError where the folder cannot be made or written; as `score` does; ConfigError without the extra `report`, and
    DataError if metrics.jsonl is damaged: then the tables are there, and only report.html is not.
    """
    make_folder(folder)
    scores, calibration = score(scored), calibrate(scored)
    content: dict[str, Callable[[], bytes]] = {
        "predictions.csv": lambda: predictions_csv(scored),
        "classes.csv": lambda: classes_csv(scored.classes, scores),
        "scores.json": lambda: scores_json(scored, scores, calibration),
        "report.html": lambda: page(scored, scores, calibration, run, predictor, image),
    }
    for name, text in content.items():
        write_atomically(folder / name, text())
    return [folder / name for name in content]


def page(
    scored: Scored,
    scores: Scores,
    calibration: Calibration,
    run: Path | None = None,
    predictor: Predictor | None = None,
    image: Callable[[int], Array] | None = None,
) -> bytes:
    """report.html, UTF-8. Names are escaped: a class called <script> is shown as that. Raises as `write_outputs` does."""
    template: Any = _template()
    rows = _epochs(run)
    mosaic = None if predictor is None else filters(predictor.model)
    text: str = template.render(
        title="evaluation" if run is None else run.resolve().name,
        model="" if predictor is None else predictor.config.model,
        scored=scored,
        scores=scores,
        calibration=calibration,
        empty=int((scores.support == 0).sum()),
        curves=curves(rows) if rows else "",
        epochs=rows,
        reliability=reliability(calibration),
        confusion=_confusion(scored, scores),
        classes=_classes(scored, scores),
        **_pictures(scored, image),
        filters=None if mosaic is None else (as_png(mosaic), *mosaic.shape[1::-1]),
        silent=[] if predictor is None or image is None else silent_units(predictor, image, spread(len(scored), _SAMPLE)),
        sample=min(len(scored), _SAMPLE),
    )
    return text.encode(errors="backslashreplace")


def _template() -> Any:
    try:
        import jinja2
        import matplotlib  # noqa: F401 (drawing starts later, but what is missing is said now)
    except ImportError as error:
        raise ConfigError(
            f"report.html needs jinja2 and matplotlib, and {error.name} is not installed: pip install 'minivgg[report]'. "
            "predictions.csv, classes.csv and scores.json are written."
        ) from None
    surroundings = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    surroundings.filters["percent"] = lambda share: f"{100 * share:.1f} %"
    return surroundings.from_string(Path(__file__).with_name("report.html.jinja").read_text(encoding="utf-8"))


def _epochs(run: Path | None) -> list[dict[str, float]]:
    """What is drawn of a run's metrics.jsonl, a row an epoch; none without a run, or if there is no such file."""
    path = None if run is None else run / "metrics.jsonl"
    if path is None or not path.is_file():
        return []
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [{name: float(row[name]) for name in _CURVES} for row in rows]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: cannot be read ({error}). Restore it, or evaluate the checkpoint file itself.") from None


def _confusion(scored: Scored, scores: Scores) -> dict[str, Any]:
    """Names, and rows of (name, cells, images). A cell is (count, share of its row, "right" or "wrong"), or "" for the others called
    something among the others, which may be either."""
    part = most_confused(scores.confusion)
    shown = len(part.classes)
    names = [scored.classes[number] for number in part.classes] + ([f"{part.others:,} others"] if part.others else [])
    totals = np.maximum(part.counts.sum(axis=1), 1)
    rows = [
        (
            name,
            [(count, count / total, ("right" if i == j else "wrong") if min(i, j) < shown else "") for j, count in enumerate(line)],
            sum(line),
        )
        for i, (name, line, total) in enumerate(zip(names, part.counts.tolist(), totals.tolist(), strict=True))
    ]
    return {"names": names, "rows": rows, "others": part.others}


def _classes(scored: Scored, scores: Scores) -> dict[str, Any]:
    """The classes with their figures, the worst F1 first; those without images last."""
    called = scores.confusion.sum(axis=0)
    order = np.lexsort((np.arange(len(scores.f1)), scores.f1, scores.support == 0))
    columns = (scores.support, called, scores.precision, scores.recall, scores.f1)
    rows = [(scored.classes[k], *(column[k].item() for column in columns)) for k in order[:_CLASSES].tolist()]
    return {"rows": rows, "left_out": len(order) - len(rows)}


def _pictures(scored: Scored, image: Callable[[int], Array] | None) -> dict[str, Any]:
    """The most confident mistakes, and the right answers with the least confidence."""
    confidence, called = scored.probabilities.max(axis=1), scored.probabilities.argmax(axis=1)
    right = called == scored.labels
    surest = np.argsort(-confidence, kind="stable")
    chosen = {"mistakes": surest[~right[surest]][:_MISTAKES], "uncertain": surest[right[surest]][::-1][:_UNCERTAIN]}
    return {
        what: [
            {
                "name": scored.names[k],
                "true": scored.classes[scored.labels[k]],
                "called": scored.classes[called[k]],
                "confidence": confidence[k].item(),
                "truth": scored.probabilities[k, scored.labels[k]].item(),
                "picture": None if image is None else as_png(image(k), _THUMBNAIL),
            }
            for k in numbers.tolist()
        ]
        for what, numbers in chosen.items()
    }
