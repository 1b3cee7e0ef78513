"""What is asked of kernels for cards: calls of ops and steps of training, small, of odd sizes, each several launches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minivgg import nn, ops, optim
from minivgg.autograd.core import Tensor, grad
from minivgg.backend.random import stream
from minivgg.fast import overlay
from minivgg.fast.cuda import implicit, kernels, pieces  # noqa: F401  importing the list fills the table

from .witnesses import Case, Place

Run = Callable[[Place, np.random.Generator], list[Any]]
Draw = Callable[[np.random.Generator], tuple[Any, ...]]


def bound_of(op: Any) -> float:
    """The largest error that the op's kernels for cards state."""
    return max(k.bound for (cls, _, library), entries in overlay.table.items() if cls is type(op) and library == "cupy" for k in entries)


def derivatives(op: Any, draw: Draw) -> Run:
    """y and the gradients of all operands of floats, for a random cotangent."""

    def run(place: Place, rng: np.random.Generator) -> list[Any]:
        inputs = [
            Tensor(place(a), requires_grad=True) if a is not None and hasattr(op, f"grad_{name}") else a if a is None else place(a)
            for name, a in zip(op.operands, draw(rng), strict=True)
        ]
        y = op(*inputs)
        return [y.data, *grad(y, [a for a in inputs if isinstance(a, Tensor)], place(rng.standard_normal(y.shape)))]

    return run


def case(op: Any, draw: Draw, **options: Any) -> Case:
    """Value and gradients of an op."""
    return Case(derivatives(op, draw), options.pop("bound", bound_of(op)), **options)


def images(rng: np.random.Generator, *shape: int) -> Any:
    """Unit variance."""
    return rng.standard_normal(shape)


def convolution(n: int, c: int, k: int, size: tuple[int, int], **options: Any) -> Case:
    """Conv2dRelu with a bias: y and all three gradients."""
    geometry = {"stride": (1, 1), "padding": (1, 1), "kernel": (3, 3), **options.pop("geometry", {})}
    op, kernel = ops.Conv2dRelu(geometry["stride"], geometry["padding"], (1, 1), 1), geometry["kernel"]
    return case(op, lambda rng: (images(rng, n, c, *size), images(rng, k, c, *kernel) / (3 * c**0.5), images(rng, k)), **options)


def with_nan(c: int, k: int, size: tuple[int, int], **options: Any) -> Case:
    """The value alone, one filter's bias NaN."""
    op = ops.Conv2dRelu((1, 1), (1, 1), (1, 1), 1)

    def run(place: Place, rng: np.random.Generator) -> list[Any]:
        b = images(rng, k)
        b[1] = np.nan
        return [op(place(images(rng, 1, c, *size)), place(images(rng, k, c, 3, 3)), place(b))]

    return Case(run, bound_of(op), **options)


def ties(rng: np.random.Generator) -> Any:
    """Images of few different numbers, of odd sizes, one of them NaN."""
    x = rng.integers(-2, 3, (2, 5, 5, 7)) * 0.5
    x[0, 1, 2, 3] = np.nan
    return x


def rectified(place: Place, rng: np.random.Generator) -> list[Any]:
    """The rectifier of 35 numbers, zeros and NaN among them, and its gradient."""
    x = rng.integers(-2, 3, (5, 7)) * 0.5
    x[2, 3] = np.nan
    return derivatives(ops.Relu(), lambda _: (x,))(place, rng)


def statistics(place: Place, rng: np.random.Generator) -> list[Any]:
    """The result and the statistics that are kept, of 600 rows whose mean drifts."""
    arrays = images(rng, 600, 3) + np.arange(600).reshape(-1, 1) / 100, rng.uniform(0.5, 2, 3), images(rng, 3)
    y, call = ops.BatchNorm(0.1).run(*map(place, arrays))
    return [y, call.mean, call.variance]


def tracked(place: Place, rng: np.random.Generator) -> list[Any]:
    """The running statistics of a layer behind two batches."""
    layer = nn.BatchNorm2d(3)
    buffers = layer.running_mean, layer.running_var, layer.num_batches_tracked
    for buffer in buffers:
        buffer.data = place(buffer.data.astype("int64" if buffer.data.ndim == 0 else "float64"))
    for parameter in layer.parameters():
        parameter.data = place(parameter.data.astype("float64"))
    for _ in range(2):
        layer(Tensor(place(2 * images(rng, 3, 3, 2, 3) + 1)))
    return [buffer.data for buffer in buffers]


def batch(channels: int) -> Draw:
    """Images, scales and shifts for batch norm: 3 blocks of rows."""
    return lambda rng: (images(rng, 4, channels, 9, 17) + 0.5, rng.uniform(0.5, 2, channels), images(rng, channels))


def dropped(place: Place, rng: np.random.Generator) -> list[Any]:
    """Dropout twice from one stream, from the middle of a block on, the threshold a number that is drawn; what the host draws next."""
    drawn = stream(3, "gate").random(40, dtype=np.float32)
    ours = stream(3, "gate")
    ours.random(3, dtype=np.float32)
    found = [ops.dropout(place(np.ones(count)), float(drawn[9]), rng=ours) for count in (22, 13)]
    return [*found, np.array(ours.random())]


def carried(place: Place, rng: np.random.Generator) -> list[Any]:
    """Dropout at the end of the counter's first word."""
    ours = np.random.Generator(np.random.Philox(key=7, counter=np.array([2**64 - 2, 5, 0, 0], np.uint64)))
    return [ops.dropout(place(np.ones(40)), 0.5, rng=ours)]


def loss(**options: Any) -> Run:
    """Cross-entropy of 5 rows with labels, one of them ignored, and its gradient."""

    def run(place: Place, rng: np.random.Generator) -> list[Any]:
        x, labels, weights = 3 * images(rng, 5, 7), np.array([3, 6, 2, 0, 3]), rng.uniform(0.5, 2, 7)
        given = {"class_weights": place(weights)} if options.get("weighted") else {}
        smoothing, reduction = options.get("smoothing", 0.0), options.get("reduction", "mean")
        logits = Tensor(place(x), requires_grad=True)
        y = ops.cross_entropy(logits, place(labels), ignore_index=2, label_smoothing=smoothing, reduction=reduction, **given)
        return [y.data, *grad(y, [logits], place(np.ones(y.shape)))]

    return run


def mixture(rng: np.random.Generator) -> tuple[Any, ...]:
    """Logits of more classes than a block has threads, one of them large, with weights for each class."""
    x = 3 * images(rng, 3, 300)
    x[0, 7] = 200
    return x, rng.random((3, 300))


def surrounded(place: Place, rng: np.random.Generator, *shape: int) -> tuple[Any, Any]:
    """(an array within one of NaN, the whole): what is read or written beside it shows."""
    size = int(np.prod(shape))
    whole = np.full(size + 2 * 4096, np.nan)
    whole[4096:-4096] = rng.standard_normal(size)
    placed = place(whole)
    return placed[4096:-4096].reshape(shape), placed


def gradients(*, bad: float = 0.0, length: bool = False) -> Run:
    """Whether the gradients of four parameters, one of two tiles, are finite, or how long they are."""

    def run(place: Place, rng: np.random.Generator) -> list[Any]:
        pairs = []
        for name, shape in {"w": (71, 61), "b": (3,), "v": (5, 2)}.items():
            w = Tensor(place(np.zeros(shape)), requires_grad=True)
            w.grad, _ = surrounded(place, rng, *shape)
            pairs.append((name, w))
        if bad:
            pairs[-1][1].grad[4, 1] = bad
        return [optim.gradient_norm(pairs) if length else optim.all_finite(pairs)]

    return run


def training(*, guard: bool | None = None, scale: float | None = None, count: int = 3, **options: Any) -> Run:
    """Two steps of SGD, of parameters of several sizes: all weights and velocities."""

    def run(place: Place, rng: np.random.Generator) -> list[Any]:
        weights, wholes = {}, []
        for i in range(count):
            inner, whole = surrounded(place, rng, *[(67, 63), (3,), (2, 5)][i % 3]) if count <= 3 else (place(images(rng, 2)),) * 2
            weights[str(i)] = Tensor(inner, requires_grad=True)
            wholes.append(whole)
        sgd = optim.SGD(list(weights.items()), 0.1, **options)
        flags = [None if f is None else place(np.array(f, dtype)) for f, dtype in ((guard, bool), (scale, np.float32))]
        for _ in range(2):
            for w in weights.values():
                w.grad = place(rng.standard_normal(w.shape))
            sgd.step(*flags)
        return [*wholes, *sgd.state_dict().values()]

    return run


def sums(rng: np.random.Generator) -> tuple[Any]:
    """4,300 rows of 64 numbers: more blocks than a second stage has threads along a column."""
    return (images(rng, 4300, 64),)


TIES = case(ops.MaxPool2d(ops.Geometry((2, 2), (2, 2))), lambda rng: (ties(rng),))
RELU = Case(rectified, 0.0)
DROPOUT = case(ops.Dropout(0.3), lambda rng: (images(rng, 5, 7), rng.random((5, 7)) >= 0.3))
DRAWS, CARRY = Case(dropped, 0.0), Case(carried, 0.0)
STATISTICS, TRACKED = Case(statistics, 1e-5), Case(tracked, 1e-5)
MANY_ROWS = case(ops.BatchNorm(0.1), lambda rng: (images(rng, 17_000, 3) + 0.5, rng.uniform(0.5, 2, 3), images(rng, 3)))
NORM, NORM_RELU = case(ops.BatchNorm(0.1), batch(3)), case(ops.BatchNormRelu(0.1), batch(4))
AFFINE_BITS = Case(lambda place, rng: [ops.ChannelAffine()(*(place(images(rng, *s)) for s in ((3, 5, 4, 3), (5,), (5,))))], 0.0)
SUMS, HALF_SUMS = case(ops.ChannelSum(), sums), case(ops.ChannelSum(), lambda rng: (images(rng, 70, 5),), dtype="float16")
CROSS_ENTROPY, SOFTMAX = case(ops.CrossEntropy(), mixture), case(ops.Softmax(-1), lambda rng: mixture(rng)[:1])
LOSS = Case(loss(weighted=True, smoothing=0.1), 1e-5)
FINITE, INFINITE, NORM_OF_ALL = Case(gradients(bad=3e38), 0.0), Case(gradients(bad=np.inf), 0.0), Case(gradients(length=True), 1e-6)
SGD, PAPER = Case(training(), 0.0), Case(training(form="paper", nesterov=True), 0.0)
GUARDED, SCALED, MANY = Case(training(guard=False), 0.0), Case(training(scale=3.0), 0.0), Case(training(count=121), 0.0)
ONE_BY_ONE = convolution(3, 5, 6, (5, 7), geometry={"kernel": (1, 1), "padding": (0, 0)}, algorithm="im2col")
PLAIN_ONE_BY_ONE = case(
    ops.Conv2d((1, 1), (0, 0), (1, 1), 1), lambda rng: (images(rng, 3, 2, 5, 7), images(rng, 8, 2, 1, 1), images(rng, 8))
)
UNBIASED = case(ops.Conv2dRelu((1, 1), (0, 0), (1, 1), 1), lambda rng: (images(rng, 3, 2, 5, 7), images(rng, 5, 2, 1, 1), None))
STRIDED = {"stride": (2, 1), "padding": (1, 2), "kernel": (3, 2)}
COLUMNS = convolution(2, 5, 4, (7, 6), geometry=STRIDED, algorithm="im2col")
PACKED_COLUMNS = convolution(2, 4, 3, (7, 6), geometry=STRIDED, algorithm="im2col")
NAN_COLUMNS = with_nan(2, 3, (5, 6), algorithm="im2col")
WINOGRAD = convolution(2, 3, 2, (9, 7), algorithm="winograd")
PIECES = convolution(3, 2, 3, (5, 6), algorithm="winograd", settings=((pieces, "WORKSPACE", 1),))
GROUPS = convolution(2, 1, 1, (33, 30), algorithm="winograd")
NAN_WINOGRAD = with_nan(2, 3, (5, 6), algorithm="winograd")
DIRECT = convolution(2, 3, 10, (9, 17), settings=((implicit, "_RESIDENT", 1),))
UNEVEN = convolution(1, 3, 5, (6, 5), geometry={"padding": (0, 2)})
TENSOR = convolution(1, 24, 8, (17, 16), precision="tf32", bound=1e-3, settings=((implicit, "_RESIDENT", 2),))
HALF = convolution(1, 24, 8, (17, 16), precision="fp16", dtype="float16", bound=1e-3 + 2.0**-11, settings=((implicit, "_RESIDENT", 2),))
