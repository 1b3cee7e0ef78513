"""`minivgg predict`: the most probable classes of image files."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import click

__all__ = ["command"]


@click.command()
@click.argument("run")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="How many classes to show.")
@click.option("--format", "form", type=click.Choice(["text", "json", "csv"]), default="text", show_default=True)
@click.option("--best", is_flag=True, help="The best epoch's checkpoint rather than the last one's.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, … or auto.")
@click.option("--precision", metavar="TEXT", help="fp32, tf32, fp16 or bf16.  [default: the run's own on a card, fp32 on a CPU]")
def command(run: str, images: tuple[str, ...], top: int, form: str, best: bool, device: str, precision: str | None) -> None:
    """Classify each IMAGE with RUN, a run folder or a checkpoint file.

    An image is scaled until it covers the size that the model was trained on, and its centre is taken.
    """
    from ..train import Predictor

    predictor = Predictor.load(run, best=best, device=device, precision=precision)
    found = []
    for path, probabilities in zip(images, predictor.predict(images), strict=True):
        order = (-probabilities).argsort(kind="stable")[:top]
        ranking = [{"class": predictor.classes[i], "index": int(i), "probability": float(probabilities[i])} for i in order]
        found.append({"image": path, "predictions": ranking})
    click.echo(_WRITERS[form](found))


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
