"""Wrong rules of fused ops: the rectifier's mask forgotten, taken from somewhere else, or applied on the wrong side."""

from __future__ import annotations

from typing import Any

from minivgg import ops

from .planting import constant, planted


def mask(self: Any, x: Any, gamma: Any, beta: Any) -> Any:
    """Where the forward pass of BatchNormRelu let x through."""
    return norm(self).again(*(constant(v).data if hasattr(v, "node") else v for v in (x, gamma, beta))) > 0


def norm(self: Any) -> Any:
    """Batch norm with the statistics of a call of BatchNormRelu."""
    made = ops.BatchNorm(self.eps)
    made.mean, made.variance = self.mean, self.variance
    return made


def conv(self: Any) -> Any:
    """The convolution in a Conv2dRelu."""
    return ops.Conv2d(*self.fields())


def batch_norm_relu_forward(self: Any, x: Any, gamma: Any, beta: Any, right: Any = ops.BatchNormRelu.forward) -> Any:
    """BatchNormRelu.forward, its mask kept on the class."""
    y = right(self, x, gamma, beta)
    type(self).latest = y > 0
    return y


@planted(ops.BatchNormRelu, "grad_x")
def fused_norm_forgets_the_rectifier(self: Any, gy: Any, x: Any, gamma: Any) -> Any:
    """Batch norm's rule with gy as it comes."""
    return norm(self).grad_x(gy, x, gamma)


@planted(ops.BatchNormRelu, "grad_x")
def fused_norm_masks_by_its_input(self: Any, gy: Any, x: Any, gamma: Any) -> Any:
    """x > 0 decides in place of γ·x̂ + β > 0."""
    return norm(self).grad_x(gy * (x > 0), x, gamma)


@planted(ops.BatchNormRelu, "grad_x")
def fused_norm_masks_last(self: Any, gy: Any, x: Any, gamma: Any, beta: Any) -> Any:
    """The rectifier and the norm are transposed in the order of the forward pass: the mask comes behind batch norm's rule."""
    return norm(self).grad_x(gy, x, gamma) * mask(self, x, gamma, beta)


@planted(ops.BatchNormRelu, "grad_x")
def fused_norm_masks_its_sums_only(self: Any, gy: Any, x: Any, gamma: Any, beta: Any) -> Any:
    """Mean and variance get the masked gradient, the direct term the whole one."""
    kept = mask(self, x, gamma, beta)
    inverse = norm(self).normalised(x)[1]
    shut = gy * (1.0 - kept) * gamma.reshape((1, gamma.shape[0]) + (1,) * (x.ndim - 2))
    return norm(self).grad_x(gy * kept, x, gamma) + shut * inverse


@planted(ops.BatchNormRelu, "grad_gamma")
def fused_norm_gives_the_scale_everything(self: Any, gy: Any, x: Any) -> Any:
    """The mask is forgotten in the rule of γ."""
    return norm(self).grad_gamma(gy, x)


@planted(ops.BatchNormRelu, "grad_gamma")
def fused_norm_masks_before_the_shift(self: Any, gy: Any, x: Any, gamma: Any) -> Any:
    """The mask is that of γ·x̂, without β."""
    return norm(self).grad_gamma(gy * mask(self, x, gamma, gamma * 0.0), x)


@planted(ops.BatchNormRelu, "grad_beta")
def fused_norm_gives_the_shift_everything(self: Any, gy: Any) -> Any:
    """The mask is forgotten in the rule of β."""
    return ops.channel_sum(gy)


@planted(ops.BatchNormRelu, "grad_beta", also={"forward": batch_norm_relu_forward})
def fused_norm_reads_the_latest_mask(self: Any, gy: Any) -> Any:
    """The mask is kept on the class: two layers of one network share it."""
    return ops.channel_sum(gy * type(self).latest)


@planted(ops.BatchNormRelu, "grad_x")
def fused_norm_keeps_its_statistics_constant(self: Any, gy: Any, x: Any, gamma: Any, beta: Any) -> Any:
    """x is a constant inside the rule: order 2 loses what depends on it."""
    return norm(self).grad_x(gy * mask(self, x, gamma, beta), constant(x), gamma)


@planted(ops.Conv2dRelu, "grad_x")
def fused_conv_forgets_the_rectifier(self: Any, gy: Any, w: Any, x_shape: Any) -> Any:
    """The convolution's rule with gy as it comes."""
    return conv(self).grad_x(gy, w, x_shape)


@planted(ops.Conv2dRelu, "grad_x")
def fused_conv_masks_by_its_input(self: Any, gy: Any, x: Any, w: Any, x_shape: Any) -> Any:
    """The mask is the input's, behind the convolution: that of the layer before."""
    return conv(self).grad_x(gy, w, x_shape) * (x > 0)


@planted(ops.Conv2dRelu, "grad_w")
def fused_conv_masks_with_equality(self: Any, gy: Any, x: Any, y: Any, w_shape: Any) -> Any:
    """y ≥ 0 in place of y > 0: true everywhere behind a rectifier."""
    return conv(self).grad_w(gy * (y >= 0), x, w_shape)


@planted(ops.Conv2dRelu, "grad_w")
def fused_conv_weights_by_its_result(self: Any, gy: Any, x: Any, y: Any, w_shape: Any) -> Any:
    """gy is multiplied by y, not by whether y is positive."""
    return conv(self).grad_w(gy * y, x, w_shape)


@planted(ops.Conv2dRelu, "grad_w")
def fused_conv_cuts_x(self: Any, gy: Any, x: Any, y: Any, w_shape: Any) -> Any:
    """The images are read as a constant in the weight's rule."""
    return conv(self).grad_w(gy * (y > 0), constant(x), w_shape)


@planted(ops.Conv2dRelu, "grad_b")
def fused_conv_gives_the_bias_everything(self: Any, gy: Any) -> Any:
    """The mask is forgotten in the rule of the bias."""
    return ops.channel_sum(gy)
