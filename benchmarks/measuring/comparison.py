"""A whole comparison: opponents timed in turn, each also in a process of its own; a record of it, and the table that is printed.

The record is plain data, so that it can be kept as a line of JSON and printed again.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import shlex
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .command import Parser, at_least
from .job import Job
from .machine import GemmRate, describe, versions
from .memory import apart
from .timing import Run, Times, alternate, ratio

__all__ = [
    "HEAD", "LEGEND", "add_flags", "best_peers", "check_flags", "command", "compare", "failed", "joined", "keep", "make_all", "row",
    "table",
]  # fmt: skip

Record = dict[str, Any]

HEAD = ("", "ms a step", "images/s", "GF/s", "of GEMM", "ratio (spread)", "peak MiB (in all)", "faults a step (alone)")
LEGEND = [
    "Ratio: the peer's time / minivgg's, the median of the rounds (least–most); above 1, minivgg is faster.",
    "GF/s: 2 × multiply-adds, as a direct convolution counts them, forward and, in training, backward. Faults: minor page faults.",
    "Peak: what the opponent adds in a process of its own (and that process in all): the start of its libraries is in it, and the",
    "compiler, where something is compiled. Alone: in that process.",
]


def add_flags(parser: Parser, against: str, rounds: int, steps: int) -> None:
    """The flags of a comparison."""
    parser.add_argument("--against", default=against, help="peers, separated by commas, or none [default: %(default)s]")
    parser.add_argument("--rounds", type=int, default=rounds, help="[default: %(default)s]")
    parser.add_argument("--steps", type=int, default=steps, help="in a round [default: %(default)s]")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--no-memory", action="store_true", help="leave out the processes that measure memory")
    parser.add_argument("--title", help="the name of this comparison, for the record")
    parser.add_argument("--json", type=Path, metavar="FILE", help="append the record to FILE, as one line")
    parser.add_argument("--alone", help=argparse.SUPPRESS)  # one contender in this process: see measuring/memory.py


def check_flags(flags: argparse.Namespace) -> None:
    """Raise ConfigError for counts below one."""
    at_least(1, rounds=flags.rounds, steps=flags.steps)


def make_all(makers: Mapping[str, Callable[[], Run]], without: Sequence[str] = ()) -> tuple[dict[str, Run], dict[str, str]]:
    """Build each contender and do one step; those that fail are not hidden: name → the error's first line."""
    runs, failures = {}, {}
    for name, make in makers.items():
        if name in without:
            continue
        try:
            run = make()
            run(1)
        except Exception as error:
            if name == "minivgg":
                raise
            failures[name] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        else:
            runs[name] = run
    return runs, failures


def compare(
    script: str,
    arguments: Sequence[str],
    flags: argparse.Namespace,
    job: Job,
    runs: Mapping[str, Run],
    multiply_adds: int,
    packages: Sequence[str],
    file_flags: Sequence[str] = (),
) -> Record:
    """Time the opponents and return the record. `multiply_adds` are one image's; `file_flags` are for processes of their own only."""
    gemm = GemmRate()
    times = alternate(runs, flags.rounds, flags.steps, between=gemm.measure)
    alone = {} if flags.no_memory else {name: apart(script, [*arguments, *file_flags], name) for name in runs}
    return {
        "title": flags.title or str(job),
        "command": command(script, arguments),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": describe(),
        "versions": versions(["threadpoolctl", *packages]),
        "job": dataclasses.asdict(job),
        "multiply_adds": multiply_adds,
        "gemm_gflops": gemm.gflops,
        "contenders": {name: _measured(times[name], alone.get(name)) for name in runs},
    }


def command(script: str, arguments: Sequence[str]) -> str:
    """What to type to measure it again: without the flags that only say where the record goes and what it is called."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if skip or argument.split("=")[0] in {"--title", "--json"}:
            skip = not skip and "=" not in argument
        else:
            kept.append(argument)
    return shlex.join(["scripts/bench", Path(script).stem, *kept])


def _measured(times: Times, alone: Mapping[str, Any] | None) -> Record:
    return {"seconds": times.seconds, "faults": times.faults, "alone": alone}


def best_peers(record: Record) -> dict[str, str]:
    """Of each peer the contender with the lowest median: PyTorch eager or compiled, OpenVINO for latency or throughput."""
    best: dict[str, str] = {}
    for name, found in record["contenders"].items():
        peer = name.split()[0]
        rival = record["contenders"].get(best.get(peer, ""))
        if peer != "minivgg" and (rival is None or statistics.median(found["seconds"]) < statistics.median(rival["seconds"])):
            best[peer] = name
    return best


def failed(record: Record) -> dict[str, str]:
    """Contenders that could not be timed, or not in a process of their own, and why."""
    alone = {name: (found["alone"] or {}).get("error") for name, found in record["contenders"].items()}
    return {**record.get("failures", {}), **{name: f"in a process of its own: {why}" for name, why in alone.items() if why}}


def row(record: Record, name: str) -> tuple[str, ...]:
    """One contender's cells, under HEAD."""
    found, ours = record["contenders"][name], record["contenders"]["minivgg"]["seconds"]
    seconds, alone = statistics.median(found["seconds"]), found["alone"] or {}
    gflops = 2 * record["multiply_adds"] * record["job"]["batch"] / seconds / 1e9
    peak = "–"
    if "peak" in alone:
        peak = f"{(alone['peak'] - alone['before']) / 2**20:.0f} ({alone['peak'] / 2**20:.0f})"
    return (
        name,
        f"{seconds * 1e3:.1f}",
        f"{record['job']['batch'] / seconds:.1f}",
        f"{gflops:.1f}",
        f"{gflops / record['gemm_gflops']:.0%}",
        "" if name == "minivgg" else str(ratio(found["seconds"], ours)),
        peak,
        f"{statistics.median(found['faults']):.0f}" + (f" ({alone['faults']:.0f})" if "faults" in alone else ""),
    )


def table(record: Record) -> str:
    """The record for people."""
    rows = [HEAD, *(row(record, name) for name in record["contenders"])]
    widths = [max(len(r[i]) for r in rows) for i in range(len(HEAD))]
    lines = ["  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True))) for r in rows]
    lines += [f"{name} failed: {failure}" for name, failure in failed(record).items()]
    ours, count = record["contenders"]["minivgg"]["seconds"], len(record["contenders"]["minivgg"]["seconds"])
    for peer, name in best_peers(record).items():
        lines.append(f"{peer}'s best is {name}: ratio {ratio(record['contenders'][name]['seconds'], ours)} over {count} rounds")
    lines += [*LEGEND, f"GEMM {record['gemm_gflops']:.0f} GF/s; {joined(record['machine'])}; {joined(record['versions'])}"]
    return "\n".join(lines)


def keep(record: Record, path: Path | None) -> None:
    """Append the record to a file of JSON lines, if one is named."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def joined(pairs: Mapping[str, str]) -> str:
    """Names and values in one line."""
    return ", ".join(f"{key} {value}" for key, value in pairs.items())
