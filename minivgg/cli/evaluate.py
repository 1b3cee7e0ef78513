"""`minivgg evaluate`: how good a trained model is."""

from __future__ import annotations

import json
from pathlib import Path

import click

__all__ = ["command"]


@click.command()
@click.argument("run")
@click.argument("data", required=False)
@click.option("--best", is_flag=True, help="The best epoch's checkpoint rather than the last one's.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, … or auto.")
@click.option("--precision", metavar="TEXT", help="fp32, tf32, fp16 or bf16.  [default: the run's own on a card, fp32 on a CPU]")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(run: str, data: str | None, best: bool, device: str, precision: str | None, form: str) -> None:
    """Loss and accuracy of RUN, a run folder or a checkpoint file, on the test images.

    DATA is as for train; by default the data that the run was trained on. Where there are no test images, the
    validation images are taken that the run did not train on.
    """
    from .. import data as images
    from ..errors import ConfigError
    from ..train import Predictor, trained

    predictor = Predictor.load(run, best=best, device=device, precision=precision)
    folder = trained(run if Path(run).is_dir() else Path(run).parent.parent)
    if data is None and not (folder.path / "config.toml").is_file():
        raise ConfigError(
            f"{run} stands outside its run folder, so the images it was trained on are not known. Name them: evaluate {run} DATA."
        )
    whole, val, test = images.parts((folder.config().data if data is None else data) or None, grey=predictor.config.grey)
    if data is None:
        predictor.require_same_images(whole)
    dataset = test or val or images.split(whole, predictor.config.val_split, predictor.config.seed)[1]
    result = predictor.evaluate(dataset)
    if form == "json":
        values = {
            "images": dataset.name,
            "loss": result.loss,
            "accuracy": result.accuracy,
            "correct": result.correct,
            "count": result.count,
        }
        click.echo(json.dumps(values))
    else:
        click.echo(f"{'test' if test else 'validation'} accuracy {result}")
        click.echo(f"{'test' if test else 'validation'} loss {result.loss:.4f}")
