"""The ops: every argument is a tensor or an array; tensors in, tensor out.

Each room holds the formula, the rules, their derivation and sample inputs of one op or family.
"""

from ..autograd import core as core  # gives Tensor its backward()
from . import operators as operators
from .arithmetic import Add, Divide, Multiply, Negate, Power, Subtract, Where, where
from .avg_pool2d import AvgPool2d, AvgPool2dInput, adaptive_avg_pool2d, avg_pool2d
from .batch_norm import BatchNorm, ChannelAffine, batch_norm
from .batch_norm_relu import BatchNormRelu, batch_norm_relu
from .channel_sum import ChannelSum, channel_sum
from .conv2d import Conv2d, Conv2dInput, Conv2dWeight, conv2d
from .conv2d_relu import Conv2dRelu, conv2d_relu
from .cross_entropy import CrossEntropy, LogSoftmax, Softmax, cross_entropy, log_softmax, softmax
from .dropout import Dropout, dropout
from .exponential import Exp, Log, Sigmoid, Sqrt, Tanh, exp, log, sigmoid, sqrt, tanh
from .linear import Linear, linear
from .lrn import ChannelWindowSum, LocalResponseNorm, local_response_norm
from .matmul import Matmul, matmul
from .max_pool2d import MaxPool2d, PoolGather, PoolScatter, max_pool2d
from .reductions import LogSumExp, Max, Mean, Sum, logsumexp, max, mean, sum
from .relu import Relu, relu
from .shaping import (
    Concatenate,
    Index,
    Pad,
    Reshape,
    ScatterIndex,
    Transpose,
    concatenate,
    flatten,
    index,
    pad,
    reshape,
    transpose,
)
from .windows import Col2im, Geometry, Im2col, col2im, im2col

__all__ = [
    "Add", "AvgPool2d", "AvgPool2dInput", "BatchNorm", "BatchNormRelu", "ChannelAffine", "ChannelSum", "ChannelWindowSum", "Col2im",
    "Concatenate", "Conv2d", "Conv2dInput", "Conv2dRelu", "Conv2dWeight", "CrossEntropy", "Divide", "Dropout", "Exp", "Geometry", "Im2col",
    "Index", "Linear", "LocalResponseNorm", "Log", "LogSoftmax", "LogSumExp", "Matmul", "Max", "MaxPool2d", "Mean", "Multiply", "Negate",
    "Pad", "PoolGather", "PoolScatter", "Power", "Relu", "Reshape", "ScatterIndex", "Sigmoid", "Softmax", "Sqrt", "Subtract", "Sum",
    "Tanh", "Transpose", "Where", "adaptive_avg_pool2d", "avg_pool2d", "batch_norm", "batch_norm_relu", "channel_sum", "col2im",
    "concatenate", "conv2d", "conv2d_relu", "cross_entropy", "dropout", "exp", "flatten", "im2col", "index", "linear",
    "local_response_norm", "log", "log_softmax", "logsumexp", "matmul", "max", "max_pool2d", "mean", "pad", "relu", "reshape", "sigmoid",
    "softmax", "sqrt", "sum", "tanh", "transpose", "where",
]  # fmt: skip
