"""Training from a file's weights: what is taken, what is new, what stays frozen, at which rates, and how it is gone on with."""

from __future__ import annotations

import functools
import subprocess
import sys

import numpy as np
import pytest

from minivgg import data, models, nn, ops, pretrained
from minivgg.autograd import mode
from minivgg.autograd.core import Tensor
from minivgg.errors import CheckpointError, ConfigError
from minivgg.train import (
    TrainConfig,
    build_job,
    config_toml,
    configured,
    dry_run,
    find_lr,
    load_checkpoint,
    read_config_file,
    throughput,
    train,
)

from .conftest import stripes
from .stopping import At, CrashError, crash

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
PLAIN = {"momentum": 0.0, "nesterov": False, "schedule": "constant", "epochs": 1, "checkpoint_every": 0, "lr": 0.02}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A run of one epoch on three classes of stripes: vgg11_bn of width 1/16 with the paper's head."""
    folder = tmp_path_factory.mktemp("teacher")
    (x, y), (xt, yt) = stripes(48, 0), stripes(6, 1)
    np.savez(folder / "three.npz", x_train=x, y_train=y, x_test=xt, y_test=yt)
    base = {"data": str(folder / "three.npz"), "out": str(folder / "runs"), "width": 1 / 16, "head": "paper"}
    return train(TrainConfig(**base, epochs=1, batch_size=16, device="cpu", lr=0.02)).folder


@pytest.fixture
def two(tmp_path):
    """40 images in two classes."""
    x, y = stripes(60, 2)
    np.savez(tmp_path / "two.npz", x_train=x[y < 2], y_train=y[y < 2])
    return str(tmp_path / "two.npz")


@pytest.fixture
def tune(teacher, two, tmp_path):
    """A configuration on the two classes from the teacher's weights. Keywords change it."""

    def make(**changes):
        given = {"data": two, "weights": str(teacher), "out": str(tmp_path / "runs"), "epochs": 2, "batch_size": 16, "device": "cpu"}
        return configured({**given, "checkpoint_every": 1, "mirror": False, **changes})

    return make


def own_file(path, channels=3, classes=("a", "b"), name="vgg11", **options):
    """A file of a random narrow network, whose images are normalised by MEAN and STD."""
    options = {"num_classes": len(classes), "in_channels": channels, "image_size": 32, "width": 1 / 32, "head": "paper", **options}
    model = models.build(name, seed=7, **options)
    transform = data.Compose((data.Rescale(32, 32), data.Crop(32), data.Normalise(MEAN[:channels], STD[:channels])))
    pretrained.save(path, pretrained.Network(name, options, model.state_dict(), classes, transform))
    return model.eval()


def last(folder):
    """The arrays of the run's last checkpoint."""
    return load_checkpoint(folder / "checkpoints" / "last.safetensors")


def test_frozen_layers_stay_byte_for_byte(tune, teacher):
    """Two epochs with frozen features on two other classes: all of the features, running statistics included, are the teacher's bytes;
    every layer of the classifier has moved; the message says what is new."""
    spy = At(-1, crash)
    result = train(tune(freeze="features"), observer=spy)
    before, after = last(teacher).model, last(result.folder).model
    for name, array in before.items():
        if name.startswith("features"):
            assert after[name].tobytes() == array.tobytes(), name
        elif not name.startswith("classifier.6"):
            assert not np.array_equal(after[name], array), name
    assert any("all other layers; classifier.6 is new: 2 classes here, 3 there" in text for text in spy.messages)
    assert not [name for name in last(result.folder).optimizer if "features" in name]


def test_a_frozen_part_is_frozen_in_every_respect():
    """In train() a frozen batch norm answers as in evaluation and leaves its statistics, dropout lets all through, and no parameter has a
    gradient; freeze(False) undoes it."""
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Conv2d(3, 1, 1))
    x = Tensor(np.random.default_rng(0).standard_normal((4, 2, 3, 3)).astype(np.float32) + 5)
    expected = model.eval()(x).data
    for layer in list(model)[:3]:
        layer.freeze()
    statistics = {name: buffer.data.copy() for name, buffer in model.named_buffers()}
    y = model.train()(x)
    assert model.training and not model[1].training
    np.testing.assert_array_equal(y.data, expected)
    y.sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is not None] == ["3.weight", "3.bias"]
    assert all(np.array_equal(buffer.data, statistics[name]) for name, buffer in model.named_buffers())
    model.freeze(False).train()
    assert model[1].training and all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ("freeze", "frozen"),
    [
        ("features", {0, 1, 4, 5, 8, 9, 11, 12, 15, 16, 18, 19, 22, 23, 25, 26}),
        ("conv1_1", {0, 1}),
        ("block1, block3,conv4_2", {0, 1, 8, 9, 11, 12, 18, 19}),
        ("features.4", {4}),
    ],
)
def test_names_of_what_is_frozen(tune, freeze, frozen):
    """The paper's names take batch norm along, paths do not; numbers are positions in vgg11_bn's features."""
    model = build_job(tune(freeze=freeze)).model
    still = {int(name.split(".")[1]) for name, p in model.named_parameters() if not p.requires_grad}
    assert still == frozen


def test_nothing_before_the_first_trained_layer_is_differentiated(tune, monkeypatch):
    """With four frozen blocks of five the rules of two convolutions are called: both weights', and one image's."""
    calls = []
    for rule in ("grad_x", "grad_w"):
        true = getattr(ops.Conv2d, rule)
        counted = functools.wraps(true)(lambda *args, true=true, rule=rule: calls.append(rule) or true(*args))
        monkeypatch.setattr(ops.Conv2d, rule, counted)
    job = build_job(tune(freeze="block1,block2,block3,block4"))
    (batch, *_) = job.train.epoch(0)
    recorded = []
    with mode.reference(), mode.observe(lambda node, inputs, y: recorded.append(type(node.op).__name__)):
        loss = ops.cross_entropy(job.model.train()(Tensor(batch.images)), batch.labels)
        loss.backward()
    assert sorted(calls) == ["grad_w", "grad_w", "grad_x"]
    assert sum(name.startswith("Conv2d") for name in recorded) == 2


def test_recomputation_of_frozen_blocks_has_the_same_bits(tune):
    """With and without recompute, two frozen blocks, one in the middle: the same checkpoint."""
    first, second = (last(train(tune(freeze="block1,block3", epochs=1, recompute=on)).folder) for on in (False, True))
    for name, array in first.model.items():
        assert second.model[name].tobytes() == array.tobytes(), name


def test_the_head_moves_ten_times_as_far(tune):
    """Plain SGD, one step, no decay: w − 10·lr·g for the last layer, w − lr·g for the others, g computed apart from the loop."""
    one = tune(**PLAIN, weight_decay=0.0, head_lr="10x", batch_size=36)
    job = build_job(one)
    (batch,) = job.train.epoch(0)
    with mode.step(0):
        loss = ops.cross_entropy(job.model.train()(Tensor(batch.images)), batch.labels, label_smoothing=0.1)
    loss.backward()
    rates = {name: 0.2 if name.startswith("classifier.6") else 0.02 for name, _ in job.model.named_parameters()}
    expected = {name: p.data - np.float32(rates[name]) * p.grad for name, p in job.model.named_parameters()}
    found = last(train(one).folder).model
    for name, w in expected.items():
        np.testing.assert_array_equal(found[name], w, err_msg=name)


@pytest.mark.parametrize("freeze", ["", "features,classifier.0,classifier.3"])
@pytest.mark.parametrize("head_lr", ["10x", "0.2"])
def test_the_ratio_of_the_rates_lasts(tune, freeze, head_lr):
    """When the schedule sets another rate the head's is ten times that, with decay for weights alone, and also if the head is all that is
    trained; the rate that the optimiser names is the schedule's."""
    optimizer = build_job(tune(freeze=freeze, head_lr=head_lr, lr=0.02, decay_all=False)).optimizer
    optimizer.lr = 0.003
    assert optimizer.lr == 0.003
    seen = {}
    for group in optimizer.groups:
        for name, p in group["params"]:
            seen[name] = group["lr"]
            assert group["weight_decay"] == (5e-4 if p.ndim > 1 else 0.0)
    assert all(rate == pytest.approx(0.03 if name.startswith("classifier.6") else 0.003) for name, rate in seen.items())
    assert ("features.0.weight" in seen) is (freeze == "")


def test_going_on_needs_no_file(tune, tmp_path):
    """Stopped at the third step, with the file gone: the same bits as never stopping. All of the classifier is new (another head), which
    the checkpoint knows, for its rate is another."""
    own_file(file := tmp_path / "w.safetensors", name="vgg11_bn", channels=1)
    options = {"weights": str(file), "freeze": "block1", "head": "linear", "head_lr": "3x"}
    whole = train(tune(**options, out=str(tmp_path / "a")))
    with pytest.raises(CrashError):
        train(tune(**options), observer=At(3, crash))
    (run,) = (tmp_path / "runs").iterdir()
    file.unlink()
    assert last(run).state["new"] == ["classifier"]
    resumed = train(None, resume=run)
    for name in ("last", "best"):
        assert (resumed.folder / f"checkpoints/{name}.safetensors").read_bytes() == (
            whole.folder / f"checkpoints/{name}.safetensors"
        ).read_bytes()


def test_all_new_layers_have_the_rate_of_the_head_after_going_on(tune, tmp_path):
    """The paper's head, new for another image size, at 10x: a run that is stopped after a step, the file gone, agrees with one that never
    stopped."""
    own_file(file := tmp_path / "w.safetensors", name="vgg11_bn", channels=1, image_size=64)
    options = {"weights": str(file), "image_size": 32, "freeze": "features", "head_lr": "10x", "epochs": 1}
    job = build_job(tune(**options))
    assert job.new == ("classifier.0", "classifier.3", "classifier.6") and "images of another size" in job.taken
    whole = train(tune(**options))
    with pytest.raises(CrashError):
        train(tune(**options, out=str(tmp_path / "b")), observer=At(2, crash))
    (run,) = (tmp_path / "b").iterdir()
    file.unlink()
    assert (
        last(train(None, resume=run).folder).model["classifier.0.weight"].tobytes()
        == last(whole.folder).model["classifier.0.weight"].tobytes()
    )


def test_defaults_are_the_files(tune, tmp_path):
    """Network, width, head, size and colours are the file's unless they are given; without batch norm the rate is a tenth. config.toml
    says them all, and asks no file."""
    own_file(file := tmp_path / "w.safetensors", name="vgg13", ceil_mode=True)
    config = configured({"weights": str(file), "head": "linear"})
    assert (config.model, config.width, config.head, config.image_size, config.ceil_mode) == ("vgg13", 1 / 32, "linear", 32, True)
    assert (config.normalise, config.lr) == ("0.5,0.4,0.3/0.2,0.25,0.3", 0.01)
    assert tune().lr == 0.1 and tune(head="paper", lr=1).lr == 1  # with batch norm the recipe's own holds
    (tmp_path / "c.toml").write_text(config_toml(config))
    file.unlink()
    assert TrainConfig.of(read_config_file(tmp_path / "c.toml")) == config


def test_grey_images_are_seen_as_three_equal_channels(tune, tmp_path):
    """The network for grey images answers as the file's does for three equal ones; the numbers of its colours are averaged."""
    theirs = own_file(file := tmp_path / "w.safetensors")
    job = build_job(tune(weights=str(file)))
    assert "summed over its 3 input channels" in job.taken
    assert job.transform.steps[-1] == data.Normalise((sum(MEAN) / 3,), (sum(STD) / 3,))
    grey = np.random.default_rng(0).standard_normal((2, 1, 32, 32)).astype(np.float32)
    a, b = job.model.eval().features(Tensor(grey)).data, theirs.features(Tensor(np.repeat(grey, 3, axis=1))).data
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("classes", "whole", "new", "reason"),
    [
        (("0", "1"), True, (), "all layers"),
        (("cat", "dog"), True, ("classifier.6",), "other classes, 0, 1 here, cat, dog there"),
        (("1", "0"), True, ("classifier.6",), "other classes"),
        ((), False, ("classifier.0", "classifier.3", "classifier.6"), "the file has none"),
    ],
)
def test_the_last_layer_is_kept_for_the_same_classes_only(tune, tmp_path, classes, whole, new, reason):
    """By name and order; a file of features gives no classifier."""
    own_file(file := tmp_path / "w.safetensors", channels=1, classes=classes or ("a",))
    network = pretrained.read(file)
    arrays = {name: array for name, array in network.arrays.items() if whole or name.startswith("features")}
    options = dict(network.options)
    pretrained.save(file, pretrained.Network("vgg11", options, arrays, classes, network.transform, whole=whole))
    job = build_job(tune(weights=str(file), head="paper"))
    assert job.new == new and reason in job.taken
    state = job.model.state_dict()
    weights = {name.removesuffix(".weight"): name for name in arrays if name.endswith(".weight")}
    assert all(np.array_equal(state[name], arrays[name]) is (layer not in new) for layer, name in weights.items())


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": "vgg13_bn"}, CheckpointError, r"features\.3\.weight is .* leave out --model"),
        ({"model": "vgg11"}, CheckpointError, r"cannot give vgg11 .* leave out --model and --width"),
        ({"width": 1 / 8}, CheckpointError, r"features\.0\.weight is \(4, 1, 3, 3\) there and \(8, 1, 3, 3\) here"),
        ({"freeze": "feature"}, ConfigError, "did you mean features"),
        ({"freeze": "conv1_2"}, ConfigError, 'vgg11_bn has no layer "conv1_2"'),
        ({"freeze": "features,classifier"}, ConfigError, "leaves no layer"),
        ({"freeze": "fc8"}, ConfigError, "classifier.6 as it is, but it is new"),
        ({"freeze": "features,,fc6"}, ConfigError, "freeze must be"),
        ({"num_classes": "3"}, ConfigError, r"num_classes = 3, but .*two.npz has 2 classes"),
        ({"num_classes": "1"}, ConfigError, "num_classes must be"),
        ({"init_from": "a"}, ConfigError, "weights and init_from exclude each other"),
        ({"recipe": "paper"}, ConfigError, "weights and scales exclude .* Name one scale: --scale 37"),
        ({"weights": "", "freeze": "features", "scales": "32,64"}, ConfigError, "freeze and scales exclude .* --scale 32"),
        ({"head_lr": "x"}, ConfigError, "head_lr must be"),
        ({"head_lr": "-1x"}, ConfigError, "head_lr must be"),
        ({"normalise": "0.5/0"}, ConfigError, "normalise must be"),
        ({"normalise": "0.5,0.5/1"}, ConfigError, "normalise must be"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(tune, changes, error, message):
    """Each with what is there, what is here, and what to do."""
    with pytest.raises(error, match=message):
        build_job(tune(**changes))


def test_colour_images_need_a_network_that_sees_colours(tune, tmp_path):
    """A file's network for grey images, and images with three channels."""
    own_file(file := tmp_path / "w.safetensors", channels=1)
    x, y = stripes(40, 0)
    np.savez(tmp_path / "rgb.npz", x_train=np.repeat(x[..., None], 3, axis=3), y_train=y)
    for normalise in ("std", "0.5/0.2"):
        with pytest.raises((CheckpointError, ConfigError), match="--grey"):
            build_job(tune(weights=str(file), data=str(tmp_path / "rgb.npz"), normalise=normalise))


def test_the_other_ways_to_run_take_the_weights_too(tune):
    """--dry-run says what was taken; the search for a rate leaves the frozen and the other weights alone; --benchmark runs."""
    config = tune(freeze="features", head_lr="10x")
    assert "classifier.6 is new" in dry_run(config)
    job = build_job(config)
    before = {name: array.tobytes() for name, array in job.model.state_dict().items()}
    find_lr(job, steps=10, high=1e-3)
    assert before == {name: array.tobytes() for name, array in job.model.state_dict().items()}
    assert throughput(config, steps=2).steps == 2


@pytest.mark.parametrize("content", [b"\x08" + b"\0" * 20, None], ids=["garbage", "missing"])
def test_a_damaged_file_ends_with_exit_4_and_leaves_nothing(two, tmp_path, content):
    """Garbage, missing: one line with the path, no traceback, and no run folder."""
    file = tmp_path / "w.safetensors"
    if content is not None:
        file.write_bytes(content)
    command = [sys.executable, "-m", "minivgg", "train", two, "--weights", str(file), "--out", str(tmp_path / "runs"), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4 and str(file) in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "runs").exists()
