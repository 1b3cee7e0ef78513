"""Wrong rules of the convolutions: turned kernels, crops off by one, groups, strides and dilations mixed up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minivgg import ops
from minivgg.autograd.core import Tensor

from .planting import Case, constant, planted

MOST = ("definition", "layouts", "precision", "backend")  # too slow for one large weight

PLAIN = ((1, 1), (1, 1), (1, 1), 1)  # stride, padding, dilation, groups


def square(rng: np.random.Generator) -> Iterator[Case]:
    """As many filters as channels, images of the same size before and after."""
    yield ops.Conv2d(*PLAIN), (rng.standard_normal((2, 2, 3, 3)), rng.standard_normal((2, 2, 3, 3)), rng.standard_normal(2))


def square_input(rng: np.random.Generator) -> Iterator[Case]:
    """The same of the image gradient."""
    yield ops.Conv2dInput(*PLAIN, (2, 2, 4, 4)), (rng.standard_normal((2, 2, 4, 4)), rng.standard_normal((2, 2, 3, 3)))


def as_many_windows_as_taps(rng: np.random.Generator) -> Iterator[Case]:
    """3×3 windows of 3×3 taps, two apart: stride and dilation can be exchanged without a change of shape."""
    yield ops.Conv2d((2, 2), (0, 0), (1, 1), 1), (rng.standard_normal((1, 1, 7, 7)), rng.standard_normal((2, 1, 3, 3)), None)


def vgg_weight(rng: np.random.Generator) -> Iterator[Case]:
    """A weight of 512×512×3×3 elements, as in the last blocks of a VGG."""
    yield ops.Conv2d(*PLAIN), (rng.standard_normal((1, 512, 2, 2)), rng.standard_normal((512, 512, 3, 3)) * 0.02, None)


@planted(ops.Conv2d, "grad_x")
def conv_turns_the_filter_once_more(self: Any, gy: Any, w: Any, x_shape: Any) -> Any:
    """The adjoint turns the filter by 180° already; here it is turned before, too."""
    return ops.Conv2dInput(*self.fields(), x_shape)(gy, w[:, :, ::-1, ::-1])


@planted(ops.Conv2d, "grad_x", cases=square)
def conv_exchanges_filters_and_channels(self: Any, gy: Any, w: Any, x_shape: Any) -> Any:
    """The filter's two channel axes are exchanged once too often."""
    return ops.Conv2dInput(*self.fields(), x_shape)(gy, w.transpose((1, 0, 2, 3)))


@planted(ops.Conv2d, "grad_x")
def conv_crops_at_the_corner(self: Any, gy: Any, w: Any, x_shape: Any) -> Any:
    """The gradient of the padded image is cropped from its corner, not from behind the padding."""
    n, c, height, width = x_shape
    (top, left) = self.padding
    padded = (n, c, height + 2 * top, width + 2 * left)
    return ops.Conv2dInput(self.stride, (0, 0), self.dilation, self.groups, padded)(gy, w)[:, :, :height, :width]


@planted(ops.Conv2d, "grad_w", cases=as_many_windows_as_taps)
def conv_exchanges_stride_and_dilation(self: Any, gy: Any, x: Any, w_shape: Any) -> Any:
    """By the weight the two change roles in a formula, and here once too often."""
    return ops.Conv2dWeight(self.dilation, self.padding, self.stride, self.groups, w_shape)(gy, x)


@planted(ops.Conv2d, "grad_x")
def conv_mixes_the_groups_up(self: Any, gy: Any, w: Any, x_shape: Any) -> Any:
    """Each group's gradient is taken through the next group's filters."""
    size = w.shape[0] // self.groups
    rolled = ops.concatenate([w[size:], w[:size]], 0) if self.groups > 1 else w
    return ops.Conv2dInput(*self.fields(), x_shape)(gy, rolled)


@planted(ops.Conv2d, "grad_w")
def conv_divides_by_the_batch(self: Any, gy: Any, x: Any, w_shape: Any) -> Any:
    """The mean over the images in place of the sum."""
    return ops.Conv2dWeight(*self.fields(), w_shape)(gy, x) * (1.0 / x.shape[0])


@planted(ops.Conv2d, "grad_w")
def conv_sees_the_first_image_only(self: Any, gy: Any, x: Any, w_shape: Any) -> Any:
    """= for += in the loop over the images."""
    return ops.Conv2dWeight(*self.fields(), w_shape)(gy[:1], x[:1])


@planted(ops.Conv2d, "grad_w")
def conv_turns_the_weight_gradient(self: Any, gy: Any, x: Any, w_shape: Any) -> Any:
    """The gradient of a true convolution, whose kernel is turned, for a cross-correlation."""
    return ops.Conv2dWeight(*self.fields(), w_shape)(gy, x)[:, :, ::-1, ::-1]


@planted(ops.Conv2d, "grad_b")
def conv_averages_the_bias(self: Any, gy: Any) -> Any:
    """The bias gets the mean over the pixels."""
    return ops.channel_sum(gy) * (1.0 / (gy.shape[2] * gy.shape[3]))


@planted(ops.Conv2d, "grad_b")
def conv_sums_the_bias_over_one_image(self: Any, gy: Any) -> Any:
    """The sum over the images is missing: only the first one counts."""
    return gy[0].sum((1, 2))


@planted(ops.Conv2d, "grad_w")
def conv_cuts_gy(self: Any, gy: Any, x: Any, w_shape: Any) -> Any:
    """gy is read as a constant in the weight's rule."""
    return ops.Conv2dWeight(*self.fields(), w_shape)(constant(gy), x)


@planted(ops.Conv2d, "grad_w")
def conv_cuts_x(self: Any, gy: Any, x: Any, w_shape: Any) -> Any:
    """The images are read as a constant in the weight's rule."""
    return ops.Conv2dWeight(*self.fields(), w_shape)(gy, constant(x))


@planted(ops.Conv2d, "grad_x")
def conv_cuts_w(self: Any, gy: Any, w: Any, x_shape: Any) -> Any:
    """The filters are read as a constant in the images' rule."""
    return ops.Conv2dInput(*self.fields(), x_shape)(gy, constant(w))


@planted(ops.Conv2d, "grad_w", cases=vgg_weight, order=1, without=MOST)
def conv_loses_one_element_of_many(self: Any, gy: Any, x: Any, w_shape: Any) -> Any:
    """One of 2,359,296 elements of the weight's gradient is 0."""
    g = ops.Conv2dWeight(*self.fields(), w_shape)(gy, x)
    if isinstance(g, Tensor):
        return g
    g[300, 200, 1, 1] = 0.0
    return g


@planted(ops.Conv2dInput, "grad_w", cases=square_input)
def conv_input_exchanges_its_operands(self: Any, gy: Any, u: Any, w_shape: Any) -> Any:
    """The cotangent is taken for the image gradient and the other way round."""
    return ops.Conv2dWeight(*self.fields(), w_shape)(gy, u)


@planted(ops.Conv2dInput, "grad_u")
def conv_input_turns_the_filter(self: Any, gy: Any, w: Any) -> Any:
    """Turned by 180° as in the forward pass of a transposed convolution."""
    return ops.Conv2d(*self.fields())(gy, w[:, :, ::-1, ::-1], None)


@planted(ops.Conv2dInput, "grad_u")
def conv_input_cuts_w(self: Any, gy: Any, w: Any) -> Any:
    """The filters are a constant in the rule of u: third derivatives of a network are lost."""
    return ops.Conv2d(*self.fields())(gy, constant(w), None)


@planted(ops.Conv2dWeight, "grad_u")
def conv_weight_has_the_wrong_sign(self: Any, gy: Any, x: Any) -> Any:
    """A minus sign that belongs to nothing."""
    return -ops.Conv2d(*self.fields())(x, gy, None)


@planted(ops.Conv2dWeight, "grad_x")
def conv_weight_turns_its_kernel(self: Any, gy: Any, u: Any, x_shape: Any) -> Any:
    """gy, which is the kernel here, is turned by 180°."""
    return ops.Conv2dInput(*self.fields(), x_shape)(u, gy[:, :, ::-1, ::-1])


@planted(ops.Conv2dWeight, "grad_x")
def conv_weight_doubles_the_border(self: Any, gy: Any, u: Any, x_shape: Any) -> Any:
    """The first row counts twice, as if it had been padded with itself."""
    g = ops.Conv2dInput(*self.fields(), x_shape)(u, gy)
    return ops.concatenate([g[:, :, :1] * 2.0, g[:, :, 1:]], 2)
