"""`minivgg features`: what a trained model says of each image, in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .paths import require_named

__all__ = ["command"]


@click.command()
@click.argument("run")
@click.argument("data", required=False)
@click.option("-o", "--out", required=True, metavar="FILE", help="The .npz file to write.")
@click.option("--layer", default="", metavar="NAME", help="Such as conv5_3, fc7, features.20.  [default: the penultimate layer]")
@click.option(
    "--scales", default="", metavar="LIST", help="Pixels of the shortest side, such as 256,384,512; or multi.  [default: that of training]"
)
@click.option("--flip/--no-flip", default=True, show_default=True, help="Average with the features of the mirror image.")
@click.option("--stack", is_flag=True, help="Put the scales' features behind one another in place of averaging them.")
@click.option("--memory", metavar="SIZE", help="For the network's activations, such as 500MB.  [default: half of what is free]")
@click.option("--on-bad", type=click.Choice(["fail", "skip"]), default="fail", show_default=True, help="An image file that cannot be read.")
@click.option("--best", is_flag=True, help="The best epoch's checkpoint rather than the last one's.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, … or auto.")
@click.option("--precision", metavar="TEXT", help="fp32, tf32, fp16 or bf16.  [default: the run's own on a card, fp32 on a CPU]")
def command(run: str, data: str | None, out: str, memory: str | None, on_bad: str, **options: Any) -> None:
    """Write what a layer of RUN, a run folder or a checkpoint file, says of each image of DATA into an .npz file.

    DATA is as for train, with classes of its own; by default the embedded images. The network is applied to the whole of each rescaled
    image, and the layer's map is averaged to a vector, whose length is made 1. `minivgg classify` learns from the file.
    """
    from .. import data as images
    from ..backend.pool import bytes_of
    from ..errors import ConfigError
    from ..evaluation.feature_file import write_features
    from ..evaluation.features import features_of_parts
    from ..files import require_outside
    from ..train import Predictor

    require_named({"RUN": run, "DATA": data})
    if Path(out).suffix != ".npz" or not Path(out).parent.is_dir():
        raise ConfigError(f"-o must name an .npz file in a folder that exists, but is {out!r}.")
    require_outside("-o", out, data)
    predictor = Predictor.load(run, **{name: options.pop(name) for name in ("best", "device", "precision")})
    parts = images.parts(data, grey=predictor.shape[2] == 1, on_bad=on_bad)
    made = features_of_parts(predictor, parts, **options, memory=None if memory is None else bytes_of(memory))
    write_features(out, made)
    counts = ", ".join(f"{len(found):,}{f' {part}' if part else ''}" for part, found in made.sets.items())
    width = next(iter(made.sets.values())).x.shape[1]
    click.echo(f"{out}: {width:,} features of {made.how['layer']}, images: {counts}")
