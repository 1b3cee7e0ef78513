"""Device: its names, and one clear line when there is no usable GPU."""

from __future__ import annotations

import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import minivgg as mv
from minivgg.backend import device as device_room
from minivgg.errors import DeviceError

CPU = mv.Device("cpu")


@pytest.fixture
def without_cupy(monkeypatch):
    """A machine on which CuPy is not installed."""
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "cupy" else real(name, *rest))


class Module(SimpleNamespace):
    """As a module it can be looked up in a table."""

    __hash__ = object.__hash__


@pytest.fixture
def pretend_cupy(monkeypatch):
    """A machine with CuPy whose driver answers as `.available` says, with `.count` cards."""
    runtime = SimpleNamespace(getDeviceCount=lambda: cupy.count)
    linalg = SimpleNamespace(COMPUTE_TYPE_DEFAULT=0, get_compute_type=lambda dtype: 0, set_compute_type=lambda dtype, kind: None)
    cuda, core = SimpleNamespace(is_available=lambda: cupy.available, runtime=runtime), SimpleNamespace(_routines_linalg=linalg)
    cupy = Module(available=True, count=2, cuda=cuda, _core=core)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: object())
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return cupy


def test_a_missing_cupy_is_one_clear_line(without_cupy):
    """Device("cuda") says what to install and what to use instead; no traceback of CuPy's."""
    with pytest.raises(DeviceError, match=r"pip install 'minivgg\[cuda\]'.*CUDA 12.*--device cpu") as caught:
        mv.Device("cuda")
    assert "\n" not in str(caught.value)
    with pytest.raises(DeviceError, match="cuda:3"):
        mv.Tensor([1.0]).to("cuda:3")


def test_auto_is_the_cpu_without_a_gpu(without_cupy):
    """ "auto" never fails."""
    assert mv.Device("auto") == CPU


def test_importable_is_not_usable(pretend_cupy):
    """CuPy without a driver is no GPU: "cuda" is refused, "auto" is the CPU."""
    pretend_cupy.available = False
    with pytest.raises(DeviceError, match="no CUDA driver or no GPU"):
        mv.Device("cuda")
    assert mv.Device("auto") == CPU


def test_a_usable_gpu_is_found_by_number(pretend_cupy):
    """ "cuda" is the first card, "auto" too; a card that is not there is refused with the count."""
    assert str(mv.Device("cuda")) == str(mv.Device("auto")) == "cuda:0" and mv.Device("cuda:1").index == 1
    with pytest.raises(DeviceError, match=r"this machine has 2 GPU\(s\), cuda:0 to cuda:1"):
        mv.Device("cuda:2")


def test_a_broken_cupy_is_one_clear_line(monkeypatch, pretend_cupy):
    """Whatever CuPy raises at import becomes a sentence."""

    def broken(name):
        raise OSError("libcudart.so.13: cannot open shared object file\nmore")

    monkeypatch.setattr(device_room.importlib, "import_module", broken)
    with pytest.raises(DeviceError, match=r"does not import \(OSError: libcudart\.so\.13: cannot open") as caught:
        mv.Device("cuda")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", "", "cuda:-1", "cpu:0"])
def test_unknown_names_are_refused(name):
    """The message lists the valid names."""
    with pytest.raises(DeviceError, match=r'unknown device.*Valid: "cpu", "cuda"'):
        mv.Device(name)


def test_the_cpu_makes_and_keeps_arrays():
    """asarray copies nothing that is there already, and keeps its strides; full fills."""
    x = np.ones((2, 3))[:, ::-1]
    assert CPU.asarray(x) is x and CPU.full((2,), 1.5).tolist() == [1.5, 1.5] and CPU.full((), 0, "int64").dtype == np.int64
    assert mv.Device.of(x) == CPU
    CPU.synchronize()
    with CPU.use():
        pass


def test_devices_are_values():
    """Equal names are equal devices, also as keys; repr evaluates to the device."""
    assert mv.Device(CPU) == CPU == eval(repr(CPU), {"Device": mv.Device}) and len({CPU, mv.Device("cpu")}) == 1 and CPU != "cpu"


def test_memory_in_use_is_less_than_there_is():
    """Both numbers are bytes: this process has used more than a megabyte."""
    used, total = CPU.memory()
    assert 1e6 < used < total
