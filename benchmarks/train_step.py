"""One training step of a VGG, minivgg against PyTorch and DeZero, in turn in one process.

    scripts/bench train_step --against torch,dezero --model vgg11_bn --size 32 --batch 128 --rounds 5

A step is forward, loss, backward and SGD with momentum and weight decay. Before timing, the weights are copied over and loss
and gradients are compared. Peak memory and page faults are measured once more for each opponent in a process of its own.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import minivgg as mv
import peers
from measuring import comparison
from measuring.agreement import compare_gradients
from measuring.architecture import training_multiply_adds
from measuring.command import Parser, run
from measuring.job import Job, add_flags
from measuring.memory import tell_alone
from measuring.timing import Run
from minivgg.errors import ConfigError, GradientError

_LOOKED_AT = 16  # images for the comparison of gradients, at most
_LOSS_BOUND = 1e-4  # of the float32 losses: rounding differs from method to method, layer after layer


def main(arguments: Sequence[str]) -> None:
    """Parse, compare, time, print."""
    parser = Parser(__doc__ or "")
    comparison.add_flags(parser, against="torch", rounds=5, steps=2)
    add_flags(parser)
    flags = parser.parse_args(arguments)
    comparison.check_flags(flags)
    names, job = peers.choose(flags.against, peers.TRAINING), Job.of(flags)
    images, targets = job.images(), job.targets()
    if flags.alone:
        name = flags.alone.split()[0]
        if name not in ["minivgg", *names]:
            raise ConfigError(f'"{flags.alone}" is not among the contenders.')
        network_of = peers.load(name).Network  # what importing costs is not the network's
        tell_alone(lambda: network_of(job).training(images, targets)[flags.alone](), flags.steps)
        return

    ours = peers.load("minivgg").Network(job)
    print(f"{job}, training, {mv.threads()} threads", flush=True)
    notes: list[str] = []
    makers: dict[str, Callable[[], Run]] = dict(ours.training(images, targets))
    kept = {"minivgg": ours.kept_bytes(images, targets)}
    for name in names:
        network = peers.load(name).Network(job)
        network.load(ours.state())
        notes.append(f"before timing: {agreement(name, ours, network, images, targets)}")
        print(notes[-1], flush=True)
        makers |= network.training(images, targets)
        if hasattr(network, "kept_bytes"):
            kept[name] = network.kept_bytes(images, targets)
    notes.append("kept for backward: " + ", ".join(f"{size / 2**20:.1f} MiB ({name})" for name, size in kept.items()))
    print(notes[-1], flush=True)
    runs, failures = comparison.make_all(makers, without=["torch compiled"] if flags.no_compile else [])
    packages = peers.packages(names, peers.TRAINING)
    record = comparison.compare(__file__, arguments, flags, job, runs, training_multiply_adds(job), packages)
    record |= {"failures": failures, "notes": notes, "kept": kept}
    comparison.keep(record, flags.json)
    print(comparison.table(record))


def agreement(name: str, ours: Any, theirs: Any, images: Any, targets: Any) -> str:
    """Loss and gradients in float64 on a few images, and the loss in float32 on all; GradientError if they differ.

    Gradients are compared in float64 because in float32 some of millions of ReLUs and pools flip by rounding alone.
    """
    x, y = images[:_LOOKED_AT].astype(np.float64), targets[:_LOOKED_AT]
    said = compare_gradients(ours.gradients(x, y), theirs.gradients(x, y), name, loss_bound=1e-9, bound=1e-9)
    mine, other = ours.loss(images, targets), theirs.loss(images, targets)
    gc.collect()
    if not abs(mine - other) <= _LOSS_BOUND * abs(other):
        raise GradientError(f"the float32 losses differ: {mine:.7f} (minivgg), {other:.7f} ({name}). Nothing was timed.")
    return f"float64 {said}; float32 loss {mine:.6f} and {other:.6f}"


if __name__ == "__main__":
    sys.exit(run(main))
