"""Wrong rules that are right when they are called alone: stale state, memory shared and overwritten, branches taken seldom."""

from __future__ import annotations

from typing import Any

import numpy as np

from minivgg import ops
from minivgg.autograd.core import Tensor, sum_to
from minivgg.backend.arrays import array_module

from .planting import constant, planted


def exp_forward(self: Any, x: Any) -> Any:
    """Exp.forward, its result kept on the class."""
    type(self).result = array_module(x).exp(x)
    return type(self).result


def softmax_forward(self: Any, x: Any, right: Any = ops.Softmax.forward) -> Any:
    """Softmax.forward, which also notes the result of the call before."""
    y = right(self, x)
    type(self).previous, type(self).latest = getattr(type(self), "latest", y), y
    return y


def batch_norm_forward(self: Any, x: Any, gamma: Any, beta: Any, right: Any = ops.BatchNorm.forward) -> Any:
    """BatchNorm.forward, its statistics kept on the class."""
    y = right(self, x, gamma, beta)
    type(self).shared = (self.mean, self.variance)
    return y


def power_forward(self: Any, x: Any, p: Any) -> Any:
    """Power.forward, its base kept on the class."""
    type(self).base = x
    return array_module(x, p).power(x, p)


@planted(ops.Exp, "grad_x", also={"forward": exp_forward})
def exp_reads_the_latest_result(self: Any, gy: Any) -> Any:
    """State on the class: a later call of the op replaces what this one saved."""
    return gy * type(self).result


@planted(ops.Softmax, "grad_x", also={"forward": softmax_forward}, without=("backend",))
def softmax_reads_the_call_before(self: Any, gy: Any) -> Any:
    """A cache that is filled one call late: the rule reads the result of the previous call."""
    cls = type(self)
    y = cls.previous if cls.previous.shape == gy.shape else cls.latest
    return y * (gy - (gy * y).sum(self.axis, keepdims=True))


@planted(ops.BatchNorm, "grad_gamma", also={"forward": batch_norm_forward})
def batch_norm_reads_the_latest_statistics(self: Any, gy: Any, x: Any) -> Any:
    """Mean and variance on the class: two batch norms in one network share them."""
    self.mean, self.variance = type(self).shared
    return ops.channel_sum(gy * self.normalised(x)[0])


@planted(ops.Power, "grad_p", also={"forward": power_forward})
def power_reads_the_latest_base(self: Any, gy: Any, y: Any) -> Any:
    """The base is kept on the class."""
    return gy * y * ops.log(type(self).base)


@planted(ops.Tanh, "grad_x")
def tanh_remembers_its_first_gradient(self: Any, gy: Any, y: Any) -> Any:
    """The gradient is cached on the call: a second sweep with another cotangent gets the first one's."""
    if isinstance(gy, Tensor):
        return gy * (1.0 - y * y)
    if not hasattr(self, "remembered"):
        self.remembered = gy * (1.0 - y * y)
    return self.remembered


@planted(ops.Sigmoid, "grad_x")
def sigmoid_overwrites_its_result(self: Any, gy: Any, y: Any) -> Any:
    """y(1 − y) is computed in y's own memory, so the second sweep reads it as y."""
    slope = constant(y).data if isinstance(y, Tensor) else y
    slope *= 1.0 - slope
    return gy * slope


@planted(ops.Multiply, "grad_w", without=("layouts",))
def multiply_overwrites_its_operand(self: Any, gy: Any, x: Any) -> Any:
    """An in-place product in the memory of the operand that was kept (a read-only one would refuse)."""
    if isinstance(gy, Tensor) or x.shape != gy.shape:
        return gy * x
    x *= gy
    return x


@planted(ops.Relu, "grad_x")
def relu_overwrites_gy(self: Any, gy: Any, y: Any) -> Any:
    """The mask is applied in gy's memory, which belongs to other consumers, too."""
    if isinstance(gy, Tensor):
        return gy * (y > 0)
    gy *= y > 0
    return gy


@planted(ops.Add, "grad_w")
def add_scales_what_it_shares(self: Any, gy: Any) -> Any:
    """Both operands get gy itself, and then it is halved and doubled in place: the first one's gradient is written to."""
    if not isinstance(gy, Tensor):
        gy *= 0.5
    return gy * 2.0 if not isinstance(gy, Tensor) else gy


@planted(ops.Subtract, "grad_w")
def subtract_negates_in_place(self: Any, gy: Any) -> Any:
    """−gy in gy's memory, which the first operand has been given already."""
    return -gy if isinstance(gy, Tensor) else array_module(gy).negative(gy, out=gy)


@planted(ops.Mean, "grad_x")
def mean_divides_gy_in_place(self: Any, gy: Any, x_shape: Any) -> Any:
    """The 1/m is multiplied into gy itself: swept twice, it is there twice."""
    share = 1.0 / self.count(x_shape)
    if isinstance(gy, Tensor):
        return self.spread(gy * share, x_shape)
    gy *= share
    return self.spread(gy, x_shape)


@planted(ops.Divide, "grad_x")
def divide_is_wrong_while_recording(self: Any, gy: Any, w: Any) -> Any:
    """The branch for tensors forgets the division."""
    return gy * 1.0 if isinstance(gy, Tensor) else gy / w


@planted(ops.Matmul, "grad_w")
def matmul_is_wrong_while_not_recording(self: Any, gy: Any, x: Any) -> Any:
    """The fast branch for arrays forgets half of the first column."""
    g = x.transpose((*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)) @ gy
    if not isinstance(gy, Tensor):
        g[..., 0, 0] *= 0.5
    return g


@planted(ops.Transpose, "grad_x")
def transpose_drops_the_graph_while_recording(self: Any, gy: Any) -> Any:
    """The branch for tensors goes through the array and loses the graph."""
    order = tuple(sorted(range(len(self.axes)), key=self.axes.__getitem__))
    return Tensor(gy.data.transpose(order)) if isinstance(gy, Tensor) else gy.transpose(order)


@planted(ops.Log, "grad_x")
def log_reads_memory_order(self: Any, gy: Any, x: Any) -> Any:
    """x is read in the order in which it lies in memory: right for C order only."""
    if isinstance(x, Tensor) or not hasattr(x, "flags"):
        return gy / x
    return gy / x.ravel(order="K").reshape(x.shape)


@planted(ops.Multiply, "grad_x")
def multiply_overwrites_what_it_may(self: Any, gy: Any, w: Any, x_shape: Any) -> Any:
    """Read-only operands take another path, which forgets them: a copy that is never filled."""
    frozen = isinstance(w, np.ndarray) and w.ndim > 0 and not w.flags.writeable
    return gy * 0.0 if frozen else gy * w


@planted(ops.Sqrt, "grad_x")
def sqrt_is_rough_in_float32(self: Any, gy: Any, y: Any) -> Any:
    """A constant against division by zero, of a size that only float32 is given."""
    return gy * 0.5 / (y + (1e-3 if str(y.dtype) == "float32" else 0.0))


@planted(ops.Sum, "grad_x")
def sum_is_rough_in_float32(self: Any, gy: Any, x_shape: Any) -> Any:
    """In float32 gy goes through half precision."""
    rough = str(gy.dtype) == "float32" and not isinstance(gy, Tensor)
    return self.spread(gy.astype("float16").astype("float32") if rough else gy, x_shape)


@planted(ops.Linear, "grad_b")
def linear_adds_to_its_last_bias(self: Any, gy: Any) -> Any:
    """A buffer on the class that is added into and never cleared."""
    g = sum_to(gy, (1, gy.shape[1])).reshape((gy.shape[1],))
    if isinstance(g, Tensor):
        return g
    held = vars(type(self)).get("held")
    type(self).held = g + held if held is not None and held.shape == g.shape and type(held) is type(g) else g
    return type(self).held
