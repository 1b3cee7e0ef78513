"""The paper's plan: its stages, first weights by block name, going on after a stop anywhere, and what is refused."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from minivgg import models
from minivgg.cli import run
from minivgg.errors import CheckpointError, ConfigError
from minivgg.train import (
    Interrupted,
    Observer,
    PlanFolder,
    Predictor,
    TrainConfig,
    build_job,
    dry_run,
    load_checkpoint,
    stages,
    throughput,
    train,
    trained,
)

from .conftest import stripes
from .stopping import CrashError, crash


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with 48 images to train, of which 43 are learnt from, and 12 to test."""
    folder = tmp_path_factory.mktemp("plans")
    (x, y), (xt, yt) = stripes(48, 0), stripes(12, 1)
    np.savez(folder / "d.npz", x_train=x, y_train=y, x_test=xt, y_test=yt)
    return folder


def small(place, out, **changes):
    """The paper's recipe for those images: one epoch of three steps."""
    base = {"recipe": "paper", "data": str(place / "d.npz"), "out": str(out), "width": 1 / 16, "image_size": 32, "epochs": 1}
    return TrainConfig.of({**base, "batch_size": 16, "device": "cpu", "checkpoint_every": 2, "workers": 0, **changes})


@pytest.fixture
def plan(place, tmp_path):
    """A plan for vgg13 in three stages. Keywords change it."""

    def make(**changes):
        return small(place, **{"out": tmp_path / "runs", "model": "vgg13", "scales": "32,34-36", **changes})

    return make


@pytest.fixture(scope="module")
def whole(place):
    """The folder of that plan, trained without a stop, and what was told; nobody changes it."""
    observer = AtStep(0, 0, crash)
    result = train(small(place, place / "runs", model="vgg13", scales="32,34-36"), observer=observer)
    return result.folder.parent, result, observer.messages


class AtStep(Observer):
    """Calls `act` after that step of that stage (from 1), once."""

    def __init__(self, stage, step, act):
        self.wanted, self.act, self.begun, self.messages = (stage, step), act, 0, []

    def begin(self, trainer):
        self.begun += 1

    def step(self, trainer):
        if (self.begun, trainer.progress.step) == self.wanted:
            self.wanted = None
            self.act(trainer)

    def message(self, text):
        self.messages.append(text)


def bits(folder):
    """Every stage's last checkpoint and metrics, without the times."""
    found = {}
    for path in sorted(folder.glob("*/checkpoints/last.safetensors")):
        rows = [line.rsplit(",", 2)[0] for line in (path.parents[1] / "metrics.csv").read_text().splitlines()]
        found[path.parents[1].name] = (path.read_bytes(), rows)
    return found


def begun(source, folder, finished):
    """A copy of a finished plan's folder in which only so many stages have been trained."""
    folder.mkdir()
    shutil.copy(source / "plan.toml", folder)
    for name in sorted(path.name for path in source.glob("*_*"))[:finished]:
        shutil.copytree(source / name, folder / name)
    return folder


def model_of(folder):
    """The arrays of a run's last checkpoint."""
    return load_checkpoint(folder / "checkpoints" / "last.safetensors").model


# ---- the stages


def table(config):
    """(folder, network, S, rate, first weights) of each stage."""
    found = stages(config, Path("/p"))
    return [(s.name, s.config.model, s.config.scale, s.config.lr, s.config.init_from.removeprefix("/p/")) for s in found]


def test_the_papers_four_stages():
    """vgg16 at full size, as §3.1 of the paper has them; every stage is one run, with the recipe's other numbers."""
    config = TrainConfig.of({"recipe": "paper"})
    assert table(config) == [
        ("1_vgg11_256", "vgg11", "256", 0.01, ""),
        ("2_vgg16_256", "vgg16", "256", 0.01, "1_vgg11_256"),
        ("3_vgg16_384", "vgg16", "384", 0.001, "2_vgg16_256"),
        ("4_vgg16_256-512", "vgg16", "256-512", 0.001, "3_vgg16_384"),
    ]
    own = {"model", "scale", "scales", "lr", "init_from", "out"}
    for stage in stages(config, Path("/p")):
        assert stage.config.scales == "" and stage.config.out == "/p"
        assert {k: v for k, v in stage.config.mapping().items() if k not in own} == {
            k: v for k, v in config.mapping().items() if k not in own
        }


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"model": "vgg11"}, ["1_vgg11_256", "2_vgg11_384", "3_vgg11_256-512"]),
        ({"model": "vgg11_lrn", "image_size": 32}, ["1_vgg11_lrn_37", "2_vgg11_lrn_55", "3_vgg11_lrn_37-73"]),
        ({"model": "vgg19_bn", "scales": "300"}, ["1_vgg11_bn_300", "2_vgg19_bn_300"]),
        ({"model": "vgg16", "init_from": "a", "scales": "256,384"}, ["1_vgg16_256", "2_vgg16_384"]),
    ],
)
def test_other_plans(given, names):
    """A shallow network, a miniature, batch norm, one scale, and a net A that is there already."""
    found = stages(TrainConfig.of({"recipe": "paper", **given}), Path("/p"))
    assert [stage.name for stage in found] == names
    assert found[0].config.init_from == given.get("init_from", "")


def test_scales_below_the_crop_are_refused():
    """With the sizes and both remedies."""
    with pytest.raises(ConfigError, match=r"28 pixels, but a crop needs 32×32. Raise --scales to 32 or more, or lower --image-size to 28"):
        stages(TrainConfig.of({"recipe": "paper", "image_size": 32, "scales": "37,28-40"}), Path("/p"))


# ---- first weights


@pytest.fixture(scope="module")
def shallow(whole):
    """The run folder of net A."""
    return whole[0] / "1_vgg11_32"


@pytest.fixture
def start(place, tmp_path):
    """A single run's configuration. Keywords change it."""

    def make(model, **changes):
        return small(place, **{"out": tmp_path / "runs", "model": model, "scale": "32", **changes})

    return make


@pytest.mark.parametrize("model", ["vgg19", "vgg11_lrn"])
def test_layers_are_taken_by_block_name(shallow, start, model):
    """conv1_1, conv2_1, conv3_1, conv3_2 and the fully connected layers are net A's bits, all others those of a random start."""
    job = build_job(start(model, init_from=str(shallow)))
    given, random = model_of(shallow), build_job(start(model)).model.state_dict()
    taken = {models.blocks(model)[name][0]: models.blocks("vgg11")[name][0] for name in models.STAGED}
    for key, array in job.model.state_dict().items():
        module, kind = key.rsplit(".", 1)
        expected = given[f"{taken[module]}.{kind}"] if module in taken else random[key]
        assert array.tobytes() == expected.tobytes(), key
    assert "conv1_1, conv2_1, conv3_1, conv3_2, fc6, fc7, fc8; the other layers are random" in job.taken


def test_the_same_network_gives_all_its_layers(shallow, start):
    """From a folder, and from a checkpoint file; the message says which file and what was taken."""
    for path in (shallow, shallow / "checkpoints" / "best.safetensors"):
        job = build_job(start("vgg11", init_from=str(path)))
        assert all(array.tobytes() == model_of(shallow)[key].tobytes() for key, array in job.model.state_dict().items())
        assert job.taken.endswith("vgg11 after 1 epochs: all layers") and ("best" in job.taken) == (path is not shallow)


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ("vgg13", {"width": 1 / 8}, r"\(4, 1, 3, 3\) there, .* is \(8, 1, 3, 3\) here \(.*width 0.0625 there, 0.125 here\)"),
        ("vgg13", {"head": "linear"}, r"head paper there, linear here"),
        ("vgg11", {"image_size": 64, "scale": "64"}, r"classifier.0.weight is \(256, 32\) there.*\(256, 128\) here"),
        ("vgg13_bn", {}, r"batch norm.*Start from vgg11_bn"),
    ],
)
def test_weights_that_do_not_fit_are_refused(shallow, start, model, changes, message):
    """Both shapes, the choices that differ, and the remedy."""
    with pytest.raises(CheckpointError, match=message):
        build_job(start(model, init_from=str(shallow), **changes))


def test_a_source_that_is_none_is_refused(place, start, tmp_path):
    """An empty folder, and a file that is no checkpoint: the path is in the message."""
    for path in (tmp_path, place / "d.npz"):
        with pytest.raises(CheckpointError, match=str(path)):
            build_job(start("vgg11", init_from=str(path)))


def test_runs_from_different_weights_are_not_equal(shallow, start):
    """--resume auto looks at the first weights, too."""
    first = train(start("vgg11"))
    again = train(start("vgg11", init_from=str(shallow)), resume="auto")
    assert again.folder != first.folder and train(start("vgg11"), resume="auto").folder == first.folder


# ---- running a plan


def test_a_plan_runs_its_stages_and_ends_with_the_last(whole, plan, place):
    """Three run folders, each with a test result; each stage begins with what the one before ended with; the plan's folder stands for
    its last stage."""
    folder, result, messages = whole
    assert sorted(path.name for path in folder.iterdir()) == ["1_vgg11_32", "2_vgg13_32", "3_vgg13_34-36", "plan.toml"]
    assert result.folder.name == "3_vgg13_34-36" and result.test.count == 12 and folder.name.endswith("_paper_vgg13")
    third = load_checkpoint(result.folder / "checkpoints" / "last.safetensors").state["config"]
    assert (third["lr"], third["scale"], third["scales"]) == (0.001, "34-36", "")
    started = build_job(stages(plan(), folder)[2].config).model.state_dict()
    assert all(array.tobytes() == model_of(folder / "2_vgg13_32")[key].tobytes() for key, array in started.items())
    assert trained(folder).path == result.folder and Predictor.load(folder).config.scale == "34-36"
    told = "\n".join(messages)
    assert "stage 2 of 3: vgg13 at S = 32, rate 0.01, first weights: conv1_1, conv2_1" in told
    again = train(plan(out=place / "runs"), resume="auto")  # nothing is trained
    assert again.folder == result.folder and again.rows == result.rows


@pytest.mark.parametrize(("stage", "step"), [(2, 2), (2, 3), (3, 1)])
def test_stopped_and_resumed_is_never_stopped(whole, stage, step, tmp_path):
    """The stages before it done, stopped dead behind the second stage's checkpoint, after its last step, and before the third's first
    checkpoint: the same bits in every stage."""
    folder = begun(whole[0], tmp_path / "b", stage - 1)
    with pytest.raises(CrashError):
        train(resume=folder, observer=AtStep(1, step, crash))  # the first that is trained
    moved = folder.rename(tmp_path / "elsewhere")  # a plan may be moved
    train(resume=moved)
    assert bits(moved) == bits(whole[0])


def test_stopped_between_and_before_the_stages(whole, plan, tmp_path):
    """What a kill leaves there: a plan without stages, a finished stage and nothing of the next, a next folder that holds no run yet."""
    for finished in (0, 2):
        folder = begun(whole[0], tmp_path / f"b{finished}", finished)
        (folder / stages(plan(), folder)[finished].name / "checkpoints").mkdir(parents=True)
        train(resume=folder)
        assert bits(folder) == bits(whole[0])


def test_a_signal_names_the_plan(plan):
    """Ctrl-C inside a stage: the state is saved, and the advice is to go on with the whole plan."""
    with pytest.raises(Interrupted, match=r"--resume \S+_paper_vgg13$") as caught:
        train(plan(), observer=AtStep(2, 1, lambda trainer: os.kill(os.getpid(), signal.SIGINT)))
    assert caught.value.exit_code == 130
    folder = Path(str(caught.value).rsplit(" ", 1)[1])
    assert trained(folder).path.name == "1_vgg11_32"  # the last one finished


def test_a_plan_may_begin_with_a_net_a_that_is_there(whole, shallow, plan):
    """init_from replaces the first stage, bit for bit: by a run folder, or by the folder of a plan for net A alone."""
    given = model_of(whole[0] / "2_vgg13_32")
    alone = train(plan(scales="32", model="vgg11")).folder.parent
    for source in (shallow, alone):
        result = train(plan(scales="32", init_from=str(source)))
        assert result.folder.name == "1_vgg13_32"
        assert model_of(result.folder)["features.2.weight"].tobytes() == given["features.2.weight"].tobytes()


def test_plans_that_do_not_fit_are_refused(whole, plan, tmp_path):
    """Another configuration, a missing stage, a run that is no stage, a plan of which nothing is finished."""
    folder = tmp_path / "b"
    shutil.copytree(whole[0], folder)
    with pytest.raises(ConfigError, match=r"begun with lr = 0.01, so it cannot go on with 0.5"):
        train(plan(lr=0.5), resume=folder)
    own = (folder / "2_vgg13_32" / "config.toml").read_text()
    (folder / "2_vgg13_32" / "config.toml").write_text(own.replace("seed = 0\n", "seed = 1\n"))
    with pytest.raises(ConfigError, match=r"2_vgg13_32 was begun with seed = 1"):
        train(resume=folder)
    shutil.move(folder / "1_vgg11_32", folder / "9_vgg11_32")
    with pytest.raises(ConfigError, match=r"9_vgg11_32 is no stage of the plan in plan.toml, which has 1_vgg11_32, 2_vgg13_32, 3"):
        train(resume=folder)
    shutil.rmtree(folder / "9_vgg11_32")
    with pytest.raises(ConfigError, match=r"2_vgg13_32 has begun, but 1_vgg11_32, which it starts from, is missing"):
        train(resume=folder)
    empty = PlanFolder.create(plan(out=str(tmp_path / "empty")))
    with pytest.raises(ConfigError, match="no stage of this plan is finished yet"):
        trained(empty.path)


def test_trying_a_plan_writes_nothing(plan, tmp_path):
    """A dry run shows the stages and tries the first; the benchmark times the last; one job is not a plan."""
    text = dry_run(plan())
    assert "3_vgg13_34-36" in text and "The first stage, 1_vgg11_32:" in text and "at most 3: 1 epochs" in text
    assert throughput(plan(), steps=1).steps == 1
    assert not (tmp_path / "runs").exists()
    with pytest.raises(ConfigError, match=r'scales = "32,34-36" is a plan of several runs'):
        build_job(plan())


# ---- the end by the schedule


def test_a_run_that_no_longer_improves_ends_early(config):
    """At a rate too small to change anything: one drop after the second epoch, the end after the third, with a test result; resumed in
    the middle of the last epoch it ends there, too, with the same bits."""
    still = {"schedule": "plateau", "patience": 1, "drops": 1, "lr": 1e-30, "epochs": 50, "mirror": False, "shift": 0, "weight_decay": 0.0}
    still |= {"model": "vgg11", "head": "linear"}
    result = train(config(**still))
    assert [row["epoch"] for row in result.rows] == [1, 2, 3] and result.test.count == 30
    assert [row["lr"] for row in result.rows] == [1e-30, 1e-30, pytest.approx(1e-31)]

    class Early(Observer):
        def step(self, trainer):
            if trainer.progress.step == 15:
                crash(trainer)

    out = str(Path(result.folder).parent / "b")
    with pytest.raises(CrashError):
        train(config(out=out, **still), observer=Early())
    told = AtStep(0, 0, crash)
    resumed = train(config(out=out, **still), resume="auto")
    again = train(config(out=out, **still), resume="auto", observer=told)
    assert resumed.test == again.test == result.test and again.rows == resumed.rows
    assert (resumed.folder / "checkpoints/last.safetensors").read_bytes() == (result.folder / "checkpoints/last.safetensors").read_bytes()
    assert "3 epochs of at most 50 are done, and the last 1 brought no better validation accuracy" in told.messages[-1]


# ---- the command


def test_the_command_shows_the_defaults_of_both_recipes(capsys):
    """In the help of a flag whose default the paper's recipe changes, and only there."""
    assert run(["train", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for shown in ("[default: 0.1; paper: 0.01]", "[default: on; paper: off]", "[default: none; paper: 256,384,256-512]", "[default: 0.9]"):
        assert shown in text


def test_the_command_goes_on_with_a_plan(whole, capsys):
    """A finished one: the plan is shown, nothing is trained, and the last stage's result is on stdout."""
    folder, result, _ = whole
    assert run(["train", "--resume", str(folder), "--workers", "0"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1] == f"test accuracy {result.test}" and "stage 1 of 3, 1_vgg11_32, is finished" in err
    assert run(["evaluate", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"test accuracy {result.test}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scale", "37", "--scales", "37,55"], 'scale is for one run and scales for a plan of several, but they are "37" and "37,55"'),
        (["--scales", "28,55", "--image-size", "32"], "a crop needs 32×32"),
        (["--scale", "256", "--init-from", "nowhere"], "nowhere: cannot be read"),
        (["--model", "vgg17"], "did you mean vgg1"),
    ],
)
def test_mistakes_are_one_line(arguments, message, tmp_path, capsys):
    """Before anything is written."""
    out = tmp_path / "runs"
    code = run(["train", "--recipe", "paper", "--width", "0.01", "--out", str(out), *arguments])
    err = capsys.readouterr().err
    assert code in (2, 4) and message in err and "Traceback" not in err and not out.exists()
