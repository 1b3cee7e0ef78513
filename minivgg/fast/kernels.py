"""The list of kernels: importing this module registers all of them in the overlay."""

from .cpu import batch_norm, conv2d, max_pool2d
from .overlay import find

__all__ = ["batch_norm", "conv2d", "find", "max_pool2d"]
