"""Tensor: its data, dtypes, operators, and what it refuses."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

import minivgg as mv
from minivgg import ops
from minivgg.autograd.core import cast
from minivgg.errors import DeviceError, GraphError

FRESH = """
import numpy as np
from minivgg import {names}
x = nn.Parameter(np.ones(3)) if "nn" in dir() else models.vgg11(num_classes=2, image_size=32, width=1 / 32, head="linear").classifier.bias
(x * 2.0).sum().backward()
assert x.grad.tolist() == [2.0] * x.size
"""

A, B = np.array([1.0, -2.0, 3.0]), np.array([2.0, 4.0, 0.5])


@pytest.mark.parametrize("names", ["nn", "models", "models, ops", "nn, optim"])
def test_backward_works_whatever_was_imported_first(names):
    """In a fresh process `from minivgg import models` is enough: tensors have operators and backward()."""
    found = subprocess.run([sys.executable, "-c", FRESH.format(names=names)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_numbers_and_lists_become_float32_arrays_stay_as_they_are():
    """The engine's default is float32; an array keeps its dtype and is not copied."""
    assert mv.Tensor(2.5).dtype == np.float32 and mv.Tensor([[1.0, 2.0]]).shape == (1, 2)
    assert mv.Tensor([1, 2]).dtype.kind == "i" and mv.Tensor([1, 2], dtype="float64").dtype == np.float64
    tensor = mv.Tensor(A)
    assert tensor.data is A and mv.Tensor(tensor).data is A and tensor.numpy() is A
    assert (tensor.ndim, tensor.size, len(tensor), tensor[1].item()) == (1, 3, 3, -2.0)


@pytest.mark.parametrize("junk", [None, "text", {1: 2}, object()], ids=["None", "text", "dict", "object"])
def test_what_is_no_array_is_refused(junk):
    """Tensor(None) and other non-arrays raise DeviceError that names the type."""
    with pytest.raises(DeviceError, match=type(junk).__name__):
        mv.Tensor(junk)


@pytest.mark.parametrize(
    "f",
    [
        lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b, lambda a, b: -a + b, lambda a, b: a**2 * b,
        lambda a, b: 2.0**b + a, lambda a, b: a @ b, lambda a, b: 1.0 - a / 2.0 + b, lambda a, b: 3.0 / b * a,
    ],
    ids=["add", "subtract", "multiply", "divide", "negate", "power", "rpower", "matmul", "numbers", "rdivide"],
)  # fmt: skip
def test_operators_agree_with_numpy_for_every_mixture(f):
    """tensor∘tensor, tensor∘array and array∘tensor are tensors with NumPy's values; array∘array stays an array."""
    expected = f(A, B)
    for a, b in [(mv.Tensor(A), mv.Tensor(B)), (mv.Tensor(A), B), (A, mv.Tensor(B))]:
        y = f(a, b)
        assert isinstance(y, mv.Tensor)
        np.testing.assert_allclose(y.data, expected, rtol=1e-15)


def test_array_plus_tensor_is_one_tensor_with_a_gradient():
    """NumPy leaves `ndarray + Tensor` to the tensor, instead of making an array of objects."""
    x = mv.Tensor(A, requires_grad=True)
    y = B * x + B
    assert isinstance(y, mv.Tensor) and mv.grad(y.sum(), x)[0].tolist() == B.tolist()


def test_numpy_functions_refuse_tensors():
    """np.exp(tensor) is a TypeError, not a number without a gradient."""
    with pytest.raises(TypeError, match="does not support ufuncs"):
        np.exp(mv.Tensor(A))


def test_python_numbers_keep_float32():
    """Hyper-parameters are Python numbers, so float32 stays float32 through every operator."""
    x = mv.Tensor([1.0, 2.0])
    for y in (x + 1, 1.5 - x, x * 2.5, 1 / x, x**2, 2.0**x, -x, x.mean(), x @ x, ops.sigmoid(x)):
        assert y.dtype == np.float32


def test_comparisons_give_plain_masks():
    """Comparisons are constants: boolean arrays."""
    x = mv.Tensor(A, requires_grad=True)
    for mask, expected in [(x > 0, A > 0), (x >= 1.0, A >= 1.0), (x < mv.Tensor(B), A < B), (x <= B, A <= B)]:
        assert isinstance(mask, np.ndarray) and mask.tolist() == expected.tolist()


def test_integers_cannot_require_a_gradient():
    """The error names the dtype and the remedy, at construction and later."""
    with pytest.raises(GraphError, match=r"int64.*dtype='float32'"):
        mv.Tensor(np.arange(3), requires_grad=True)
    tensor = mv.Tensor(np.arange(3, dtype="int64"))
    with pytest.raises(GraphError, match="only floats"):
        tensor.requires_grad = True
    assert not tensor.requires_grad


def test_results_follow_their_inputs_requires_grad():
    """requires_grad of a result cannot be set; detach() cuts it off, with the same memory."""
    x = mv.Tensor(A.copy(), requires_grad=True)
    y = x * 2.0
    with pytest.raises(GraphError, match=r"Multiply.*detach\(\)"):
        y.requires_grad = False
    cut = y.detach()
    assert not cut.requires_grad and cut.data is y.data
    x.requires_grad = False
    assert not (x * 2.0).requires_grad


def test_to_converts_leaves_only():
    """to() keeps name and requires_grad; results of ops must be detached first."""
    x = mv.Tensor(A, requires_grad=True, name="images")
    y = x.to(dtype="float32")
    assert y.dtype == np.float32 and y.requires_grad and y.name == "images" and x.to("cpu").data is A
    with pytest.raises(GraphError, match=r"detach\(\)"):
        (x * 2.0).to(dtype="float32")


def test_iteration_and_indexing_give_tensors():
    """A tensor can be unpacked; each part is differentiable."""
    x = mv.Tensor(A, requires_grad=True)
    first, second, third = x
    assert mv.grad(first * second + third, x)[0].tolist() == [-2.0, 1.0, 1.0]


def test_item_is_a_python_number():
    """item() of a single element."""
    assert mv.Tensor([[2.5]]).item() == 2.5 and isinstance(mv.Tensor(3.0).item(), float)


def test_repr_tells_the_name_and_what_made_it():
    """A tensor introduces itself."""
    x = mv.Tensor([1.0], requires_grad=True, name="w")
    assert "name='w'" in repr(x) and "requires_grad=True" in repr(x) and "made by Exp()" in repr(ops.exp(x))


@pytest.mark.parametrize("convert", [np.asarray, np.array, lambda t: np.stack([t, t])], ids=["asarray", "array", "stack"])
def test_numpy_does_not_swallow_tensors(convert):
    """np.asarray(tensor) is a TypeError with the remedy, not an array that has lost its graph, nor one of objects."""
    with pytest.raises(TypeError, match=r"a Tensor is no NumPy array.*minivgg\.ops.*tensor\.numpy\(\)"):
        convert(mv.Tensor(A))


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))], ids=["copy", "deepcopy", "pickle"]
)
def test_copies_are_leaves_with_name_and_grad_without_hooks(duplicate):
    """Values, requires_grad, name and .grad go along; a hook of the original is not called for the copy."""
    x, called = mv.Tensor(A.copy(), requires_grad=True, name="w"), []
    (x * B).sum().backward()
    x.register_hook(called.append)
    y = duplicate(x)
    assert y is not x and y.name == "w" and y.requires_grad and y.data.tolist() == A.tolist() and y.grad.tolist() == B.tolist()
    (y * y).sum().backward()
    assert not called and y.grad.tolist() == (B + 2 * A).tolist() and x.grad.tolist() == B.tolist()
    assert not duplicate(mv.Tensor(A)).requires_grad


def test_deep_copies_and_pickles_share_no_memory():
    """Writing to one leaves the other."""
    x = mv.Tensor(A.copy())
    for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        y[0] = 9.0
        assert x[0].item() == 1.0 and y[0].item() == 9.0


def test_a_graph_cannot_be_copied():
    """A result of an op is refused with the op and the remedy; detached it can be copied."""
    y = mv.Tensor(A, requires_grad=True) * 2.0
    for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(GraphError, match=r"Multiply\(\) made this tensor.*cannot be copied.*t\.detach\(\)"):
            duplicate(y)
    assert copy.deepcopy(y.detach()).data.tolist() == (2 * A).tolist()


def test_only_a_single_number_is_true_or_false():
    """`if loss:` tests the number, −0.0 is false and NaN true as in Python; several, or none, have no truth."""
    assert mv.Tensor([[0.5]]) and mv.Tensor(np.nan) and not mv.Tensor(0.0) and not mv.Tensor(-0.0)
    for values in (A, np.zeros((0, 2))):
        with pytest.raises(TypeError, match=r"truth of a tensor of shape \(.*\) is ambiguous.*tensor\.numpy\(\)"):
            bool(mv.Tensor(values))


def test_a_single_number_serves_as_a_python_float():
    """float() and format strings read it; several numbers are no float; without a format a tensor prints as itself."""
    loss = mv.Tensor(np.array([[2.375]]), requires_grad=True, name="loss")
    assert isinstance(float(loss), float) and float(loss) == 2.375 and f"{loss:.1f}" == "2.4"
    assert f"{loss}" == str(loss) == repr(loss)
    with pytest.raises(ValueError, match="size 1"):
        float(mv.Tensor(A))


def test_a_zero_d_tensor_has_no_length():
    """len() is the first axis, which a single number does not have."""
    assert len(mv.Tensor(np.zeros((0, 3)))) == 0
    with pytest.raises(TypeError, match="unsized"):
        len(mv.Tensor(1.0))


def test_asking_for_a_gradient_twice_changes_nothing():
    """requires_grad = True on a leaf that has it keeps its place in the graphs made before."""
    x = mv.Tensor(A.copy(), requires_grad=True)
    y = (x * x).sum()
    x.requires_grad = True
    assert mv.grad(y, x)[0].tolist() == (2 * A).tolist()


def test_results_that_are_no_floats_are_constants():
    """Whole numbers have no derivative, so a cast to them ends the graph."""
    x = mv.Tensor(A, requires_grad=True)
    assert not cast(x, "int32").requires_grad and cast(x, "int32").data.tolist() == [1, -2, 3]
    assert cast(x, "float32").requires_grad
