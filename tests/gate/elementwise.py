"""Wrong rules of ops that work element by element: arithmetic, functions of one operand, the rectifier, dropout."""

from __future__ import annotations

from typing import Any

from minivgg import ops
from minivgg.autograd.core import cast

from .planting import constant, planted


@planted(ops.Add, "grad_x")
def add_shares_the_gradient(self: Any, gy: Any) -> Any:
    """A sum's gradient is shared out between its two operands, half each."""
    return gy * 0.5


@planted(ops.Add, "grad_w")
def add_cuts_gy(self: Any, gy: Any) -> Any:
    """The gradient of w is cut from the graph: right in value, a constant at order 2."""
    return constant(gy)


@planted(ops.Subtract, "grad_w")
def subtract_forgets_the_sign(self: Any, gy: Any) -> Any:
    """The minus sign of the second operand is forgotten."""
    return gy


@planted(ops.Subtract, "grad_x")
def subtract_negates_the_wrong_operand(self: Any, gy: Any) -> Any:
    """The first operand gets the minus sign, too."""
    return -gy


@planted(ops.Negate, "grad_x")
def negate_gives_minus_the_size(self: Any, gy: Any) -> Any:
    """−|gy|: right only where gy is positive."""
    return -ops.where(gy > 0, gy, -gy)


@planted(ops.Multiply, "grad_x")
def multiply_reads_its_own_operand(self: Any, gy: Any, x: Any) -> Any:
    """gx = gy·x in place of gy·w: the operands are mixed up."""
    return gy * x


@planted(ops.Multiply, "grad_x")
def multiply_cuts_w(self: Any, gy: Any, w: Any) -> Any:
    """w is read as a constant, so the mixed second derivative is lost."""
    return gy * constant(w)


@planted(ops.Multiply, "grad_w")
def multiply_averages_what_was_broadcast(self: Any, gy: Any, x: Any, w_shape: Any) -> Any:
    """Broadcasting is undone by the mean over w's repeated axes instead of the sum."""
    g = gy * x
    for axis in range(g.ndim):
        if len(w_shape) == g.ndim and w_shape[axis] == 1:
            g = g.mean(axis, keepdims=True)
    return g if len(w_shape) == g.ndim else g.mean() * 1.0 if not w_shape else g


@planted(ops.Multiply, "grad_x")
def multiply_takes_the_first_copy(self: Any, gy: Any, w: Any, x_shape: Any) -> Any:
    """Broadcasting is undone by taking the first of the new leading axis instead of summing over it."""
    g = gy * w
    while g.ndim > len(x_shape):
        g = g[0]
    return g


@planted(ops.Divide, "grad_w")
def divide_forgets_one_division(self: Any, gy: Any, y: Any) -> Any:
    """−gy·y in place of −gy·y/w: w is squared in −x/w², and only one of the two is there."""
    return -(gy * y)


@planted(ops.Divide, "grad_w")
def divide_forgets_the_sign(self: Any, gy: Any, w: Any, y: Any) -> Any:
    """The minus of −x/w² is forgotten."""
    return gy * y / w


@planted(ops.Divide, "grad_w")
def divide_cuts_y(self: Any, gy: Any, w: Any, y: Any) -> Any:
    """The quotient is read as a constant, though it depends on both operands."""
    return -(gy * constant(y) / w)


@planted(ops.Divide, "grad_x")
def divide_multiplies(self: Any, gy: Any, w: Any) -> Any:
    """gy·w in place of gy/w."""
    return gy * w


@planted(ops.Power, "grad_x")
def power_keeps_the_exponent(self: Any, gy: Any, x: Any, p: Any) -> Any:
    """The exponent is not lowered by one: p·xᵖ."""
    return gy * p * x**p


@planted(ops.Power, "grad_x")
def power_forgets_the_factor(self: Any, gy: Any, x: Any, p: Any) -> Any:
    """The factor p is forgotten: xᵖ⁻¹."""
    return gy * x ** (p - 1)


@planted(ops.Power, "grad_p")
def power_forgets_the_result(self: Any, gy: Any, x: Any) -> Any:
    """The derivative by the exponent without the factor y: log x."""
    return gy * ops.log(x)


@planted(ops.Where, "grad_w")
def where_reads_the_mask_the_wrong_way_round(self: Any, gy: Any, mask: Any) -> Any:
    """w gets the gradient where x was taken."""
    return ops.where(mask, gy, 0.0)


@planted(ops.Where, "grad_x")
def where_forgets_the_mask(self: Any, gy: Any) -> Any:
    """x gets all of gy, also where w was taken."""
    return gy * 1.0


@planted(ops.Exp, "grad_x")
def exp_reads_the_input(self: Any, gy: Any, x: Any) -> Any:
    """x in place of y: the wrong array was kept."""
    return gy * x


@planted(ops.Exp, "grad_x")
def exp_squares_gy(self: Any, gy: Any, y: Any) -> Any:
    """gy²·y: right for a cotangent of ones only."""
    return gy * gy * y


@planted(ops.Log, "grad_x")
def log_has_another_base(self: Any, gy: Any, x: Any) -> Any:
    """1 / (x·ln 10): the derivative of the decimal logarithm."""
    return gy / (x * 2.302585092994046)


@planted(ops.Log, "grad_x")
def log_multiplies_by_x(self: Any, gy: Any, x: Any) -> Any:
    """gy·x in place of gy/x."""
    return gy * x


@planted(ops.Sqrt, "grad_x")
def sqrt_forgets_the_half(self: Any, gy: Any, y: Any) -> Any:
    """1/√x in place of 1/(2√x)."""
    return gy / y


@planted(ops.Sqrt, "grad_x")
def sqrt_divides_by_the_input(self: Any, gy: Any, x: Any) -> Any:
    """1/(2x): the result and the input are mixed up."""
    return gy * 0.5 / x


@planted(ops.Tanh, "grad_x")
def tanh_forgets_the_square(self: Any, gy: Any, y: Any) -> Any:
    """1 − y in place of 1 − y²."""
    return gy * (1.0 - y)


@planted(ops.Tanh, "grad_x")
def tanh_rounds_to_float32(self: Any, gy: Any, y: Any) -> Any:
    """The rule computes in float32 whatever its operands are."""
    return cast(cast(gy * (1.0 - y * y), "float32"), gy.dtype)


@planted(ops.Sigmoid, "grad_x")
def sigmoid_reads_the_input(self: Any, gy: Any, x: Any) -> Any:
    """x(1 − x): written for the result, given the input."""
    return gy * x * (1.0 - x)


@planted(ops.Sigmoid, "grad_x")
def sigmoid_has_the_rule_of_tanh(self: Any, gy: Any, y: Any) -> Any:
    """1 − y²: the derivative of tanh."""
    return gy * (1.0 - y * y)


@planted(ops.Dropout, "grad_x")
def dropout_divides_by_p(self: Any, gy: Any, mask: Any) -> Any:
    """p in place of 1 − p: right for p = ½ only."""
    return gy * mask * (1.0 / self.p)


@planted(ops.Dropout, "grad_x")
def dropout_forgets_the_scale(self: Any, gy: Any, mask: Any) -> Any:
    """The forward pass enlarges what it keeps, the backward pass does not."""
    return gy * mask


@planted(ops.Dropout, "grad_x")
def dropout_forgets_the_mask(self: Any, gy: Any) -> Any:
    """The gradient flows through what was dropped."""
    return gy * (1.0 / (1.0 - self.p))


@planted(ops.Relu, "grad_x")
def relu_lets_everything_through(self: Any, gy: Any) -> Any:
    """No mask at all: the straight-through gradient."""
    return gy


@planted(ops.Relu, "grad_x")
def relu_leaks(self: Any, gy: Any, y: Any) -> Any:
    """A hundredth of gy flows where the rectifier is shut: the rule of another op."""
    return ops.where(y > 0, gy, gy * 0.01)


@planted(ops.Relu, "grad_x")
def relu_masks_by_the_gradient(self: Any, gy: Any) -> Any:
    """The rectifier is applied to gy: its sign decides in place of x's."""
    return gy * (gy > 0)


@planted(ops.Relu, "grad_x")
def relu_is_guided(self: Any, gy: Any, y: Any) -> Any:
    """Negative gradients are dropped, too (guided backpropagation): right only for positive gy."""
    return gy * (y > 0) * (gy > 0)


@planted(ops.Relu, "grad_x")
def relu_clips_the_gradient(self: Any, gy: Any, y: Any) -> Any:
    """gy is clipped to ±½ inside the rule: not linear in gy."""
    clipped = ops.where(gy > 0.5, 0.5, ops.where(gy < -0.5, -0.5, gy))
    return clipped * (y > 0)
