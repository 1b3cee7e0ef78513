"""`minivgg train`: every key of the configuration is a flag."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from ..train.config import TrainConfig
from ..train.recipes import recipe_defaults
from .paths import require_named

__all__ = ["command"]

_TYPES = {"int": click.INT, "float": click.FLOAT, "str": click.STRING}


def _flags(function: Any) -> Any:
    """Add a flag for each key. A flag that is not given is None, so that the file's value, or the default, holds."""
    paper = recipe_defaults({"recipe": "paper"})
    for field in reversed(dataclasses.fields(TrainConfig)):
        if field.name == "data":
            continue
        name, kind = field.name.replace("_", "-"), str(field.type).split(" ")[0]
        known = [field.default] + ([paper[field.name]] if paper.get(field.name, field.default) != field.default else [])
        if kind == "bool":
            known = ["on" if value else "off" for value in known]
        text = field.metadata["help"]
        text += "" if field.default is None else f"  [default: {'; paper: '.join(str(value) or 'none' for value in known)}]"
        if kind == "bool":
            option = click.option(f"--{name}/--no-{name}", field.name, default=None, help=text)
        else:
            option = click.option(f"--{name}", field.name, type=_TYPES[kind], default=None, metavar=kind.upper(), help=text)
        function = option(function)
    return function


@click.command()
@click.argument("data", required=False)
@click.option("--config", "file", metavar="FILE", help="TOML file with any of these choices; flags override it.")
@click.option(
    "--resume",
    is_flag=False,
    flag_value="auto",
    metavar="[auto|PATH]",
    help="Go on with a run's or plan's folder, or the newest equal one.",
)
@click.option("--dry-run", is_flag=True, help="Build everything, do one step's computations, write nothing.")
@click.option("--benchmark", is_flag=True, help="Time some steps: images/s, and how long the device waits for data; write nothing.")
@click.option("--find-lr", is_flag=True, help="Train some steps with a growing rate and suggest one for --lr; write nothing.")
@click.option("--plot", metavar="FILE", help="With --find-lr: draw the curve, as PNG, SVG or PDF.")
@_flags
def command(data: str | None, file: str | None, resume: str | None, **flags: Any) -> None:
    """Train a model.

    DATA is a folder of image files, a folder of MNIST's idx files, or an .npz file with x_train, y_train, x_test, y_test; by
    default 5,000 + 1,000 images of Fashion-MNIST that come with the package.

    --recipe paper takes the paper's numbers and trains in its stages: net A, the deeper net from its layers, then larger and varying
    scales, all in one folder that --resume goes on with. Every number can be overridden.

    --weights FILE begins with a network that is trained: its layers, sizes and colours are the file's, and what does not fit the classes
    is new. --freeze features trains the classifier alone, --head-lr 10x what is new ten times as fast as the rest.
    """
    from .. import train
    from ..train import PlanFolder
    from .display import display

    dry_run, benchmark, find_lr, plot = (flags.pop(name) for name in ("dry_run", "benchmark", "find_lr", "plot"))
    paths = {"DATA": data, "--config": file, "--resume": resume, "--out": flags["out"], "--plot": plot, "--weights": flags["weights"]}
    require_named(paths)
    if benchmark and resume:
        raise click.UsageError("--benchmark and --resume exclude each other: --benchmark begins a new run. Leave one out.")
    ways = [name for name, chosen in {"--dry-run": dry_run, "--benchmark": benchmark, "--find-lr": find_lr}.items() if chosen]
    if len(ways) > 1 or (find_lr and resume):
        raise click.UsageError(f"{' and '.join([*ways, *(['--resume'] if resume else [])])} exclude each other. Leave one out.")
    if plot and not find_lr:
        raise click.UsageError("--plot draws what --find-lr finds: give both.")
    given = {key: value for key, value in {"data": data, **flags}.items() if value is not None}
    layers = [train.read_config_file(file)] if file else []
    if resume not in (None, "auto"):
        path = Path(resume)
        begun = PlanFolder(path) if PlanFolder.is_one(path) else train.find_run(path)
        layers.insert(0, begun.config().mapping())
    config = train.configured(*layers, given, source="the command line")
    if find_lr:
        if plot:
            train.require_plot(plot)
        curve = train.find_lr(train.build_job(config))
        click.echo(curve)
        if plot:
            train.plot_rates(curve, plot)
        return
    if dry_run or benchmark:
        click.echo(train.dry_run(config) if dry_run else str(train.throughput(config)))
        return
    result = train.train(config, resume=resume, observer=display())
    last = result.rows[-1]
    click.echo(f"validation accuracy {last['val_accuracy']:.4f}")
    if result.test is not None:
        click.echo(f"test accuracy {result.test}")
