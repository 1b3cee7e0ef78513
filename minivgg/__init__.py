"""minivgg: a deep-learning engine to read in an afternoon, which proves its own gradients and trains VGG networks.

    import minivgg as mv
    x = mv.Tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()          # x.grad is 2x

Names are imported when they are first used, so that `minivgg --help` does not wait for NumPy.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any

if os.environ.get("MINIVGG_THREADS", "").isdecimal() and "numpy" not in sys.modules:
    for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # BLAS reads them when NumPy is loaded
        os.environ.setdefault(_name, os.environ["MINIVGG_THREADS"])

from .autograd import mode as _mode
from .backend.substitutes import permits as _permits
from .lazy import lazy_names

if TYPE_CHECKING:
    from . import data, errors, models, nn, ops, optim, pretrained, testing, train, weights
    from .autograd.core import Op, Tensor, grad
    from .autograd.mode import check_finite, frozen_state, lock_arrays, no_grad, reference
    from .autograd.trace import Tape, keep_statistics, kept_bytes, trace
    from .backend.device import Device, threads
    from .backend.memory import empty_cache
    from .backend.precision import precision
    from .fast.algorithm import conv_algorithm

__version__ = "0.1.0"

__all__ = [
    "Device",
    "Op",
    "Tape",
    "Tensor",
    "check_finite",
    "conv_algorithm",
    "data",
    "empty_cache",
    "errors",
    "frozen_state",
    "grad",
    "keep_statistics",
    "kept_bytes",
    "lock_arrays",
    "models",
    "nn",
    "no_grad",
    "ops",
    "optim",
    "precision",
    "pretrained",
    "reference",
    "testing",
    "threads",
    "trace",
    "train",
    "weights",
]

_PACKAGES = {"data", "errors", "models", "nn", "ops", "optim", "pretrained", "testing", "train", "weights"}
_HOMES = {
    "autograd.core": ("Op", "Tensor", "grad"),
    "autograd.mode": ("check_finite", "frozen_state", "lock_arrays", "no_grad", "reference"),
    "autograd.trace": ("Tape", "keep_statistics", "kept_bytes", "trace"),
    "backend.device": ("Device", "threads"),
    "backend.memory": ("empty_cache",),
    "backend.precision": ("precision",),
    "fast.algorithm": ("conv_algorithm",),
}
_find = lazy_names(__name__, _HOMES, first="minivgg.ops")[0]  # that module gives Tensor its operators


def __getattr__(name: str) -> Any:
    return importlib.import_module(f".{name}", __name__) if name in _PACKAGES else _find(name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


@functools.cache
def _kernels() -> Any:
    """The kernels, imported when they are first asked for; None if their folder is not there."""
    found = importlib.util.find_spec("minivgg.fast") is not None
    return importlib.import_module("minivgg.fast.kernels") if found else None


def _find_kernel(call: Any, phase: str, arrays: Any) -> Any:
    """Stands at the overlay's seam until the first op runs."""
    _mode.find_kernel[0] = _kernels().find if _kernels() else lambda *_: None
    return _mode.find_kernel[0](call, phase, arrays)


_mode.find_kernel[:] = [_find_kernel]
_permits[:] = [lambda: _mode.state.kernels and _kernels() is not None]
