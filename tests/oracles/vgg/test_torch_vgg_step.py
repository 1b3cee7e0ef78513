"""One training step of whole VGGs against the same networks of torch: names, loss, every gradient, running statistics."""

from __future__ import annotations

import pytest

import minivgg as mv

torch = pytest.importorskip("torch", reason="PyTorch is not installed: run scripts/oracles")

NAMES = ["vgg11", "vgg11_lrn", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_1x1", "vgg16_1x1_bn", "vgg16_bn", "vgg19", "vgg19_bn"]


@pytest.mark.parametrize("head", ["paper", "linear"])
@pytest.mark.parametrize("name", NAMES)
def test_names_and_shapes(twins, name, head):
    """The state's names are those of torchvision, in the same order."""
    ours, theirs = twins(name, head=head)
    assert [(key, value.shape) for key, value in ours.state_dict().items()] == [
        (key, tuple(value.shape)) for key, value in theirs.state_dict().items()
    ]


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", NAMES)
def test_loss_and_every_gradient(twins, losses, compare, rng, name, training):
    """By all parameters and the images, with dropout and batch statistics in training."""
    check_step(twins(name), losses, compare, rng, (4, 3, 32, 32), training)


@pytest.mark.parametrize("name", ["vgg11", "vgg11_bn"])
@pytest.mark.parametrize(
    ("size", "image_size", "head"), [((64, 64), 64, "paper"), ((96, 64), 64, "paper"), ((50, 70), 32, "paper"), ((64, 96), 64, "linear")]
)
def test_larger_images(twins, losses, compare, rng, name, size, image_size, head):
    """Several cells in the head, an adaptive pool with unequal cells, odd sizes in max pooling, and global pooling."""
    check_step(twins(name, image_size, head), losses, compare, rng, (3, 3, *size), True)


def check_step(pair, losses, compare, rng, shape, training):
    """Compare the loss, the gradients that backward() leaves, and the state afterwards."""
    ours, theirs = pair
    ours.train(training)
    theirs.train(training)
    x, targets = rng.standard_normal(shape), rng.integers(0, 5, shape[0])
    a, b = mv.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    loss, their_loss = losses(ours, theirs, (a, b), targets)
    compare("forward", loss, their_loss)
    loss.backward()
    their_loss.backward()
    compare("gradient", a.grad, b.grad)
    gradients = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        compare("gradient", parameter.grad, gradients[name].grad)
    for name, buffer in theirs.named_buffers():
        compare("forward", ours.state_dict()[name].astype("float64"), buffer.to(torch.float64))
