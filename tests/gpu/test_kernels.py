"""Kernels at the sizes that a VGG gives them, against the ops' own formulas in float64 on the same card.

The inputs are rounded to the precision under test first, so that only the kernel's own rounding is seen. On the pretend card the same
functions run at sizes with the same corners: not multiples of tiles, one channel more or less than a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import minivgg as mv
from minivgg import nn, ops
from minivgg.autograd.core import Tensor, grad
from minivgg.backend.precision import image_dtype, precision

from .conftest import Card

# What is allowed between a result and float64's, relative: (in the L2 norm, of the largest anywhere). One rounding of the result is
# 2⁻²⁴, 2⁻¹¹ of TF32's and float16's operands, 2⁻⁸ of bfloat16's; a gradient through a rectifier has rounded masks, too.
BOUNDS = {"fp32": (1e-5, 1e-4), "tf32": (2e-3, 2e-2), "fp16": (2e-3, 2e-2), "bf16": (1.6e-2, 1e-1)}

# (images, channels, filters, height) of VGG-16's convolutions at 224×224, each shape once; and small ones with the same corners.
LAYERS = [
    (2, 3, 64, 224), (2, 64, 64, 224), (2, 64, 128, 112), (2, 128, 128, 112), (4, 128, 256, 56), (4, 256, 256, 56),
    (8, 256, 512, 28), (8, 512, 512, 28), (8, 512, 512, 14),
]  # fmt: skip
SMALL = [(1, 3, 16, 6), (2, 16, 16, 5), (1, 17, 19, 7)]


def errors(found: Any, expected: Any) -> tuple[float, float]:
    """(in the L2 norm, of the largest anywhere), relative to `expected`, in float64; computed where the arrays are, by plain array code."""
    assert found.shape == expected.shape
    difference = found.astype("float64") - expected
    scale = max(float((expected * expected).sum()) ** 0.5, 1e-30), max(float(abs(expected).max()), 1e-30)
    return float((difference * difference).sum()) ** 0.5 / scale[0], float(abs(difference).max()) / scale[1]


def drawn(card: Card, shapes: Sequence[tuple[int, ...]], dtype: Any) -> list[Any]:
    """Random arrays on the card, unit variance, channels-last where they are images, rounded to `dtype`."""
    rng = np.random.default_rng(0)
    return [card.stored(rng.standard_normal(shape, dtype=np.float32), "channels-last").astype(dtype) for shape in shapes]


def value_and_gradients(f: Any, arrays: Sequence[Any], gy: Any, reference: bool) -> list[Any]:
    """y, and its gradients by all arrays, weighted by gy; by the kernels, or in float64 by the ops' own formulas."""
    if reference:
        with mv.reference():
            xs = [Tensor(a.astype("float64"), requires_grad=True) for a in arrays]
            y = f(*xs)
            return [y.data, *grad(y, xs, gy.astype("float64"))]
    xs = [Tensor(a, requires_grad=True) for a in arrays]
    y = f(*xs)
    return [y.data, *grad(y, xs, gy)]


def check(card: Card, name: str, f: Any, shapes: Sequence[tuple[int, ...]], y_shape: tuple[int, ...]) -> None:
    """Value and gradients of f in the precision `name` are within its bounds of float64's; twice the same bits."""
    dtype = image_dtype(name) or np.float32
    *arrays, gy = drawn(card, [*shapes, y_shape], dtype)
    with precision(name):
        found = value_and_gradients(f, arrays, gy, reference=False)
        again = value_and_gradients(f, arrays, gy, reference=False)
    assert all(bool((a == b).all()) for a, b in zip(found, again, strict=True))
    expected = value_and_gradients(f, arrays, gy, reference=True)
    for number, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert a.dtype == dtype
        for error, bound in zip(errors(a, b), BOUNDS[name], strict=True):
            assert error <= bound, f"{'value' if number == 0 else f'gradient of operand {number - 1}'}: {error:.2e}"


def layers() -> list[Any]:
    """All layers, the first three of which the pretend card does in miniature."""
    return [pytest.param(large, SMALL[i] if i < len(SMALL) else None, id="×".join(map(str, large))) for i, large in enumerate(LAYERS)]


every_precision = pytest.mark.parametrize("name", list(BOUNDS))


@every_precision
@pytest.mark.parametrize(("large", "small"), layers())
def test_convolutions_of_a_vgg(card: Card, name: str, large: tuple[int, ...], small: tuple[int, ...] | None) -> None:
    """3×3 with padding 1: output and gradients by images, filters and bias, in each precision by the algorithm that is chosen."""
    if small is None and not card.real:
        pytest.skip("its corners are those of a smaller one")
    n, c, k, h = card.pick(small, large)

    def f(x: Any, w: Any, b: Any) -> Any:
        return ops.conv2d(x, w, b, padding=1)

    check(card, name, f, [(n, c, h, h), (k, c, 3, 3), (k,)], (n, k, h, h))


@pytest.mark.parametrize(("large", "small"), layers()[1:])
def test_winograds_rounding_is_bounded(card: Card, large: tuple[int, ...], small: tuple[int, ...] | None) -> None:
    """Forced, in strict float32, on unit-variance data: 4e-6 in the L2 norm, 1e-4 anywhere, of values and both gradients."""
    if small is None and not card.real:
        pytest.skip("its corners are those of a smaller one")
    n, c, k, h = card.pick(small, large)
    *arrays, gy = drawn(card, [(n, c, h, h), (k, c, 3, 3), (n, k, h, h)], np.float32)

    def f(x: Any, w: Any) -> Any:
        return ops.conv2d(x, w, padding=1)

    with mv.conv_algorithm("winograd"):
        found = value_and_gradients(f, arrays, gy, reference=False)
    for a, b in zip(found, value_and_gradients(f, arrays, gy, reference=True), strict=True):
        norm, largest = errors(a, b)
        assert norm <= 4e-6 and largest <= 1e-4, (norm, largest)


@every_precision
@pytest.mark.parametrize(("small", "large"), [((2, 3, 5), (8, 64, 112)), ((3, 17, 4), (8, 512, 14))])
def test_batch_norm_and_rectifier_of_a_vgg(card: Card, name: str, small: tuple[int, ...], large: tuple[int, ...]) -> None:
    """In training, as one op, with float32 scale and shift in all precisions: output and gradients; pooled behind."""
    n, c, h = card.pick(small, large)
    layer: Any = nn.BatchNorm2d(c).to("cuda")
    dtype = image_dtype(name) or np.float32
    x, gy = drawn(card, [(n, c, h, h), (n, c, h, h)], dtype)
    results = []
    for reference in (False, True):
        layer.to(dtype="float64" if reference else "float32")
        inputs = Tensor(x.astype("float64") if reference else x, requires_grad=True)
        with mv.reference() if reference else precision(name), mv.frozen_state():
            y = layer.with_relu(inputs)
            results.append([y.data, *grad(y, [inputs, layer.weight, layer.bias], gy.astype("float64") if reference else gy)])
    for a, b in zip(*results, strict=True):
        norm, largest = errors(a, b)
        assert norm <= 3 * BOUNDS[name][0] and largest <= 3 * BOUNDS[name][1], (norm, largest)


@every_precision
def test_pooling_and_rectifying_are_exact(card: Card, name: str) -> None:
    """2×2 max pooling and the rectifier decide, and copy: equal to float64's in every bit, gradients too."""
    n, c, h = card.pick((2, 5, 6), (4, 64, 224))
    dtype = image_dtype(name) or np.float32
    x, gy = drawn(card, [(n, c, h, h), (n, c, h // 2, h // 2)], dtype)

    def f(x: Any) -> Any:
        return ops.max_pool2d(ops.relu(x), 2)

    with precision(name):
        found = value_and_gradients(f, [x], gy, reference=False)
    for a, b in zip(found, value_and_gradients(f, [x], gy, reference=True), strict=True):
        assert bool((a.astype("float64") == b).all())


@every_precision
def test_fully_connected_layers_of_a_vgg(card: Card, name: str) -> None:
    """25,088 to 4,096 features, and the loss behind the last layer."""
    n, features, outputs = card.pick((3, 17, 5), (64, 25_088, 4_096))
    check(card, name, ops.linear, [(n, features), (outputs, features), (outputs,)], (n, outputs))


@every_precision
def test_the_loss_of_half_logits_is_computed_in_float32(card: Card, name: str) -> None:
    """Cross-entropy of 1,000 classes: the loss to 1e-6 of float64's of the same logits, the gradient to its own rounding."""
    n, classes = card.pick((4, 7), (256, 1000))
    (logits,) = drawn(card, [(n, classes)], image_dtype(name) or np.float32)
    labels = card.device.asarray(np.random.default_rng(1).integers(0, classes, n))
    found, expected = [], []
    for results, x in ((found, Tensor(logits, requires_grad=True)), (expected, Tensor(logits.astype("float64"), requires_grad=True))):
        loss = ops.cross_entropy(x, labels, label_smoothing=0.1)
        results.extend([loss.data, *grad(loss, [x])])
    assert errors(found[0], expected[0])[0] <= 1e-6
    assert errors(found[1], expected[1])[0] <= BOUNDS[name][0]


def test_arrays_past_two_thousand_million_bytes(card: Card) -> None:
    """Indices of 64 bits: the rectifier and pooling of 2³¹ + elements of float16 (4 GiB) are right at their end."""
    n, c, h = card.pick((2, 3, 4), (172, 64, 448))
    x = card.device.xp.full((n, h, h, c), -1.0, "float16").transpose(0, 3, 1, 2)
    x[n - 1, c - 1, h - 1, h - 1] = 3.0
    y = ops.max_pool2d(ops.relu(x), 2)
    assert y.shape == (n, c, h // 2, h // 2) and float(y[n - 1, c - 1, -1, -1]) == 3.0
    assert float(y[n - 1].sum()) == 3.0 and float(y[0].sum()) == 0.0
