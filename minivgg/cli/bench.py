"""`minivgg bench`: what a training step costs here, and why."""

from __future__ import annotations

import click

__all__ = ["command"]


@click.command()
@click.argument("model", default="vgg11_bn")
@click.option("--batch-size", type=click.IntRange(1, 1 << 20), default=128, show_default=True, help="Images in a step.")
@click.option("--image-size", type=int, default=32, show_default=True)
@click.option("--in-channels", type=int, default=3, show_default=True)
@click.option("--num-classes", type=int, default=10, show_default=True)
@click.option("--width", type=float, default=1.0, show_default=True, help="Factor on the number of filters.")
@click.option("--head", type=click.Choice(["paper", "linear"]), default="linear", show_default=True)
@click.option("--steps", type=click.IntRange(1), default=5, show_default=True, help="Steps that are timed, after two to warm up.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, … or auto.")
@click.option("--precision", default="fp32", show_default=True, help="On a card: fp32, tf32, fp16 or bf16.")
@click.option("--explain", is_flag=True, help="Time nothing; print which algorithm each convolution uses, and why. Needs no card.")
def command(
    model: str,
    batch_size: int,
    image_size: int,
    in_channels: int,
    num_classes: int,
    width: float,
    head: str,
    steps: int,
    device: str,
    precision: str,
    explain: bool,
) -> None:
    """Time a training step of MODEL on random images."""
    from .. import models, train

    options = {"num_classes": num_classes, "in_channels": in_channels, "image_size": image_size, "width": width, "head": head}
    built = models.build(model, **options)
    shape = (batch_size, in_channels, image_size, image_size)
    if explain:
        click.echo(train.explain(built, shape, device, precision))
    else:
        click.echo(str(train.measure(built, shape, num_classes, steps, device, precision)))
