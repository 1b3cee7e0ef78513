"""Regressions of speed, caught by counting work instead of time: what is fast must not become slow unnoticed."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest

import minivgg as mv
from minivgg.autograd import mode
from minivgg.fast.cpu.choice import choose
from minivgg.fast.problem import Problem
from minivgg.models.vgg import COLUMNS
from minivgg.ops import Geometry

from .large import Steps

WINDOWS = Geometry((3, 3), (1, 1), (1, 1))

# Ops without a kernel for what a training step asks of them, and why that is well.
WITHOUT_A_KERNEL = {
    ("BroadcastTo", "forward"): "a view",
    ("CrossEntropy", "backward"): "a few numbers for each image",
    ("CrossEntropy", "forward"): "a few numbers for each image",
    ("Dropout", "backward"): "its rule is the op, which has a kernel",
    ("MaxPool2d", "backward"): "its rule is PoolScatter, which has a kernel",
    ("Reshape", "backward"): "a view",
    ("Reshape", "forward"): "a view",
    ("Softmax", "forward"): "a few numbers for each image",
    ("Sum", "backward"): "of 1×1 images",
    ("Sum", "forward"): "of 1×1 images",
}


def algorithms(column: str, size: int, batch: int) -> list[str]:
    """The algorithm of each convolution of a network, such as "3→64 @ 32 im2col": chosen only, nothing is computed."""
    found, channels = [], 3
    for entry in re.findall(r"\d+|\|", COLUMNS[column]):
        if entry == "|":
            size //= 2
        else:
            problem = Problem(batch, (size, size), channels, int(entry), WINDOWS)
            found.append(f"{channels}→{entry} @ {size} {choose(problem, np.float32)}")
            channels = int(entry)
    return found


def test_the_algorithms_of_vgg11_on_small_images() -> None:
    """32×32, batch 128: columns for three channels, taps for 2×2 pixels, Winograd's F(4×4) between."""
    assert algorithms("A", 32, 128) == [
        "3→64 @ 32 im2col",
        "64→128 @ 16 winograd4",
        "128→256 @ 8 winograd4",
        "256→256 @ 8 winograd4",
        "256→512 @ 4 winograd4",
        "512→512 @ 4 winograd4",
        "512→512 @ 2 taps",
        "512→512 @ 2 taps",
    ]


def test_the_algorithms_of_vgg16_on_small_images() -> None:
    """32×32, batch 128."""
    assert algorithms("D", 32, 128) == [
        "3→64 @ 32 im2col",
        "64→64 @ 32 winograd4",
        "64→128 @ 16 winograd4",
        "128→128 @ 16 winograd4",
        "128→256 @ 8 winograd4",
        *["256→256 @ 8 winograd4"] * 2,
        "256→512 @ 4 winograd4",
        *["512→512 @ 4 winograd4"] * 2,
        *["512→512 @ 2 taps"] * 3,
    ]


def test_the_algorithms_of_vgg16_at_full_size() -> None:
    """224×224, batch 8: F(4×4) everywhere behind the first."""
    assert algorithms("D", 224, 8) == [
        "3→64 @ 224 im2col",
        "64→64 @ 224 winograd4",
        "64→128 @ 112 winograd4",
        "128→128 @ 112 winograd4",
        "128→256 @ 56 winograd4",
        *["256→256 @ 56 winograd4"] * 2,
        "256→512 @ 28 winograd4",
        *["512→512 @ 28 winograd4"] * 2,
        *["512→512 @ 14 winograd4"] * 3,
    ]


def test_kernels_do_the_work_of_a_training_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each layer's op asks for a kernel as often as there are layers, forward and backward, and finds one; no other op's own
    formula or rule runs than those of a short list, and no convolution computes the images' gradient, which nobody wants."""
    step = Steps()
    step()
    served: Counter[tuple[str, str]] = Counter()
    alone: Counter[tuple[str, str]] = Counter()
    images: list[bool] = []
    find = mode.find_kernel[0]

    def watched(call: Any, phase: str, arrays: Any) -> Any:
        kernel, name = find(call, phase, arrays), type(call).__name__
        (alone if kernel is None else served)[name, phase] += 1
        if (name, phase) != ("Conv2d", "backward"):
            return kernel

        def noted(call: Any, gy: Any, saved: Any, shapes: Any, wanted: Any) -> Any:
            images.append(wanted[0])
            return kernel(call, gy, saved, shapes, wanted)

        return noted

    monkeypatch.setattr(mode, "find_kernel", [watched])
    step()
    layers = {"BatchNormRelu": 8, "Conv2d": 8, "Linear": 3, "Relu": 2}
    assert served == Counter(
        {(name, phase): count for name, count in layers.items() for phase in ("forward", "backward")}
        | {("MaxPool2d", "forward"): 5, ("PoolScatter", "forward"): 5, ("Dropout", "forward"): 4}
    )
    assert set(alone) <= set(WITHOUT_A_KERNEL)
    assert sorted(images) == [False] + [True] * 7


def page_faults() -> int:
    """Pages that the system has given to this process so far."""
    resource = pytest.importorskip("resource", reason="page faults are counted by Unix")
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)


def test_a_steady_step_maps_few_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step maps some ten thousand. In later ones forward and backward pass map less than 1,000 pages, of 4 KiB, and the update,
    whose intermediate results NumPy allocates, less than 2,500."""
    monkeypatch.setenv("MINIVGG_THREADS", "1")
    step = Steps()
    for _ in range(3):
        step()
    passes, updates = [], []
    for _ in range(3):
        step.optimizer.zero_grad()
        before = page_faults()
        step.loss().backward()
        between = page_faults()
        step.optimizer.step()
        passes.append(between - before)
        updates.append(page_faults() - between)
    assert min(passes) < 1_000
    assert min(updates) < 2_500


def test_an_image_keeps_less_than_a_megabyte() -> None:
    """For the backward pass, in a VGG-11 with batch norm of full width on 32×32 images: each layer's input once, no mask besides
    pooling's winners and dropout's."""
    loss = Steps(width=1.0, batch=8).loss()
    assert mv.kept_bytes(loss) <= 8 * 960_000
