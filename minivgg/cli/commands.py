"""The group of commands: names and one-line helps here, everything else in a file each, imported when it is called."""

from __future__ import annotations

import importlib
from typing import Any

import click

from ..errors import nearest

__all__ = ["COMMANDS", "minivgg"]

COMMANDS = {
    "train": "Train a model; without arguments, on the embedded images.",
    "show-batch": "Draw a sheet of images as the network will see them.",
    "evaluate": "Loss and accuracy of a trained model.",
    "predict": "Classify image files.",
    "convert": "Weights of another program, or of a run, into a file of this one, or of another format.",
    "features": "What a trained model says of each image, as a file of vectors.",
    "classify": "A linear classifier on such vectors.",
    "pull": "Fetch a published, pre-trained VGG.",
    "export": "Write a trained model as an ONNX file.",
    "check-data": "Read every image, and tell what is bad, double or odd.",
    "summary": "A model's drawing, and the table of its layers.",
    "bench": "Time a training step, or explain its convolutions.",
    "check": "Check a model's gradients against finite differences.",
}


class _Commands(click.Group):
    """A group whose commands are imported one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f".{cmd_name.replace('-', '_')}", __package__).command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f'there is no command "{args[0]}": {nearest(args[0], COMMANDS)}', ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from .. import __version__

        click.echo(f"minivgg {__version__}")
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version and exit.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks (also MINIVGG_DEBUG=1); allowed anywhere in the line.")
def minivgg() -> None:
    """Train and use VGG networks on an engine that proves its own gradients."""
