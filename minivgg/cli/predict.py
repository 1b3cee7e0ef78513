"""`minivgg predict`: the most probable classes of image files."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from .paths import require_named

__all__ = ["command"]


@click.command()
@click.argument("run", metavar="FILE")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="How many classes to show.")
@click.option("--format", "form", type=click.Choice(["text", "json", "csv"]), default="text", show_default=True)
@click.option("--sheet", metavar="PNG", help="Draw the images, as the network sees them, with their most probable classes below.")
@click.option("--explain", metavar="PNG", help="Draw each image beside a heat map of what speaks for its most probable class (Grad-CAM).")
@click.option("--class", "wanted", metavar="NAME|INDEX", help="Explain this class.  [default: each image's most probable one]")
@click.option("--layer", metavar="NAME", help="Explain with this layer's map, such as conv5_3.  [default: the last convolution's]")
@click.option("--best", is_flag=True, help="The best epoch's checkpoint rather than the last one's.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, … or auto.")
@click.option("--precision", metavar="TEXT", help="fp32, tf32, fp16 or bf16.  [default: the run's own on a card, fp32 on a CPU]")
def command(
    run: str,
    images: tuple[str, ...],
    top: int,
    form: str,
    sheet: str | None,
    explain: str | None,
    wanted: str | None,
    layer: str | None,
    **load: Any,
) -> None:
    """Classify each IMAGE with the network in FILE: a run folder, a checkpoint, or weights in any format that is read.

    An image is scaled until it covers the size that the model was trained on, and its centre is taken.
    """
    from ..errors import ConfigError
    from ..train import Predictor

    require_named({"FILE": run, "--sheet": sheet, "--explain": explain})
    pictures = {option: path for option, path in (("--sheet", sheet), ("--explain", explain)) if path is not None}
    _check(pictures, (run, *images))
    if explain is None and (wanted, layer) != (None, None):
        raise ConfigError(f"{'--layer' if wanted is None else '--class'} says what to explain: name a picture, too, --explain out.png.")
    predictor = Predictor.load(run, **load)
    if pictures:
        from ..evaluation.predictions import Explain, class_of, illustrated

        predictor.require_classes()
        index = None if wanted is None else class_of(wanted, predictor.classes)
        drawn = illustrated(predictor, images, top if sheet else None, Explain(index, layer or "") if explain else None)
        probabilities = drawn.probabilities
    else:
        probabilities = predictor.predict(images)
    found = []
    for path, shares in zip(images, probabilities, strict=True):
        order = (-shares).argsort(kind="stable")[:top]
        ranking = [{"class": predictor.classes[i], "index": int(i), "probability": float(shares[i])} for i in order]
        found.append({"image": path, "predictions": ranking})
    click.echo(_WRITERS[form](found))
    if pictures:  # the figures are out, whatever becomes of the files
        from ..files import write_atomically

        for option, path in pictures.items():
            write_atomically(path, drawn.sheet if option == "--sheet" else drawn.explanations)
            click.echo(path, err=True)


def _check(pictures: Mapping[str, str], read: Sequence[str]) -> None:
    """Raise ConfigError unless each picture is a .png in a folder that exists, and neither another nor a file that is read."""
    from ..errors import ConfigError

    taken = {os.path.realpath(path): path for path in read}
    for option, path in pictures.items():
        if Path(path).suffix.lower() != ".png" or not Path(path).parent.is_dir() or Path(path).is_dir():
            raise ConfigError(f"{option} must name a .png file in a folder that exists, but is {path!r}.")
        if (place := os.path.realpath(path)) in taken:
            raise ConfigError(f"{option} {path} would be written over {taken[place]}. Give the picture a name of its own.")
        taken[place] = path


def _text(found: list[dict[str, Any]]) -> str:
    lines = []
    for image in found:
        lines.append(image["image"])
        lines += [f"  {entry['probability']:.4f}  {entry['class']}" for entry in image["predictions"]]
    return "\n".join(lines)


def _json(found: list[dict[str, Any]]) -> str:
    return json.dumps(found, indent=1, ensure_ascii=False)


def _csv(found: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "rank", "class", "index", "probability"])
    for image in found:
        for rank, entry in enumerate(image["predictions"], 1):
            writer.writerow([image["image"], rank, entry["class"], entry["index"], f"{entry['probability']:.6f}"])
    return text.getvalue().rstrip("\n")


_WRITERS = {"text": _text, "json": _json, "csv": _csv}
