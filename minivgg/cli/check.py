"""`minivgg check`: does backward agree with finite differences?"""

from __future__ import annotations

import click

__all__ = ["command"]


@click.command()
@click.argument("model")
@click.option("--order", type=click.IntRange(1, 2), default=1, show_default=True, help="2: the gradients are differentiated, too.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Decides what is sampled.")
@click.option("--coordinates", type=click.IntRange(min=1), default=400, show_default=True, help="Single parameters and pixels compared.")
@click.option("--directions", type=click.IntRange(min=0), default=8, show_default=True, help="Random directions compared.")
@click.pass_context
def command(ctx: click.Context, model: str, order: int, seed: int, coordinates: int, directions: int) -> None:
    """Check a miniature of MODEL end to end in float64. Exit code 7 if any gradient is wrong."""
    from .. import testing

    report = testing.check_model(model, order=order, seed=seed, coordinates=coordinates, directions=directions)
    click.echo(str(report))
    if not report.ok:
        ctx.exit(7)
