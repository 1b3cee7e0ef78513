"""What a network said, as text for spreadsheets and programs: predictions.csv, classes.csv, scores.json.

Names come from files and folders and may hold anything: the csv rules (RFC 4180, rows end with CR LF) quote commas, quotes and
line breaks, and bytes that are not UTF-8 appear as `\\udcff`, so that each file is valid UTF-8. A name that begins with = is
left as it is: a spreadsheet that takes it for a formula has to be told that the column is text.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .calibration import Calibration
from .scored import Scored
from .scores import Scores, leaders

__all__ = ["classes_csv", "predictions_csv", "scores_json"]

_ROWS = 1024  # of the probabilities at once


def predictions_csv(scored: Scored) -> bytes:
    """A row an image, in the set's order: its name, the true class, the predicted one and its probability, whether that is
    right (1 or 0), then the first 5 classes (all, if there are fewer) with their probabilities, six digits each."""
    k = min(5, len(scored.classes))
    head = ["image", "true", "predicted", "probability", "correct"]
    head += [f"{what}{place}" for place in range(1, k + 1) for what in ("class", "probability")]
    return _csv(head, (row for start in range(0, len(scored), _ROWS) for row in _predictions(scored, start, k)))


def _predictions(scored: Scored, start: int, k: int) -> Iterable[list[Any]]:
    block = scored.probabilities[start : start + _ROWS]
    first = leaders(block, k)
    values = np.take_along_axis(block, first, axis=1)
    for place, (order, chances) in enumerate(zip(first.tolist(), values.tolist(), strict=True), start):
        label, texts = int(scored.labels[place]), [f"{chance:.6g}" for chance in chances]
        pairs = [cell for number, text in zip(order, texts, strict=True) for cell in (scored.classes[number], text)]
        yield [scored.names[place], scored.classes[label], scored.classes[order[0]], texts[0], int(order[0] == label), *pairs]


def classes_csv(classes: Sequence[str], scores: Scores) -> bytes:
    """A row a class, in the classes' order: name, images of it, images called so, precision, recall, F1."""
    columns = (scores.support, scores.confusion.sum(axis=0), scores.precision, scores.recall, scores.f1)
    rows = zip(classes, *(column.tolist() for column in columns), strict=True)
    return _csv(["class", "images", "called", "precision", "recall", "f1"], rows)


def scores_json(scored: Scored, scores: Scores, calibration: Calibration) -> bytes:
    """All figures with every digit, keys sorted, one line break at the end: equal results are equal bytes.

    `confusion` lists [true class's number, predicted one's, count] of what occurs, so that it never has more entries than images.
    """
    pairs = np.argwhere(scores.confusion)
    content = {
        "protocol": scored.protocol,
        "images": scores.count,
        "top1": scores.top1,
        f"top{scores.k}": scores.topk,
        "loss": scores.loss,
        "macro": vars(scores.macro),
        "weighted": vars(scores.weighted),
        "classes": list(scored.classes),
        "per_class": {name: getattr(scores, name).tolist() for name in ("precision", "recall", "f1", "support")},
        "confusion": [[*pair, count] for pair, count in zip(pairs.tolist(), scores.confusion[*pairs.T].tolist(), strict=True)],
        "calibration": {name: value if isinstance(value, float) else value.tolist() for name, value in vars(calibration).items()},
    }
    return (json.dumps(content, sort_keys=True, allow_nan=False, separators=(",", ":")) + "\n").encode()


def _csv(head: Sequence[str], rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue().encode(errors="backslashreplace")
