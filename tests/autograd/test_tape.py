"""minivgg.trace: the recorded tape, printed."""

from __future__ import annotations

import io

import numpy as np
import pytest

import minivgg as mv
from minivgg import models, nn, ops
from minivgg.errors import GraphError


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Two images and their classes."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((2, 3, 32, 32)).astype("float32"), np.array([0, 2])


def test_the_tape_names_every_layer_of_a_model():
    """Every layer that computes something occurs on the tape under its path, with its op and its rules; a ReLU that runs as one
    op with the layer before it occurs there."""
    model = models.vgg11_bn(num_classes=3, image_size=32, width=1 / 32, head="paper")
    images, targets = batch()
    file = io.StringIO()
    tape = mv.trace(lambda: ops.cross_entropy(model(images), targets), file)
    on_tape = {row.layer for row in tape.rows}
    leaves = [path for path, module in model.named_modules() if not list(module.named_children())]
    idle = {"avgpool"}  # one cell to one cell: nothing to compute
    idle |= {path for path, module in model.features.named_modules("features") if isinstance(module, nn.ReLU)}
    assert {path for path in leaves if path not in idle} <= on_tape
    text = file.getvalue()
    assert text.rstrip() == str(tape) and "FORWARDS" in text and "BACKWARDS" in text
    for word in ("features.0", "classifier.6", "Conv2d", "BatchNormRelu", "Relu", "MaxPool2d", "CrossEntropy", "features.0.weight"):
        assert word in text
    assert "grad_w(gy, x, w_shape)" in text and "grad_x(gy, w, x_shape)" in text


def test_the_tape_holds_statistics_of_values_and_gradients():
    """y = Σx² at (1, 3): the squares 1, 9 have mean 5 and deviation 4, the gradient 2x has mean 4 and deviation 2."""
    x = mv.Tensor([1.0, 3.0], requires_grad=True, name="x")
    tape = mv.trace(lambda: (x * x).sum(), io.StringIO())
    leaf, multiply, total = tape.rows
    assert (leaf.op, multiply.op, total.op) == ("x", "Multiply", "Sum")
    assert leaf.value == (2.0, 1.0, 1.0, 3.0) and leaf.gradient == (4.0, 2.0, 2.0, 6.0)
    assert multiply.value == (5.0, 4.0, 1.0, 9.0) and multiply.gradient == (1.0, 0.0, 1.0, 1.0)
    assert total.value == (10.0, 0.0, 10.0, 10.0)
    assert multiply.operands == (0, 0) and total.operands == (1,)
    assert multiply.rules == ("grad_x(gy, w)", "grad_w(gy, x)") and set(multiply.keeps) == {"x", "w"}


def test_tracing_disturbs_nothing():
    """.grad, running statistics and call counters are as before, and the graph can still be swept."""
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5))
    model[0].weight.grad = marker = np.ones(1)
    images, _ = batch()
    before = {name: array.copy() for name, array in model.state_dict().items()}
    mv.trace(lambda: model(images).sum(), io.StringIO())
    assert model[0].weight.grad is marker and model[0].bias.grad is None and model[2].calls == 0
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    x = mv.Tensor([1.0, 2.0], requires_grad=True)
    loss = (x * x).sum()
    mv.trace(loss, io.StringIO())
    assert x.grad is None
    loss.backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_the_tape_tells_the_bytes_kept():
    """The last line and `kept` are kept_bytes: Σx² of 4 intermediate float32 numbers keeps them once, 16 bytes."""
    x = mv.Tensor(np.ones(4, "float32"), requires_grad=True)
    h = x + 1.0
    tape = mv.trace((h * h).sum(), io.StringIO())
    assert tape.kept == 16 and "16 bytes are kept" in str(tape) and "3 steps" not in repr(tape) and "4 steps" in repr(tape)


def test_the_tape_goes_to_standard_output_by_default(capsys):
    """mv.trace(loss) prints."""
    x = mv.Tensor([1.0], requires_grad=True)
    tape = mv.trace((x * 2.0).sum())
    assert capsys.readouterr().out.rstrip() == str(tape)


def test_there_is_no_tape_of_a_constant():
    """The error says what trace() needs."""
    with pytest.raises(GraphError, match="requires_grad=True"):
        mv.trace(mv.Tensor([1.0]))


def test_values_without_elements_have_no_statistics():
    """A batch of no images is traced as any other: its rows say … instead of raising, and Σ of nothing is 0."""
    x = mv.Tensor(np.ones((0, 3), "float32"), requires_grad=True)
    tape = mv.trace(lambda: (x * x).sum(), io.StringIO())
    leaf, multiply, total = tape.rows
    assert leaf.value is leaf.gradient is multiply.value is multiply.gradient is None
    assert total.value == (0.0, 0.0, 0.0, 0.0) and multiply.shape == (0, 3)
    assert [line.count("…") for line in str(tape).splitlines() if " Multiply " in line] == [4, 4]
