"""Staged training against random initialisation, in miniature: what the paper's procedure is for.

    python benchmarks/staged.py                   train what is missing, and write the page
    python benchmarks/staged.py --models A,D      some networks only; nothing is written

Net A begins from N(0, std²) with its gain kept for the narrow network. Each deeper net begins, as the paper has it, with A's conv1_1,
conv2_1, conv3_1, conv3_2 and fully connected layers, the rest random; and beside it once more with all its layers random, for as many
epochs as net A and the staged network had together. All else is equal. Every one is an ordinary run under --out: what was stopped goes on.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from measuring.command import Parser, run
from measuring.machine import describe, versions
from measuring.section import put_section
from minivgg import models, ops
from minivgg.autograd.core import Tensor
from minivgg.train import Result, TrainConfig, build_job, train
from paper_table import PAGE, ROWS, chosen, markdown

HEADING = "Staged training and random initialisation"
# A few hundred steps stand for the paper's 370,000: twice its rate, never lowered, with the gradient's norm bounded.
RECIPE = {
    "recipe": "paper", "image_size": 32, "width": 0.25, "batch_size": 32, "lr": 0.02, "clip": 1.0, "schedule": "constant",
}  # fmt: skip
SCALE = "37"  # 256 · 32 / 224
# Beside those from A, D has nine random convolutions, E twelve, C's 1×1 ones have small fan-ins, and LRN divides by 2^¾: each weakens
# the signal, and in so few steps it must be stronger to begin with.
STD = {"A-LRN": 0.0125, "C": 0.015, "D": 0.0125, "E": 0.015}
USUAL = 0.01

Metrics = list[dict[str, Any]]


class Row(NamedTuple):
    """The rows of metrics of the staged run, None for a network that begins with random values anyway, and of the random one; and for
    both the norm of the loss's gradient by the last convolution's weights, before the first step."""

    staged: Metrics | None
    random: Metrics
    first_staged: float | None
    first_random: float


def main(arguments: Sequence[str]) -> None:
    """Train, and write."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--data", default="", help="as for minivgg train; by default the embedded images")
    parser.add_argument("--out", type=Path, default=Path("runs/staged"), help="where the runs are kept  [default: %(default)s]")
    parser.add_argument("--models", default=",".join(ROWS), help="[default: %(default)s]")
    parser.add_argument("--width", type=float, default=RECIPE["width"], help="[default: %(default)s]")
    parser.add_argument("--epochs", type=int, default=8, help="of net A and of each staged network  [default: %(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="[default: %(default)s]")
    parser.add_argument("--page", type=Path, default=PAGE, help="[default: docs/paper.md]")
    flags = parser.parse_args(arguments)
    wanted = chosen(flags.models)
    own = {"data": flags.data, "out": str(flags.out), "epochs": flags.epochs, "seed": flags.seed, "width": flags.width}
    rows = measured(wanted, {**RECIPE, **own})
    lines = page(rows, f"python benchmarks/staged.py {' '.join(arguments)}".strip())
    print("\n".join(lines))
    if wanted == [*ROWS]:
        put_section(flags.page, HEADING, lines)
        print(f"wrote {flags.page}")


def measured(wanted: Sequence[str], recipe: Mapping[str, Any]) -> dict[str, Row]:
    """Train the networks, one after the other, staged and from random values."""
    rows: dict[str, Row] = {}
    shallow = ""
    for column in wanted:
        alone = column in ("A", "A-LRN")
        own = {"model": ROWS[column], "init_std": STD.get(column, USUAL)}
        staged = None if alone else trained(recipe, own, {"scales": SCALE, "init_from": shallow}).rows
        epochs = recipe["epochs"] * (1 if alone else 2)
        random = trained(recipe, own, {"scale": SCALE, "epochs": epochs})
        shallow = shallow or str(random.folder)
        one = {**recipe, **own, "scale": SCALE}
        begun = None if alone else first_gradient(TrainConfig.of(one, {"init_from": shallow}))
        rows[column] = Row(staged, random.rows, begun, first_gradient(TrainConfig.of(one)))
        print(f"{column:6} staged {percent(staged)}, random {percent(random.rows)}", file=sys.stderr, flush=True)
    return rows


def first_gradient(config: TrainConfig) -> float:
    """‖∂loss/∂w‖ of the last convolution's weights w in the run's first batch, without dropout."""
    job = build_job(config)
    batch = next(iter(job.train.epoch(0)))
    job.model.eval()
    ops.cross_entropy(job.model(Tensor(np.ascontiguousarray(batch.images))), batch.labels).backward()
    (last,) = models.blocks(config.model)[[name for name in models.blocks(config.model) if name.startswith("conv")][-1]]
    return float(np.sqrt((dict(job.model.named_parameters())[f"{last}.weight"].grad ** 2).sum()))


def trained(*layers: Mapping[str, Any]) -> Result:
    """The result of that run or plan, which is trained if it is not there."""
    return train(TrainConfig.of(*layers), resume="auto")


def page(rows: Mapping[str, Row], command: str) -> list[str]:
    """The section."""
    count = next(iter(rows.values())).random[-1]["test_count"]
    seconds = sum(run[-1]["seconds"] for row in rows.values() for run in (row.staged, row.random) if run)
    made = ", ".join(f"{name} {version}" for name, version in versions([]).items())
    machine = f"{describe()['processor']}, {describe()['cores']}"
    return [
        f"`{command}`",
        "",
        f"{datetime.date.today()}; {made}; {machine}; {seconds:.0f} s of training.",
        "",
        f"Top-1 accuracy in per cent on {count:,} test images, centre crop, after the last epoch; in brackets how many epochs there were.",
        "Random: every layer from N(0, std²), its gain kept for the smaller fan-in. Staged: conv1_1, conv2_1, conv3_1, conv3_2, fc6, fc7",
        "and fc8 from net A at the end of its training, the rest random; the random network has the epochs of both. S = 37, batch 32, rate",
        "0.02, never lowered, gradient norm at most 1. At std 0.01 the signal of A-LRN, C, D and E is too weak for so few steps.",
        "Gradient: the norm of the loss's gradient by the last convolution's weights before the first step, random and staged.",
        "",
        *markdown(["network", "std", "random", "staged", "gradient, random", "gradient, staged"], "rrrrr"),
        *(line for column, row in rows.items() for line in markdown([column, f"{STD.get(column, USUAL)}", *cells_of(row)])),
        "",
        verdict(rows),
    ]


def cells_of(row: Row) -> list[str]:
    """The accuracies, and the first gradients."""
    begun = "–" if row.first_staged is None else f"{row.first_staged:.1e}"
    return [percent(row.random), percent(row.staged), f"{row.first_random:.1e}", begun]


def percent(rows: Metrics | None) -> str:
    """The test accuracy and the number of epochs, such as "84.1 (10)"."""
    return f"{accuracy(rows):.1f} ({len(rows)})" if rows else "–"


def accuracy(rows: Metrics) -> float:
    """Of the test images after the last epoch, in per cent."""
    return float(100 * rows[-1]["test_correct"] / rows[-1]["test_count"])


def verdict(rows: Mapping[str, Row]) -> str:
    """For D and E, or those of them that there are: whether staged training reached what random initialisation did not."""
    found = []
    for column in ("D", "E"):
        row = rows.get(column)
        if row is not None and row.staged is not None:
            staged, random = accuracy(row.staged), accuracy(row.random)
            found.append(f"{column}: {staged:.1f} against {random:.1f}, {'holds' if staged > random + 10 else 'does not hold'}")
    return f"Staged training reaches what random initialisation cannot, by more than ten points: {'; '.join(found) or 'not tried'}."


if __name__ == "__main__":
    sys.exit(run(main))
