"""Staged training against random initialisation, in miniature: what the paper's procedure is for.

    python benchmarks/staged.py                   train what is missing, and write the page
    python benchmarks/staged.py --models A,D      some networks only; nothing is written

Each network is trained by the paper's plan, the runs of benchmarks/paper_table.py: net A from N(0, 0.01²) with its gain kept, deeper ones
from A's first layers. Beside it the same network begins from such random values in all its layers, at a rate that is never lowered, for
as many epochs as net A and the staged network had together. Everything is an ordinary run under --out: what was stopped goes on.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from measuring.command import Parser, run
from measuring.machine import describe, versions
from measuring.section import put_section
from minivgg.train import Result, TrainConfig, train
from paper_table import EPOCHS, PAGE, RECIPE, ROWS, SCALES, chosen, markdown

HEADING = "Staged training and random initialisation"


class Row(NamedTuple):
    """Rows of metrics of each staged run, in order, and of the random one; None for a network that starts from random values anyway."""

    staged: list[list[dict[str, Any]]]
    random: list[dict[str, Any]] | None


def main(arguments: Sequence[str]) -> None:
    """Train, and write."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--data", default="", help="as for minivgg train; by default the embedded images")
    parser.add_argument("--out", type=Path, default=Path("runs/paper_table"), help="where the runs are kept  [default: %(default)s]")
    parser.add_argument("--models", default=",".join(ROWS), help="[default: %(default)s]")
    parser.add_argument("--width", type=float, default=RECIPE["width"], help="[default: %(default)s]")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="at most, in each stage  [default: %(default)s]")
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
        model = ROWS[column]
        last = trained(recipe, model=model, **({} if alone else {"init_from": shallow}))
        folders = [last.folder.parent / f"{number}_{model}_{scale}" for number, scale in enumerate(SCALES, 1)]
        shallow = shallow or str(folders[0])
        staged = [train(resume=folder).rows for folder in folders]
        random = None
        if not alone:
            epochs = len(rows["A"].staged[0]) + len(staged[0])
            random = trained(recipe, model=model, scales="", scale=SCALES[0], schedule="constant", epochs=epochs).rows
        rows[column] = Row(staged, random)
        print(f"{column:6} staged {percent(staged[0])}, random {percent(random) if random else '–'}", file=sys.stderr, flush=True)
    return rows


def trained(recipe: Mapping[str, Any], **changes: Any) -> Result:
    """The result of that run or plan, which is trained if it is not there."""
    return train(TrainConfig.of(recipe, changes), resume="auto")


def page(rows: Mapping[str, Row], command: str) -> list[str]:
    """The section."""
    count = next(iter(rows.values())).staged[0][-1]["test_count"]
    seconds = sum(run[-1]["seconds"] for row in rows.values() for run in (*row.staged, *([row.random] if row.random else [])))
    made = ", ".join(f"{name} {version}" for name, version in versions([]).items())
    machine = f"{describe()['processor']}, {describe()['cores']}"
    cells = [markdown([column, *cells_of(row)]) for column, row in rows.items()]
    return [
        f"`{command}`",
        "",
        f"{datetime.date.today()}; {made}; {machine}; {seconds:.0f} s of training.",
        "",
        f"Top-1 accuracy in per cent on {count:,} test images, centre crop, after the last epoch; in brackets how many epochs there were.",
        "Random: every layer from N(0, 0.01²), with its gain kept for the smaller fan-in, at the undiminished rate, for as many epochs as",
        "net A and the staged network had together. Staged: conv1_1, conv2_1, conv3_1, conv3_2, fc6, fc7 and fc8 from net A at the end of",
        "its training, the rest random; from there S = 55, and from there S in [37, 73]. A and A-LRN begin from random values anyway.",
        "",
        *markdown(["network", "random, S = 37", *(f"staged, S = {scale}" for scale in SCALES)], "rrrr"),
        *(line for lines in cells for line in lines),
        "",
        verdict(rows),
    ]


def cells_of(row: Row) -> list[str]:
    """The accuracies of a row: random, then each stage."""
    return [percent(row.random) if row.random else "–", *map(percent, row.staged)]


def percent(rows: Sequence[Mapping[str, Any]]) -> str:
    """The test accuracy and the number of epochs, such as "84.1 (10)"."""
    last = rows[-1]
    return f"{100 * last['test_correct'] / last['test_count']:.1f} ({len(rows)})"


def verdict(rows: Mapping[str, Row]) -> str:
    """For D and E, or those of them that there are: whether staged training reached what random initialisation did not."""
    found = []
    for column in ("D", "E"):
        row = rows.get(column)
        if row is None or row.random is None:
            continue
        staged, random = (100 * last["test_correct"] / last["test_count"] for last in (row.staged[0][-1], row.random[-1]))
        says = "holds" if staged > random + 10 else "does not hold"
        found.append(f"{column}: {staged:.1f} against {random:.1f}, {says}")
    return f"Staged training reaches what random initialisation cannot, by more than ten points: {'; '.join(found) or 'not tried'}."


if __name__ == "__main__":
    sys.exit(run(main))
