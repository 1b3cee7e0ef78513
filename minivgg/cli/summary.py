"""`minivgg summary`: what a model looks like."""

from __future__ import annotations

import click

__all__ = ["command"]


@click.command()
@click.argument("model")
@click.option("--num-classes", type=int, default=1000, show_default=True)
@click.option("--in-channels", type=int, default=3, show_default=True)
@click.option("--image-size", type=int, default=224, show_default=True)
@click.option("--width", type=float, default=1.0, show_default=True, help="Factor on the number of filters.")
@click.option("--head", type=click.Choice(["paper", "linear"]), default="paper", show_default=True)
def command(model: str, num_classes: int, in_channels: int, image_size: int, width: float, head: str) -> None:
    """A drawing of MODEL, and for each layer its output, parameters, multiply-adds and memory."""
    from .. import models

    built = models.build(model, num_classes=num_classes, in_channels=in_channels, image_size=image_size, width=width, head=head)
    click.echo(models.drawing(built))
    click.echo()
    click.echo(str(models.summary(built, (1, in_channels, image_size, image_size))))
