"""Module: names, state, modes, conversion, hooks, freezing."""

from __future__ import annotations

import numpy as np
import pytest

import minivgg as mv
from minivgg import nn, ops
from minivgg.errors import CheckpointError, GraphError

X = np.random.default_rng(0).standard_normal((2, 3, 4, 4)).astype("float32")


def small():
    """Convolution, norm, ReLU, flatten, linear; no dropout."""
    return nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 5))


def copies(model):
    """The state as copies."""
    return {name: array.copy() for name, array in model.state_dict().items()}


def assert_equal(state, other):
    """The same names in the same order, the same bits."""
    assert list(state) == list(other)
    for name in state:
        np.testing.assert_array_equal(state[name], other[name], err_msg=name)


def test_names_are_attribute_paths_in_order_of_assignment():
    """Parameters, buffers and modules come in the order in which they were assigned, parents first."""
    model = small()
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "1.weight", "1.bias", "4.weight", "4.bias"]
    assert [name for name, _ in model.named_buffers()] == ["1.running_mean", "1.running_var", "1.num_batches_tracked"]
    assert [name for name, _ in model.named_modules()] == ["", "0", "1", "2", "3", "4"]
    assert list(model.state_dict()) == [
        "0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked", "4.weight", "4.bias"
    ]  # fmt: skip


def test_a_shared_parameter_is_counted_once():
    """Two layers with one weight have it once among the parameters, and its gradient is the sum."""
    a, b = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    b.weight = a.weight
    model = nn.Sequential(a, b)
    assert [name for name, _ in model.named_parameters()] == ["0.weight"]
    a.weight.data = np.eye(3, dtype="float32")
    model(np.ones((1, 3), "float32")).sum().backward()
    np.testing.assert_allclose(a.weight.grad, np.full((3, 3), 2.0))  # y = W W x: ones from each place


def test_the_state_can_be_loaded_into_an_equal_model():
    """Arrays go in by name, in any order, from arrays or tensors, and the outputs agree."""
    model, other = small(), small()
    for parameter in model.parameters():
        parameter.data = parameter.data + 1.0
    model(X)
    state = dict(reversed(copies(model).items()))
    state["4.bias"] = mv.Tensor(state["4.bias"])
    assert other.load_state_dict(state) == ([], [])
    assert_equal(other.state_dict(), model.state_dict())
    np.testing.assert_array_equal(model.eval()(X).data, other.eval()(X).data)


def test_loading_copies_and_converts_the_dtype():
    """The model keeps its own arrays and dtypes; the loaded ones are not shared."""
    model = small()
    state = {name: array.astype("float64") for name, array in copies(model).items()}
    state["4.bias"][:] = 7.0
    before = model[4].bias.data
    model.load_state_dict(state)
    state["4.bias"][:] = 8.0
    assert model[4].bias.data is before and before.tolist() == [7.0] * 5 and before.dtype == np.float32
    assert model[1].num_batches_tracked.dtype == np.int64


BROKEN = {
    "a missing name": (lambda s: s.pop("1.running_var"), r"1 missing: 1\.running_var"),
    "a name left over": (lambda s: s.update({"9.weight": np.ones(1)}), r"1 left over: 9\.weight"),
    "a wrong shape": (lambda s: s.update({"4.weight": np.ones((5, 31))}), r"4\.weight is \(5, 31\), expected \(5, 32\)"),
    "a wrong rank": (lambda s: s.update({"1.num_batches_tracked": np.ones(1)}), r"num_batches_tracked is \(1,\), expected \(\)"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_state_that_does_not_fit_changes_nothing(fault):
    """One fault among good names: CheckpointError says which, and every byte of the model is as before."""
    damage, message = BROKEN[fault]
    model = small()
    before = copies(model)
    state = {name: array + 1 for name, array in copies(model).items()}
    damage(state)
    with pytest.raises(CheckpointError, match=message) as caught:
        model.load_state_dict(state)
    assert "Nothing was changed" in str(caught.value) and "strict=False" in str(caught.value)
    assert_equal(model.state_dict(), before)


def test_many_faults_are_listed_at_once():
    """Missing, left over and misshapen names are told in one message."""
    with pytest.raises(CheckpointError, match=r"wrong: 0\.bias.*8 missing: 0\.weight.*1 left over: x"):
        small().load_state_dict({"x": np.ones(1), "0.bias": np.ones(9)})


def test_strict_false_loads_what_fits_by_name():
    """A new head keeps its values, a foreign name is passed over; both are returned. Wrong shapes are still refused."""
    model = small()
    before = copies(model)
    partial = {"0.bias": np.array([3.0, 4.0]), "foreign": np.ones(3)}
    missing, left_over = model.load_state_dict(partial, strict=False)
    assert left_over == ["foreign"] and missing == [name for name in before if name != "0.bias"]
    after = copies(model)
    assert after.pop("0.bias").tolist() == [3.0, 4.0]
    before.pop("0.bias")
    assert_equal(after, before)
    with pytest.raises(CheckpointError, match=r"0\.bias is \(3,\)"):
        model.load_state_dict({"0.bias": np.ones(3)}, strict=False)


def test_train_and_eval_reach_every_module():
    """The switch goes all the way down, and the model is returned."""
    model = nn.Sequential(nn.Sequential(nn.Dropout(0.5)), nn.BatchNorm2d(2))
    assert model.training and model.eval() is model
    assert not any(module.training for _, module in model.named_modules())
    assert all(module.training for _, module in model.train().named_modules())


def test_conversion_to_float64_and_back_is_exact():
    """float32 → float64 → float32 gives the same bits; counters stay integers; gradients follow the new dtype."""
    model = small()
    before = copies(model)
    assert model.to(dtype="float64") is model
    assert {str(array.dtype) for name, array in model.state_dict().items() if "num" not in name} == {"float64"}
    assert model[1].num_batches_tracked.dtype == np.int64
    model.eval()(X.astype("float64")).sum().backward()
    assert all(parameter.grad.dtype == np.float64 for parameter in model.parameters())
    model.to(dtype="float32", device="cpu")
    assert_equal(model.state_dict(), before)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_frozen_parameters_get_no_gradient_and_thaw_again():
    """requires_grad_(False) freezes from there down, also through to(); True makes trainable again."""
    model = small()
    model[0].requires_grad_(False)
    model.to(dtype="float64").eval()(X.astype("float64")).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == ["0.weight", "0.bias"]
    model.zero_grad()
    model.requires_grad_(True)(X.astype("float64")).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_zero_grad_forgets_all_gradients():
    """Afterwards every .grad is None."""
    model = small()
    model(X).sum().backward()
    model.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_forward_hooks_see_and_replace_outputs_until_removed():
    """A hook gets module, inputs and output; what it returns goes on instead."""
    model = small().eval()
    plain, seen = model(X).data.copy(), []
    remove = model[2].register_forward_hook(lambda module, inputs, y: seen.append((module, inputs[0].shape, y.shape)))
    undo = model[4].register_forward_hook(lambda module, inputs, y: y * 0.0)
    assert not model(X).data.any() and seen == [(model[2], (2, 2, 4, 4), (2, 2, 4, 4))]
    remove()
    undo()
    np.testing.assert_array_equal(model(X).data, plain)
    assert len(seen) == 1


def test_sequential_behaves_like_a_list():
    """Length, iteration, negative indices, slices; a slice shares the layers."""
    model = small()
    assert len(model) == 5 and list(model)[-1] is model[-1] is model[4]
    head = model[:3]
    assert isinstance(head, nn.Sequential) and len(head) == 3 and head[0] is model[0]
    np.testing.assert_array_equal(head.eval()(X).data, model[2](model[1](model[0](X))).data)
    with pytest.raises(IndexError):
        model[5]
    assert nn.Sequential()(X) is X


def test_a_replaced_layer_takes_over_the_name():
    """Exchanging the head keeps the order and names of the state."""
    model = small()
    names = list(model.state_dict())
    setattr(model, "4", nn.Linear(32, 9))
    assert list(model.state_dict()) == names and model(X).shape == (2, 9)


def test_repr_draws_the_tree():
    """Layers with their arguments, nested ones indented."""
    text = repr(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Sequential(nn.ReLU())))
    assert text.splitlines() == [
        "Sequential(",
        "  (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))",
        "  (1): Sequential(",
        "    (0): ReLU()",
        "  )",
        ")",
    ]


def test_a_module_without_forward_says_so():
    """The error names the class."""

    class Empty(nn.Module):
        pass

    with pytest.raises(TypeError, match=r"Empty defines no forward\(self, x\)"):
        Empty()(X)


def test_errors_name_the_path_through_nested_modules():
    """A layer two levels down is named by its whole path."""

    class Model(nn.Module):
        def __init__(self):
            self.features = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Conv2d(4, 2, 3)))

        def forward(self, x):
            return self.features(x)

    with pytest.raises(ValueError, match=r"^features\.1\.0 expects 4 input channels, but the batch \(2, 3, 4, 4\) has 3"):
        Model()(X)


def test_a_parameter_overwritten_between_forward_and_backward_is_named():
    """GraphError says which weight, once it has a name."""
    model = mv.models.vgg11(num_classes=2, image_size=32, width=1 / 32, head="linear")
    loss = model(np.ones((1, 3, 32, 32), "float32")).sum()
    model.features[3].weight.data *= 0.5
    with pytest.raises(GraphError, match=r"features\.3\.weight"):
        loss.backward()


def test_own_modules_compose_with_layers():
    """A subclass with its own parameter trains it like any other."""

    class Scale(nn.Module):
        def __init__(self):
            self.factor = nn.Parameter(np.array(2.0))

        def forward(self, x):
            return ops.relu(x) * self.factor

    model = nn.Sequential(Scale(), Scale())
    assert [name for name, _ in model.named_parameters()] == ["0.factor", "1.factor"]
    model(np.array([3.0])).sum().backward()
    assert model[0].factor.grad == 6.0 and model[1].factor.grad == 6.0
