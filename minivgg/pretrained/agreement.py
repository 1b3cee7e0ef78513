"""Whether an ONNX file says what the model says: ONNX Runtime computes its scores of two random images."""

from __future__ import annotations

import copy
import importlib
from typing import Any

import numpy as np

from .. import data, nn
from ..autograd.core import Tensor
from ..autograd.mode import no_grad
from ..backend.arrays import Array, to_numpy
from ..backend.device import Device, threads
from ..backend.layout import as_nchw
from ..backend.random import stream
from ..errors import MinivggError, NumericalError
from ..weights.onnx import IMAGES, Written

__all__ = ["TOLERANCE", "difference", "scores_of"]

TOLERANCE = 1e-5

_IMAGES = 2
_ROUNDINGS = 10  # two float32 programs that add in different orders, and the spread of what two images show of it
_ERRORS_ONLY = 3


def difference(
    file: Written, model: nn.Module, shape: tuple[int, int, int], normalise: data.Normalise | None, prepared: bool, softmax: bool
) -> float | None:
    """The largest difference of the file's scores from the model's for two random images of `shape` (C, H, W), relative to the largest
    logit; None without onnxruntime.

    Images are pixels 0..255, normalised as for the network; a file that is `prepared` is given the pixels. Without `normalise` they are
    N(0, 1). Probabilities pᵢ = exp(zᵢ)/Σ exp(zⱼ) are steadier than logits: ∂pᵢ/∂zⱼ = pᵢ·(δᵢⱼ − pⱼ), so that |Δpᵢ| is at most
    2·pᵢ·(1 − pᵢ)·max|Δz| ≤ max|Δz| / 2. Theirs is therefore relative to half of the largest logit, if that is above 1.

    A correct file is within TOLERANCE, unless the network's scores are small differences of large numbers, which float32 cannot tell
    more exactly. So a file is also correct if its difference is no more than ten times what the model's own logits change in float64.

    Raises MinivggError for a file that is not correct, NumericalError if the model's own scores are NaN or Inf.
    """
    seen, given = _images(shape, normalise, prepared)
    found = scores_of(file.content, given)
    if found is None:
        return None
    logits = _logits(model, seen)
    largest = float(np.abs(logits).max())
    if not np.isfinite(largest):
        raise NumericalError("the network's scores of a random image are NaN or Inf, so it is of no use to others. Nothing was written.")
    wanted, unit = (_probabilities(logits), max(1.0, largest / 2)) if softmax else (logits, largest or 1.0)
    error = float(np.abs(found - wanted).max()) / unit
    if not error <= TOLERANCE:
        exact = _logits(copy.deepcopy(model).to(dtype="float64"), seen)
        if not error <= _ROUNDINGS * float(np.abs(logits - exact).max()) / (largest or 1.0):
            raise MinivggError(
                f"the file's scores differ from the network's by {error:.1e} of the largest, more than {TOLERANCE:.0e}, for random images "
                f"of {shape[1]}×{shape[2]}. Nothing was written. Please report it, with the network."
            )
    return error


def scores_of(content: bytes, images: Array) -> Array | None:
    """What ONNX Runtime, on the CPU, computes from images float32 (N, C, H, W): the first output, in float64. None if it is not
    installed."""
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError:
        return None
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads(), _ERRORS_ONLY
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {IMAGES: images})[0], np.float64)


def _images(shape: tuple[int, int, int], normalise: data.Normalise | None, prepared: bool) -> tuple[Array, Array]:
    """(what the model sees, what the file is given), float32 (N, C, H, W)."""
    channels, height, width = shape
    rng = stream(0, "export", *shape)
    pixels = rng.integers(0, 256, (_IMAGES, height, width, channels), dtype=np.uint8)
    seen: Any = rng.standard_normal(pixels.shape, dtype=np.float32)
    if normalise:
        seen = normalise(pixels, data.Draws(0, 0, np.arange(_IMAGES), training=False))
    given = pixels if prepared else seen
    return as_nchw(seen), np.ascontiguousarray(given.transpose((0, 3, 1, 2)), np.float32)


def _logits(model: nn.Module, images: Array) -> Array:
    """The model's, on its own device and in its own dtype; float64 on the host."""
    parameter = model.parameters()[0].data
    device = Device.of(parameter)
    with device.use(), no_grad():
        x = device.asarray(images).astype(parameter.dtype, copy=False)
        return to_numpy(model(Tensor(x)).data).astype(np.float64)


def _probabilities(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)
