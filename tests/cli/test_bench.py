"""`minivgg bench`: which algorithms it explains, what it times, what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from minivgg import models, nn
from minivgg.fast.cpu.choice import ALGORITHMS, choose
from minivgg.fast.problem import Problem
from minivgg.ops.windows import Geometry


def bench(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "COLUMNS": "200", **changes}
    command = [sys.executable, "-W", "error", "-m", "minivgg", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_explain_names_the_algorithm_of_each_layer() -> None:
    """vgg11_bn's eight convolutions in order, each with its image, its channels and what `choose` answers for a batch of 128."""
    done = bench("vgg11_bn", "--explain")
    assert done.returncode == 0, done.stderr
    head, *rows = done.stdout.splitlines()[:-1]
    assert head.split() == ["layer", "image", "channels", "kernel", "algorithm", *ALGORITHMS]
    convolutions = [(path, m) for path, m in models.build("vgg11_bn").named_modules() if isinstance(m, nn.Conv2d)]
    sizes = [32, 16, 8, 8, 4, 4, 2, 2]
    assert len(rows) == len(convolutions) == 8
    for row, (path, layer), size in zip(rows, convolutions, sizes, strict=True):
        c, k = layer.in_channels, layer.out_channels
        chosen = choose(Problem(128, (size, size), c, k, Geometry((3, 3), (1, 1), (1, 1))), np.float32)
        assert row.split()[:7] == [path, f"{size}×{size}", str(c), "→", str(k), "3×3", chosen]


def test_explain_follows_what_is_set() -> None:
    """With MINIVGG_CONV_ALGORITHM=im2col all rows say im2col; Winograd for a 1×1 layer is refused by name: exit 2."""
    done = bench("vgg11_bn", "--explain", MINIVGG_CONV_ALGORITHM="im2col")
    assert [row.split()[6] for row in done.stdout.splitlines()[1:-1]] == ["im2col"] * 8
    refused = bench("vgg16_1x1", "--explain", MINIVGG_CONV_ALGORITHM="winograd")
    assert refused.returncode == 2 and "its kernel is 1×1" in refused.stderr and "of layer features." in refused.stderr


def test_a_step_is_timed() -> None:
    """Three lines: the step, its parts, what is kept for the backward pass."""
    done = bench("vgg11", "--width", "0.0625", "--batch-size", "2", "--steps", "1")
    assert done.returncode == 0, done.stderr
    step, parts, kept = done.stdout.splitlines()
    assert "ms a step of 2 images" in step and parts.startswith("forward ") and "MiB kept" in kept


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vgg12"], 'unknown model "vgg12"'),
        (["vgg11", "--image-size", "31"], "image_size must be"),
        (["vgg11", "--width", "nan"], "width"),
        (["vgg11", "--num-classes", "0"], "num_classes must be"),
        (["vgg11", "--in-channels", "0"], "in_channels must be"),
        (["vgg11", "--batch-size", "0"], "'--batch-size': 0 is not in the range"),
        (["vgg11", "--batch-size", "9" * 20], "'--batch-size'"),
        (["vgg11", "--steps", "0"], "'--steps': 0 is not in the range"),
        (["vgg11", "--steps", "x"], "'--steps'"),
        (["vgg11", "--head", "torso"], "'--head'"),
        (["vgg11", "vgg13"], "unexpected extra argument"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_arguments_end_with_one_line(arguments: list[str], message: str) -> None:
    """Exit 2, nothing on stdout, no traceback: one line that names the argument, after click's usage where click refuses."""
    done = bench(*arguments)
    assert done.returncode == 2 and not done.stdout
    lines = [line for line in done.stderr.splitlines() if line.lower().startswith("error: ")]
    assert len(lines) == 1 and message in lines[0]
    assert "Traceback" not in done.stderr and done.stderr.splitlines()[-1] == lines[0]


def test_a_bad_setting_ends_with_exit_2() -> None:
    """MINIVGG_CONV_ALGORITHM with an unknown name: the value and the valid names, no traceback."""
    done = bench("vgg11", "--explain", MINIVGG_CONV_ALGORITHM="fast")
    assert done.returncode == 2 and "'fast'" in done.stderr and "Valid: auto, im2col, implicit, winograd" in done.stderr
    assert "Traceback" not in done.stderr
