"""Calls of ops: the table is complete, what is drawn is valid, and what is printed can be run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from minivgg import ops
from minivgg.autograd import core
from minivgg.autograd.core import Op, op
from minivgg.errors import ConfigError
from minivgg.testing import check_gradients
from minivgg.testing.strategies import Call, calls
from minivgg.testing.strategies.call import TABLE

OWN = [cls for cls in Op.registry if cls.__module__.startswith("minivgg.")]
every_op = pytest.mark.parametrize("cls", OWN, ids=lambda cls: cls.__name__)
IMPORTS = (
    "import numpy as np\nfrom minivgg.autograd.core import *\nfrom minivgg.ops import *\nfrom minivgg.testing.strategies import store\n"
)


@pytest.fixture
def registered() -> Iterator[None]:
    """Ops that a test defines leave the registry with it."""
    before = list(Op.registry)
    yield
    Op.registry[:] = before


def test_the_table_covers_every_op_of_the_package() -> None:
    """Each class has a strategy of its own, not only its examples, and the table names nothing else."""
    assert set(TABLE) == set(OWN)


@every_op
@settings(max_examples=15)
@given(data=st.data())
def test_operands_are_float64_distinct_and_not_empty(cls: type[Op], data: st.DataObject) -> None:
    """One operand or more can be differentiated; none is empty, none shares memory with another or overlaps itself."""
    call = data.draw(calls(cls))
    assert type(call.op) is cls
    arrays = [x for x in call.arrays if isinstance(x, np.ndarray)]
    rules = [f"grad_{cls.operands[0 if cls.variadic else i]}" for i in range(len(call.arrays))]
    free = [x for x, rule in zip(call.arrays, rules, strict=True) if hasattr(cls, rule) and isinstance(x, np.ndarray)]
    assert free and all(x.dtype == np.float64 for x in free)
    assert all(x.size and x.flags.c_contiguous for x in arrays)
    assert not any(np.shares_memory(x, w) for i, x in enumerate(arrays) for w in arrays[:i])
    assert np.size(call()) > 0 and np.isfinite(call()).all()


@every_op
@settings(max_examples=8)
@given(data=st.data())
def test_code_evaluates_to_the_same_result(cls: type[Op], data: st.DataObject) -> None:
    """`code()` with the stated imports gives exactly the call's result, with stored and empty operands, too."""
    call = data.draw(calls(cls, layouts=True, empty=True))
    names: dict[str, Any] = {}
    exec(IMPORTS, names)
    expected = call()
    found = eval(call.code(), names)
    assert found.shape == expected.shape and np.array_equal(found, expected)


@every_op
@settings(max_examples=2)
@given(data=st.data())
def test_repr_is_a_gradient_check_to_paste(cls: type[Op], data: st.DataObject) -> None:
    """What Hypothesis prints for a failure runs, and passes here."""
    call = data.draw(calls(cls))
    names: dict[str, Any] = {"check_gradients": check_gradients}
    exec(IMPORTS, names)
    exec(repr(call), names)


def test_hypothesis_prints_the_code_of_a_failing_call() -> None:
    """The report of a failure holds the gradient check, not the dataclass."""

    @settings(max_examples=10)
    @given(call=calls(ops.Relu))
    def refuse(call: Call) -> None:
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused") as caught:
        refuse()
    assert any("check_gradients(Relu(), np.array(" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("layout", ["C order", "read-only"])
def test_layouts_are_drawn_for_each_operand(layout: str) -> None:
    """With `layouts` an operand is stored in the layout that the call names."""
    call = find(calls(ops.Conv2d, layouts=True), lambda c: c.layouts[1] == layout and c.layouts[0] == "gaps")
    assert call.arrays[0].strides[-1] == 2 * call.arrays[0].itemsize
    assert call.arrays[1].flags.writeable is (layout != "read-only")


@pytest.mark.parametrize("cls", [ops.Add, ops.Relu, ops.Conv2d, ops.MaxPool2d, ops.Linear, ops.CrossEntropy, ops.Concatenate])
def test_empty_operands_are_drawn_when_asked_for(cls: type[Op]) -> None:
    """With `empty` a call whose first operand has no elements is found."""
    assert find(calls(cls, empty=True), lambda c: c.arrays[0].size == 0).op.__class__ is cls


def test_calls_shrink_to_a_small_operand_and_seed_zero() -> None:
    """A ReLU with a positive element shrinks to a single element."""
    call = find(calls(ops.Relu), lambda c: bool((c() > 0).any()))
    assert call.arrays[0].size == 1


def test_a_bug_that_the_examples_miss_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples have one group or two; a filter gradient that is wrong for three is found, with one filter in each."""
    right = ops.Conv2d.grad_w

    def wrong(self: ops.Conv2d, gy: Any, x: Any, w_shape: Any) -> Any:
        return right(self, gy, x, w_shape) * (0.5 if self.groups == 3 else 1.0)

    def fails(call: Call) -> bool:
        return not check_gradients(call.op, *call.arrays, order=1, coordinates=4, directions=1).ok

    monkeypatch.setattr(ops.Conv2d, "grad_w", wrong)
    assert not any(fails(Call(op, arrays)) for op, arrays in ops.Conv2d.examples(np.random.default_rng(0)))
    found = find(calls(ops.Conv2d), fails, settings=settings(max_examples=500))
    assert found.arrays[1].shape[0] == 3 and found.arrays[0].shape[0] == 1


def test_any_op_of_the_package_is_drawn_without_a_class() -> None:
    """Different families occur."""
    for cls in (ops.Exp, ops.Matmul, ops.MaxPool2d, core.SumTo):
        assert type(find(calls(), lambda c, cls=cls: type(c.op) is cls, settings=settings(max_examples=2000)).op) is cls


@pytest.mark.usefixtures("registered")
def test_an_op_of_your_own_is_drawn_from_its_examples() -> None:
    """Both examples occur, with numbers that depend on the drawn seed."""

    @op
    class Cube(Op):
        """y = x³.   Gradients  3x²."""

        def forward(self, x: Any) -> Any:
            return x**3

        def grad_x(self, gy: Any, x: Any) -> Any:
            return gy * 3.0 * x**2

        @staticmethod
        def examples(rng: np.random.Generator) -> Any:
            for shape in [(2,), (3, 1)]:
                yield Cube(), (rng.standard_normal(shape),)

    drawn = []

    @settings(max_examples=30)
    @given(calls(Cube))
    def collect(call: Call) -> None:
        check_gradients(call.op, *call.arrays, coordinates=2, directions=1).raise_if_failed()
        drawn.append(call)

    collect()
    assert {call.arrays[0].shape for call in drawn} == {(2,), (3, 1)}
    assert len({call.arrays[0].tobytes() for call in drawn}) > 5


@pytest.mark.usefixtures("registered")
def test_an_op_without_examples_is_refused() -> None:
    """A ConfigError says what to add."""

    @op
    class Bare(Op):
        """y = x.   Gradients  none."""

        def forward(self, x: Any) -> Any:
            return x

    with pytest.raises(ConfigError, match="Bare has no examples"):
        find(calls(Bare), lambda c: True)
