"""`minivgg classify`: a linear classifier on features."""

from __future__ import annotations

import json
from typing import Any

import click

__all__ = ["command"]

_LARGEST_TABLE = 20  # classes whose confusions are shown one and all


@click.command()
@click.argument("features")
@click.option("--c", "cs", default="0.1,1,10,100,1000", show_default=True, help="Weights of the errors to choose from, or one.")
@click.option("--per-class", type=click.INT, help="Learn from only so many images of each class.")
@click.option("--hold", default=0.2, show_default=True, help="Share of the training images that judges C.")
@click.option("--test-split", type=click.FLOAT, help="Share that tests, where FEATURES has no parts.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Decides which images are drawn.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(features: str, cs: str, per_class: int | None, hold: float, test_split: float | None, seed: int, form: str) -> None:
    """Train and test a linear support vector machine on FEATURES, a file that `minivgg features` wrote.

    C is chosen on images held out of the training ones; then all of them are fitted, and the test images are classified.
    """
    from ..evaluation.feature_file import read_features
    from ..evaluation.transfer import transfer

    choices = _numbers(cs)
    found = transfer(read_features(features), choices, per_class=per_class, hold=hold, test_split=test_split, seed=seed)
    click.echo(_json(found) if form == "json" else _text(found))


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise click.UsageError(f'--c must be numbers such as "0.1,1,10", but is "{text}".') from None


def _json(found: Any) -> str:
    values = {
        "accuracy": found.accuracy,
        "correct": found.correct,
        "count": found.count,
        "c": found.c,
        "tried": [{"c": c, "accuracy": accuracy} for c, accuracy in found.tried.items()],
        "held": found.held,
        "fitted": found.fitted,
        "classes": list(found.classes),
        "confusion": found.confusion.tolist(),
    }
    return json.dumps(values, ensure_ascii=False)


def _text(found: Any) -> str:
    lines = [f"C {c:<10g} held-out accuracy {accuracy:.4f}" for c, accuracy in found.tried.items()]
    lines.append(f"C {found.c:<10g} fitted to {found.fitted:,} images with {len(found.classifier.weights):,} features each")
    lines.append(f"test accuracy {found.accuracy:.4f} ({found.correct}/{found.count})")
    small = len(found.classes) <= _LARGEST_TABLE
    return "\n".join([*lines, "", *(_table(found) if small else _mistakes(found))])


def _table(found: Any) -> list[str]:
    """The confusion matrix: a row for each true class."""
    cells = [["true \\ found", *found.classes]]
    cells += [[name, *map(str, row)] for name, row in zip(found.classes, found.confusion.tolist(), strict=True)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]) for row in cells]


def _mistakes(found: Any) -> list[str]:
    """The ten most frequent confusions."""
    pairs = [(n, i, j) for i, row in enumerate(found.confusion.tolist()) for j, n in enumerate(row) if n and i != j]
    most = sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))[:10]
    return [f"{n:6,}  {found.classes[i]} taken for {found.classes[j]}" for n, i, j in most]
