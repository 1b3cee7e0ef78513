"""`minivgg convert`: a network from one file into another."""

from __future__ import annotations

from pathlib import Path

import click

from .paths import require_named

__all__ = ["command"]


@click.command()
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@click.option("--only", type=click.Choice(["features"]), help="Leave the classifier out.")
@click.option(
    "--prepared",
    metavar="NAME",
    help="How images were prepared for it: torchvision, caffe or unit (0..1).  [default: by the origin of its names]",
)
@click.option("--dtype", metavar="TYPE", help="Numbers to write: f32, f16, bf16 or f64.  [default: as in IN]")
@click.option("--model", metavar="NAME", help="What it is of, where the arrays leave it open: vgg11_lrn has those of vgg11.")
@click.option("--strict/--no-strict", default=True, help="Refuse a file in which anything is missing or left over.  [default: strict]")
@click.option("--image-size", type=int, metavar="N", help="Pixels, for networks that take images of any size.  [default: 224]")
def command(
    source: str, target: str, only: str | None, prepared: str | None, dtype: str | None, model: str | None, strict: bool,
    image_size: int | None,
) -> None:  # fmt: skip
    """Write the network in IN, a run folder or a file of weights, into OUT, and tell what became of each array.

    OUT may be .safetensors (everything, to be used by all commands), .npz (the arrays, under torchvision's names) or .onnx. Of a run
    folder the last checkpoint is taken, without the optimiser's state.
    """
    from ..errors import CheckpointError, ConfigError
    from ..pretrained import cast, read, require_writable, write
    from ..train import trained

    require_named({"IN": source, "OUT": target, "--prepared": prepared, "--dtype": dtype, "--model": model})
    require_writable(Path(target), dtype or "")
    path = trained(source).checkpoint() if Path(source).is_dir() else Path(source)
    if path.resolve() == Path(target).resolve():
        raise ConfigError(f"OUT {target} is IN itself. Name another file.")
    network = read(path, prepared or "", only=only or "", model=model or "", strict=strict, image_size=image_size or 0)
    network = cast(network, dtype or "", str(path))
    try:
        network.build()
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    write(network, Path(target), dtype or "")
    click.echo(network.report)
    for line in [network.describe(), *network.notes, target]:
        click.echo(line)
