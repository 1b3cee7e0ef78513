"""5. Write an op of your own, and let the checker prove its gradient. Then break it.

Softplus: y = ln(1 + eˣ), a ReLU with a rounded corner.
"""

import numpy as np

import minivgg as mv
from minivgg import ops
from minivgg.autograd.core import Op, op
from minivgg.backend.arrays import array_module
from minivgg.testing import check_gradients


@op
class Softplus(Op):
    """y = ln(1 + eˣ).

    Gradients  ∂y/∂x = eˣ / (1 + eˣ) = σ(x), the logistic function.
    """

    def forward(self, x):  # arrays in, array out; NumPy or CuPy, whichever x belongs to
        return array_module(x).logaddexp(0, x)  # a form that cannot overflow

    def grad_x(self, gy, x):  # named after the operand; it reads x, so x is kept. Written with ops: it can be differentiated again
        return gy * ops.sigmoid(x)

    def definition(self, x):  # a second witness, in ops that are already proved
        return ops.log(1.0 + ops.exp(x))

    @staticmethod
    def examples(rng):  # sample inputs: a usual one and an awkward one
        yield Softplus(), (rng.standard_normal((2, 3)),)
        yield Softplus(), (rng.standard_normal(()),)


def softplus(x):
    """ln(1 + eˣ), element by element."""
    return Softplus()(x)


# It works on arrays and on tensors at once: ln(1 + e⁰) = ln 2, with slope ½.
x = mv.Tensor([0.0], requires_grad=True, dtype="float64")
print(f"softplus(0) = {softplus(x).item():.6f}, slope {mv.grad(softplus(x), [x])[0].item():.6f}")
print(f"softplus(1000) = {softplus(np.array(1000.0)):.1f}, where ln(1 + e¹⁰⁰⁰) would overflow\n")

# The proof: values against the definition, first and second derivatives against finite differences.
rng = np.random.default_rng(0)
for example, arrays in Softplus.examples(rng):
    print(f"differs from its definition by {np.abs(example(*arrays) - example.definition(*arrays)).max():.0e} at most")
    print(check_gradients(example, *arrays))


# Now with a slip of the pen, a factor of ½.
def halved(self, gy, x):
    return 0.5 * gy * ops.sigmoid(x)


right = Softplus.grad_x
Softplus.grad_x = halved
print("\nwith a factor ½:")
print(check_gradients(Softplus(), rng.standard_normal(3), order=1))


# And one that is right at first sight: σ(x) as a constant, cut from the graph. Only the second derivative sees it.
def detached(self, gy, x):
    slope = ops.sigmoid(x)
    return gy * (slope.detach() if isinstance(slope, mv.Tensor) else slope)


Softplus.grad_x = detached
print()
for order in (1, 2):
    report = check_gradients(Softplus(), rng.standard_normal(3), order=order)
    print(f"cut from the graph, order {order}:", "passes" if report.ok else "caught")
Softplus.grad_x = right

# Hint: σ(x) = 1 − e^(−y). Which of x and y will the next layer keep anyway?
print("\nQuestion: the rule could read y instead of x. In which network would that save memory?")
