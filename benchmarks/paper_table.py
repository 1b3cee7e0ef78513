"""The paper's Tables 3, 4 and 5 in miniature: six networks trained by its recipe, each tested by its protocols.

    python benchmarks/paper_table.py                  train what is missing, test, and write the page
    python benchmarks/paper_table.py --models A,D     some rows only; nothing is written
    python benchmarks/paper_table.py --data FOLDER    other images than the embedded ones

Every network is trained by `minivgg train --recipe paper`, kept under --out: a table that was stopped goes on where it was. All
layers begin from Glorot's values, which the paper's §3.1 names as what makes its staging by net A unnecessary; benchmarks/staged.py
is about that. The table, and whether the paper's ordering holds in it, stand in docs/paper.md; every number, and which test images
each network got wrong, in benchmarks/results/paper_table.json.

The embedded images, not dogs and cats (benchmarks/dogs_and_cats.py): with 1,000 of them to test on, a number is known to ±1.3 points and a
difference to about half of that, where 400 photographs would leave ±2.3; and 5,000 to train on let networks without batch norm learn.
"""

from __future__ import annotations

import datetime
import itertools
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from measuring.command import Parser, run
from measuring.machine import describe, versions
from measuring.section import put_section
from minivgg import data
from minivgg.errors import ConfigError, nearest
from minivgg.evaluation.posteriors import fuse, posteriors
from minivgg.evaluation.scored import Scored
from minivgg.files import write_atomically
from minivgg.models.vgg import NAMES
from minivgg.train import Predictor, TrainConfig, train

FOLDER = Path(__file__).parent
PAGE, RECORD = FOLDER.parent / "docs" / "paper.md", FOLDER / "results" / "paper_table.json"
ROWS = {column: name for name, column in NAMES.items()}  # A: vgg11, …
SCALES = ("37", "55", "37-73")  # 256, 384 and [256, 512], as crops of 32 are to crops of 224
RECIPE = {
    "recipe": "paper", "init": "glorot", "image_size": 32, "width": 0.25,
    "batch_size": 32, "accumulate": 1, "epochs": 8, "patience": 2,
}  # fmt: skip
FINE_LR = 1e-3  # at all scales but the first
COLUMNS = ("S = 37", "S = 55", "S ∈ [37, 73]", "several Q", "multi-crop", "both")


class Table(NamedTuple):
    """`wrong[row][column]`: bool (N,), which of the N test images are not recognised. `seconds` of training and testing."""

    wrong: dict[str, dict[str, np.ndarray]]
    seconds: dict[str, tuple[float, float]]


def main(arguments: Sequence[str]) -> None:
    """Train, test, write."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--data", default="", help="as for minivgg train; by default the embedded images")
    parser.add_argument("--out", type=Path, default=Path("runs/paper_table"), help="where the runs are kept  [default: %(default)s]")
    parser.add_argument("--models", default=",".join(ROWS), help="[default: %(default)s]")
    parser.add_argument("--width", type=float, default=RECIPE["width"], help="[default: %(default)s]")
    parser.add_argument("--epochs", type=int, default=RECIPE["epochs"], help="at most, in each stage  [default: %(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="[default: %(default)s]")
    parser.add_argument("--page", type=Path, default=PAGE, help="[default: docs/paper.md]")
    parser.add_argument("--record", type=Path, default=RECORD, help="[default: benchmarks/results/paper_table.json]")
    flags = parser.parse_args(arguments)
    wanted = chosen(flags.models)
    own = {"data": flags.data, "out": str(flags.out), "epochs": flags.epochs, "seed": flags.seed, "width": flags.width}
    test = data.parts(flags.data or None).test
    if test is None:
        raise ConfigError(f"{flags.data} has no test images. Name images that have some: an .npz with x_test, or a folder with test/.")
    table = measured(wanted, RECIPE | own, test)
    lines = page(table, f"python benchmarks/paper_table.py {' '.join(arguments)}".strip(), test.name, flags.width)
    print("\n".join(lines))
    if wanted == [*ROWS]:
        put_section(flags.page, "The paper's tables in miniature", lines)
        write_atomically(flags.record, record(table))
        print(f"wrote {flags.page} and {flags.record}")


def chosen(text: str) -> list[str]:
    """The rows named in "A,D", in the table's order, and net A, with which all are compared. Raises ConfigError for another name."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in ROWS:
            raise ConfigError(f'--models: unknown network "{name}": {nearest(name, ROWS)}')
    return [row for row in ROWS if row in {"A", *names}]


def measured(rows: Sequence[str], recipe: Mapping[str, Any], test: data.LabelledImages) -> Table:
    """Train and test the networks, one after the other."""
    wrong, seconds = {}, {}
    for row in rows:
        start = time.perf_counter()
        runs = trained(ROWS[row], recipe)
        ready = time.perf_counter()
        wrong[row] = {column: missed(scored) for column, scored in zip(COLUMNS, columns(runs, test), strict=True)}
        seconds[row] = (sum(map(training_seconds, runs)), time.perf_counter() - ready)
        errors = "  ".join(f"{column} {percent(found)}" for column, found in wrong[row].items())
        print(f"{row:6} {errors}  ({ready - start:.0f} s + {seconds[row][1]:.0f} s)", flush=True)
    return Table(wrong, seconds)


def trained(model: str, recipe: Mapping[str, Any]) -> list[Path]:
    """The run folders of a network, one for each scale: the first from random values, each of the others from the one before."""
    first = train(TrainConfig.of(recipe, {"model": model, "scale": SCALES[0]}), resume="auto").folder
    others = {"model": model, "scales": ",".join(SCALES[1:]), "init_from": str(first), "lr": FINE_LR, "fine_lr": FINE_LR}
    last = train(TrainConfig.of(recipe, others), resume="auto").folder
    return [first, *(last.parent / f"{number}_{model}_{scale}" for number, scale in enumerate(SCALES[1:], 1))]


def columns(runs: Sequence[Path], test: data.LabelledImages) -> list[Scored]:
    """Table 3: each stage's network on the whole image, mirrored, at Q = S or the middle of its S. Tables 4 and 5: the last one at
    S_min, the middle and S_max, on whole images, on 5×5 crops, and the mean of both, which is the protocol "both"."""
    single = [posteriors(Predictor.load(path), test, "dense") for path in runs]
    last = Predictor.load(runs[-1])
    several, crops = (posteriors(last, test, protocol, "multi") for protocol in ("dense", "multi-crop"))
    return [*single, several, crops, fuse([several, crops])]


def missed(scored: Scored) -> np.ndarray:
    """Which images the largest probability is wrong about."""
    return np.asarray(scored.probabilities.argmax(1) != scored.labels)


def training_seconds(folder: Path) -> float:
    """What the run's epochs took, by its metrics, whenever that was."""
    *_, last = (folder / "metrics.jsonl").read_text().splitlines()
    return float(json.loads(last)["seconds"])


def percent(wrong: np.ndarray) -> str:
    """The error rate, in per cent."""
    return f"{100 * wrong.mean():.1f}"


def page(table: Table, command: str, images: str, width: float = 0.25) -> list[str]:
    """The section: what was done, the table, what it says."""
    first = next(iter(table.wrong.values()))["both"]
    count, error = len(first), float(first.mean())
    training, testing = (sum(pair[k] for pair in table.seconds.values()) for k in (0, 1))
    noise = 100 * math.sqrt(error * (1 - error) / count)
    made = ", ".join(f"{name} {version}" for name, version in versions([]).items())
    machine = f"{describe()['processor']}, cores {describe()['cores']}"
    filled = "; but clothes fill their images, where photographs leave room" if images.startswith("fashion") else ""
    return [
        f"`{command}`",
        "",
        f"{datetime.date.today()}; {made}; {machine}; {training:.0f} s of training, {testing:.0f} s of testing.",
        "",
        f"Top-1 error in per cent on the {count:,} images of {images}. Each network is {width:g} times as wide as the paper's, and sees",
        "crops of 32×32 pixels. It was trained from Glorot's random values at S = 37, from there at S = 55, and from there at S drawn from",
        "[37, 73]: the paper's 256, 384 and [256, 512] times 32/224. The first three columns are these three networks on whole images at",
        "one scale, Q = S or the middle of its range (the paper's Table 3). The others are the last network at Q = 37, 55 and 73: on whole",
        "images (Table 4), on 5×5 crops, and the mean of both (Table 5). Every test image is seen mirrored, too. As in the paper, a crop",
        f"shows 75 % of an image at S = 37, 34 % at 55 and 19 % at 73{filled}.",
        "Dense evaluation has less to go by than the paper's: behind five halvings an image of 37 or 55 pixels is one cell, and what does",
        "not fill it, on the right and below, is cut off; one of 73 is 2×2 cells. The paper's 384 are 6×6 places of a window of 7×7 cells.",
        "",
        *markdown(["network", *COLUMNS], "r" * len(COLUMNS)),
        *(line for row, cells in table.wrong.items() for line in markdown([row, *(percent(cells[column]) for column in COLUMNS)])),
        "",
        f"One number alone is known to ±{noise:.1f} (one deviation, √(p(1 − p)/n)). All networks are tested on the same images, so",
        "a difference is known better: its noise, below, is the deviation of the difference image by image, divided by √n. That does",
        "not count what another seed of the training would change. A claim is decided from two deviations on.",
        "",
        *markdown(["the paper says", "better by, points", "here"], "rl"),
        *claims(table.wrong),
    ]


def markdown(cells: Sequence[str], rest: str = "") -> list[str]:
    """A table's row; with `rest`, the alignment of all columns but the first, it is the head, and has the rule below."""
    line = f"| {' | '.join(cells)} |"
    return [line, "| --- | " + " | ".join({"r": "---:", "l": "---"}[side] for side in rest) + " |"] if rest else [line]


def claims(wrong: Mapping[str, Mapping[str, np.ndarray]]) -> list[str]:
    """Each of the paper's observations about its tables beside what this table says: how many points the better side is better by."""
    mean = {column: np.mean([cells[column] for cells in wrong.values()], axis=0) for column in COLUMNS}
    jittered = {row: cells["several Q"] * 1.0 for row, cells in wrong.items()}
    deeper = [pair for pair in itertools.pairwise(("A", "B", "C", "D", "E")) if {*pair} <= {*wrong}]
    found = [("LRN does not help (A-LRN against A)", jittered["A-LRN"], jittered["A"], no_better)] if "A-LRN" in wrong else []
    found += [(f"deeper is better ({deep} against {shallow})", jittered[shallow], jittered[deep], better) for shallow, deep in deeper]
    found += [("… and from end to end (E against A)", jittered["A"], jittered["E"], better)] if "E" in wrong else []
    pairs = (
        ("training at S = 55 is better than at S = 37", "S = 37", "S = 55"),
        ("training at several S is better than at S = 37", "S = 37", "S ∈ [37, 73]"),
        ("training at several S is better than at S = 55", "S = 55", "S ∈ [37, 73]"),
        ("testing at several Q is better than at one", "S ∈ [37, 73]", "several Q"),
        ("crops are slightly better than whole images", "several Q", "multi-crop"),
        ("both are better than whole images alone", "several Q", "both"),
        ("both are better than crops alone", "multi-crop", "both"),
    )
    found += [(f"{claim} (mean of all rows)", mean[worse], mean[than], better) for claim, worse, than in pairs]
    return [line for claim, worse, than, judge in found for line in markdown([claim, said(worse - than), judge(worse - than)])]


def said(difference: np.ndarray) -> str:
    """Such as "+1.30 ± 0.52"."""
    return f"{100 * difference.mean():+.2f} ± {100 * noise_of(difference):.2f}"


def noise_of(difference: np.ndarray) -> float:
    """The standard error of a mean over images."""
    return float(difference.std(ddof=1) / math.sqrt(len(difference)))


def better(difference: np.ndarray) -> str:
    """Whether it is larger than 0 by more than noise."""
    mean, noise = float(difference.mean()), noise_of(difference)
    return "holds" if mean > 2 * noise else "the reverse" if mean < -2 * noise else "within noise"


def no_better(difference: np.ndarray) -> str:
    """Whether there is no gain: whether it is not smaller than 0 by more than noise."""
    return "does not hold" if better(difference) == "the reverse" else "holds"


def record(table: Table) -> str:
    """Every cell: the error, and the numbers of the images that are wrong."""
    cells = {
        row: {column: {"error": float(wrong.mean()), "images": np.flatnonzero(wrong).tolist()} for column, wrong in found.items()}
        for row, found in table.wrong.items()
    }
    values = {"date": str(datetime.date.today()), "versions": versions([]), "machine": describe(), "seconds": table.seconds, "wrong": cells}
    return json.dumps(values, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(run(main))
