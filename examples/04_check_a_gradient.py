"""4. How to check a gradient with finite differences, and how small the step must be.

f(x + h) − f(x − h) over 2h has two errors: the curve's, which shrinks like h², and rounding, which grows like 1/h.
"""

import numpy as np

import minivgg as mv
from minivgg import ops
from minivgg.testing import check_gradients


def f(x):
    """One number from eight: a tanh, weighted and summed."""
    return (ops.tanh(x) * np.arange(1, 9, dtype=x.dtype)).sum()


rng = np.random.default_rng(0)
at = rng.standard_normal(8)
x = mv.Tensor(at, requires_grad=True)
(gradient,) = mv.grad(f(x), [x])

# The derivative by x[3], by central differences of several steps, in both precisions.
print(f"by the rules: {gradient[3]:.12f}\n")
print("    h     error in float64   error in float32")
for exponent in range(1, 9):
    h = 10.0**-exponent
    errors = []
    for dtype in ("float64", "float32"):
        up, down = at.astype(dtype), at.astype(dtype)
        up[3] += h
        down[3] -= h
        numeric = (f(mv.Tensor(up)).item() - f(mv.Tensor(down)).item()) / (2 * h)
        errors.append(abs(numeric - gradient[3]))
    print(f"  1e-{exponent}      {errors[0]:.0e}              {errors[1]:.0e}")

# Down the first column the error falls a hundredfold with each row, as h² does, until rounding takes over near 1e-5.
# In float32 rounding takes over at 1e-3 already, and the best that is left, 1e-5, is a place for a wrong rule to hide in.
# So: float64, and h about 1e-5.

# check_gradients does this for every input, for single elements and random directions, and for second derivatives.
print()
report = check_gradients(f, at)
print(report)


# Some functions have constant sums. Soft-max does: its outputs add up to 1, whatever goes in.
def total(x):
    """The sum of a soft-max: always 1."""
    return ops.softmax(x).sum()


(blind,) = mv.grad(total(x), [x])  # zeros, but for rounding
print(f"\ngradient of the sum of a soft-max: at most {np.abs(blind).max():.0e}")

# Hint: check_gradients multiplies the outputs by random numbers, gy, before it adds them up.
print("\nQuestion: a soft-max with its whole rule halved would still pass a check of this sum. Why, and what finds it?")
