"""The list of kernels for cards: importing this module registers all of them. CuPy is not imported: kernels are given its arrays."""

from . import (
    batch_norm,
    channel_sum,
    conv2d,
    dropout,
    gradients,
    philox,
    relu,
    sgd,
)

__all__ = [
    "batch_norm",
    "channel_sum",
    "conv2d",
    "dropout",
    "gradients",
    "philox",
    "relu",
    "sgd",
]
