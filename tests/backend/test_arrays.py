"""Whose array is it? array_module, as_array, to_numpy, owner, scatter_add."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from minivgg import ops
from minivgg.backend import arrays
from minivgg.backend.arrays import array_module, as_array, owner, scatter_add, to_numpy
from minivgg.errors import DeviceError


class Foreign:
    """An array of another library, with as much as error messages ask for."""

    shape = (2, 3)
    dtype = np.dtype("float32")

    def get(self):
        return np.ones(self.shape, "float32")


FOREIGN = SimpleNamespace(__name__="foreign")


@pytest.fixture
def foreign(monkeypatch):
    """A registered foreign array; the table is as before afterwards."""
    monkeypatch.setattr(arrays, "_modules", dict(arrays._modules))
    arrays.register(Foreign, FOREIGN)
    return Foreign()


def test_numpy_arrays_and_numbers_belong_to_numpy():
    """Arrays, NumPy scalars, Python numbers, None, and nothing at all."""
    for operands in [(np.ones(2),), (np.ones(2), 1.5, None, True), (np.float32(1),), (2,), ()]:
        assert array_module(*operands) is np


def test_a_subclass_belongs_where_its_base_does():
    """A view of numpy.ndarray, such as a memory map, is NumPy's."""

    class Mapped(np.ndarray):
        pass

    assert array_module(np.ones(2).view(Mapped)) is np


def test_a_registered_library_is_recognised_among_numbers(foreign):
    """Its module is the answer, also next to numbers and None, wherever it stands."""
    assert array_module(foreign) is FOREIGN and array_module(None, 2.0, foreign) is FOREIGN and array_module(foreign, foreign) is FOREIGN


def test_subclasses_of_a_registered_type_are_recognised(foreign):
    """Inheritance counts."""

    class Special(Foreign):
        pass

    assert array_module(Special()) is FOREIGN


def test_mixtures_are_refused_by_name(foreign):
    """The message names both libraries, the shapes and the remedy; through an op the op is noted."""
    with pytest.raises(DeviceError, match=r'numpy \(4,\), foreign \(2, 3\).*tensor\.to\("cuda"\), model\.to\("cuda"\), or \.to\("cpu"\)'):
        array_module(np.ones(4), foreign)
    with pytest.raises(TypeError) as caught:
        ops.Add()(np.ones((2, 3)), foreign)
    assert "in Add()" in caught.value.__notes__


@pytest.mark.parametrize("junk", ["text", [1, 2], {}, object()], ids=lambda j: type(j).__name__)
def test_what_is_no_array_is_refused(junk):
    """The message says what was expected and what came."""
    with pytest.raises(DeviceError, match=rf"expected a NumPy or CuPy array or a Tensor, but got {type(junk).__name__}"):
        array_module(junk)


def test_as_array_copies_nothing_and_defaults_to_float32():
    """Arrays come back as they are; numbers and lists become arrays, floats among them float32."""
    x = np.arange(3.0)
    assert as_array(x) is x and as_array(x, "float64") is x and as_array(x, "float32").dtype == np.float32
    assert as_array(1.5).dtype == np.float32 and as_array([[1.0]]).dtype == np.float32 and as_array([1.0], "float64").dtype == np.float64
    assert as_array([1, 2]).dtype.kind == "i" and as_array(True).dtype == bool
    assert as_array(np.float64(2.0)).dtype == np.float64 and as_array(np.float64(2.0)).shape == ()


def test_to_numpy_fetches_from_a_device(foreign):
    """A device array is asked for its host copy; a NumPy array comes back as it is."""
    assert to_numpy(foreign).tolist() == np.ones((2, 3)).tolist()
    x = np.ones(2)
    assert to_numpy(x) is x


def test_owner_is_the_array_at_the_bottom():
    """A view of a view leads to the array that owns the memory."""
    x = np.arange(12.0)
    assert owner(x) is x and owner(x.reshape(3, 4)[1:].T) is x


def test_scatter_add_adds_repeated_indices_each_time():
    """`target[key] += values` would count a repeated index once; this counts it as often as it occurs."""
    target = np.zeros(3)
    scatter_add(target, np.array([0, 2, 0, 0]), np.array([1.0, 10.0, 100.0, 1000.0]))
    assert target.tolist() == [1101.0, 0.0, 10.0]
