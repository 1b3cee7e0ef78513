"""One row an epoch: metrics.csv for people and spreadsheets, metrics.jsonl with every digit for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..files import write_atomically

__all__ = ["COLUMNS", "TIMING", "Metrics"]

_FORMATS = {
    "epoch": "d", "step": "d", "train_loss": ".6f", "train_accuracy": ".6f", "val_loss": ".6f", "val_accuracy": ".6f",
    "lr": ".6g", "images_per_second": ".1f", "seconds": ".2f",
}  # fmt: skip
COLUMNS = tuple(_FORMATS)
TIMING = ("images_per_second", "seconds", "waiting")  # the columns that two equal runs do not share


class Metrics:
    """The two files of a run folder. Each new row replaces both files in one step, so that a kill never leaves half a line.

    A row has the columns of metrics.csv (accuracies in 0..1, `lr` of the epoch's last step, `seconds` of training since the start), and
    `waiting`, the share of the epoch's time, in 0..1, that its loop waited for batches. With loss scaling it has `loss_scale` and
    `skipped` too, the updates left out so far, and the last one the test set's results. metrics.csv shows its columns only.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = []

    def read(self, epochs: int) -> None:
        """Take over the rows of the first `epochs` epochs, and cut off what comes after: the checkpoint knows nothing of it.

        Raises DataError, with the path, if metrics.jsonl lacks one of these rows.
        """
        path = self.folder / "metrics.jsonl"
        try:
            lines = path.read_text().splitlines() if path.exists() else []
            rows = [json.loads(line) for line in lines]
            self.rows = [row for row in rows if row["epoch"] <= epochs]
            complete = [row["epoch"] for row in self.rows] == list(range(1, epochs + 1)) and all(
                set(COLUMNS) <= set(row) for row in self.rows
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(f"{path}: cannot be read ({error}). Restore it, or start a new run.") from None
        if not complete:
            raise DataError(f"{path}: lacks rows of epochs 1 to {epochs}, which the checkpoint has done. Restore it, or start a new run.")
        if epochs < len(rows):
            self._write()

    def add(self, row: Mapping[str, Any]) -> None:
        """Append an epoch's row."""
        self.rows.append(dict(row))
        self._write()

    def _write(self) -> None:
        lines = [",".join(format(row[name], form) for name, form in _FORMATS.items()) for row in self.rows]
        write_atomically(self.folder / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in self.rows))
        write_atomically(self.folder / "metrics.csv", "\n".join([",".join(COLUMNS), *lines]) + "\n")
