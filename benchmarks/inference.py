"""Inference with a VGG, minivgg against PyTorch, ONNX Runtime and OpenVINO, in turn in one process, all in strict float32.

    scripts/bench inference --against torch,onnxruntime,openvino --model vgg16 --size 224 --batch 8 --head paper

The same weights everywhere, batch norm with statistics as after training; the outputs are compared before timing, to 1e-4 of the
largest. minivgg runs in evaluation mode without a graph, with batch norm folded where it can do that.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import minivgg as mv
import peers
from measuring import comparison
from measuring.agreement import compare_outputs
from measuring.architecture import forward_multiply_adds
from measuring.command import Parser, run
from measuring.job import Job, add_flags
from measuring.memory import tell_alone
from measuring.timing import Run
from minivgg.errors import ConfigError

_BOUND = 1e-4


def main(arguments: Sequence[str]) -> None:
    """Parse, compare, time, print."""
    parser = Parser(__doc__ or "")
    comparison.add_flags(parser, against="torch,onnxruntime,openvino", rounds=5, steps=4)
    add_flags(parser, model="vgg16", size=224, batch=8, head="paper", classes=1000)
    parser.add_argument("--onnx", type=Path, help=argparse.SUPPRESS)  # the network's file, for a process of its own
    flags = parser.parse_args(arguments)
    comparison.check_flags(flags)
    names, job = peers.choose(flags.against, peers.INFERENCE), Job.of(flags)
    images = job.images()
    if flags.alone:
        name = flags.alone.split()[0]
        if name not in ["minivgg", *names]:
            raise ConfigError(f'"{flags.alone}" is not among the contenders.')
        module = peers.load(name)  # what importing costs is not the network's
        tell_alone(lambda: built(module, job, flags.onnx).inference(images)[flags.alone](), flags.steps)
        return

    ours = peers.load("minivgg").Network(job)
    ours.age()
    print(f"{job}, inference, {mv.threads()} threads", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        if {"onnxruntime", "openvino"} & {*names}:
            peers.load("onnx_file").write(job, ours.state(), file)
        networks = {"minivgg": ours}
        makers: dict[str, Callable[[], Run]] = dict(ours.inference(images))
        for name in names:
            networks[name] = built(peers.load(name), job, file)
            if hasattr(networks[name], "load"):
                networks[name].load(ours.state())
            makers |= networks[name].inference(images)
        runs, failures = comparison.make_all(makers, without=["torch compiled"] if flags.no_compile else [])
        notes = agreement(networks, runs)
        packages, own_flags = peers.packages(names, peers.INFERENCE), ["--onnx", str(file)]
        record = comparison.compare(__file__, arguments, flags, job, runs, forward_multiply_adds(job), packages, own_flags)
    record |= {"failures": failures, "notes": notes}
    comparison.keep(record, flags.json)
    print(comparison.table(record))


def built(module: Any, job: Job, file: Path) -> Any:
    """A peer's network: from layers of its own, or from the file."""
    return module.Network(job) if hasattr(module, "Network") else module.Inference(file)


def agreement(networks: dict[str, Any], runs: dict[str, Run]) -> list[str]:
    """Sentences about the outputs of all contenders; GradientError if one differs by more than the bound."""
    outputs = {}
    for name, step in runs.items():
        step(1)
        outputs[name] = networks[name.split()[0]].outputs(name).copy()
    said = [compare_outputs(outputs["minivgg"], outputs[name], name, _BOUND) for name in runs if name != "minivgg"]
    for sentence in said:
        print(f"before timing: {sentence}", flush=True)
    return said


if __name__ == "__main__":
    sys.exit(run(main))
