"""The list of kernels: importing this module registers all of them in the overlay."""

from .cpu import batch_norm, channel_sum, conv2d, dropout, linear, max_pool2d, relu
from .cuda import kernels as cuda
from .overlay import find

__all__ = ["batch_norm", "channel_sum", "conv2d", "cuda", "dropout", "find", "linear", "max_pool2d", "relu"]
