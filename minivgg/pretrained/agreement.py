"""Whether an ONNX file says what the model says: ONNX Runtime computes its scores of two random images."""

from __future__ import annotations

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
from ..errors import NumericalError
from ..weights.onnx import IMAGES, Written

__all__ = ["difference", "scores_of"]

_IMAGES = 2
_ERRORS_ONLY = 3


def difference(
    file: Written, model: nn.Module, shape: tuple[int, int, int], normalise: data.Normalise | None, prepared: bool, softmax: bool
) -> float | None:
    """The largest difference of the file's scores from the model's for two random images of `shape` (C, H, W), relative to the largest
    logit; None without onnxruntime.

    Images are pixels 0..255, normalised as for the network; a file that is `prepared` is given the pixels. Without `normalise` they are
    N(0, 1). Probabilities pᵢ = exp(zᵢ)/Σ exp(zⱼ) are steadier than logits: ∂pᵢ/∂zⱼ = pᵢ·(δᵢⱼ − pⱼ), so that |Δpᵢ| is at most
    2·pᵢ·(1 − pᵢ)·max|Δz| ≤ max|Δz| / 2. Theirs is therefore relative to half of the largest logit, if that is above 1.

    Raises NumericalError if the model's own scores are NaN or Inf.
    """
    channels, height, width = shape
    seen: Any
    rng = stream(0, "export", *shape)
    pixels = rng.integers(0, 256, (_IMAGES, height, width, channels), dtype=np.uint8)
    if normalise:
        seen = normalise(pixels, data.Draws(0, 0, np.arange(_IMAGES), training=False))
    else:
        seen = rng.standard_normal(pixels.shape, dtype=np.float32)
    given = np.ascontiguousarray((pixels if prepared else seen).transpose((0, 3, 1, 2)), np.float32)
    found = scores_of(file.content, given)
    if found is None:
        return None
    logits = _model_scores(model, np.asarray(seen, np.float32))
    largest = float(np.abs(logits).max())
    if not np.isfinite(largest):
        raise NumericalError("the network's scores of a random image are NaN or Inf, so it is of no use to others. Nothing was written.")
    if softmax:
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return float(np.abs(found - powers / powers.sum(1, keepdims=True)).max()) / max(1.0, largest / 2)
    return float(np.abs(found - logits).max()) / (largest or 1.0)


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


def _model_scores(model: nn.Module, images: Array) -> Any:
    """The model's logits of images (N, H, W, C), on its own device, float64 on the host."""
    parameter = model.parameters()[0].data
    device = Device.of(parameter)
    with device.use(), no_grad():
        x = device.asarray(as_nchw(images)).astype(parameter.dtype, copy=False)
        return to_numpy(model(Tensor(x)).data).astype(np.float64)
