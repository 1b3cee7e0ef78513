"""CuPy's switch for TF32, as the precision of a thread turns it."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest

import minivgg as mv
from minivgg.backend.precision import as_images, current
from minivgg.backend.tf32 import settle, settle_once
from minivgg.errors import ConfigError


@pytest.fixture
def switch(card, monkeypatch):
    """The switch of a process that has just begun, with CUPY_TF32=1 in its environment."""
    linalg = card._core._routines_linalg
    monkeypatch.setattr(linalg, "chosen", {})
    monkeypatch.setenv("CUPY_TF32", "1")
    settle_once.cache_clear()
    return linalg


def chosen(linalg):
    """What a product of float32 would be computed in."""
    return {linalg.COMPUTE_TYPE_DEFAULT: "float32", linalg.COMPUTE_TYPE_TF32: "TF32"}[linalg.get_compute_type(np.float32)]


def test_cupy_alone_follows_the_environment(switch):
    """What is guarded against: without minivgg's door, CUPY_TF32=1 decides."""
    assert chosen(switch) == "TF32"


def test_the_first_use_of_a_card_makes_fp32_strict(switch):
    """Device("cuda") is enough, and only the first: what a user sets behind it stays."""
    mv.Device("cuda")
    assert chosen(switch) == "float32"
    switch.set_compute_type(np.float32, switch.COMPUTE_TYPE_TF32)
    mv.Device("cuda")
    assert chosen(switch) == "TF32"


def test_blocks_turn_the_switch_and_put_it_back(switch):
    """tf32 within, strict fp32 within that, half precision leaves float32 strict, and behind all it is as it was, error or not."""
    mv.Device("cuda")
    with pytest.raises(KeyError), mv.precision("tf32"):
        assert (current(), chosen(switch)) == ("tf32", "TF32")
        with mv.precision("fp32"):
            assert (current(), chosen(switch)) == ("fp32", "float32")
        with mv.precision("bf16"):
            assert (current(), chosen(switch)) == ("bf16", "float32")
        assert (current(), chosen(switch)) == ("tf32", "TF32")
        raise KeyError
    assert (current(), chosen(switch)) == ("fp32", "float32")
    switch.set_compute_type(np.float32, switch.COMPUTE_TYPE_TF32)
    with mv.precision("fp32"):
        assert chosen(switch) == "float32"
    assert chosen(switch) == "TF32"


def test_a_device_made_in_another_thread_does_not_turn_it(switch):
    """A loader's thread is in fp32, whatever the training thread is in, and leaves the switch alone."""
    found = []
    with mv.precision("tf32"):
        thread = threading.Thread(target=lambda: found.append((str(mv.Device("cuda")), current())))
        thread.start()
        thread.join()
        assert chosen(switch) == "TF32"
    assert found == [("cuda:0", "fp32")]


def test_a_cupy_without_the_switch_is_named():
    """The switch is private to CuPy: where it is gone, it is unknown how products are computed, and that is said."""
    cuda = SimpleNamespace(is_available=lambda: True)
    with pytest.raises(ConfigError, match=r"CuPy 15\.0\.0 has no switch for TF32"):
        settle(SimpleNamespace(cuda=cuda, __version__="15.0.0", _core=SimpleNamespace()), tf32=True)


@pytest.mark.parametrize(("name", "dtype"), [("fp32", "float32"), ("tf32", "float32"), ("fp16", "float16"), ("bf16", "bfloat16")])
def test_images_are_cast_at_the_door(card, name, dtype):
    """In each precision images arrive in its dtype, and as they lie in memory."""
    images = np.zeros((2, 4, 5, 3), np.float32).transpose(0, 3, 1, 2)
    with mv.precision(name):
        x = as_images(mv.Device("cuda"), images)
    assert x.dtype.name == dtype and x.transpose(0, 2, 3, 1).flags.c_contiguous
