"""`python -m benchmarks.gpu PART … [--out FOLDER] [--dry]`: measure parts; records go to a file as soon as they are there.

PART is card, ceilings, ops, algorithms or the name of a row (see rows.py). FOLDER gets gpu-<card>-<date>.jsonl, a line for each
record, and the same name with .md, a page made from all its lines. A part that is cut off leaves what it has measured.
"""

from __future__ import annotations

import datetime
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # measuring and peers are found as by the other scripts

from measuring.command import Parser, run
from minivgg.errors import ConfigError, nearest
from minivgg.files import write_atomically

from . import algorithms, by_op, ceilings, race
from .card import Place
from .page import page
from .rows import ROWS

PARTS = ["card", "ceilings", *ROWS, "ops", "algorithms"]


def main(arguments: Sequence[str]) -> None:
    """Parse, measure, write."""
    parser = Parser(__doc__ or "")
    parser.add_argument("parts", nargs="*", default=PARTS, help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="[default: %(default)s]")
    parser.add_argument("--dry", action="store_true", help="miniature sizes on the pretend card, to try the script")
    flags = parser.parse_args(arguments)
    for part in flags.parts:
        if part not in PARTS:
            raise ConfigError(f'unknown part "{part}": {nearest(part, PARTS)}')
    with Place(flags.dry) as place:
        date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
        stem = f"gpu-{re.sub('[^a-z0-9]+', '-', place.name().lower()).strip('-')}-{date}"
        flags.out.mkdir(parents=True, exist_ok=True)
        file = flags.out / f"{stem}.jsonl"
        for part in flags.parts:
            common = {"part": part, "date": date, "command": "benchmarks/gpu.sh", "place": place.describe()}
            for record in _records(part, place):
                _keep(file, {**common, **record})
            print(f"{part} is in {file}", flush=True)


def _records(part: str, place: Place) -> Iterator[dict[str, Any]]:
    """Of one part; one that fails leaves a record that says so, and the next part is tried."""
    title = ROWS[part].title if part in ROWS else part
    try:
        if part == "card":
            yield {"title": "Card", "figures": {key: str(value) for key, value in place.describe().items() if key != "versions"}}
        elif part == "ceilings":
            yield from ceilings.measure(place)
        elif part == "ops":
            yield from by_op.measure(place)
        elif part == "algorithms":
            yield from algorithms.measure(place)
        else:
            yield from race.measure(ROWS[part], place)
    except Exception as error:
        print(f"{part} failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        yield {"title": title, "error": f"{type(error).__name__}: {error}"}


def _keep(file: Path, record: dict[str, Any]) -> None:
    """Put the record in the place of the last line of its part and title, or behind all; write the page."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    records = [json.loads(line) for line in lines]
    if records and records[-1]["title"] == record["title"] and "error" not in record:
        records.pop()
    records.append(record)
    write_atomically(file, "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in records))
    write_atomically(file.with_suffix(".md"), page(records))


if __name__ == "__main__":
    sys.exit(run(main))
