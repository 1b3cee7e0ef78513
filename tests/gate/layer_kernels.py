"""Wrong kernels of convolutions, their fusions, linear layers and element-wise layers: parts lost, masks too late, memory used twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minivgg import ops

from .kernels import per_channel, right, wrong_kernel
from .planting import Case

CONV_FORWARD, CONV_BACKWARD = right(ops.Conv2d, "forward"), right(ops.Conv2d, "backward")
CONV_RELU_FORWARD, CONV_RELU_BACKWARD = right(ops.Conv2dRelu, "forward"), right(ops.Conv2dRelu, "backward")
CONV_WEIGHT = right(ops.Conv2dWeight, "forward")
NORM_RELU_FORWARD, NORM_RELU_BACKWARD = right(ops.BatchNormRelu, "forward"), right(ops.BatchNormRelu, "backward")
LINEAR_FORWARD, LINEAR_BACKWARD = right(ops.Linear, "forward"), right(ops.Linear, "backward")
RELU_BACKWARD = right(ops.Relu, "backward")
SUM, AFFINE, DROPOUT = (right(op, "forward") for op in (ops.ChannelSum, ops.ChannelAffine, ops.Dropout))


def square(rng: np.random.Generator) -> Iterator[Case]:
    """As many rows, inputs and outputs."""
    yield ops.Linear(), (rng.standard_normal((3, 3)), rng.standard_normal((3, 3)), rng.standard_normal(3))


def two_layers(rng: np.random.Generator) -> Iterator[Case]:
    """Two convolutions of the same shapes in one function."""
    layer = ops.Conv2d((1, 1), (1, 1), (1, 1), 1)
    yield (lambda x, v, w: layer(x, w, None) + layer(v, w * 2.0, None)), tuple(rng.standard_normal((2, 2, 3, 3)) for _ in range(3))


def turned_scales(rng: np.random.Generator) -> Iterator[Case]:
    """Batch norm with a negative γ, behind it a rectifier; no result near zero."""
    x = rng.permutation(24).reshape(3, 2, 2, 2) * 0.25
    yield ops.BatchNormRelu(0.1), (x, np.array([-1.2, 0.8]), np.array([0.05, -0.07]))


@wrong_kernel(ops.Conv2d, "forward", ops.Conv2d.examples)
def conv_gives_the_bias_to_the_first_image(call: Any, x: Any, w: Any, b: Any) -> Any:
    """Only the first part of the result gets the bias."""
    y = CONV_FORWARD(call, x, w, b)
    if b is not None:
        y[1:] -= per_channel(b)
    return y


@wrong_kernel(ops.Conv2d, "forward", ops.Conv2d.examples)
def conv_forgets_a_border_in_float32(call: Any, x: Any, w: Any, b: Any) -> Any:
    """The algorithm for float32 leaves the last column of outputs, which fills no tile, without its last tap."""
    y = CONV_FORWARD(call, x, w, b)
    if x.dtype == np.float32:
        y[..., -1] *= 0.75
    return y


@wrong_kernel(ops.Conv2d, "backward", ops.Conv2d.examples)
def conv_loses_all_but_one_sum(call: Any, gy: Any, saved: Any, shapes: Any, wanted: Any) -> Any:
    """gw is summed image by image, and only the first image's sum is returned."""
    gx, gw, gb = CONV_BACKWARD(call, gy, saved, shapes, wanted)
    if gw is not None:
        first = {**saved, "x": saved["x"][:1]}
        gw = CONV_BACKWARD(call, gy[:1], first, [(1, *shapes[0][1:]), *shapes[1:]], [False, True, False])[1]
    return [gx, gw, gb]


@wrong_kernel(ops.Conv2d, "backward", two_layers)
def conv_gives_its_memory_out_twice(call: Any, gy: Any, saved: Any, shapes: Any, wanted: Any) -> Any:
    """All image gradients of one shape lie in the same memory, while earlier ones are still in use."""
    gx, gw, gb = CONV_BACKWARD(call, gy, saved, shapes, wanted)
    if gx is not None:
        kept = KEPT.setdefault((gx.shape, gx.dtype), gx)
        kept[...] = gx
        gx = kept
    return [gx, gw, gb]


KEPT: dict[Any, Any] = {}


@wrong_kernel(ops.Conv2dRelu, "forward", ops.Conv2dRelu.examples)
def fused_conv_rectifies_before_the_bias(call: Any, x: Any, w: Any, b: Any) -> Any:
    """max(x ⋆ w, 0) + b."""
    y = CONV_RELU_FORWARD(call, x, w, None)
    return y if b is None else y + per_channel(b)


@wrong_kernel(ops.Conv2dRelu, "backward", ops.Conv2dRelu.examples)
def fused_conv_does_not_mask_the_bias(call: Any, gy: Any, saved: Any, shapes: Any, wanted: Any) -> Any:
    """gb is the sum of all that arrives, not only of what the rectifier lets through."""
    gx, gw, gb = CONV_RELU_BACKWARD(call, gy, saved, shapes, wanted)
    return [gx, gw, None if gb is None else gy.sum((0, 2, 3))]


@wrong_kernel(ops.Conv2dRelu, "backward", ops.Conv2dRelu.examples)
def fused_conv_masks_half_of_the_images(call: Any, gy: Any, saved: Any, shapes: Any, wanted: Any) -> Any:
    """The mask of the first part is used, all later parts are let through."""
    y = saved["y"].copy()
    y[1:] = 1.0
    return CONV_RELU_BACKWARD(call, gy, {**saved, "y": y}, shapes, wanted)


@wrong_kernel(ops.Conv2dWeight, "forward", ops.Conv2dWeight.examples)
def filter_gradient_is_turned(call: Any, u: Any, x: Any) -> Any:
    """The taps are numbered from the end: gw turned by 180°."""
    return CONV_WEIGHT(call, u, x)[:, :, ::-1, ::-1]


@wrong_kernel(ops.BatchNormRelu, "forward", ops.BatchNormRelu.examples)
def fused_norm_rectifies_before_the_shift(call: Any, x: Any, gamma: Any, beta: Any) -> Any:
    """max(γ·x̂, 0) + β."""
    return NORM_RELU_FORWARD(call, x, gamma, beta * 0.0) + per_channel(beta)


@wrong_kernel(ops.BatchNormRelu, "backward", turned_scales)
def fused_norm_divides_its_threshold(call: Any, gy: Any, saved: Any, shapes: Any, wanted: Any) -> Any:
    """The mask is x − μ > −β·s/γ, which is the wrong way round where γ < 0."""
    sign = per_channel(np.sign(saved["gamma"]))
    made = ops.BatchNorm(call.eps)
    made.mean, made.variance = call.mean, call.variance
    mask = sign * made.again(saved["x"], saved["gamma"], saved["beta"]) > 0
    return right(ops.BatchNorm, "backward")(made, gy * mask, saved, shapes, wanted)


@wrong_kernel(ops.BatchNormRelu, "backward", ops.BatchNormRelu.examples)
def fused_norm_masks_after_its_sums(call: Any, gy: Any, saved: Any, shapes: Any, wanted: Any) -> Any:
    """gβ is summed in the first pass, which does not mask yet."""
    gx, ggamma, gbeta = NORM_RELU_BACKWARD(call, gy, saved, shapes, wanted)
    return [gx, ggamma, None if gbeta is None else gy.sum((0, 2, 3))]


@wrong_kernel(ops.ChannelAffine, "forward", ops.ChannelAffine.examples)
def affine_repeats_the_shift_number_by_number(call: Any, x: Any, a: Any, b: Any) -> Any:
    """Along a row of pixels each constant is repeated before the next one comes: b₀b₀b₁b₁ for b₀b₁b₀b₁."""
    y = AFFINE(call, x, a, b * 0.0)
    return y + np.repeat(b, x.shape[3]).reshape(1, x.shape[3], 1, -1).transpose(0, 3, 2, 1)


@wrong_kernel(ops.ChannelSum, "forward", ops.ChannelSum.examples)
def channel_sum_loses_the_last_row(call: Any, x: Any) -> Any:
    """The rows are cut into equal parts, and what is left over is not summed."""
    return SUM(call, x[:, :, :-1])


@wrong_kernel(ops.Dropout, "forward", ops.Dropout.examples)
def dropout_multiplies_by_the_share(call: Any, x: Any, mask: Any) -> Any:
    """1 − p in place of 1/(1 − p)."""
    return DROPOUT(call, x, mask) * (1.0 - call.p) ** 2


@wrong_kernel(ops.Dropout, "forward", ops.Dropout.examples)
def dropout_reads_the_mask_in_memory_order(call: Any, x: Any, mask: Any) -> Any:
    """x and the mask are taken as vectors as they lie, though they may lie differently."""
    return DROPOUT(call, x, mask.ravel(order="K").reshape(x.shape))


@wrong_kernel(ops.Linear, "forward", ops.Linear.examples)
def linear_forgets_the_bias_of_the_last_piece(call: Any, x: Any, w: Any, b: Any) -> Any:
    """The result is computed by columns; the last ones are returned without the bias."""
    y = LINEAR_FORWARD(call, x, w, b)
    if b is not None:
        y[:, -1] -= b[-1]
    return y


@wrong_kernel(ops.Linear, "backward", square)
def linear_forgets_a_transpose(call: Any, gy: Any, saved: Any, shapes: Any, wanted: Any) -> Any:
    """gw is xᵀ gy: of the right shape where the layer is square."""
    gx, gw, gb = LINEAR_BACKWARD(call, gy, saved, shapes, wanted)
    return [gx, None if gw is None else gw.T, gb]


@wrong_kernel(ops.Linear, "backward", ops.Linear.examples)
def linear_is_wrong_without_the_bias(call: Any, gy: Any, saved: Any, shapes: Any, wanted: Any) -> Any:
    """The short way, for layers without a bias, returns half of gx."""
    gx, gw, gb = LINEAR_BACKWARD(call, gy, saved, shapes, wanted)
    return [gx * 0.5 if gx is not None and not wanted[2] else gx, gw, gb]


@wrong_kernel(ops.Relu, "forward", ops.Relu.examples)
def relu_kernel_leaks(call: Any, x: Any) -> Any:
    """A hundredth of what is negative passes."""
    return np.maximum(x, 0.01 * x)


@wrong_kernel(ops.Relu, "backward", ops.Relu.examples)
def relu_kernel_lets_zero_through(call: Any, gy: Any, saved: Any, shapes: Any, wanted: Any) -> Any:
    """y ≥ 0 in place of y > 0: everything passes."""
    return [gy * (saved["y"] >= 0)]


@wrong_kernel(ops.Relu, "backward", ops.Relu.examples)
def relu_kernel_works_in_gy(call: Any, gy: Any, saved: Any, shapes: Any, wanted: Any) -> Any:
    """The masked gradient is written into the memory of the one that arrives."""
    result = RELU_BACKWARD(call, gy, saved, shapes, wanted)[0]
    if gy.flags.writeable:
        gy[...] = result
    return [result]
