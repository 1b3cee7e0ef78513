"""`minivgg pull`: a published, pre-trained network into the cache."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from .paths import require_named

__all__ = ["command"]


@click.command()
@click.argument("name", required=False)
@click.option("--folder", metavar="DIR", help="Where to put the file.  [default: ~/.cache/minivgg]")
@click.option("--list", "listing", is_flag=True, help="Tell the names, what is here already, and the addresses.")
def command(name: str | None, folder: str | None, listing: bool) -> None:
    """Fetch the published VGG with this NAME, such as vgg16_bn, and print the file's path.

    Then NAME can be given wherever weights are: `minivgg predict vgg16_bn cat.jpg`. A file in another folder is given by its path. What a
    cut connection or Ctrl-C has left is gone on with. The file's SHA-256 is compared with the digits in its name.
    """
    from ..errors import ConfigError, nearest
    from ..pretrained.fetching import fetch
    from ..pretrained.published import PUBLISHED, shelf

    require_named({"NAME": name, "--folder": folder})
    if listing == bool(name):
        raise click.UsageError("give either a NAME or --list.")
    place = Path(folder) if folder else shelf()
    if name is None:
        for entry in PUBLISHED.values():
            here = "here" if (place / entry.file).is_file() else "-"
            click.echo(f"{entry.name:<9}  {here:<4}  {entry.about}  {entry.address}")
        return
    if name not in PUBLISHED:
        raise ConfigError(f'no network is published as "{name}": {nearest(name, PUBLISHED)}')
    with _progress() as (progress, say):
        try:
            path = fetch(PUBLISHED[name], place, progress=progress, say=say)
        except KeyboardInterrupt:
            say("what was fetched is kept: the same command goes on")
            raise
    click.echo(path)


@contextmanager
def _progress() -> Iterator[tuple[Callable[[int, int | None], None], Callable[[str], None]]]:
    """What is told of bytes and of words: a bar on stderr if it is a terminal, and lines above it."""
    if not sys.stderr.isatty():
        yield (lambda here, total: None), (lambda text: click.echo(text, err=True))
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True, highlight=False)
    with Progress(BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(), console=console, transient=True) as bar:
        tasks: list[Any] = []

        def progress(here: int, total: int | None) -> None:
            if not tasks:
                tasks.append(bar.add_task("fetch", total=total, completed=here))
            bar.update(tasks[0], completed=here, total=total)

        yield progress, lambda text: console.print(text, markup=False, soft_wrap=True)
