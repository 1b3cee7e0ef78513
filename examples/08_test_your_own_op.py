"""8. How to test an op of your own, in thirty lines. Needs pytest and Hypothesis: pip install '.[testing]'.

Run it as a script, or with pytest: `pytest examples/08_test_your_own_op.py --gradient-seed 1`.
"""

import sys

import numpy as np
import pytest

from minivgg import ops
from minivgg.autograd.core import Op, op
from minivgg.backend.arrays import array_module
from minivgg.testing import check_adjoint, check_backend, check_definition, check_layouts, check_precision


@op
class Swish(Op):
    """y = x·σ(βx).   Gradients  with s = σ(βx), s' = β·s·(1 − s):  gx = gy·(s + x·s') = gy·(s + β·y·(1 − s))."""

    beta: float

    def forward(self, x):
        return x * (0.5 * array_module(x).tanh(0.5 * self.beta * x) + 0.5)

    def grad_x(self, gy, x):
        s = ops.sigmoid(self.beta * x)
        return gy * (s + self.beta * x * s * (1.0 - s))

    def definition(self, x):
        return x / (1.0 + ops.exp(-self.beta * x))

    @staticmethod
    def examples(rng):
        yield Swish(1.0), (rng.standard_normal((2, 3)),)
        yield Swish(-2.5), (rng.standard_normal(()),)


@pytest.mark.gradients(op=Swish, cases=50)  # finite differences at orders 1 and 2, at 50 inputs
def test_swish_agrees_with_finite_differences():
    """The marker does it all; a body may add to it."""


@pytest.mark.parametrize("witness", [check_definition, check_precision, check_layouts, check_backend])
def test_swish_passes_the_other_witnesses(witness):
    """Its spelling in simpler ops, float32 against float64, any storage, the pretend GPU."""
    for example, arrays in Swish.examples(np.random.default_rng(0)):
        witness(example, *arrays).raise_if_failed()


if __name__ == "__main__":  # as a script it runs its own tests
    code = pytest.main(["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-W", "error", __file__])
    if code:
        sys.exit(int(code))

# A linear map needs no step at all: ⟨A x, v⟩ = ⟨x, Aᵀ v⟩ holds to the last digits, or the rule is no transpose.
print(check_adjoint(lambda x: 2.0 * x.sum(0) - x[1], np.random.default_rng(0).standard_normal((3, 4))))

# Hint: look at what the pretend GPU refuses, and at the last line of forward.
print("\nQuestion: forward calls array_module(x).tanh. With np.tanh in its place, which of the witnesses would object?")
