"""The rows that must be shown, each measured by its own command, and benchmarks/report.md made from the newest of each.

    scripts/bench report                 all rows: the better part of an hour on two cores
    scripts/bench report --row 3         one row; may be given several times, so that a long report is made in pieces
    scripts/bench report --render        only write the page again
    scripts/bench report --list          the rows and their commands

Each row appends its record, a line of JSON, to benchmarks/results/rows.jsonl; the page shows the newest record of each row.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measuring.command import Parser, run
from measuring.comparison import HEAD, LEGEND, best_peers, failed, joined, row
from measuring.timing import ratio
from minivgg.errors import ConfigError, DataError, MinivggError
from minivgg.files import write_atomically

FOLDER = Path(__file__).parent
RECORDS, PAGE = FOLDER / "results" / "rows.jsonl", FOLDER / "report.md"

# Title, and the command that measures it.
ROWS = [
    ("VGG-11-BN, 32×32, batch 128, training", "train_step --against torch --model vgg11_bn --rounds 7 --steps 2"),
    ("VGG-16-BN, 32×32, batch 128, training", "train_step --against torch --model vgg16_bn --rounds 7 --steps 2"),
    (
        "VGG-16, paper's head, 224×224, batch 8, training",
        "train_step --against torch --model vgg16 --size 224 --batch 8 --head paper --classes 1000 --rounds 5 --steps 1",
    ),
    (
        "VGG-16, paper's head, 224×224, batch 8, inference",
        "inference --against torch,onnxruntime,openvino --model vgg16 --size 224 --batch 8 --head paper --rounds 7 --steps 4",
    ),
    (
        "VGG-11-BN ×¼, 28×28 grey images padded to 32×32, batch 64, training",
        "train_step --against torch --model vgg11_bn --width 0.25 --channels 1 --batch 64 --rounds 7 --steps 10",
    ),
    ("VGG-11-BN, 32×32, batch 128, training, against DeZero", "train_step --against dezero --model vgg11_bn --rounds 5 --steps 1"),
]


def main(arguments: Sequence[str]) -> None:
    """Parse, run the rows, write the page."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--row", type=int, action="append", help=f"1 to {len(ROWS)}; all by default")
    parser.add_argument("--render", action="store_true", help="measure nothing")
    parser.add_argument("--list", action="store_true", help="print the rows and their commands")
    parser.add_argument("--records", type=Path, default=RECORDS, help="[default: benchmarks/results/rows.jsonl]")
    parser.add_argument("--page", type=Path, default=PAGE, help="[default: benchmarks/report.md]")
    for name in ("rounds", "steps"):
        parser.add_argument(f"--{name}", type=int, help="in place of the row's own")
    for name in ("no-compile", "no-memory"):
        parser.add_argument(f"--{name}", action="store_true", help="handed on to the rows' commands")
    flags = parser.parse_args(arguments)
    numbers = flags.row or list(range(1, len(ROWS) + 1))
    for number in numbers:
        if not 1 <= number <= len(ROWS):
            raise ConfigError(f"--row must be 1 to {len(ROWS)}, but is {number}. See them with --list.")
    if flags.list:
        for number, (title, own) in enumerate(ROWS, 1):
            print(f"{number}  {title}\n   scripts/bench {own}")
        return
    for number in [] if flags.render else numbers:
        measure(number, handed_on(flags), flags.records)
        write_atomically(flags.page, page(newest(flags.records)))
    write_atomically(flags.page, page(newest(flags.records)))
    print(f"wrote {flags.page}")


def handed_on(flags: argparse.Namespace) -> list[str]:
    """Flags for the rows' commands: those that do not change what is measured."""
    counts = [part for name in ("rounds", "steps") if getattr(flags, name) is not None for part in (f"--{name}", str(getattr(flags, name)))]
    return counts + [f"--{name}" for name in ("no-compile", "no-memory") if getattr(flags, name.replace("-", "_"))]


def measure(number: int, extra: Sequence[str], records: Path) -> None:
    """Run a row's command, with `extra` flags behind its own; it appends its record. MinivggError, with its code, if it fails."""
    title, command = ROWS[number - 1]
    name, *own = shlex.split(command)
    print(f"row {number}: {title}", flush=True)
    arguments = [*own, *extra, "--title", title, "--json", str(records)]
    done = subprocess.run([sys.executable, str(FOLDER / f"{name}.py"), *arguments], check=False)
    if done.returncode:
        error = MinivggError(f"row {number} failed with exit code {done.returncode}; the page keeps its older record.")
        error.exit_code = done.returncode if done.returncode > 0 else 1
        raise error


def newest(records: Path) -> dict[str, dict[str, Any]]:
    """The last record of each title; DataError for a line that is none."""
    found: dict[str, dict[str, Any]] = {}
    for number, text in enumerate(records.read_text(encoding="utf-8").splitlines() if records.exists() else [], 1):
        try:
            record = json.loads(text)
            found[record["title"]] = record
        except (ValueError, KeyError, TypeError):
            raise DataError(f"{records}, line {number}: not a record of a row. Remove the line.") from None
    return found


def page(records: dict[str, dict[str, Any]]) -> str:
    """The report as Markdown."""
    source = "Made by `scripts/bench report`; the raw records are in [results/rows.jsonl](results/rows.jsonl)."
    parts = ["# Benchmarks", "", source, "", *summary(records), "", *LEGEND]
    for number, (title, own) in enumerate(ROWS, 1):
        parts += ["", f"## {number}. {title}", ""]
        missing = f"Not measured yet: `scripts/bench report --row {number}`, which runs `scripts/bench {own}`."
        parts += section(records[title]) if title in records else [missing]
    return "\n".join(parts) + "\n"


def summary(records: dict[str, dict[str, Any]]) -> list[str]:
    """A line for each row: minivgg beside the best of all its peers."""
    head = ("", "images/s", "best peer", "images/s", "ratio (spread)", "of GEMM", "peak MiB, minivgg", "peak MiB, peer")
    lines = markdown(head)
    for number, (title, _) in enumerate(ROWS, 1):
        record = records.get(title)
        rivals = [row(record, name) for name in best_peers(record).values()] if record else []
        if record and rivals:
            ours, best = row(record, "minivgg"), min(rivals, key=lambda cells: float(cells[1]))
            lines += markdown((f"{number}. {title}", ours[2], best[0], best[2], best[5], ours[4], ours[6], best[6]), head=False)
    return lines


def section(record: dict[str, Any]) -> list[str]:
    """All of one record."""
    lines = [f"`{record['command']}`", "", f"{record['date']}; {joined(record['machine'])}; {joined(record['versions'])}."]
    lines += [f"GEMM {record['gemm_gflops']:.0f} GF/s, float32, all threads, in the same run.", "", *markdown(HEAD)]
    for name in record["contenders"]:
        lines += markdown(row(record, name), head=False)
    ours = record["contenders"]["minivgg"]["seconds"]
    for peer, name in best_peers(record).items():
        lines += ["", f"{peer}'s best is {name}: **{ratio(record['contenders'][name]['seconds'], ours)}** over {len(ours)} rounds."]
    failures = [f"{name} failed: {failure}" for name, failure in failed(record).items()]
    return [*lines, *(f"\n{sentence}" for sentence in [*failures, *record.get("notes", [])])]


def markdown(cells: Sequence[str], head: bool = True) -> list[str]:
    """A table's row; for its head also the rule below, all columns but the first to the right."""
    line = f"| {' | '.join(cells)} |"
    return [line, "| --- " + "| ---: " * (len(cells) - 1) + "|"] if head else [line]


if __name__ == "__main__":
    sys.exit(run(main))
