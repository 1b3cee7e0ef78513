"""1. The chain rule: one derivative found in three ways.

x ──► u = 1 + x² ──► y = ln u,  dy/dx = dy/du · du/dx = 1/u · 2x
"""

import math

import minivgg as mv
from minivgg import ops


def f(x):
    """y = ln(1 + x²), for a number in a Tensor."""
    return ops.log(1 + x * x)


# By hand, at x = 2: u = 5, dy/du = 1/5, du/dx = 4.
u = 1 + 2.0 * 2.0
by_hand = (1 / u) * (2 * 2.0)
print(f"by hand             y = {math.log(u):.10f}   dy/dx = {by_hand:.10f}")

# By the engine: calling f leaves a graph behind, and grad walks it from y back to x.
x = mv.Tensor(2.0, requires_grad=True, dtype="float64", name="x")
y = f(x)
(by_engine,) = mv.grad(y, [x])
print(f"mv.grad             y = {y.item():.10f}   dy/dx = {by_engine.item():.10f}")

# By definition: how much does y move when x moves a little? Both neighbours, so that the errors of order h cancel.
h = 1e-5
by_difference = (f(mv.Tensor(2.0 + h, dtype="float64")).item() - f(mv.Tensor(2.0 - h, dtype="float64")).item()) / (2 * h)
print(f"finite differences                       dy/dx = {by_difference:.10f}")

# All three print 0.8000000000: 4/5. The engine did nothing else than the hand did; here is its tape.
# Read "from": step 1 multiplies step 0 by itself, so two gradients reach x, 0.2 · 2 = 0.4 from each factor. They are added.
# Read "kept": the product's rules read both factors and the logarithm's rule reads u, so these are kept; the sum's rule
# reads only gy, so nothing is kept for it. u is 8 bytes, and x is not counted: it is yours, not the graph's.
print()
mv.trace(y)

# Hint: look at the "kept" column of each step, then at grad_x in minivgg/ops/exponential.py.
print("\nQuestion: with y = exp(1 + x²) instead of the logarithm, what would the last step keep, its operand or its result?")
