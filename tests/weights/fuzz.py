"""Mutated files of one format through their readers, in child processes: `campaign(format, count, seed)`.

By hand: scripts/fuzz onnx --count 200000 --seed 0 --folder failures. A child that dies is a finding like any other: the file it was
reading is still there, and the next child goes on behind it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minivgg import pretrained, weights

from .mutations import mutated
from .watched import MEMORY, FindingError, Seen, begin, watch

__all__ = ["FORMATS", "Result", "campaign"]

ROOT = Path(__file__).parents[2]
BATCH = 5000  # files of one child


@dataclass(frozen=True)
class Format:
    """Samples are those that `function` of the module gives and `keep` likes. `own`: what is not refused must be the very network that
    was written."""

    module: str
    suffix: str
    keep: Callable[[bytes], bool] = lambda content: True
    own: bool = False
    function: str = "samples"

    def samples(self) -> dict[str, bytes]:
        """The valid files, by name; there is one or more."""
        found = getattr(importlib.import_module(f".{self.module}", __package__), self.function)()
        kept = {name: content for name, content in found.items() if self.keep(content)}
        assert kept, f"tests/weights/{self.module}.py has no such samples"
        return kept


def _is_zip(content: bytes) -> bool:
    return content[:2] == b"PK"


def _is_own(content: bytes) -> bool:
    return b'\\"digest\\"' in content


FORMATS = {
    "safetensors": Format("sample_arrays", ".safetensors", lambda content: not _is_zip(content) and not _is_own(content)),
    "own": Format("sample_arrays", ".safetensors", _is_own, own=True),
    "npz": Format("sample_arrays", ".npz", _is_zip),
    "torch-zip": Format("sample_torch", ".pth", _is_zip),
    "torch-legacy": Format("sample_torch", ".pth", lambda content: not _is_zip(content)),
    "onnx": Format("sample_onnx", ".onnx"),
    "caffe": Format("sample_caffe", ".caffemodel"),
    "keras": Format("sample_keras", ".h5"),
    "keras-zip": Format("sample_keras", ".keras", function="zip_samples"),
}


@dataclass
class Result:
    """Of a campaign or a part of it. `failures` are (index, reader, what was found)."""

    refused: int = 0
    accepted: int = 0
    slowest: float = 0.0  # seconds
    memory: int = 0  # bytes, of Python's and NumPy's objects at the peak
    failures: list[tuple[int, str, str]] = field(default_factory=list)

    def add(self, other: Result) -> None:
        """Join the other's numbers."""
        self.refused += other.refused
        self.accepted += other.accepted
        self.slowest = max(self.slowest, other.slowest)
        self.memory = max(self.memory, other.memory)
        self.failures += other.failures


def campaign(name: str, count: int, seed: int, folder: Path | None = None, jobs: int = 1, batch: int = BATCH) -> Result:
    """`count` mutated files of the format through its readers; the failing ones are kept in `folder`."""
    total = Result()
    with ThreadPoolExecutor(jobs) as pool:
        for part in pool.map(lambda first: _part(name, first, min(batch, count - first), seed, folder), range(0, count, batch)):
            total.add(part)
    return total


def _part(name: str, first: int, count: int, seed: int, folder: Path | None) -> Result:
    """Files first … first + count − 1, by as many children as it takes."""
    total, end = Result(), first + count
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as place:
        while first < end:
            command = [
                sys.executable,
                "-m",
                "tests.weights.fuzz",
                name,
                f"--count={end - first}",
                f"--seed={seed}",
                f"--first={first}",
                f"--child={place}",
            ]
            try:
                done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60 + (end - first) * 0.5, check=False)
                how = f"the process ended with {done.returncode}: {done.stderr.strip()[-500:]}"
            except subprocess.TimeoutExpired:
                done, how = None, "the process had to be killed: a hang that no signal interrupts"
            report = Path(place) / "report.json"
            if report.exists():
                found = json.loads(report.read_text())
                total.add(Result(**{**found, "failures": [tuple(failure) for failure in found["failures"]]}))
                report.unlink()
            if done is not None and done.returncode == 0:
                break
            left = [path for path in Path(place).iterdir() if path.stem.isdigit()]
            if not left:
                raise RuntimeError(f"{name}: {how}")
            index = int(left[0].stem)
            total.failures.append((index, "process", how))
            left[0].unlink()
            first = index + 1
        for index, _, _ in total.failures if folder else ():
            _keep(name, seed, index, folder)
    return total


def _keep(name: str, seed: int, index: int, folder: Path | None) -> None:
    assert folder is not None
    folder.mkdir(parents=True, exist_ok=True)
    samples = [*FORMATS[name].samples().values()]
    (folder / f"{name}-{seed}-{index}{FORMATS[name].suffix}").write_bytes(mutated(samples, seed, index))


def _child(name: str, first: int, count: int, seed: int, place: Path) -> None:
    """Read the files one by one. The report is renewed now and then, for a process that dies later."""
    kind = FORMATS[name]
    samples = kind.samples()
    readers: dict[str, Callable[[str], Any]] = {"weights.load": weights.load, "pretrained.read": pretrained.read}
    originals: list[Any] = []
    for label, content in samples.items():  # also loads whatever modules the readers load when they are first called
        path = place / f"sample-{label.replace('/', '-')}{kind.suffix}"
        path.write_bytes(content)
        for read in readers.values():
            try:
                originals.append(_facts(read(str(path))))
            except Exception as error:
                if read is weights.load or kind.own:  # samples need not be networks
                    raise RuntimeError(f"the sample {label} is refused: {error}") from None
        path.unlink()
    _warm(readers, place, kind, [*samples.values()])
    begin()
    result = Result()
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = 0
    for index in range(first, first + count):
        path = place / f"{index}{kind.suffix}"
        content = mutated([*samples.values()], seed, index)
        size = max(size, len(content))
        path.write_bytes(content)
        for label, read in readers.items():
            if label == "weights.load" and not kind.own and index % 4:  # pretrained.read calls it
                continue
            _one(result, index, label, read, path, originals if kind.own else None)
        path.unlink()
        if index % 100 == 99:
            _report(result, place)
            result = Result()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - largest) * 1024  # it is in KiB on Linux
    if grown > 2 * (2 * size + MEMORY):  # as much again for the pieces that malloc keeps
        result.failures.append((first, "process", f"grew by {grown:,} bytes while reading files of at most {size:,}"))
    _report(result, place)


def _warm(readers: Mapping[str, Callable[[str], Any]], place: Path, kind: Format, samples: list[bytes]) -> None:
    """Refusals load modules, too: codecs, for instance."""
    importlib.import_module("encodings.cp437")  # of names in zips
    for content in (b"", b"x" * 100, samples[0][:-1], samples[0] + b"x"):
        path = place / f"warm{kind.suffix}"
        path.write_bytes(content)
        for read in readers.values():
            try:
                read(str(path))
            except Exception:  # what it says is judged later
                continue
        path.unlink()


def _one(result: Result, index: int, label: str, read: Callable[[str], Any], path: Path, originals: list[Any] | None) -> None:
    try:
        seen: Seen = watch(read, path)
        if originals is not None and not seen.message and _facts(seen.value) not in originals:
            raise FindingError("read without complaint, and different from what was written")
    except FindingError as finding:
        result.failures.append((index, label, str(finding)))
        return
    result.refused += bool(seen.message)
    result.accepted += not seen.message
    result.slowest, result.memory = max(result.slowest, seen.seconds), max(result.memory, seen.memory)


def _facts(value: Any) -> Any:
    """All that a reader returned, comparable; arrays by their bits."""
    if isinstance(value, pretrained.Network):
        said = json.dumps([value.transform.to_json(), dict(value.options), [layer.to_json() for layer in value.layers], dict(value.state)])
        return (
            value.model, value.classes, said, value.origin, value.whole, value.notes, _facts(value.arrays),
        )  # fmt: skip
    return {name: (array.dtype.str, array.shape, np.ascontiguousarray(array).tobytes()) for name, array in value.items()}


def _report(result: Result, place: Path) -> None:
    """Add to what is written already."""
    path = place / "report.json"
    if path.exists():
        before = json.loads(path.read_text())
        total = Result(**before)
        total.add(result)
        result = total
    path.with_suffix(".new").write_text(json.dumps(asdict(result)))
    path.with_suffix(".new").replace(path)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="Mutated files of a format through their readers.")
    parser.add_argument("format", choices=FORMATS)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, default=Path("failures"), help="where failing files are kept")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    chosen = parser.parse_args()
    if chosen.child:
        _child(chosen.format, chosen.first, chosen.count, chosen.seed, chosen.child)
        return
    result = campaign(chosen.format, chosen.count, chosen.seed, chosen.folder, chosen.jobs)
    first: dict[str, int] = {}
    kinds: Counter[str] = Counter()
    for index, label, text in result.failures:
        kind = re.sub(r"/dev/shm\S*|\d+", "…", f"{label}: {text}")[:100]
        kinds[kind] += 1
        first.setdefault(kind, index)
    for kind, times in kinds.most_common(30):
        print(f"{times:>7} × {kind} (file {first[kind]})")
    print(
        f"{chosen.format}: {chosen.count:,} files, {result.refused + result.accepted:,} readings: {result.refused:,} refused, "
        f"{result.accepted:,} accepted, {len(result.failures):,} failures; slowest {result.slowest:.3f} s, "
        f"largest memory {result.memory:,} bytes"
    )
    sys.exit(bool(result.failures))


if __name__ == "__main__":
    main()
