"""`minivgg check-data`: look at all images before training with them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from .paths import require_named

if TYPE_CHECKING:
    from ..data import Report

__all__ = ["command"]

_MOST_WORKERS = 4  # each holds an image of up to 50 million pixels


@click.command()
@click.argument("data")
@click.option("--grey", is_flag=True, help="Read the images of a folder with one channel, as train --grey does.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def command(ctx: click.Context, data: str, grey: bool, form: str) -> None:
    """Read every image of DATA, which is as for train, and report each bad, double or odd one, the classes and the sizes.

    Ends with exit code 3 if training would fail, otherwise with 0; the last line says which, and why. Nothing is changed.
    """
    from ..data import inspect

    require_named({"DATA": data})
    with _progress() as progress:
        report = inspect(data, grey=grey, workers=min(_MOST_WORKERS, os.cpu_count() or 1), progress=progress)
    click.echo(_json(report) if form == "json" else "\n".join(_text(report)))
    if not report.trainable:
        ctx.exit(3)


@contextmanager
def _progress() -> Iterator[Any]:
    """A bar on stderr, if that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("images", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _json(report: Report) -> str:
    values = {
        "source": report.source,
        "trainable": report.trainable,
        "problems": report.problems,
        "counts": report.counts,
        "sizes": report.sizes,
        "bad": [remark._asdict() for remark in report.bad],
        "doubles": [double._asdict() for double in report.doubles],
        "odd": [remark._asdict() for remark in report.odd],
        "missing": report.missing,
        "ignored": report.ignored,
    }
    return json.dumps(values, indent=1)


def _text(report: Report) -> Iterator[str]:
    from ..data import one_line

    yield from _balance(report)
    for side, (least, median, most) in report.sizes.items():
        yield f"{side}: {least} to {most} pixels, median {median:g}"
    for part, names in report.missing.items():
        if names:
            yield f"{part} has no image of {len(names)} of {len(report.counts['train'])} classes: {', '.join(map(one_line, names))}"
    sections = {
        "bad": [f"{one_line(image)}: {reason}" for image, reason in report.bad],
        "double": [f"{kind}: {' = '.join(map(one_line, images))}" for kind, images in report.doubles],
        "odd": [f"{one_line(image)}: {reason}" for image, reason in report.odd],
        "ignored": [one_line(name) for name in report.ignored],
    }
    for title, lines in sections.items():
        if lines:
            yield ""
            yield f"{title} ({len(lines):,})"
            yield from (f"  {line}" for line in lines)
    yield ""
    yield f"Training would fail: {' '.join(report.problems)}" if report.problems else "Training would work."


def _balance(report: Report) -> Iterator[str]:
    """Images of each class in each part, and their sums."""
    from ..data import one_line

    parts = list(report.counts)
    classes = list(dict.fromkeys(name for part in parts for name in report.counts[part]))
    first = max([len("class"), *(len(one_line(name)) for name in classes)])
    yield f"{'class':<{first}}" + "".join(f"  {part:>7}" for part in parts)
    for name in classes:
        yield f"{one_line(name):<{first}}" + "".join(f"  {report.counts[part].get(name, 0):>7,}" for part in parts)
    yield f"{'all':<{first}}" + "".join(f"  {sum(report.counts[part].values()):>7,}" for part in parts)
