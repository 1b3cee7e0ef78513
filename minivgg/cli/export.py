"""`minivgg export`: a trained model as an ONNX file, for other programs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import click

from .paths import require_named

__all__ = ["command"]


def _size(_: click.Context, __: click.Parameter, text: str | None) -> int | Literal["any"] | None:
    if text is None or text == "any":
        return text  # type: ignore[return-value]
    if not text.isdecimal() or not 1 <= int(text) <= 4096:
        raise click.BadParameter(f'it must be a number of pixels in 1..4096, or "any", but is {text!r}.')
    return int(text)


@click.command()
@click.argument("run")
@click.argument("out", metavar="OUT.onnx")
@click.option("--image-size", metavar="N|any", callback=_size, help="Height and width of its images.  [default: the network's own]")
@click.option("--dense", is_flag=True, help="The fully convolutional form: a map of scores of images of any size.")
@click.option("--softmax", is_flag=True, help="Probabilities in place of logits.")
@click.option("--fold", is_flag=True, help="Fold batch norms into the layers before them.")
@click.option("--include-preparation", is_flag=True, help="The file takes pixels 0..255, and normalises them itself.")
@click.option("--best", is_flag=True, help="The best epoch's checkpoint rather than the last one's.")
def command(run: str, out: str, include_preparation: bool, best: bool, **options: Any) -> None:
    """Write the network of RUN, a run folder or a file of weights, as an ONNX file.

    Its input, "images", is float32 (N, C, H, W), RGB or grey. How images are prepared is in the file's metadata
    ("minivgg.preprocessing"), and so are the classes. Where onnxruntime is installed, it computes the scores of two random
    images, and nothing is written unless they are minivgg's.
    """
    from ..errors import ConfigError
    from ..files import write_atomically
    from ..pretrained import export
    from ..train import Predictor

    require_named({"RUN": run, "OUT": out})
    path = Path(out)
    if path.suffix.lower() != ".onnx" or path.is_dir() or not path.parent.is_dir():
        raise ConfigError(f"OUT must name an .onnx file in a folder that exists, but is {out!r}.")
    if os.path.realpath(out) == os.path.realpath(run):
        raise ConfigError(f"OUT is RUN itself, {run}, which would be lost. Name another file.")
    predictor = Predictor.load(run, best=best, device="cpu", precision="fp32")
    predictor.require_classes()
    if not options["dense"]:
        options["image_size"] = options["image_size"] or predictor.config.image_size
    made = export(predictor.model, predictor.transform, predictor.classes, prepared=include_preparation, **options)
    write_atomically(path, made.file.content)
    click.echo(_line(out, made))


def _line(path: str, made: Any) -> str:
    """What was written, in one line."""
    file = made.file
    given, gives = (f"({', '.join(map(str, shape))})" for shape in (file.input, file.output))
    worst = made.difference
    compared = (
        "not compared with minivgg's: onnxruntime is not installed"
        if worst is None
        else f"of random images within {worst:.1e} of minivgg's, relative to the largest"
    )
    return f"{path}: {file.nodes} nodes, {len(file.content) / 1e6:,.1f} MB, images {given} → {file.output_name} {gives}, {compared}"
