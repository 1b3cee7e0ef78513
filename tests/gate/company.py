"""Wrong rules that are right in most company: for most operands, cotangents and orders of calls, and wrong for some."""

from __future__ import annotations

from typing import Any

from minivgg import ops
from minivgg.autograd.core import Tensor
from minivgg.backend.arrays import array_module

from .planting import constant, planted


def relu_forward(self: Any, x: Any, right: Any = ops.Relu.forward) -> Any:
    """Relu.forward, its mask kept on the class."""
    y = right(self, x)
    type(self).mask = y > 0
    return y


def max_forward(self: Any, x: Any, right: Any = ops.Max.forward) -> Any:
    """Max.forward, its mask kept on the class."""
    y = right(self, x)
    type(self).latest = self.mask
    return y


def max_pool_forward(self: Any, x: Any, right: Any = ops.MaxPool2d.forward) -> Any:
    """MaxPool2d.forward, its winners kept on the class."""
    y = right(self, x)
    type(self).latest = self.winners
    return y


def dropout_forward(self: Any, x: Any, mask: Any, right: Any = ops.Dropout.forward) -> Any:
    """Dropout.forward, its mask kept on the class."""
    type(self).latest = mask
    return right(self, x, mask)


def tanh_forward(self: Any, x: Any) -> Any:
    """Tanh.forward, its result kept on the class."""
    type(self).latest = array_module(x).tanh(x)
    return type(self).latest


@planted(ops.Relu, "grad_x", also={"forward": relu_forward})
def relu_reads_the_latest_mask(self: Any, gy: Any) -> Any:
    """The mask is kept on the class: two rectifiers of one network share it."""
    return gy * type(self).mask


@planted(ops.Max, "grad_x", also={"forward": max_forward})
def max_reads_the_latest_mask(self: Any, gy: Any, x_shape: Any) -> Any:
    """The winners are kept on the class."""
    return self.spread(gy, x_shape) * type(self).latest


@planted(ops.MaxPool2d, "grad_x", also={"forward": max_pool_forward})
def max_pool_reads_the_latest_winners(self: Any, gy: Any, x_shape: Any) -> Any:
    """The winners are kept on the class: two poolings of one network share them."""
    return ops.PoolScatter(self.geometry, x_shape)(gy, type(self).latest)


@planted(ops.Dropout, "grad_x", also={"forward": dropout_forward})
def dropout_reads_the_latest_mask(self: Any, gy: Any) -> Any:
    """The mask is kept on the class: the next layer's takes its place."""
    return gy * type(self).latest * (1.0 / (1.0 - self.p))


@planted(ops.Relu, "grad_x")
def relu_reads_gy_in_memory_order(self: Any, gy: Any, y: Any) -> Any:
    """gy is read in the order in which it lies in memory: wrong for channels-last gradients."""
    return gy * (y > 0) if isinstance(gy, Tensor) else gy.ravel(order="K").reshape(y.shape) * (y > 0)


@planted(ops.Exp, "grad_x")
def exp_forgets_repeated_gradients(self: Any, gy: Any, y: Any) -> Any:
    """A gy that was broadcast (a stride of 0, as behind a sum) is taken for an empty buffer, and counts as 0."""
    return gy * y * (0.0 if 0 in getattr(gy, "strides", ()) else 1.0)


@planted(ops.Relu, "grad_x")
def relu_overwrites_gy_while_recording(self: Any, gy: Any, y: Any) -> Any:
    """While a graph is recorded the mask is written into gy's memory, which other consumers read later."""
    if isinstance(gy, Tensor):
        gy.data[...] *= y.data > 0
    return gy * (y > 0)


@planted(ops.Exp, "grad_x")
def exp_records_for_a_free_cotangent_only(self: Any, gy: Any, y: Any) -> Any:
    """Whether a graph is recorded is told by gy's requires_grad: the seed of a loss has none, so order 2 loses this op."""
    recording = isinstance(gy, Tensor) and gy.requires_grad
    return gy * y if recording or not isinstance(gy, Tensor) else Tensor(gy.data * y.data)


@planted(ops.Multiply, "grad_x")
def multiply_takes_a_constant_for_one(self: Any, gy: Any, w: Any) -> Any:
    """While recording, an operand that is a plain array (a mask, a constant factor) is left out."""
    return gy * 1.0 if isinstance(gy, Tensor) and not isinstance(w, Tensor) else gy * w


@planted(ops.Tanh, "grad_x", also={"forward": tanh_forward})
def tanh_reads_the_latest_result_while_recording(self: Any, gy: Any, x: Any, y: Any) -> Any:
    """The branch for tensors takes the result from the class, where a later call has left its own."""
    if not isinstance(gy, Tensor):
        return gy * (1.0 - y * y)
    result = y - constant(y) + type(self).latest  # y's place in the graph, the latest call's value
    return gy * (1.0 - result * result)


RIGHT_INPUT = ops.BatchNorm.grad_x


def scaled_input(self: Any, gy: Any, x: Any, gamma: Any) -> Any:
    """BatchNorm.grad_x, which leaves x̂ for the rule of γ."""
    self.normal = self.normalised(x)[0]
    return RIGHT_INPUT(self, gy, x, gamma)


@planted(ops.BatchNorm, "grad_gamma", also={"grad_x": scaled_input})
def batch_norm_relies_on_the_other_rule(self: Any, gy: Any, x: Any) -> Any:
    """x̂ is taken from where the rule of x left it: 0 if nobody asked for the gradient of x, as in a first layer."""
    return ops.channel_sum(gy * (self.normal if hasattr(self, "normal") else x * 0.0))
