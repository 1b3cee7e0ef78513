"""Convolutions on the card: the ops, and which algorithm serves them."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import ops
from minivgg.backend import layout, precision
from minivgg.errors import ConfigError
from minivgg.fast.cuda import choice, columns, implicit, winograd

from .convolution import Case, errors, problem
from .pretend_cupy.raw_module import LAUNCHES

CASES = [
    problem((6, 7), 16, 17),  # Winograd in float32
    problem((5, 6), 3, 4, stride=(2, 1)),
    problem((4, 5), 5, 3, kernel=(1, 1), padding=(0, 0)),
]


def on_card(drawn, relu):
    """(y, gx, gw, gb) of the op with bias, channels last, by tensors on the card."""
    device, g = mv.Device("cuda"), drawn.problem.geometry
    arrays = (layout.as_nchw(drawn.x), layout.as_kcrs(drawn.w), drawn.b)
    x, w, b = (mv.Tensor(device.asarray(a), requires_grad=True) for a in arrays)
    function = ops.conv2d_relu if relu else ops.conv2d
    y = function(x, w, b, stride=g.stride, padding=g.padding, dilation=g.dilation)
    y.backward(device.asarray(layout.as_nchw(drawn.gy)))
    found = [y.data, x.grad, w.grad, b.grad]
    assert all(np.array_equal(t.data.get(), a) for t, a in zip((x, w, b), arrays, strict=True))
    return [layout.nhwc(found[0].get()), layout.nhwc(found[1].get()), layout.rsck(found[2].get()), found[3].get()]


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_ops_equal_the_definition(card, case, relu):
    """y, gx, gw and gb of Conv2d and Conv2dRelu by loops over windows, in all three number types; behind the rectifier the gradient counts
    where y > 0."""
    for dtype, bound in (("float64", 1e-14), ("float32", 4e-6), ("float16", 2e-3)):
        drawn = Case(case, dtype)
        found = on_card(drawn, relu)
        if relu:
            drawn.gy = drawn.gy * (found[0] > 0)
        y, gx, gw = drawn.naive()
        y = y + drawn.b
        y = np.maximum(y, 0) if relu else y
        assert {a.dtype.name for a in found} == {dtype}
        assert max(errors(found, [y, gx, gw, drawn.gy.sum(axis=(0, 1, 2), dtype=np.float64)])) <= bound


def test_kernels_do_all_the_work_of_a_layer(card):
    """Nothing of a float32 layer of 16 channels but transforms, products and the mask is launched, in this order."""
    drawn = Case(problem((5, 5), 16, 16), "float32")
    LAUNCHES.clear()
    on_card(drawn, relu=True)
    forward = ["winograd_filters", "winograd_images", "winograd_outputs"]
    backward = [*forward, "winograd_images_turned", "winograd_gradients", "winograd_filter_gradient"]
    assert [name for name in LAUNCHES if "sums" not in name] == forward + backward
    assert LAUNCHES[3] == "masked_sums"


def test_storage_does_not_matter(card):
    """Images, filters and gradients in C order, channels last, and with negative strides, give the same."""
    drawn, device = Case(problem((6, 5), 4, 3), "float32"), mv.Device("cuda")
    x, w, gy = (layout.as_nchw(drawn.x), layout.as_kcrs(drawn.w), layout.as_nchw(drawn.gy))
    channels_last, results = lambda a: layout.as_nchw(layout.nhwc(a)), []
    for store in (lambda a: a, channels_last, lambda a: a[::-1].copy()[::-1], lambda a: a[..., ::-1].copy()[..., ::-1]):
        tensors = [mv.Tensor(store(device.asarray(a)), requires_grad=True) for a in (x, w)]
        y = ops.conv2d(*tensors, padding=1)
        y.backward(store(device.asarray(gy)))
        results.append([y.data.get(), *(t.grad.get() for t in tensors)])
    assert all(np.array_equal(a, b) for found in results[1:] for a, b in zip(found, results[0], strict=True))


def test_gradients_of_gradients_use_kernels_too(card):
    """The family's other two ops, whose forward passes are the gradients, equal the definition."""
    drawn = Case(CASES[0])
    _, gx, gw = drawn.naive()
    u, x, w = (card.asarray(a) for a in (layout.as_nchw(drawn.gy), layout.as_nchw(drawn.x), layout.as_kcrs(drawn.w)))
    fields = ((1, 1), (1, 1), (1, 1), 1)
    LAUNCHES.clear()
    found = [ops.Conv2dInput(*fields, x.shape)(u, w), ops.Conv2dWeight(*fields, w.shape)(u, x)]
    assert LAUNCHES == ["columns_gather", "columns_gather_packed"]  # of 17 channels, and of 16
    assert max(errors([layout.nhwc(found[0].get()), layout.rsck(found[1].get())], [gx, gw])) <= 1e-14


def test_groups_are_left_to_the_op(card):
    """A convolution in two groups is two convolutions side by side."""
    halves = [Case(problem((4, 4), 2, 3), seed=seed) for seed in (0, 1)]
    x = layout.as_nchw(np.concatenate([h.x for h in halves], axis=3))
    w = layout.as_kcrs(np.concatenate([h.w for h in halves], axis=3))
    y = ops.conv2d(card.asarray(x), card.asarray(w), padding=1, groups=2)
    assert errors([layout.nhwc(y.get())], [np.concatenate([h.naive()[0] for h in halves], axis=3)])[0] <= 1e-14


def test_the_rules_of_the_choice():
    """Winograd for strict float32 with 3×3 and channels enough; the implicit product for an image of few channels; columns for the rest."""
    vgg, first, strided = problem((56, 56), 128, 256), problem((224, 224), 3, 64), problem((9, 9), 64, 64, stride=(2, 2))
    assert choice.choose(vgg, "float32") is winograd
    assert all(choice.choose(vgg, dtype) is columns for dtype in ("float64", "float16"))
    assert all(choice.choose(first, dtype) is implicit for dtype in ("float32", "float16")) and choice.choose(first, "float64") is columns
    assert choice.choose(strided, "float32") is columns and choice.choose(strided, "float16") is columns
    assert choice.explain(vgg, "float32") == ("winograd", "3×3, stride 1, strict float32: a quarter of the products")


def test_the_implicit_product_serves_narrow_layers_on_tensor_cores(card):
    """In TF32 and half precision up to 128 channels and filters, where columns would take longest; never in strict float32 or float64."""
    narrow, wide, small = problem((112, 112), 128, 128), problem((56, 56), 128, 256), problem((8, 8), 128, 128)
    assert choice.choose(small, "float16") is columns  # three quarters of a tile would be empty
    assert choice.choose(narrow, "float32") is winograd
    assert choice.choose(narrow, "float16") is implicit and choice.choose(wide, "float16") is columns
    with precision.precision("tf32"):
        assert choice.choose(narrow, "float32") is implicit and choice.choose(wide, "float32") is columns
        assert choice.choose(narrow, "float64") is columns
    with precision.precision("fp16"):  # arrays that nobody has cast are computed strictly
        assert choice.choose(narrow, "float32") is winograd


def test_the_implicit_product_does_all_the_work_where_it_is_forced(card):
    """A float32 layer that would be Winograd's: values and gradients by the kernels without columns, equal to the definition."""
    drawn = Case(problem((5, 5), 16, 16), "float32")
    LAUNCHES.clear()
    with mv.conv_algorithm("implicit"):
        found = on_card(drawn, relu=False)
    assert {name for name in LAUNCHES if "sums" not in name} == {"direct_forward", "direct_weight", "sum_parts"}
    assert max(errors(found[:3], [drawn.naive()[0] + drawn.b, *drawn.naive()[1:]])) <= 4e-6


@pytest.mark.parametrize(
    ("name", "case", "dtype", "why"),
    [
        ("winograd", problem((9, 9), 16, 16, stride=(2, 2)), "float32", "its stride is 2×2, not 1×1"),
        ("winograd", problem((9, 9), 16, 16, padding=(3, 1)), "float32", r"its padding is \(3, 1\)"),
        ("winograd", problem((9, 9), 16, 16), "float16", "the images are float16"),
        ("implicit", problem((9, 9), 16, 16, kernel=(1, 1)), "float16", "its kernel is 1×1, not 3×3"),
        ("implicit", problem((9, 9), 16, 16), "float64", "the images are float64"),
        ("implicit", problem((1 << 15, 1 << 15), 2, 2), "float32", "one image or the filters have 2³¹ numbers or more"),
    ],
)
def test_an_algorithm_can_be_forced(name, case, dtype, why):
    """`conv_algorithm` holds for cards, too, and says what can't be done."""
    with mv.conv_algorithm(name):
        assert choice.choose(problem((9, 9), 1, 1, padding=(2, 2)), "float32") is choice.ALGORITHMS[name]
        with pytest.raises(ConfigError, match=f'conv_algorithm="{name}" needs 3×3 .* but {why}'):
            choice.choose(case, dtype)
    with mv.conv_algorithm("winograd"):
        assert choice.choose(problem((9, 9), 1, 1), "float64") is winograd
    with mv.conv_algorithm("im2col"):
        assert choice.explain(problem((9, 9), 64, 64), "float32") == ("im2col", "conv_algorithm asks for it")
