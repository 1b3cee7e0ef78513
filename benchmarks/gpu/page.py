"""The records as a page of tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from measuring.timing import ratio

__all__ = ["page"]

Record = dict[str, Any]
_NEARLY = 1.03  # times that differ by less are equal


def page(records: Sequence[Record]) -> str:
    """Markdown: the newest record of each title, in the order in which they were begun."""
    newest = {record["title"]: record for record in records}
    first = records[0]
    place = first["place"]
    found = ", ".join(f"{name} {version}" for name, version in place["versions"].items())
    dry = "\n\n**A dry run on the pretend card: figures mean nothing.**" if place["card"] == "pretend card" else ""
    parts = [f"# {place['card']}, {first['date']}", f"`{first['command']}`. {found}. {place['memory'] / 2**30:.0f} GiB.{dry}"]
    for record in newest.values():
        parts.append(f"## {record['title']}")
        parts.append(_failed(record) if "error" in record else _table(record))
    return "\n\n".join(parts) + "\n"


def _failed(record: Record) -> str:
    return f"Failed: {record['error']}"


def _table(record: Record) -> str:
    if "figures" in record:
        return _rows([("", ""), *record["figures"].items()])
    if "ops" in record:
        lines = [(name, *_share(seconds, record["whole"])) for name, seconds in record["ops"]]
        lines += [(name, *_share(record[name], record["whole"])) for name in ("others", "rest")]
        head = (f"of {record['whole'] * 1e3:.2f} ms", "ms", "share")
        sums = [(name, *_share(seconds, record["whole"])) for name, seconds in record["families"]]
        return _rows([head, *lines]) + "\n\nOf all layers together:\n\n" + _rows([head, *sums])
    if "convolutions" in record:
        return _convolutions(record)
    return _race(record)


def _convolutions(record: Record) -> str:
    """All passes in a table, behind the layers for which another algorithm than the chosen was faster in all three passes together."""
    names = list(dict.fromkeys(name for row in record["convolutions"] for name in row["ms"]))
    head = ("ms", "precision", "pass", *names, "floor", "chosen", "faster")
    lines, better = [], []
    for row in record["convolutions"]:
        ms = row["ms"]
        best = min(ms, key=lambda name: ms[name], default=None)
        faster = ""
        if best is not None and row["chosen"] in ms and ms[best] * _NEARLY < ms[row["chosen"]]:
            faster = f"{best}, {ms[row['chosen']] / ms[best]:.2f}×"
        if faster and row["pass"] == "together":
            better.append(f"- {row['layer']}, {row['precision']}: {row['chosen']} is chosen ({row['why']}); {faster}")
        times = (f"{ms[name]:.3f}" if name in ms else "–" for name in names)
        lines.append((row["layer"], row["precision"], row["pass"], *times, f"{row['floor']:.3f}", row["chosen"], faster))
    rates = ", ".join(f"{name} {rate:.3g} {'TB/s' if name == 'copy' else 'TFLOP/s'}" for name, rate in record["rates"].items())
    said = [f"Floors are of these rates: {rates}."]
    said.append("\n".join(["Faster than what `choice` takes:", "", *better]) if better else "Nothing was faster than what `choice` takes.")
    return "\n\n".join([*said, _rows([head, *lines]), *record["notes"]])


def _share(seconds: float, whole: float) -> tuple[str, str]:
    return f"{seconds * 1e3:.3f}", f"{seconds / whole:.1%}"


def _race(record: Record) -> str:
    done = {name: found for name, found in record["contenders"].items() if found["seconds"]}
    medians = {name: statistics.median(found["seconds"]) for name, found in done.items()}
    rivals = {name: seconds for name, seconds in medians.items() if not name.startswith("minivgg")}
    mine = {name: seconds for name, seconds in medians.items() if name.startswith("minivgg")}
    head = ("", "ms a step", "images/s", "TFLOP/s", "host, ms", "peak GiB held", "the best of torch's like / this (spread)")
    lines = []
    for name, found in done.items():
        like = [rival for rival in rivals if rival.split()[1] == name.split()[1]]
        best = min(like, key=lambda rival: rivals[rival]) if like and name in mine else None
        lines.append(
            (
                name,
                f"{medians[name] * 1e3:.2f}",
                f"{record['job']['batch'] / medians[name]:.0f}",
                f"{2 * record['multiply_adds'] * record['job']['batch'] / medians[name] / 1e12:.1f}",
                f"{statistics.median(found['wall']) * 1e3:.2f}",
                f"{found.get('reserved', 0) / 2**30:.2f}",
                str(ratio(done[best]["seconds"], found["seconds"])) if best else "",
            )
        )
    said = [_rows([head, *lines])] if lines else ["Not timed yet."]
    if mine and rivals:
        best, other = min(mine, key=lambda name: mine[name]), min(rivals, key=lambda name: rivals[name])
        score = ratio(done[other]["seconds"], done[best]["seconds"])
        said.append(
            f"Best of each: {best} against {other}: **{score}** over {len(done[best]['seconds'])} rounds; above 1, minivgg is faster."
        )
    said += [f"{name} failed: {why}" for name, why in record["failures"].items()]
    return "\n\n".join([*said, *record["notes"]])


def _rows(rows: Sequence[Sequence[str]]) -> str:
    rule = "| --- " + "| ---: " * (len(rows[0]) - 1) + "|"
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join([lines[0], rule, *lines[1:]])
