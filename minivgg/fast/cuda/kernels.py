"""The list of kernels for cards: importing this module registers all of them. CuPy is not imported: kernels are given its arrays."""

from . import dropout, gradients, philox, relu, sgd

__all__ = ["dropout", "gradients", "philox", "relu", "sgd"]
