"""How long the training loop waits for the loader: the share of an epoch of the default job that passes in next(batches).

    scripts/bench data_wait
    scripts/bench data_wait --workers 0,1,2 --batch-size 64

Trains one epoch of `minivgg train`'s default job in a temporary folder for each number of loader threads. With 0 threads each batch is
prepared when it is asked for, so the wait is all of the preparation; the less of it is left with threads, the better they hide it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import minivgg as mv
from measuring.command import Parser, at_least, run
from minivgg.errors import ConfigError


class WaitedFor:
    """A loader whose batches are asked for with a clock in hand: `waits` holds the seconds of each."""

    def __init__(self, loader: Any, clock: Callable[[], float] = time.perf_counter) -> None:
        self.loader, self.clock = loader, clock
        self.waits: list[float] = []

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The loader's own batches."""
        batches = self.loader.epoch(epoch, start)
        while True:
            begun = self.clock()
            batch = next(batches, None)
            self.waits.append(self.clock() - begun)
            if batch is None:
                return
            yield batch


class Watch(mv.train.Observer):
    """Puts the clock between the loop and its loader when the run begins."""

    def begin(self, trainer: Any) -> None:
        """The loop asks job.train for each epoch's batches."""
        self.loader = trainer.job.train = WaitedFor(trainer.job.train)


def main(arguments: Sequence[str]) -> None:
    """Parse, train, print."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--workers", default="0,1", help="numbers of loader threads, separated by commas [default: %(default)s]")
    parser.add_argument("--data", default="", help="as for minivgg train [default: the embedded images]")
    parser.add_argument("--batch-size", type=int, default=mv.train.TrainConfig().batch_size, help="[default: %(default)s]")
    parser.add_argument("--width", type=float, default=mv.train.TrainConfig().width, help="[default: %(default)s]")
    flags = parser.parse_args(arguments)
    at_least(1, batch_size=flags.batch_size)
    if not all(part.strip().isdigit() for part in flags.workers.split(",")):
        raise ConfigError(f'--workers must be whole numbers separated by commas, such as 0,1, but is "{flags.workers}".')
    for workers in map(int, flags.workers.split(",")):
        with tempfile.TemporaryDirectory() as out:
            config = mv.train.TrainConfig(
                data=flags.data, width=flags.width, batch_size=flags.batch_size, epochs=1, workers=workers, checkpoint_every=0, out=out
            )
            watch = Watch()
            result = mv.train.train(config, observer=watch)
        print(line(workers, watch.loader.waits, float(result.rows[-1]["seconds"])), flush=True)


def line(workers: int, waits: Sequence[float], seconds: float) -> str:
    """What is printed of one epoch; the last of the waits is for the news that no batch is left."""
    total, batches = sum(waits), len(waits) - 1
    first, longest = waits[0] * 1e3, max(waits[1:]) * 1e3
    return (
        f"{workers} loader thread{'s' * (workers != 1)}: {total:.3f} of {seconds:.2f} s ({total / seconds:.1%}) spent waiting for "
        f"{batches} batches, {total / batches * 1e3:.2f} ms each; the first took {first:.1f} ms, the longest of the others {longest:.1f} ms"
    )


if __name__ == "__main__":
    sys.exit(run(main))
