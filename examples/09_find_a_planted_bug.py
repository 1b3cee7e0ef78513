"""9. How to find the one wrong rule in a network whose gradient is wrong.

A check from end to end says that a product of many Jacobians is wrong. `blame` checks each factor alone.
"""

import numpy as np

import minivgg as mv
from minivgg import models, ops
from minivgg.testing import blame, check_gradients

model = models.vgg11_bn(num_classes=3, in_channels=1, image_size=32, width=1 / 64, head="linear").to(dtype="float64")
rng = np.random.default_rng(0)
images, targets = rng.standard_normal((4, 1, 32, 32)), np.array([0, 2, 1, 0])


def loss(x):
    """The cross-entropy of four images."""
    return ops.cross_entropy(model(x), targets)


# A bug: somebody divides batch norm's gradient by m − 1, since the running variance is divided by that.
right = ops.BatchNorm.grad_x


def unbiased(self, gy, x, gamma):
    m = x.size // x.shape[1]
    return right(self, gy, x, gamma) * (m / (m - 1))


ops.BatchNorm.grad_x = unbiased

# Training would not notice: the kernel for batch norm runs, and it is right.
trained = mv.Tensor(images, requires_grad=True)
fast = mv.grad(loss(trained), [trained])[0]
with mv.reference():
    slow = mv.grad(loss(trained), [trained])[0]
print(f"the rules' gradient is {np.linalg.norm(slow) / np.linalg.norm(fast):.2f} times the kernels'")

# From end to end: wrong, but where? Ten convolutions, batch norms, ReLUs and pools multiply into each number.
report = check_gradients(loss, images, order=1, coordinates=10)
for section in report.sections:
    print(f"{section.title:24}{len(section.outcome.wrong):4} of {len(section.outcome.comparisons)} comparisons wrong")

# One by one, at the values that each op really had: one rule is named, with its first layer.
verdict = blame(lambda: loss(mv.Tensor(images, requires_grad=True)), order=1)
print()
for rule, calls in verdict.culprits.items():
    print(f"{rule} is wrong at {', '.join(call.layer for call in calls)}")
first = next(iter(verdict.culprits.values()))[0]
print("\n".join(line for line in str(first.report).splitlines() if "diagnosis" in line or "ratio" in line))

ops.BatchNorm.grad_x = right
print("\nwith the right rule:", str(blame(lambda: loss(mv.Tensor(images, requires_grad=True)), order=1)).splitlines()[0])

# Hint: m is the number of elements per channel, 4 · 32 · 32 in the first layer and 4 · 2 · 2 in the last.
print("\nQuestion: in which layer is the error of this bug the largest, and why is a check of the first layer alone nearly blind?")
