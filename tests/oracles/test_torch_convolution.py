"""Convolution, its transposed, and its filter gradient, against PyTorch over many geometries."""

from __future__ import annotations

import pytest

from minivgg import ops

torch = pytest.importorskip("torch", reason="PyTorch is not installed: run scripts/oracles")
F = pytest.importorskip("torch.nn.functional")

# images, filters, options: each name says what is special
GEOMETRIES = {
    "vgg": ((2, 3, 8, 8), (4, 3, 3, 3), {"padding": 1}),
    "vgg, small image": ((3, 4, 2, 2), (5, 4, 3, 3), {"padding": 1}),
    "one pixel": ((4, 3, 1, 1), (2, 3, 3, 3), {"padding": 1}),
    "1x1": ((2, 3, 4, 5), (4, 3, 1, 1), {}),
    "no padding": ((2, 2, 6, 7), (3, 2, 3, 3), {}),
    "as large as the image": ((2, 2, 4, 3), (3, 2, 4, 3), {}),
    "stride": ((2, 3, 7, 8), (2, 3, 3, 3), {"stride": 2, "padding": 1}),
    "stride past the kernel": ((1, 2, 9, 8), (3, 2, 2, 2), {"stride": 3}),
    "stride leaves a rest": ((2, 2, 8, 7), (2, 2, 3, 2), {"stride": (3, 2), "padding": (1, 0)}),
    "rectangular": ((2, 3, 6, 9), (4, 3, 2, 5), {"stride": (1, 2), "padding": (0, 2)}),
    "row": ((2, 2, 5, 8), (3, 2, 1, 7), {"padding": (0, 3)}),
    "dilation": ((2, 2, 9, 9), (3, 2, 3, 3), {"dilation": 2, "padding": 2}),
    "dilation of one axis": ((1, 2, 7, 6), (3, 2, 3, 2), {"dilation": (3, 1)}),
    "dilation of one axis, larger image": ((2, 2, 14, 12), (3, 2, 3, 2), {"dilation": (3, 1), "padding": (2, 1)}),
    "dilation and stride": ((2, 2, 9, 8), (3, 2, 2, 3), {"dilation": (2, 3), "stride": (2, 1), "padding": (1, 3)}),
    "wide padding": ((1, 2, 3, 3), (2, 2, 2, 2), {"padding": (4, 3)}),
    "groups": ((2, 6, 5, 5), (4, 3, 3, 3), {"groups": 2, "padding": 1}),
    "a group per channel": ((2, 4, 5, 6), (8, 1, 3, 3), {"groups": 4, "padding": 1, "stride": (1, 2)}),
    "groups and dilation": ((1, 6, 7, 7), (9, 2, 3, 2), {"groups": 3, "dilation": (2, 1), "padding": (2, 1), "stride": 2}),
    "even kernel": ((2, 3, 8, 8), (4, 3, 4, 4), {"padding": 2}),
    "empty batch": ((0, 3, 4, 4), (2, 3, 3, 3), {"padding": 1}),
    "several tiles": ((3, 24, 24, 24), (6, 24, 3, 3), {"padding": 1}),
}
every_geometry = pytest.mark.parametrize(("x_shape", "w_shape", "options"), GEOMETRIES.values(), ids=GEOMETRIES)


def pairs(options):
    """(stride, padding, dilation, groups) as minivgg's ops hold them."""
    given = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, **options}
    made = [n if isinstance(n, tuple) else (n, n) for n in (given["stride"], given["padding"], given["dilation"])]
    return (*made, given["groups"])


def output_shape(x_shape, w_shape, options):
    """What torch makes of these shapes."""
    return tuple(F.conv2d(torch.zeros(x_shape), torch.zeros(w_shape), **options).shape)


@every_geometry
@pytest.mark.parametrize("relu", [False, True], ids=["alone", "with relu"])
def test_conv2d(agree, rng, x_shape, w_shape, options, relu):
    """Derivatives by the images, the filters and the bias; with the ReLU behind it as one op of ours, two of torch's."""
    agree(
        lambda x, w, b: (ops.conv2d_relu if relu else ops.conv2d)(x, w, b, **options),
        lambda x, w, b: (F.relu if relu else lambda y: y)(F.conv2d(x, w, b, **options)),
        rng.standard_normal(x_shape),
        rng.standard_normal(w_shape),
        rng.standard_normal(w_shape[0]),
    )


@every_geometry
def test_conv2d_input_is_conv_transpose2d(agree, rng, x_shape, w_shape, options):
    """The image gradient; output_padding says which of the sizes that give the same output was meant."""
    y_shape, (stride, padding, dilation, groups) = output_shape(x_shape, w_shape, options), pairs(options)
    least = [(y_shape[2 + i] - 1) * stride[i] - 2 * padding[i] + dilation[i] * (w_shape[2 + i] - 1) + 1 for i in (0, 1)]
    rest = [n - m for n, m in zip(x_shape[2:], least, strict=True)]
    agree(
        lambda u, w: ops.Conv2dInput(stride, padding, dilation, groups, x_shape)(u, w),
        lambda u, w: F.conv_transpose2d(
            u, w, stride=stride, padding=padding, output_padding=rest, dilation=dilation, groups=groups
        ),
        rng.standard_normal(y_shape),
        rng.standard_normal(w_shape),
    )  # fmt: skip


@every_geometry
def test_conv2d_weight_is_torchs_filter_gradient(agree, rng, x_shape, w_shape, options):
    """The filter gradient as a function of its own, with derivatives."""
    agree(
        lambda u, x: ops.Conv2dWeight(*pairs(options), w_shape)(u, x),
        lambda u, x: torch.nn.grad.conv2d_weight(x, w_shape, u, *pairs(options)),
        rng.standard_normal(output_shape(x_shape, w_shape, options)),
        rng.standard_normal(x_shape),
    )


def test_conv2d_twice_with_the_same_filters(agree, rng):
    """Filters used by two layers collect both gradients."""
    agree(
        lambda x, w: ops.conv2d(ops.tanh(ops.conv2d(x, w, padding=1)), w, padding=1),
        lambda x, w: F.conv2d(torch.tanh(F.conv2d(x, w, padding=1)), w, padding=1),
        rng.standard_normal((2, 3, 5, 6)),
        rng.standard_normal((3, 3, 3, 3)) * 0.3,
    )


def test_third_derivative_of_a_convolution(compare, rng):
    """The gradient of a squared gradient's squared gradient: the family of three ops goes on."""
    import minivgg as mv

    x, w = rng.standard_normal((2, 2, 4, 5)), rng.standard_normal((2, 2, 3, 3)) * 0.3
    ours, theirs = [mv.Tensor(a, requires_grad=True) for a in (x, w)], [torch.tensor(a, requires_grad=True) for a in (x, w)]
    y = (ops.tanh(ops.conv2d(*ours, padding=1)) ** 2).sum()
    z = (torch.tanh(F.conv2d(*theirs, padding=1)) ** 2).sum()
    for kind in ("gradient", "second", "second"):
        gy, gz = mv.grad(y, ours, create_graph=True), torch.autograd.grad(z, theirs, create_graph=True)
        compare(kind, gy, list(gz))
        y, z = 0.01 * sum((g * g).sum() for g in gy), 0.01 * sum((g * g).sum() for g in gz)
