"""The image gradient of a convolution as a convolution.

With stride 1 the adjoint of a convolution is one, too. Of all windows that hold x̃[i], the one at p holds it at tap
r = (i − p)/dilation, so gx̃[i] = Σ_r u[i − r·dilation]·w[r]: a sum over a window of u, with the filter turned by 180°
and its two channel axes exchanged. What the op adds into overlapping places, this gathers: each result is written once.
"""

from __future__ import annotations

from typing import Any

from ...backend import layout
from ...backend.arrays import Array
from ...ops.columns import convolve
from ...ops.conv2d import Conv2dInput
from ...ops.windows import Geometry
from ..overlay import kernel

__all__ = ["image_gradient"]

_LEAST_SIDE = 4  # up to it most of a turned window is padding, and adding is the smaller work


def _padding(call: Any, w: Array) -> tuple[int, int]:
    (r, s), (dh, dw), (ph, pw) = w.shape[2:], call.dilation, call.padding
    return dh * (r - 1) - ph, dw * (s - 1) - pw


def _serves(call: Any, u: Array, w: Array) -> bool:
    return bool(call.stride == (1, 1) and call.groups == 1 and min(_padding(call, w)) >= 0 and min(u.shape[2:]) > _LEAST_SIDE)


@kernel(Conv2dInput, "forward", "numpy", bound=1e-5, when=_serves)
def image_gradient(call: Any, u: Array, w: Array) -> Array:
    """The op's K·R·S products for each result, added in another order: rounding of a sum of so many terms."""
    turned = layout.as_nchw(layout.nhwc(w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)))  # stored channels-last
    return convolve(u, turned, None, Geometry(w.shape[2:], (1, 1), _padding(call, w), call.dilation))
