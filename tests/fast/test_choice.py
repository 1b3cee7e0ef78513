"""Which algorithm convolves: the same shapes the same one, the one that is asked for, or a clear refusal."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

import minivgg as mv
from minivgg import nn, ops
from minivgg.errors import ConfigError
from minivgg.fast import algorithm
from minivgg.fast.cpu import choice, columns, taps, winograd_products
from minivgg.fast.problem import Problem
from minivgg.ops.windows import Geometry

VGG = [(1, 32, 3, 64), (8, 16, 64, 128), (128, 8, 128, 256), (128, 4, 512, 512), (128, 2, 512, 512), (1, 224, 64, 64)]


def problem(n: int, size: int, c: int, k: int, kernel: int = 3, **fields: Any) -> Problem:
    """A convolution of square images; padding 1 unless told otherwise."""
    return Problem(n, (size, size), c, k, Geometry((kernel, kernel), **{"padding": (1, 1), **fields}))


def used(x: Any, w: Any, **options: Any) -> set[str]:
    """What of the algorithms' modules a forward and a backward pass go through."""
    seen: set[str] = set()

    def noting(module: Any, name: str) -> Any:
        real = getattr(module, name)

        def call(*args: Any) -> Any:
            seen.add(f"{module.__name__.split('.')[-1]}.{name}")
            return real(*args)

        return patch.object(module, name, call)

    x, w = mv.Tensor(x, requires_grad=True), mv.Tensor(w, requires_grad=True)
    with ExitStack() as stack:
        for module in (columns, taps, winograd_products):
            stack.enter_context(noting(module, "forward"))
            stack.enter_context(noting(module, "gradients"))
        ops.conv2d(x, w, **options).sum().backward()
    return seen


def small(dtype: Any = np.float32, kernel: int = 3) -> tuple[Any, Any]:
    """Images and filters with one channel group, 8 channels."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((2, 8, 8, 8)).astype(dtype), rng.standard_normal((8, 8, kernel, kernel)).astype(dtype)


@pytest.mark.parametrize("setting", ["auto", "im2col", "winograd"])
def test_the_choice_is_a_function_of_shapes(setting: str) -> None:
    """Asked again, in another order and after the cache was emptied, the answers are the same."""
    with mv.conv_algorithm(setting):
        first = [choice.choose(problem(*shape), np.float32) for shape in VGG]
        choice._choose.cache_clear()
        again = [choice.choose(problem(*shape), np.float32) for shape in reversed(VGG)]
    assert first == again[::-1]


def test_auto_takes_the_cheapest_by_the_model() -> None:
    """In float32 among all algorithms that serve, which differ over VGG's layers."""
    chosen = set()
    for shape in VGG:
        price = choice.costs(problem(*shape))
        assert set(price) == set(choice.ALGORITHMS)
        chosen.add(choice.choose(problem(*shape), np.float32))
        assert price[choice.choose(problem(*shape), np.float32)] == min(price.values())
    assert len(chosen) >= 3


@pytest.mark.parametrize(("setting", "module"), [("im2col", "columns"), ("winograd", "winograd_products")])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_setting_forces_forward_and_backward(setting: str, module: str, dtype: Any) -> None:
    """Both passes go through the algorithm that is asked for, in either precision, and what was set before holds again afterwards."""
    with mv.conv_algorithm("im2col"):
        with mv.conv_algorithm(setting):
            assert used(*small(dtype), padding=1) == {f"{module}.forward", f"{module}.gradients"}
        assert used(*small(dtype), padding=1) == {"columns.forward", "columns.gradients"}


def test_the_setting_ends_with_an_error_in_the_block() -> None:
    """An exception inside leaves no setting behind."""
    before = list(algorithm._setting)
    with pytest.raises(ZeroDivisionError), mv.conv_algorithm("winograd"):
        raise ZeroDivisionError
    assert algorithm._setting == before


@pytest.mark.parametrize(
    ("kernel", "options", "reason"),
    [
        (5, {"padding": 2}, "its kernel is 5×5, not 3×3"),
        (1, {"padding": 0}, "its kernel is 1×1, not 3×3"),
        (3, {"padding": 1, "stride": 2}, "its stride is 2×2, not 1×1"),
        (3, {"padding": 2, "dilation": (2, 1)}, "its dilation is 2×1, not 1×1"),
    ],
)
def test_winograd_refuses_what_it_cannot_serve(kernel: int, options: dict[str, Any], reason: str) -> None:
    """ConfigError with the reason and the remedy, and a note that names the convolution and its layer."""
    net = nn.Sequential(nn.Conv2d(8, 8, kernel, **options))
    x = mv.Tensor(small()[0])
    net(x)  # "auto" serves it
    with mv.conv_algorithm("winograd"), pytest.raises(ConfigError) as refused:
        net(x)
    assert reason in str(refused.value) and '"auto"' in str(refused.value)
    assert any("Conv2d(stride=" in note and "of layer 0" in note for note in refused.value.__notes__)


def test_the_implicit_product_is_not_there_on_the_cpu() -> None:
    """Forced for a shape that a card would serve: ConfigError that says so, forward and in the model of costs."""
    with mv.conv_algorithm("implicit"):
        for ask in (lambda: choice.choose(problem(*VGG[0]), np.float32), lambda: ops.conv2d(*small(), padding=1)):
            with pytest.raises(ConfigError, match="on cards only, and these arrays are on the CPU"):
                ask()


@pytest.mark.parametrize("shape", VGG)
def test_float64_never_takes_winograd_by_itself(shape: tuple[int, int, int, int]) -> None:
    """Not even where the model of costs says that it would be the cheapest: in float64 someone checks gradients."""
    assert choice.choose(problem(*shape), np.float64) in ("im2col", "taps")


@pytest.mark.parametrize("name", ["wino", "", "taps", "winograd4", None, 3])
def test_an_unknown_name_is_refused_at_once(name: Any) -> None:
    """ConfigError with the valid names, before the block begins."""
    before = list(algorithm._setting)
    with pytest.raises(ConfigError, match="Valid: auto, im2col, implicit, winograd"), mv.conv_algorithm(name):
        pytest.fail("the block must not be entered")
    assert algorithm._setting == before


def in_a_process(value: str) -> subprocess.CompletedProcess[str]:
    """What a process with MINIVGG_CONV_ALGORITHM chooses for a layer in float64, where only being asked leads to Winograd."""
    code = (
        "import numpy as np; from minivgg.fast.cpu.choice import choose; from minivgg.fast.problem import Problem\n"
        "from minivgg.ops.windows import Geometry\n"
        "print(choose(Problem(8, (16, 16), 64, 64, Geometry((3, 3), (1, 1), (1, 1))), np.float64))"
    )
    environment = {**os.environ, "MINIVGG_CONV_ALGORITHM": value}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize(("value", "answer"), [("winograd", "winograd4"), ("im2col", "im2col")])
def test_the_environment_sets_it_for_a_process(value: str, answer: str) -> None:
    """MINIVGG_CONV_ALGORITHM is what a process begins with."""
    done = in_a_process(value)
    assert done.returncode == 0 and done.stdout.strip() == answer, done.stderr


def test_a_bad_value_in_the_environment_is_a_clear_error() -> None:
    """Importing works; the first convolution raises ConfigError with the value and the valid names."""
    done = in_a_process("fast")
    assert done.returncode == 1 and not done.stdout
    last = done.stderr.strip().splitlines()[-1]
    assert "ConfigError" in last and "'fast'" in last and "Valid: auto, im2col, implicit, winograd" in last


@pytest.mark.parametrize("setting", ["auto", "im2col", "winograd"])
@pytest.mark.parametrize("groups", [2, 8])
def test_groups_take_the_ops_own_formula(setting: str, groups: int) -> None:
    """With groups > 1 values and gradients are the reference's, bit by bit, whatever is set."""
    x, w = small()
    w = np.ascontiguousarray(w[:, : 8 // groups])

    def run() -> list[Any]:
        operands = [mv.Tensor(x, requires_grad=True), mv.Tensor(w, requires_grad=True)]
        y = ops.conv2d(*operands, padding=1, groups=groups)
        return [y.data, *mv.grad(y, operands, np.cos(y.data))]

    with mv.reference():
        expected = run()
    with mv.conv_algorithm(setting):
        found = run()
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    with mv.conv_algorithm(setting):
        assert used(x, w, padding=1, groups=groups) == set()
