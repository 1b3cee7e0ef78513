"""Layers and their composition: parameters under names, on top of the ops. No array library is touched here."""

from . import init as init
from .affine import Affine
from .chain import Layer, build_chain, chain_of
from .checkpoint import Checkpoint, checkpoint
from .fold import fold_batch_norm
from .functional import functional_call
from .layers import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    CrossEntropyLoss,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
)
from .module import Buffer, Module, Parameter
from .sequential import Sequential
from .summary import Summary, summary

__all__ = [
    "AdaptiveAvgPool2d",
    "Affine",
    "BatchNorm2d",
    "Buffer",
    "Checkpoint",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Layer",
    "Linear",
    "LocalResponseNorm",
    "MaxPool2d",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "Summary",
    "build_chain",
    "chain_of",
    "checkpoint",
    "fold_batch_norm",
    "functional_call",
    "init",
    "summary",
]
