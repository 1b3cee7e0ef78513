"""What every op promises, tested for every op in the registry on the day it is written, from its own examples."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minivgg as mv
from minivgg import ops
from minivgg.autograd.core import Op, Tensor, grad
from minivgg.backend.arrays import array_module, to_numpy
from minivgg.fast import kernels, overlay  # noqa: F401  importing the list fills the table
from minivgg.testing import check_adjoint, check_backend, check_definition, check_gradients, check_layouts, check_precision, layouts
from minivgg.testing.pretend import pretend


def own_ops() -> list[type[Op]]:
    """The package's ops: those that other tests define in passing are theirs."""
    return [cls for cls in Op.registry if cls.__module__.startswith("minivgg.")]


CASES = [
    pytest.param(op, arrays, id=f"{cls.__name__}-{i}")
    for cls in own_ops()
    for i, (op, arrays) in enumerate(cls.examples(np.random.default_rng(0)))
]
every_example = pytest.mark.parametrize(("op", "arrays"), CASES)


def rule_of(op: Op, i: int) -> str:
    """The rule for operand i."""
    return f"grad_{op.operands[0 if op.variadic else i]}"


def free(op: Op, arrays: Any) -> list[int]:
    """The operands that have a rule and are there."""
    return [i for i, x in enumerate(arrays) if x is not None and hasattr(op, rule_of(op, i))]


def tensors(op: Op, arrays: Any) -> list[Any]:
    """The operands, as tensors that require a gradient where there is a rule."""
    return [Tensor(x, requires_grad=True) if i in free(op, arrays) else x for i, x in enumerate(arrays)]


def value_and_gradients(op: Op, arrays: Any, seed: int = 0) -> tuple[Any, list[Any]]:
    """y and the gradients of the free operands for a random cotangent."""
    inputs = tensors(op, arrays)
    y = op(*inputs)
    gy = array_module(y.data).asarray(np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype))
    return y.data, grad(y, [inputs[i] for i in free(op, arrays)], gy)


def close(a: Any, b: Any, bound: float = 1e-12) -> bool:
    """Equal shapes, and values within `bound` of the largest magnitude."""
    a, b = to_numpy(a), to_numpy(b)
    if a.shape != b.shape:
        return False
    scale = max(float(np.abs(b).max(initial=0.0)), 1.0)
    return bool(np.abs(a.astype(float) - b).max(initial=0.0) <= bound * scale)


@pytest.mark.parametrize("cls", own_ops(), ids=lambda cls: cls.__name__)
def test_every_op_has_two_examples_and_says_what_it_is(cls: type[Op]) -> None:
    """Two or more float64 examples, and a docstring that states its gradients."""
    assert len(list(cls.examples(np.random.default_rng(0)))) >= 2
    assert "radient" in (cls.__doc__ or "")


@every_example
def test_gradients_of_orders_one_and_two_agree_with_finite_differences(op: Op, arrays: Any) -> None:
    """All coordinates of small operands and random unit directions, with random cotangents, with and without kernels."""
    check_gradients(op, *arrays, order=2).raise_if_failed()


@every_example
def test_result_keeps_the_dtype_and_leaves_the_operands_alone(op: Op, arrays: Any) -> None:
    """float64 in, float64 out; float32 in, float32 out; forward and backward write into no operand and not into gy."""
    for dtype in (np.float64, np.float32):
        cast = [x.astype(dtype) if getattr(x, "dtype", None) == np.float64 else x for x in arrays]
        before = [np.array(x, copy=True) for x in cast if x is not None]
        expected = np.float64 if type(op).__name__ == "Cast" else dtype
        inputs = tensors(op, cast)
        y = op(*inputs)
        gy = np.random.default_rng(0).standard_normal(y.shape).astype(y.dtype)
        gy_before = gy.copy()
        gradients = grad(y, [inputs[i] for i in free(op, cast)], gy)
        assert y.dtype == expected
        assert [g.dtype for g in gradients] == [cast[i].dtype for i in free(op, cast)]
        assert [g.shape for g in gradients] == [cast[i].shape for i in free(op, cast)]
        assert all(np.array_equal(a, b) for a, b in zip(before, [x for x in cast if x is not None], strict=True))
        assert np.array_equal(gy, gy_before)


@every_example
def test_float32_is_within_rounding_of_float64(op: Op, arrays: Any) -> None:
    """Value and gradients in float32 differ from float64's by no more than 1e-5, in relative L2."""
    if type(op).__name__ != "Cast":  # whose business is the dtype
        check_precision(op, *arrays).raise_if_failed()


@every_example
def test_called_twice_in_one_graph_each_call_keeps_its_own_state(op: Op, arrays: Any) -> None:
    """One op object applied to two different sets of operands gives the sum of the two gradients, not twice one."""
    other = [x * 0.5 + 0.25 if i in free(op, arrays) else x for i, x in enumerate(arrays)]
    alone = [value_and_gradients(op, a)[1] for a in (arrays, other)]
    first, second = tensors(op, arrays), tensors(op, other)
    y1, y2 = op(*first), op(*second)
    gy = np.random.default_rng(0).standard_normal(y1.shape)
    xs = [first[i] for i in free(op, arrays)] + [second[i] for i in free(op, arrays)]
    together = grad((y1 * gy).sum() + (y2 * gy).sum(), xs)
    assert all(close(a, b) for a, b in zip(together, alone[0] + alone[1], strict=True))


@every_example
def test_definition_agrees_at_orders_zero_to_two(op: Op, arrays: Any) -> None:
    """A composite op equals its spelling in simpler ops, with its first and second derivatives, to 1e-12."""
    if hasattr(op, "definition"):
        check_definition(op, *arrays).raise_if_failed()


@every_example
def test_linear_ops_pass_the_adjoint_identity(op: Op, arrays: Any) -> None:
    """⟨A x, v⟩ = ⟨x, Aᵀ v⟩ to 1e-12, for A the op's map of each set of operands in which it is linear, and Aᵀ its rules."""
    if type(op).linear:
        check_adjoint(op, *arrays).raise_if_failed()


def variants(arrays: Any) -> Iterator[tuple[str, list[Any]]]:
    """All operands in one layout at a time, and operands that are broadcast views."""
    names = [name for x in arrays if isinstance(x, np.ndarray) for name, _ in layouts(x)]
    for name in dict.fromkeys(names):
        yield name, [dict(layouts(x)).get(name, x) if isinstance(x, np.ndarray) else x for x in arrays]


@every_example
def test_memory_layout_does_not_matter(op: Op, arrays: Any) -> None:
    """C, Fortran, channels-last, gaps, negative strides, offsets, read-only operands and broadcast views give the same values
    and gradients."""
    check_layouts(op, *arrays).raise_if_failed()


@every_example
def test_repr_evaluates_to_the_op(op: Op, arrays: Any) -> None:
    """eval(repr(op)) is an op with the same repr and the same result."""
    names = {**vars(ops), **{cls.__name__: cls for cls in own_ops()}, "array": np.array, "Ellipsis": Ellipsis, "slice": slice}
    again = eval(repr(op), names)
    assert type(again) is type(op) and repr(again) == repr(op)
    assert close(again(*arrays), op(*arrays))


@every_example
def test_no_reference_cycles(op: Op, arrays: Any) -> None:
    """With the garbage collector off, a graph's arrays die with its last tensor."""
    gc.disable()
    try:
        inputs = tensors(op, arrays)
        y = op(*inputs)
        node = weakref.ref(y.node)
        grad(y, [inputs[i] for i in free(op, arrays)], np.ones(y.shape), create_graph=True)
        del y, inputs
        assert node() is None
    finally:
        gc.enable()


@every_example
def test_arrays_in_array_out(op: Op, arrays: Any) -> None:
    """Without a tensor among the operands nothing is recorded and the result is the plain array."""
    y = op(*arrays)
    assert not isinstance(y, Tensor)
    assert close(op(*tensors(op, arrays)).data, y, 0.0)


@every_example
def test_pretend_gpu_gives_the_same_without_waiting(op: Op, arrays: Any) -> None:
    """Values, first and second derivatives on the strict pretend GPU: no host array, no np.f(x), no synchronisation, no
    uninitialised memory."""
    check_backend(op, *arrays).raise_if_failed()


def test_both_backends_are_what_they_say() -> None:
    """NumPy arrays belong to NumPy and pretend arrays to the pretend GPU; the summary line names what ran."""
    assert array_module(np.ones(1)) is np and array_module(pretend(np.ones(1))).__name__ == "pretend"


KERNELS = [(cls, phase) for cls, phase, library in overlay.table if library == "numpy"]


@pytest.mark.parametrize(("cls", "phase"), KERNELS, ids=lambda value: getattr(value, "__name__", value))
def test_kernels_equal_their_ops(cls: type[Op], phase: str) -> None:
    """Each kernel gives its op's result in float32 and float64, within the bound it states, from any strides; it runs at
    all, leaves its operands unchanged and saves the same state."""
    ran = 0
    for op, arrays in [case for seed in range(3) for case in cls.examples(np.random.default_rng(seed))]:
        for dtype in (np.float32, np.float64):
            for _, stored in variants([x.astype(dtype) if getattr(x, "dtype", None) == np.float64 else x for x in arrays]):
                before = [np.array(x) for x in stored if x is not None]
                kernel = overlay.find(op.run(*stored)[1], phase, stored if phase == "forward" else [op(*stored)])
                ran += kernel is not None
                y, gradients = value_and_gradients(op, stored)
                with mv.reference():
                    y2, gradients2 = value_and_gradients(op, stored)
                bound = max(k.bound for k in overlay.table[cls, phase, "numpy"]) if dtype == np.float32 else 1e-12
                assert close(y, y2, bound) and all(close(a, b, bound) for a, b in zip(gradients, gradients2, strict=True))
                assert all(np.array_equal(a, b) for a, b in zip(before, [x for x in stored if x is not None], strict=True))
    assert ran > 0


def test_reference_switches_every_kernel_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside `reference()` no kernel is even looked up."""

    def refuse(*args: Any) -> Any:
        raise AssertionError("a kernel was looked up")

    from minivgg.autograd import mode

    monkeypatch.setattr(mode, "find_kernel", [refuse])
    with mv.reference():
        x = Tensor(np.ones((2, 1, 4, 4)), requires_grad=True)
        ops.max_pool2d(x).sum().backward()


@pytest.mark.parametrize("tap", range(4))
def test_a_nan_in_any_tap_of_a_plain_pool_is_treated_alike(tap: int) -> None:
    """The kernel and the op give NaN for the window, and the same winners everywhere, wherever in it the NaN lies."""
    x = np.arange(32.0).reshape(1, 2, 4, 4)  # the right one of two neighbours is larger: a kernel that forgets the NaN picks it
    x[0, 0, tap // 2, tap % 2] = np.nan
    op = ops.MaxPool2d(ops.Geometry((2, 2), (2, 2)))
    y, call = op.run(x)
    with mv.reference():
        y2, call2 = op.run(x)
    assert np.isnan(y[0, 0, 0, 0])
    assert np.array_equal(y, y2, equal_nan=True) and np.array_equal(call.winners, call2.winners)
