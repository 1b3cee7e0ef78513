"""In which precision a thread computes, without a card: what is refused, and what it says. With a card: tests/cuda/test_precision.py."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import minivgg as mv
from minivgg.backend import device
from minivgg.backend.precision import as_images, current, image_dtype
from minivgg.errors import ConfigError


@pytest.fixture
def no_card(monkeypatch):
    """A machine without a card, even if this one has one."""
    monkeypatch.setattr(device, "_why_no_gpu", lambda: "CuPy is not installed.")


def test_outside_any_block_it_is_fp32():
    """The default, also in a block that asks for it, which any machine can."""
    assert current() == "fp32"
    with mv.precision("fp32"):
        assert current() == "fp32"


@pytest.mark.parametrize(("name", "hint"), [("fp15", "fp1|fp3"), ("float16", "Valid: bf16, fp16, fp32, tf32"), (16, "Valid: bf16")])
def test_an_unknown_name_is_refused_with_the_valid_ones(name, hint):
    """What is there, and the nearest if one is near."""
    with pytest.raises(ConfigError, match=f"precision={name!r} is unknown.*({hint})"), mv.precision(name):
        pass


@pytest.mark.parametrize("name", ["tf32", "fp16", "bf16"])
def test_without_a_card_nobody_pretends(name, no_card):
    """Entering the block raises and says what to do; the thread goes on in fp32."""
    with pytest.raises(ConfigError, match=f'precision="{name}" needs a card.*--precision fp32'), mv.precision(name):
        pass
    assert current() == "fp32"


def test_bf16_without_ml_dtypes_names_the_package(monkeypatch):
    """NumPy has no bfloat16 of its own."""
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(ConfigError, match=r"ml_dtypes.*pip install"):
        image_dtype("bf16")


def test_images_for_the_cpu_stay_as_they_are():
    """The door converts for cards only: strides, dtype and the array itself are kept."""
    images = np.zeros((1, 2, 2, 3), np.float32).transpose(0, 3, 1, 2)
    assert as_images(mv.Device("cpu"), images) is images
