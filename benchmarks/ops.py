"""Single ops on the shapes of VGG-16, minivgg against PyTorch, in turn: milliseconds, GF/s or GB/s, and their ratio.

    scripts/bench ops
    scripts/bench ops --only conv,pool --settings small
    scripts/bench ops --only conv --shape 128x64x32x64

Settings: small is 32×32 with batch 128 (VGG-16 with batch norm, linear head), large 224×224 with batch 8 (the paper's head). Shapes:
conv N×C×H×K, bn_relu and pool N×C×H, linear N×in×out, cross_entropy N×classes, sgd the sizes of its arrays. Results are compared
before timing. GF/s count 2 × multiply-adds of the direct product, GB/s the least traffic: each operand read once, each result written once.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import minivgg as mv
import peers
from measuring.agreement import relative_errors
from measuring.cases import FAMILIES, Case, cases, choose_families, of_shape
from measuring.command import Parser, at_least, run
from measuring.job import Job
from measuring.machine import GemmRate
from measuring.timing import Run, Stopwatch, alternate, ratio
from minivgg.errors import ConfigError, GradientError, nearest

_SETTINGS = {"small": Job("vgg16_bn", 32, 128), "large": Job("vgg16_bn", 224, 8, head="paper", classes=1000)}
_BOUND = 1e-3  # relative L2: Winograd's rounding, and the ReLUs and pools that flip by it
_ROUND = 0.1  # seconds that a round should take at least


def main(arguments: Sequence[str]) -> None:
    """Parse, and measure case by case."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--against", default="torch", help="torch or none [default: %(default)s]")
    parser.add_argument("--only", default=",".join(FAMILIES), help="ops, separated by commas [default: %(default)s]")
    parser.add_argument("--settings", default="small,large", help="[default: %(default)s]")
    parser.add_argument("--shape", help="one shape in place of the settings; with one op")
    parser.add_argument("--rounds", type=int, default=5, help="[default: %(default)s]")
    parser.add_argument("--steps", type=int, help="in a round [default: as many as take a tenth of a second]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="append a line for each case to FILE")
    flags = parser.parse_args(arguments)
    at_least(1, rounds=flags.rounds, **({} if flags.steps is None else {"steps": flags.steps}))
    names = ["minivgg", *peers.choose(flags.against, {"torch": ["torch"]})]
    chosen, gemm = choose(flags.only, flags.settings, flags.shape), GemmRate()
    gemm.measure()
    print(f"{mv.threads()} threads, GEMM {gemm.gflops:.0f} GF/s; ratio: torch's time / minivgg's, median (least–most)")
    for case in chosen:
        record = measure(case, names, flags.rounds, flags.steps)
        print(line(case, record), flush=True)
        if flags.json:
            with flags.json.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"case": case._asdict(), "gemm_gflops": gemm.gflops, "seconds": record}) + "\n")


def choose(only: str, settings: str, shape: str | None) -> list[Case]:
    """The cases that the flags name, each once."""
    families = choose_families(only)
    if shape is not None:
        if len(families) != 1:
            raise ConfigError("--shape means another thing to each op: name one with --only.")
        return of_shape(families[0], shape)
    names = settings.split(",")
    for name in names:
        if name not in _SETTINGS:
            raise ConfigError(f'unknown setting "{name}": {nearest(name, _SETTINGS)}')
    return list(dict.fromkeys(case for name in names for case in cases(_SETTINGS[name]) if case.family in families))


def arrays_of(case: Case) -> dict[str, Any]:
    """Operands, and the gradient that comes from behind; images stored channels-last."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape, dtype=np.float32)

    def images(n: int, c: int, h: int) -> Any:
        return normal(n, h, h, c).transpose(0, 3, 1, 2)

    if case.family == "conv":
        n, c, h, k = case.shape
        return {"x": images(n, c, h), "w": normal(k, c, 3, 3) / math.sqrt(9 * c), "b": normal(k), "gy": images(n, k, h)}
    if case.family in {"bn_relu", "pool"}:
        n, c, h = case.shape
        return {"x": images(n, c, h), "gy": images(n, c, h // 2 if case.family == "pool" else h)}
    if case.family == "linear":
        n, i, o = case.shape
        return {"x": normal(n, i), "w": normal(o, i) / math.sqrt(i), "b": normal(o), "gy": normal(n, o)}
    if case.family == "cross_entropy":
        return {"x": normal(*case.shape), "targets": rng.integers(0, case.shape[1], case.shape[0])}
    parameters = {f"w{i}": normal(size) for i, size in enumerate(case.shape)}
    return parameters | {f"g{name}": normal(p.size) for name, p in parameters.items()}


def measure(case: Case, names: Sequence[str], rounds: int, steps: int | None) -> dict[str, list[float]]:
    """Seconds of each round, by name; GradientError if the results differ."""
    arrays, stopwatch = arrays_of(case), Stopwatch()
    opponents = {name: peers.load(f"{name}_ops").Ops(case, arrays) for name in names}
    for opponent in opponents.values():
        opponent.prepare()
        opponent.act()
    for name in names[1:]:
        errors = relative_errors(opponents["minivgg"].results(), opponents[name].results())
        if not max(errors.values()) <= _BOUND:
            raise GradientError(f"{case}: minivgg and {name} disagree: {errors}. Nothing was timed.")

    def timed(opponent: Any) -> Run:
        def steps_of(count: int) -> None:
            for _ in range(count):
                with stopwatch.paused():
                    opponent.prepare()
                opponent.act()

        return steps_of

    runs = {name: timed(opponent) for name, opponent in opponents.items()}
    if steps is None:
        steps = max(1, min(1000, math.ceil(_ROUND / max(seconds_of(run, stopwatch) for run in runs.values()))))
    return {name: times.seconds for name, times in alternate(runs, rounds, steps, warm_up=1, clock=stopwatch).items()}


def seconds_of(run: Run, clock: Callable[[], float]) -> float:
    """Of one step."""
    start = clock()
    run(1)
    return clock() - start


def line(case: Case, seconds: dict[str, list[float]]) -> str:
    """The case and its figures."""
    cells = [f"{case!s:44}"]
    for name, rounds in seconds.items():
        median = statistics.median(rounds)
        rate = f"{case.flops / median / 1e9:6.1f} GF/s" if case.flops else f"{case.bytes / median / 1e9:6.1f} GB/s"
        cells.append(f"{name} {median * 1e3:8.3f} ms {rate}")
    if "torch" in seconds:
        cells.append(f"ratio {ratio(seconds['torch'], seconds['minivgg'])}")
    return "  ".join(cells)


if __name__ == "__main__":
    sys.exit(run(main))
