"""Small networks against HIPS/autograd: an MLP's step, Hessian-vector products, and fifty steps of SGD in both forms."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import ops, optim

hips = pytest.importorskip("autograd", reason="HIPS/autograd is not installed: run scripts/oracles")
anp = pytest.importorskip("autograd.numpy")

STEPS = 50
SIZES = {"0.weight": (16, 6), "0.bias": (16,), "1.weight": (8, 16), "1.bias": (8,), "2.weight": (3, 8), "2.bias": (3,)}
OPTIONS = {
    "plain": {"momentum": 0.0, "weight_decay": 0.0},
    "momentum": {"momentum": 0.9, "weight_decay": 0.0},
    "momentum and decay": {"momentum": 0.9, "weight_decay": 5e-3},
    "nesterov": {"momentum": 0.8, "weight_decay": 5e-3, "nesterov": True},
}


def weights(rng):
    """Random parameters of a network 6-16-8-3."""
    return {name: rng.standard_normal(size) * (0.1 if len(size) == 1 else np.sqrt(2.0 / size[1])) for name, size in SIZES.items()}


def our_loss(p, x, targets):
    """The network with a tanh and a ReLU, and its cross-entropy."""
    h = ops.tanh(ops.linear(x, p["0.weight"], p["0.bias"]))
    h = ops.relu(ops.linear(h, p["1.weight"], p["1.bias"]))
    return ops.cross_entropy(ops.linear(h, p["2.weight"], p["2.bias"]), targets)


def their_loss(p, x, targets):
    """The same in autograd.numpy."""
    h = anp.tanh(anp.dot(x, p["0.weight"].T) + p["0.bias"])
    h = anp.maximum(anp.dot(h, p["1.weight"].T) + p["1.bias"], 0.0)
    logits = anp.dot(h, p["2.weight"].T) + p["2.bias"]
    return anp.mean(anp.log(anp.sum(anp.exp(logits), axis=1)) - logits[np.arange(len(targets)), targets])


def test_step_of_a_network(compare, rng):
    """Loss and all gradients."""
    p, x, targets = weights(rng), rng.standard_normal((10, 6)), rng.integers(0, 3, 10)
    tensors = {name: mv.Tensor(value, requires_grad=True) for name, value in p.items()}
    loss = our_loss(tensors, mv.Tensor(x), targets)
    loss.backward()
    compare("forward", loss, their_loss(p, x, targets))
    gradients = hips.grad(their_loss)(p, x, targets)
    for name, tensor in tensors.items():
        compare("gradient", tensor.grad, gradients[name])


def test_hessian_vector_product_of_a_network(compare, rng):
    """autograd's own hessian_vector_product, by the first layer's weights and by the images."""
    p, x, targets = weights(rng), rng.standard_normal((10, 6)), rng.integers(0, 3, 10)
    first, images = mv.Tensor(p["0.weight"], requires_grad=True), mv.Tensor(x, requires_grad=True)
    loss = our_loss({**p, "0.weight": first}, images, targets)
    cases = [
        (first, lambda w: their_loss({**p, "0.weight": w}, x, targets), p["0.weight"]),
        (images, lambda at: their_loss(p, at, targets), x),
    ]
    for tensor, function, at in cases:
        v = rng.standard_normal(at.shape)
        slope = (mv.grad(loss, tensor, create_graph=True)[0] * v).sum()
        compare("second", mv.grad(slope, tensor)[0], hips.hessian_vector_product(function)(at, v))


def test_whole_hessian_of_a_small_function(compare, rng):
    """Row by row, against autograd's hessian."""
    x, a = rng.standard_normal(4), rng.standard_normal((4, 4))

    def theirs(x):
        return anp.log(anp.sum(anp.exp(anp.dot(a, x)))) + anp.sum(anp.tanh(x) ** 3)

    t = mv.Tensor(x, requires_grad=True)
    y = ops.logsumexp(ops.matmul(a, t)) + (ops.tanh(t) ** 3).sum()
    (gradient,) = mv.grad(y, t, create_graph=True)
    rows = [mv.grad(gradient[i], t)[0] for i in range(4)]
    compare("second", np.stack(rows), hips.hessian(theirs)(x))


def paper_update(w, v, g, lr, momentum, weight_decay, nesterov=False):
    """The paper's form: v ← μ·v − η·(g + λ·w); the step is v, or with Nesterov μ·v − η·(g + λ·w). Returns (w, v)."""
    g = g + weight_decay * w
    v = momentum * v - lr * g
    return w + (momentum * v - lr * g if nesterov else v), v


def torch_update(w, v, g, lr, momentum, weight_decay, nesterov=False):
    """torch's form: v ← μ·v + g + λ·w; the step is −η·v, or with Nesterov −η·(g + λ·w + μ·v). Returns (w, v)."""
    g = g + weight_decay * w
    v = momentum * v + g
    return w - lr * (g + momentum * v if nesterov else v), v


UPDATES = {"paper": paper_update, "torch": torch_update}


@pytest.mark.parametrize("form", ["paper", "torch"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_fifty_steps_with_learning_rate_drops(compare, rng, options, form):
    """The rate falls tenfold every twenty steps, where the forms part."""
    train(compare, rng, form, [{"lr": 0.1, **options}], [list(SIZES)])


@pytest.mark.parametrize("form", ["paper", "torch"])
def test_fifty_steps_of_groups(compare, rng, form):
    """Two groups with their own rate, momentum, decay and kind of step."""
    options = [
        {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
        {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.0, "nesterov": False},
    ]
    names = [[name for name in SIZES if name.endswith(kind)] for kind in ("weight", "bias")]
    train(compare, rng, form, options, names)


def test_the_forms_part_when_the_rate_drops(rng):
    """The oracle tells them apart: with one rate they end alike, with drops they do not."""
    g, ends = rng.standard_normal((STEPS, 3)), {}
    for form, update in UPDATES.items():
        for drop in (1.0, 0.1):
            w, v = np.zeros(3), np.zeros(3)
            for step in range(STEPS):
                w, v = update(w, v, g[step], 0.1 * (drop if step >= 25 else 1.0), 0.9, 0.0)
            ends[form, drop] = w
    np.testing.assert_allclose(ends["paper", 1.0], ends["torch", 1.0], rtol=1e-10)
    assert np.abs(ends["paper", 0.1] - ends["torch", 0.1]).max() > 1e-3


def train(compare, rng, form, options, names):
    """Train our network by `optim.SGD`, theirs by autograd's gradients and an update written out; compare all the way."""
    p, velocity = weights(rng), {name: np.zeros(size) for name, size in SIZES.items()}
    start = {name: value.copy() for name, value in p.items()}
    tensors = {name: mv.Tensor(value.copy(), requires_grad=True) for name, value in p.items()}
    groups = [{"params": [(name, tensors[name]) for name in part], **o} for part, o in zip(names, options, strict=True)]
    sgd = optim.SGD(groups, form=form)
    schedule = optim.Step(sgd.lr, every=20, factor=0.1)
    for step in range(STEPS):
        x, targets = rng.standard_normal((10, 6)), rng.integers(0, 3, 10)
        loss = our_loss(tensors, mv.Tensor(x), targets)
        compare("trajectory", loss, their_loss(p, x, targets))
        sgd.zero_grad()
        loss.backward()
        sgd.lr = schedule.lr(step)
        sgd.step()
        gradients = hips.grad(their_loss)(p, x, targets)
        for part, o in zip(names, options, strict=True):
            for name in part:
                now = {**o, "lr": o["lr"] * 0.1 ** (step // 20)}
                p[name], velocity[name] = UPDATES[form](p[name], velocity[name], gradients[name], **now)
    for name, tensor in tensors.items():
        compare("trajectory", tensor, p[name])
        if f"momentum.{name}" in sgd.state_dict():
            compare("trajectory", sgd.state_dict()[f"momentum.{name}"], velocity[name])
    assert max(np.abs(p[name] - start[name]).max() for name in SIZES) > 0.05, "the weights hardly moved"
