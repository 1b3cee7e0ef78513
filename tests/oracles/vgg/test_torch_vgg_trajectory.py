"""Fifty steps of SGD on whole VGGs, form="torch", against torch.optim.SGD: every loss and the weights at the end."""

from __future__ import annotations

import numpy as np
import pytest

from minivgg import optim

torch = pytest.importorskip("torch", reason="PyTorch is not installed: run scripts/oracles")

STEPS = 50
OPTIONS = {
    "plain": {"momentum": 0.0, "weight_decay": 0.0},
    "decay": {"momentum": 0.0, "weight_decay": 0.01},
    "momentum": {"momentum": 0.9, "weight_decay": 5e-4},
    "nesterov": {"momentum": 0.8, "weight_decay": 5e-3, "nesterov": True},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("name", ["vgg11", "vgg11_bn", "vgg16_bn"])
def test_fifty_steps_with_learning_rate_drops(twins, losses, compare, rng, name, options):
    """The rate falls tenfold every twenty steps, by our schedule and by torch's."""
    ours, theirs = twins(name)
    sgd = optim.SGD(ours.named_parameters(), lr=0.01, **options)
    their_sgd = torch.optim.SGD(theirs.parameters(), lr=0.01, **options)
    train(ours, theirs, sgd, their_sgd, losses, compare, rng)
    if options["momentum"]:
        velocities = sgd.state_dict()
        for key, parameter in theirs.named_parameters():
            compare("trajectory", velocities[f"momentum.{key}"], their_sgd.state[parameter]["momentum_buffer"])


@pytest.mark.parametrize("name", ["vgg11", "vgg11_bn"])
def test_fifty_steps_of_groups(twins, losses, compare, rng, name):
    """Three groups with their own rate, momentum, decay and kind of step; a drop scales all three."""
    ours, theirs = twins(name)
    options = [
        {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
        {"lr": 0.03, "momentum": 0.5, "weight_decay": 0.0, "nesterov": False},
        {"lr": 0.002, "momentum": 0.0, "weight_decay": 0.1, "nesterov": False},
    ]

    def groups(model, pairs):
        named = list(model.named_parameters())
        parts = [[p for p in named if p[0].startswith("features") and p[1].ndim > 1], [p for p in named if p[1].ndim == 1]]
        parts.append([p for p in named if p[0].startswith("classifier") and p[1].ndim > 1])
        return [{"params": part if pairs else [p for _, p in part], **o} for part, o in zip(parts, options, strict=True)]

    train(ours, theirs, optim.SGD(groups(ours, True)), torch.optim.SGD(groups(theirs, False)), losses, compare, rng)


def test_fifty_steps_without_decay_of_one_dimensional_parameters(twins, losses, compare, rng):
    """`without_decay` leaves biases and batch norm's parameters alone."""
    ours, theirs = twins("vgg11_bn")
    their_groups = [
        {"params": [p for p in theirs.parameters() if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for p in theirs.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    sgd = optim.SGD(optim.without_decay(ours.named_parameters(), 0.05), lr=0.01, momentum=0.9)
    train(ours, theirs, sgd, torch.optim.SGD(their_groups, lr=0.01, momentum=0.9), losses, compare, rng)


def train(ours, theirs, sgd, their_sgd, losses, compare, rng):
    """Train both on the same batches with the same dropout masks; compare every loss, then every parameter and statistic."""
    schedule = optim.Step(sgd.lr, every=20, factor=0.1)
    their_schedule = torch.optim.lr_scheduler.StepLR(their_sgd, step_size=20, gamma=0.1)
    before = {key: value.copy() for key, value in ours.state_dict().items()}
    for step in range(STEPS):
        x, targets = rng.standard_normal((16, 3, 32, 32)), rng.integers(0, 5, 16)
        loss, their_loss = losses(ours, theirs, x, targets, step)
        compare("trajectory", loss, their_loss)
        sgd.zero_grad()
        their_sgd.zero_grad()
        loss.backward()
        their_loss.backward()
        sgd.lr = schedule.lr(step)
        sgd.step()
        their_sgd.step()
        their_schedule.step()
    after = ours.state_dict()
    for key, value in theirs.state_dict().items():
        compare("trajectory", after[key].astype("float64"), value.to(torch.float64))
    assert max(np.abs(after[key] - before[key]).max() for key, _ in ours.named_parameters()) > 0.01, "the weights hardly moved"
