"""The summary table, against counts by hand."""

from __future__ import annotations

import numpy as np
import pytest

from minivgg import models, nn
from minivgg.nn import summary


def test_rows_by_hand():
    """Conv 3→8, 3×3 on 6×6 with padding: 8·3·9 + 8 = 224 parameters, 8·36·27 = 7776 multiply-adds, 8·36·4 bytes; and so on."""
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 10, bias=False)
    )
    table = summary(model, (1, 3, 6, 6))
    found = [(r.path, r.shape, r.parameters, r.multiply_adds, r.bytes) for r in table.rows]
    assert found == [
        ("0", (1, 8, 6, 6), 224, 7776, 1152),
        ("1", (1, 8, 6, 6), 16, 0, 1152),
        ("2", (1, 8, 6, 6), 0, 0, 1152),
        ("3", (1, 8, 3, 3), 0, 0, 288),
        ("4", (1, 72), 0, 0, 288),
        ("5", (1, 10), 720, 720, 40),
    ]
    assert (table.parameters, table.trainable, table.multiply_adds, table.bytes) == (960, 960, 8496, 4072)


def test_multiply_adds_of_grouped_strided_convolutions():
    """K·P·Q·(C/groups)·R·S per image: 6·(3·4)·(2)·(3·2) = 864, and twice that for two images."""
    model = nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), groups=2)
    assert summary(model, (1, 4, 5, 5)).multiply_adds == 864 and summary(model, (2, 4, 5, 5)).multiply_adds == 1728


def test_the_table_agrees_with_the_real_parameters():
    """Rows add up to the sizes of the model's own arrays, frozen ones are counted apart."""
    model = models.vgg13_bn(num_classes=7, image_size=64, width=1 / 16)
    model.features.requires_grad_(False)
    table = model.summary((1, 3, 64, 64))
    real = {name: array.size for name, array in model.state_dict().items() if name.endswith(("weight", "bias"))}
    assert sum(row.parameters for row in table.rows) == table.parameters == sum(real.values())
    assert table.trainable == sum(size for name, size in real.items() if name.startswith("classifier"))


def test_measuring_leaves_no_trace():
    """Modes, running statistics, hooks and gradients are as before, also when the model cannot run."""
    model = models.vgg11_bn(num_classes=2, image_size=32, width=1 / 32)
    model.features[1].eval()
    before = {name: array.copy() for name, array in model.state_dict().items()}
    modes = [module.training for _, module in model.named_modules()]
    model.summary((2, 3, 32, 32))
    with pytest.raises(ValueError, match="input channels"):
        model.summary((2, 1, 32, 32))
    assert [module.training for _, module in model.named_modules()] == modes
    assert not any(module.__dict__.get("_hooks") for _, module in model.named_modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_the_text_has_every_layer_and_the_totals():
    """Paths, shapes, and the last line with GMAC and parameters."""
    model = models.vgg11(num_classes=10, image_size=32, width=1 / 16, head="linear")
    text = str(model.summary((1, 3, 32, 32)))
    for path, module in model.named_modules():
        assert bool(list(module.named_children())) or any(line.split()[0] == path for line in text.splitlines() if line)
    total = sum(parameter.size for parameter in model.parameters())
    assert f"{total:,} of {total:,} parameters are trained" in text and "1×4×32×32" in text and "GMAC" in text
