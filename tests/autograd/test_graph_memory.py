"""What a graph keeps, how many bytes that is, and when it lets go; the garbage collector is off throughout."""

from __future__ import annotations

import contextlib
import gc
import weakref

import numpy as np
import pytest

import minivgg as mv
from minivgg import nn, ops


@pytest.fixture(autouse=True)
def _no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def leaf(shape, dtype="float32") -> mv.Tensor:
    """Random numbers that require a gradient."""
    return mv.Tensor(np.random.default_rng(0).standard_normal(shape).astype(dtype), requires_grad=True)


def network() -> nn.Sequential:
    """One layer of each kind."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.LocalResponseNorm(), nn.MaxPool2d(2),
        nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 5),
    )  # fmt: skip


def run(model: nn.Sequential) -> tuple[mv.Tensor, list[weakref.ref]]:
    """The loss of one batch, and weak references to every layer's output array."""
    alive: list[weakref.ref] = []
    hooks = [layer.register_forward_hook(lambda module, inputs, y: alive.append(weakref.ref(y.data))) for layer in model]
    images = np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype("float32")
    loss = ops.cross_entropy(model(images), np.array([1, 3]))
    for remove in hooks:
        remove()
    return loss, alive


def test_a_dropped_graph_is_freed_at_once():
    """When the loss dies, every activation dies with it, and the collector finds nothing to do."""
    model = network()
    loss, alive = run(model)
    assert any(array() is not None for array in alive)
    del loss
    assert [array() for array in alive] == [None] * 8
    assert gc.collect() == 0


def test_a_graph_of_gradients_is_freed_at_once():
    """The graph that create_graph records has no cycles either."""
    x = leaf((3, 4))
    y = (ops.tanh(x) * ops.softmax(x)).sum()
    (g,) = mv.grad(y, x, create_graph=True)
    alive = [weakref.ref(y.data), weakref.ref(g.data)]
    del y, g
    assert [array() for array in alive] == [None, None]
    assert gc.collect() == 0


def test_backward_drops_everything_although_the_loss_lives():
    """After backward() no activation is alive, while the loss tensor is still held."""
    model = network()
    loss, alive = run(model)
    loss.backward()
    assert [array() for array in alive] == [None] * 8
    assert loss.item() > 0


def test_backward_drops_memory_as_it_passes():
    """When the sweep reaches the first layer, what the last layers saved is gone already."""
    x = leaf((1000,))
    h, alive, at_the_end = x, [], []
    for _ in range(5):
        h = ops.tanh(h)
        alive.append(weakref.ref(h.data))
    x.register_hook(lambda g: at_the_end.extend(array() is None for array in alive))
    y = h.sum()
    del h
    y.backward()
    assert at_the_end == [False, True, True, True, True] or at_the_end == [True] * 5


def test_backward_drops_intermediate_gradients_as_it_passes():
    """Only one or two gradients are alive at a time, not one per op."""
    x = leaf((1000,))
    h, gradients, alive = x, [], []
    for _ in range(6):
        h = ops.tanh(h)

        def watch(g):
            alive.append(sum(gradient() is not None for gradient in gradients))
            gradients.append(weakref.ref(g))

        h.register_hook(watch)
    h.sum().backward()
    assert max(alive) <= 2


def test_unkept_results_die_during_the_forward_pass():
    """x + 1 is named by no rule: its array dies as soon as nobody needs it."""
    x = leaf((10,))
    h = x + 1.0
    array = weakref.ref(h.data)
    y = (h + 2.0).sum()
    del h
    assert array() is None
    y.backward()


def test_a_failed_backward_leaves_no_garbage():
    """An exception in the sweep does not tie the graph into a cycle."""
    x = leaf((3,))
    y = x * x
    array = weakref.ref(y.data)
    x[0] = 1.0
    with contextlib.suppress(mv.errors.GraphError):
        y.sum().backward()
    del y
    assert array() is None


def test_kept_bytes_of_convolutions_relus_and_a_pool():
    """Each array that a rule names counts once; convolution outputs and the pool's inputs are not kept.

    batch (2, 3, 8, 8): 2·3·64·4 = 1536 bytes, read by conv1's weight rule
    relu1 (2, 4, 8, 8): 2048, read by relu1 and by conv2, counted once
    relu2 (2, 5, 8, 8): 2560, read by relu2
    pool  (2, 5, 4, 4): one byte per output, 160
    """
    x = leaf((2, 3, 8, 8)).data
    w1, w2 = leaf((4, 3, 3, 3)), leaf((5, 4, 3, 3))
    h = ops.relu(ops.conv2d(x, w1, padding=1))
    h = ops.relu(ops.conv2d(h, w2, padding=1))
    loss = ops.max_pool2d(h).sum()
    assert mv.kept_bytes(loss) == 1536 + 2048 + 2560 + 160
    # conv2 reads w2 for its image gradient: 5·4·3·3·4 = 720 bytes. Nobody wants the batch's, so w1 is not read.
    assert mv.kept_bytes(loss, leaves=True) == 1536 + 2048 + 2560 + 160 + 720


def test_kept_bytes_of_batch_norm():
    """Batch norm keeps its input (2, 3, 4, 4), 384 bytes, and two statistics for each of 3 channels, 24 bytes."""
    x, gamma, beta = leaf((2, 3, 4, 4)), leaf((3,)), leaf((3,))
    assert mv.kept_bytes(ops.batch_norm(x * 2.0, gamma, beta).sum()) == 384 + 24
    # in evaluation the input is read by gamma's rule only, through the scale (3,) that it makes: kept for x's rule
    frozen = ops.batch_norm(x * 2.0, gamma.data, beta.data, mean=np.zeros(3, "float32"), var=np.ones(3, "float32")).sum()
    assert mv.kept_bytes(frozen) == 12


def test_kept_bytes_of_linear_maps_is_nothing():
    """Sums, shifts, reshapes, transposes, average pooling and padding keep shapes only."""
    x = leaf((2, 3, 4, 4))
    h = ops.pad(ops.avg_pool2d(x + 1.0), ((0, 0), (0, 0), (1, 1), (0, 0)))
    assert mv.kept_bytes(h.transpose(1, 0, 2, 3).reshape(3, -1).mean()) == 0


def test_kept_bytes_of_a_constant_and_of_a_freed_graph_is_nothing():
    """Without a graph nothing is kept, and backward() leaves nothing."""
    x = leaf((5,))
    loss = (x * x).sum()
    loss.backward()
    assert mv.kept_bytes(loss) == 0 and mv.kept_bytes(mv.Tensor([1.0])) == 0


def test_dropout_keeps_one_byte_per_element():
    """The mask, not the input: 6·7 booleans."""
    x = leaf((6, 7))
    assert mv.kept_bytes(ops.dropout(x * 1.0, 0.5, rng=np.random.default_rng(0)).sum()) == 42


def test_a_graph_does_not_keep_its_leaf_tensors_alive():
    """A leaf that nobody holds dies although its graph lives; backward() passes it by and serves the others."""
    x, lost = leaf((3,)), mv.Tensor(np.array([2.0, 3.0, 4.0], "float32"), requires_grad=True)
    loss, remains = (x * lost).sum(), weakref.ref(lost)
    del lost
    assert remains() is None
    loss.backward()
    assert x.grad.tolist() == [2.0, 3.0, 4.0]


def test_a_retained_gradient_of_a_dead_tensor_is_dropped():
    """retain_grad() asks for a gradient at the tensor, and does not keep the tensor alive for it."""
    x = leaf((3,))
    h = x * 2.0
    h.retain_grad()
    loss, remains = h.sum(), weakref.ref(h)
    del h
    loss.backward()
    assert remains() is None and x.grad.tolist() == [2.0, 2.0, 2.0]
