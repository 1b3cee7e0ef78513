"""Batch norm folded into the layer before it: the same outputs, fewer layers, the original untouched."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import models, nn
from minivgg.errors import ConfigError


def used(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model in evaluation, its batch norms as after some training: nothing is 0 or 1."""
    rng = np.random.default_rng(seed)
    ranges = {"weight": (-1.5, 1.5), "bias": (-1.0, 1.0), "running_mean": (-1.0, 1.0), "running_var": (0.2, 3.0)}
    for _, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            for name, (low, high) in ranges.items():
                tensor = getattr(module, name)
                tensor.data[...] = rng.uniform(low, high, tensor.shape)
    return model.eval()


def difference(a: nn.Module, b: nn.Module, x: np.ndarray) -> float:
    """The largest difference of the outputs, relative to the largest output."""
    with mv.no_grad():
        ya, yb = a(mv.Tensor(x)).data, b(mv.Tensor(x)).data
    assert ya.dtype == yb.dtype == x.dtype
    return float(np.abs(ya - yb).max() / np.abs(ya).max())


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("recompute", [False, True])
def test_a_vgg_answers_the_same(dtype, bound, recompute):
    """VGG-16 with batch norm: the stated bounds; 13 batch norms gone; names of what remains as before."""
    model = used(models.vgg16_bn(num_classes=7, image_size=32, width=1 / 8, recompute=recompute).to(dtype=dtype))
    folded = nn.fold_batch_norm(model)
    x = np.random.default_rng(1).standard_normal((3, 3, 32, 32)).astype(dtype)
    assert difference(model, folded, x) <= bound
    assert sum(isinstance(m, nn.BatchNorm2d) for _, m in folded.named_modules()) == 0
    norms = {path for path, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert [n for n, _ in folded.named_parameters()] == [n for n, _ in model.named_parameters() if n.rpartition(".")[0] not in norms]
    assert len(norms) == 13 and {p.name for p in folded.parameters()} == {n for n, _ in folded.named_parameters()}


def test_the_original_is_untouched():
    """Its state, bit for bit, its modes and its layers; the copy shares no memory with it."""
    model = used(models.vgg11_bn(num_classes=3, image_size=32, width=1 / 16, head="linear"))
    before = {name: a.tobytes() for name, a in model.state_dict().items()}
    folded = nn.fold_batch_norm(model)
    for p in folded.parameters():
        p.data[...] = 0
    assert {name: a.tobytes() for name, a in model.state_dict().items()} == before
    assert not folded.training


def test_one_channel_worked_by_hand():
    """w = 3, b = 1, μ = 2, σ² = 4 − ε, γ = 6, β = 5: a = 3, so weight 9 and bias 3·(1 − 2) + 5 = 2."""
    net = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm2d(1, eps=0.5)).to(dtype="float64")
    values = {"0.weight": [[3.0]], "0.bias": [1.0], "1.weight": [6.0], "1.bias": [5.0], "1.running_mean": [2.0], "1.running_var": [3.5]}
    net.load_state_dict({name: np.array(v) for name, v in values.items()}, strict=False)
    folded = nn.fold_batch_norm(net.eval())
    assert folded[0].weight.data.item() == 9.0 and folded[0].bias.data.item() == 2.0 and len(folded) == 1


def test_a_layer_without_bias_gets_one_and_groups_stay():
    """Grouped, strided, without bias: the bias comes from the batch norm."""
    net = used(nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=False), nn.BatchNorm2d(6)).to(dtype="float64"))
    folded = nn.fold_batch_norm(net)
    assert difference(net, folded, np.random.default_rng(0).standard_normal((2, 4, 5, 5))) <= 1e-12
    assert [name for name, _ in folded.named_parameters()] == ["0.weight", "0.bias"]


def test_what_cannot_be_folded_stays():
    """Batch norm at the front, behind ReLU and behind another batch norm, hooked layers, layers at two places: the same
    outputs, and nothing but the one pair that can be is folded."""
    twice, hooked = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)
    hooked.register_forward_hook(lambda module, inputs, y: y * 2.0)
    net = nn.Sequential(
        nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.BatchNorm2d(2), nn.ReLU(), nn.BatchNorm2d(2),
        nn.Sequential(hooked, nn.BatchNorm2d(2)), twice, nn.BatchNorm2d(2), nn.ReLU(), twice, nn.BatchNorm2d(2),
    )  # fmt: skip
    used(net.to(dtype="float64"))
    folded = nn.fold_batch_norm(net)
    assert difference(net, folded, np.random.default_rng(0).standard_normal((2, 2, 3, 3))) <= 1e-12
    assert {n for n, _ in net.named_modules()} - {n for n, _ in folded.named_modules()} == {"2"}


def test_a_shared_weight_is_folded_for_one_layer_only():
    """Two convolutions with one weight, one of them normalised: the other keeps the weight as it was."""
    net = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1))
    net[2].weight = net[0].weight
    used(net.to(dtype="float64"))
    assert difference(net, nn.fold_batch_norm(net), np.random.default_rng(0).standard_normal((2, 2, 3, 3))) <= 1e-12


def test_a_model_in_training_is_refused():
    """With the first module that is in training, and what to do."""
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)).eval()
    model[1].train()
    with pytest.raises(ConfigError, match=r"1 of its modules, 1 the first, are in training.*Call model\.eval\(\)"):
        nn.fold_batch_norm(model)
