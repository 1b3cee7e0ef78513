"""`minivgg show-batch`: a picture of what the network will see."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from ..train.config import TrainConfig
from .paths import require_named
from .train import command as train_command

__all__ = ["command"]

_KEYS = {field.name for field in dataclasses.fields(TrainConfig)} - {"data"}


@click.command()
@click.argument("data", required=False)
@click.option("-o", "--output", default="batch.png", show_default=True, metavar="FILE", help="Where to write the PNG; replaces a file.")
@click.option("--count", type=click.IntRange(1, 4096), default=32, show_default=True, help="How many images.")
@click.option("--epoch", type=click.IntRange(min=1), default=1, show_default=True, help="The epoch whose first images are shown.")
@click.option("--evaluation", is_flag=True, help="The first validation images, prepared without randomness.")
@click.option("--config", "file", metavar="FILE", help="TOML file with any of these choices; flags override it.")
def command(data: str | None, output: str, count: int, epoch: int, evaluation: bool, file: str | None, **flags: Any) -> None:
    """Draw a contact sheet of the first training images of an epoch, exactly as the network will see them, but for
    normalisation, which is undone.

    DATA and the flags are those of `minivgg train`; those that don't concern the images change nothing. Mixup is not shown. No file but the
    PNG is written.
    """
    from .. import train
    from ..files import require_outside, write_atomically

    require_named({"DATA": data, "--output": output, "--config": file})
    given = {key: value for key, value in {"data": data, **flags}.items() if value is not None}
    layers = [train.read_config_file(file)] if file else []
    config = train.configured(*layers, given, source="the command line")
    require_outside("--output", output, config.data)
    picture, done = train.contact_sheet(config, count, epoch - 1, evaluation)
    write_atomically(output, picture)
    click.echo(f"{'without randomness: ' if evaluation else ''}{done}", err=True)
    click.echo(output)


command.params.extend(parameter for parameter in train_command.params if parameter.name in _KEYS)
