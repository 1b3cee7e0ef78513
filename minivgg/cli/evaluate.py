"""`minivgg evaluate`: how good a trained model is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .paths import require_named

__all__ = ["command"]


@click.command()
@click.argument("run")
@click.argument("data", required=False)
@click.option(
    "--protocol",
    default="center",
    show_default=True,
    metavar="NAME",
    help="What is looked at of each image: center, the crop at its centre; dense, the whole; multi-crop, a grid of 5×5 crops; or both.",
)
@click.option(
    "--scales",
    default="",
    metavar="LIST",
    help="Pixels of the shortest side, such as 256,384,512; or multi, the paper's three.  [default: as in training]",
)
@click.option("--flip/--no-flip", default=None, help="Mirror images, too, and average.  [default: on, but off for center]")
@click.option("--with", "others", multiple=True, metavar="RUN", help="Average with the posteriors of this run; may be given several times.")
@click.option(
    "--top", type=click.IntRange(min=1), default=5, show_default=True, help="Also the share whose class is among so many first ones."
)
@click.option("-o", "--out", metavar="FOLDER", help="Write predictions.csv, classes.csv, scores.json and report.html there.")
@click.option("--memory", metavar="SIZE", help="For the network's activations, such as 500MB.  [default: half of what is free]")
@click.option("--on-bad", type=click.Choice(["fail", "skip"]), help="An image file that cannot be read.  [default: as in training]")
@click.option("--best", is_flag=True, help="The best epoch's checkpoint rather than the last one's.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, … or auto.")
@click.option("--precision", metavar="TEXT", help="fp32, tf32, fp16 or bf16.  [default: the run's own on a card, fp32 on a CPU]")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(run: str, data: str | None, others: tuple[str, ...], out: str | None, memory: str | None, form: str, **options: Any) -> None:
    """Loss and accuracy of RUN, a run folder, a plan's folder or a checkpoint file, on images that it has not seen.

    DATA is as for train; by default the data that the run was trained on. Its test images are taken, or else its
    validation images. Where there are neither: of the data that the run was trained on, the images that it held out; of
    other data, all.
    """
    from ..backend.pool import bytes_of
    from ..evaluation.choice import choose
    from ..evaluation.posteriors import fuse, posteriors
    from ..evaluation.scores import leaders, score
    from ..files import require_outside
    from ..train import Evaluation, Predictor, trained

    require_named({"RUN": run, "DATA": data, "--with": others, "--out": out})
    load = {name: options[name] for name in ("best", "device", "precision")}
    predictors = [Predictor.load(path, **load) for path in (run, *others)]
    limit = bytes_of(memory) if memory is not None else None
    if out is not None:
        from ..evaluation.report import make_folder

        require_outside("-o", out, data or (trained(run).config().data if Path(run).is_dir() else None))
        make_folder(Path(out))
    chosen = choose(predictors, run, data, options["on_bad"])
    protocol = (options["protocol"], options["scales"], options["flip"], limit)
    scored = fuse([posteriors(predictor, chosen.dataset, *protocol) for predictor in predictors])
    scores, top = score(scored), options["top"]
    result = Evaluation(scores.loss, round(scores.top1 * scores.count), scores.count)
    values = {"images": chosen.dataset.name, "protocol": scored.protocol, "loss": result.loss, "accuracy": result.accuracy}
    values |= {"correct": result.correct, "count": result.count}
    if len(scored.classes) > top > 1:
        among = (leaders(scored.probabilities, top) == scored.labels[:, None]).any(axis=1)
        values[f"top{top}"] = float(among.mean())
    if form == "json":
        click.echo(json.dumps(values, ensure_ascii=False))
    else:
        part = f"{chosen.part} " if chosen.part else ""
        click.echo(f"{part}accuracy {result}")
        click.echo(f"{part}loss {result.loss:.4f}")
        if f"top{top}" in values:
            click.echo(f"{part}top-{top} accuracy {values[f'top{top}']:.4f}")
        click.echo(f"protocol: {scored.protocol}")
    if out is not None:  # the figures are out, whatever becomes of the files
        from ..evaluation.report import write_outputs

        folder = trained(run).path if Path(run).is_dir() else None
        write_outputs(Path(out), scored, folder, predictors[0], chosen.image)
