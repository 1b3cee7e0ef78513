"""Second derivatives of whole VGGs, with their ReLUs and max pooling, against torch's double backward."""

from __future__ import annotations

import pytest

import minivgg as mv

torch = pytest.importorskip("torch", reason="PyTorch is not installed: run scripts/oracles")

networks = pytest.mark.parametrize(
    ("name", "training"),
    [("vgg11", True), ("vgg11", False), ("vgg11_lrn", True), ("vgg11_bn", True), ("vgg11_bn", False), ("vgg16_bn", True), ("vgg19", True)],
)


@pytest.fixture
def step(twins, losses, rng):
    """`step(name, training)`: (ours, loss), (torch's, loss), each as (parameters, images, loss), of one batch of five images."""

    def compute(name, training):
        ours, theirs = twins(name)
        ours.train(training)
        theirs.train(training)
        x, targets = rng.standard_normal((5, 3, 32, 32)), rng.integers(0, 5, 5)
        a, b = mv.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        loss, their_loss = losses(ours, theirs, (a, b), targets)
        return (ours.parameters(), a, loss), (list(theirs.parameters()), b, their_loss)

    return compute


@networks
def test_hessian_vector_product(step, compare, rng, name, training):
    """Hv for a random v over all parameters and the images together."""
    (parameters, a, loss), (their_parameters, b, their_loss) = step(name, training)
    xs, ts = [*parameters, a], [*their_parameters, b]
    directions = [rng.standard_normal(x.shape) for x in xs]
    gradients = mv.grad(loss, xs, create_graph=True)
    their_gradients = torch.autograd.grad(their_loss, ts, create_graph=True)
    compare("gradient", gradients, list(their_gradients))
    slope = sum((g * v).sum() for g, v in zip(gradients, directions, strict=True))
    their_slope = sum((g * torch.tensor(v)).sum() for g, v in zip(their_gradients, directions, strict=True))
    compare("second", mv.grad(slope, xs), list(torch.autograd.grad(their_slope, ts)))


@networks
def test_gradient_penalty(step, compare, name, training):
    """loss + ½·|∂loss/∂images|², differentiated by backward() into every parameter's `.grad`."""
    (parameters, a, loss), (their_parameters, b, their_loss) = step(name, training)
    gx = mv.grad(loss, a, create_graph=True)[0]
    (gz,) = torch.autograd.grad(their_loss, b, create_graph=True)
    penalised, theirs = loss + 0.5 * (gx * gx).sum(), their_loss + 0.5 * (gz * gz).sum()
    compare("forward", penalised, theirs)
    penalised.backward()
    theirs.backward()
    compare("second", [p.grad for p in parameters], [p.grad for p in their_parameters])
