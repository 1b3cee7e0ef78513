"""`minivgg summary`: what a model looks like, and what a step of it needs of a card's memory."""

from __future__ import annotations

import re
from typing import Any

import click

__all__ = ["command"]


@click.command()
@click.argument("model")
@click.option("--num-classes", type=int, default=1000, show_default=True)
@click.option("--in-channels", type=int, default=3, show_default=True)
@click.option("--image-size", type=int, default=224, show_default=True)
@click.option("--width", type=float, default=1.0, show_default=True, help="Factor on the number of filters.")
@click.option("--head", type=click.Choice(["paper", "linear"]), default="paper", show_default=True)
@click.option("--device", default="cpu", show_default=True, help="cuda: what a step needs of a card's memory, which need not be here.")
@click.option("--batch-size", type=click.IntRange(1, 10**6), default=64, show_default=True, help="Images in the step.")
@click.option("--train/--inference", "training", default=True, show_default=True, help="A training step, or a classification.")
@click.option("--precision", default="fp32", show_default=True, help="fp32, tf32, fp16 or bf16.")
@click.option("--memory", default=None, metavar="SIZE", help="Of the card, such as 80GB: how many images fit. Default: of the card here.")
def command(model: str, device: str, batch_size: int, training: bool, precision: str, memory: str | None, **options: Any) -> None:
    """A drawing of MODEL, and for each layer its output, parameters, multiply-adds and memory; with --device cuda, the peak of a card's
    memory in a step, and the largest batch that fits."""
    from .. import models
    from ..errors import ConfigError

    kind = device.split(":")[0]
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise ConfigError(f'--device must be cpu, cuda or such as cuda:1, but is "{device}".')
    if kind == "cpu" and (memory or precision != "fp32"):
        raise ConfigError("--memory and --precision tell of a card: add --device cuda.")
    built = models.build(model, **options)
    card = _card(device, memory, batch_size, training, model=model, precision=precision, **options) if kind == "cuda" else ""
    click.echo(models.drawing(built))
    click.echo()
    size, channels = options["image_size"], options["in_channels"]
    click.echo(str(models.summary(built, (1, channels, size, size))))
    if card:
        click.echo(f"\n{card}")


def _card(device: str, memory: str | None, batch: int, training: bool, num_classes: int, in_channels: int, **options: Any) -> str:
    """The table of a step's memory, and what fits."""
    from contextlib import suppress

    from ..backend.device import Device
    from ..backend.pool import bytes_of
    from ..errors import DeviceError
    from ..train import Rehearsal, TrainConfig, readable
    from ..train.rehearsal import OUTSIDE

    whole = bytes_of(memory) if memory else 0
    if not memory:
        with suppress(DeviceError):  # a prediction needs no card
            whole = Device(device).memory()[1]
    rehearsal = Rehearsal(TrainConfig(device="cuda", **options), num_classes, in_channels, training)
    what = f"{'training step' if training else 'classification'} of {batch} images in {options['precision']}"
    lines = [f"A {what} on a card, predicted:", str(rehearsal.predict(batch))]
    if whole:
        most = rehearsal.most(whole - OUTSIDE)
        lines.append(f"{most} images fit {readable(whole)}, of which {readable(OUTSIDE)} are left to driver and libraries.")
    return "\n".join(lines)
