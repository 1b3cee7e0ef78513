"""The image gradient of a convolution as a convolution.

With stride 1 the adjoint of a convolution is one, too. Of all windows that hold x̃[i], the one at p holds it at tap
r = (i − p)/dilation, so gx̃[i] = Σ_r u[i − r·dilation]·w[r]: a sum over a window of u, with the filter turned by 180°
and its two channel axes exchanged. What the op adds into overlapping places, this gathers: each result is written once.
"""

from __future__ import annotations

from typing import Any

from ...backend.arrays import Array
from ...ops.conv2d import Conv2d, Conv2dInput
from ..overlay import kernel

__all__ = ["turned"]

_LEAST_SIDE = 4  # below, most of the window is padding, and adding is the smaller work


def _serves(call: Any, u: Array, w: Array) -> bool:
    fits = all(p <= d * (r - 1) for p, d, r in zip(call.padding, call.dilation, w.shape[2:], strict=True))
    return call.stride == (1, 1) and call.groups == 1 and fits and min(u.shape[2:]) > _LEAST_SIDE


@kernel(Conv2dInput, "forward", "numpy", bound=1e-5, when=_serves)
def turned(call: Any, u: Array, w: Array) -> Array:
    """The same K·R·S products for each result as the op's, added in another order: rounding of a sum of K·R·S terms."""
    rest = tuple(d * (r - 1) - p for p, d, r in zip(call.padding, call.dilation, w.shape[2:], strict=True))
    return Conv2d((1, 1), rest, call.dilation, 1).forward(u, w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3), None)
