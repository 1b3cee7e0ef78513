"""Stopping anywhere and going on: the same bits as never stopping. And what must be refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from minivgg.errors import CheckpointError, ConfigError, DataError
from minivgg.train import Interrupted, RunFolder, build_job, load_checkpoint, save_checkpoint, train
from minivgg.train.snapshot import restore

from .stopping import At, CrashError, crash


def bits(folder):
    """Both checkpoints, and metrics.csv without the two timing columns."""
    rows = [line.rsplit(",", 2)[0] for line in (folder / "metrics.csv").read_text().splitlines()]
    return [(folder / "checkpoints" / f"{name}.safetensors").read_bytes() for name in ("last", "best")], rows


@pytest.mark.parametrize("step", [1, 3, 6, 7, 12])
def test_stopped_and_resumed_is_never_stopped(config, step, tmp_path):
    """Stopped dead after any step: before the first checkpoint, in the middle, at the end of an epoch, after the last step.
    The schedule is one with state."""
    options = {"schedule": "plateau", "patience": 1}
    whole = train(config(**options))
    with pytest.raises(CrashError):
        train(config(out=str(tmp_path / "b"), **options), observer=At(step, crash))
    resumed = train(config(out=str(tmp_path / "b"), **options), resume="auto")
    assert bits(resumed.folder) == bits(whole.folder)
    assert resumed.test == whole.test


def test_three_stops_in_one_run(config, tmp_path):
    """Stopped at steps 3, 5 and 9, going on each time in the same folder."""
    whole = train(config())
    for step in (3, 5, 9):
        with pytest.raises(CrashError):
            train(config(out=str(tmp_path / "b")), resume="auto", observer=At(step, crash))
    resumed = train(config(out=str(tmp_path / "b")), resume="auto")
    assert len(list((tmp_path / "b").iterdir())) == 1
    assert bits(resumed.folder) == bits(whole.folder)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_stops(config, signum, code, tmp_path):
    """After step 3 the state of step 3 is saved, though no checkpoint was due; the handlers are put back; resuming is exact."""
    before = signal.getsignal(signum)
    with pytest.raises(Interrupted) as caught:
        train(config(checkpoint_every=0, out=str(tmp_path / "b")), observer=At(3, lambda trainer: os.kill(os.getpid(), signum)))
    assert caught.value.exit_code == code and signal.getsignal(signum) is before
    (run,) = (tmp_path / "b").iterdir()
    assert load_checkpoint(run / "checkpoints" / "last.safetensors").state["progress"]["step"] == 3
    assert bits(train(None, resume=run).folder) == bits(train(config()).folder)


def test_a_second_signal_stops_at_once_and_harms_nothing(config, tmp_path):
    """Two signals in one step: the run ends without saving, the older checkpoint is whole, and resuming is exact."""

    def twice(trainer):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="second"):
        train(config(out=str(tmp_path / "b")), observer=At(3, twice))
    (run,) = (tmp_path / "b").iterdir()
    assert load_checkpoint(run / "checkpoints" / "last.safetensors").state["progress"]["step"] == 2
    assert bits(train(None, resume=run).folder) == bits(train(config()).folder)


def test_a_signal_during_validation_saves(config, tmp_path, monkeypatch):
    """The signal comes between two validation batches: the epoch's last step is saved, and validation is done again."""
    from minivgg.train import loop

    calls = []

    def evaluate(model, loader, device, between):
        if not calls:
            calls.append(1)
            os.kill(os.getpid(), signal.SIGINT)
        return true(model, loader, device, between)

    true = loop.evaluate
    monkeypatch.setattr(loop, "evaluate", evaluate)
    with pytest.raises(Interrupted):
        train(config(out=str(tmp_path / "b")))
    resumed = train(config(out=str(tmp_path / "b")), resume="auto")
    assert bits(resumed.folder) == bits(train(config()).folder)


def test_a_finished_run_is_left_alone(config):
    """Resuming it changes no file, says so, and returns the same rows and test result."""
    whole = train(config())
    before = {path: path.read_bytes() for path in whole.folder.rglob("*") if path.is_file()}
    spy = At(-1, crash)
    again = train(config(), resume="auto", observer=spy)
    assert again == whole and "is finished" in spy.messages[-1]
    assert before == {path: path.read_bytes() for path in whole.folder.rglob("*") if path.is_file()}


def test_auto_takes_only_an_equal_run(config):
    """Another seed, or other data: a new folder. The same: the old one."""
    first = train(config(epochs=1))
    assert train(config(epochs=1, seed=1), resume="auto").folder != first.folder
    assert train(config(epochs=1, workers=0), resume="auto").folder == first.folder


def test_auto_takes_the_newest_run(config):
    """-10 is newer than -9 and than the one without a number; -11, whose config.toml is damaged, does not count."""
    first = train(config(epochs=1)).folder
    for number in (2, 9, 10, 11):
        copy = Path(shutil.copytree(first, f"{first}-{number}"))
    (copy / "config.toml").write_text("old = 1")
    assert RunFolder.newest(config(epochs=1)).path.name.endswith("-10")


def test_folders_are_never_overwritten(config):
    """Three runs of one day: three folders."""
    names = [train(config(epochs=1)).folder.name for _ in range(3)]
    assert names[1:] == [f"{names[0]}-2", f"{names[0]}-3"]


def test_two_processes_cannot_train_in_one_folder(config):
    """While one holds the folder, another is refused; afterwards it is not."""
    folder = RunFolder(train(config(epochs=1)).folder)
    folder.lock()
    with pytest.raises(ConfigError, match="another process"):
        train(config(epochs=1), resume="auto")
    folder.unlock()
    train(config(epochs=1), resume="auto")


def test_a_resumed_run_keeps_its_configuration(config, tmp_path):
    """Another rate is refused by name; another number of workers is welcome."""
    with pytest.raises(CrashError):
        train(config(), observer=At(3, crash))
    (run,) = (tmp_path / "runs").iterdir()
    with pytest.raises(ConfigError, match=r"begun with lr = 0.02, so it cannot go on with 0.5"):
        train(config(lr=0.5), resume=run)
    assert bits(train(config(workers=0), resume=run / "checkpoints" / "last.safetensors").folder)


def test_rows_after_the_checkpoint_are_cut_off(config, tmp_path):
    """A row that the checkpoint knows nothing of, as after a kill between the two writes, is removed and made anew."""
    whole = train(config())
    with pytest.raises(CrashError):
        train(config(out=str(tmp_path / "b")), observer=At(9, crash))
    (run,) = (tmp_path / "b").iterdir()
    for name in ("metrics.csv", "metrics.jsonl"):
        lines = (run / name).read_text()
        (run / name).write_text(lines + lines.splitlines()[-1].replace("1", "2", 1) + "\n")
    assert bits(train(None, resume=run).folder) == bits(whole.folder)


def test_lost_metrics_are_refused(config, tmp_path):
    """Without the rows of finished epochs the run cannot end with the right metrics.csv: DataError with the path."""
    with pytest.raises(CrashError):
        train(config(), observer=At(9, crash))
    (run,) = (tmp_path / "runs").iterdir()
    for content in ("", "{", '{"epoch": 1}\n'):
        (run / "metrics.jsonl").write_text(content)
        with pytest.raises(DataError, match=r"metrics\.jsonl"):
            train(None, resume=run)


def test_other_images_are_refused(config, npz, tmp_path):
    """One changed pixel in the training images: DataError, and the checkpoint file stays as it was."""
    with pytest.raises(CrashError):
        train(config(), observer=At(9, crash))
    (run,) = (tmp_path / "runs").iterdir()
    before = (run / "checkpoints" / "last.safetensors").read_bytes()
    arrays = dict(np.load(npz))
    arrays["x_train"][0, 0, 0] ^= 1
    np.savez(npz, **arrays)
    with pytest.raises(DataError, match="not those that the run"):
        train(None, resume=run)
    assert (run / "checkpoints" / "last.safetensors").read_bytes() == before


def test_a_refused_checkpoint_changes_nothing(config, tmp_path):
    """Wrong shapes, names, classes, keys or configuration: an error, and model, optimiser and schedule are untouched."""
    job = build_job(config(schedule="plateau"))
    other = build_job(config(schedule="plateau"))
    path = tmp_path / "c.safetensors"
    from minivgg.train.progress import Progress
    from minivgg.train.snapshot import snapshot

    sound = snapshot(other, Progress())
    name = "features.0.weight"
    damaged = [
        ({**sound.model, name: sound.model[name][:1]}, sound.optimizer, sound.state),
        ({k: v for k, v in sound.model.items() if k != name}, sound.optimizer, sound.state),
        (sound.model, {}, sound.state),
        (sound.model, sound.optimizer, {**sound.state, "classes": ["a"]}),
        (sound.model, sound.optimizer, {k: v for k, v in sound.state.items() if k != "schedule"}),
        (sound.model, sound.optimizer, {**sound.state, "schedule": {}}),
        (sound.model, sound.optimizer, {**sound.state, "progress": {"epoch": 1}}),
        (sound.model, sound.optimizer, {**sound.state, "config": {**sound.state["config"], "lr": 3.0}}),
        (sound.model, sound.optimizer, {**sound.state, "preprocessing": {}}),
    ]
    before = {k: v.tobytes() for k, v in {**job.model.state_dict(), **job.optimizer.state_dict()}.items()}
    for model, optimizer, state in damaged:
        marked = {k: v + 1 for k, v in model.items()}
        save_checkpoint(path, type(sound)(marked, optimizer, state))
        with pytest.raises((CheckpointError, DataError), match=r"c\.safetensors|expects the state|progress"):
            restore(job, load_checkpoint(path), path)
        assert before == {k: v.tobytes() for k, v in {**job.model.state_dict(), **job.optimizer.state_dict()}.items()}
        assert job.schedule.state() == {"best": None, "waited": 0, "dropped": 0}


def test_changed_versions_are_told(config, tmp_path):
    """A checkpoint of another NumPy: the run goes on, and a message says that bits may differ."""
    with pytest.raises(CrashError):
        train(config(), observer=At(9, crash))
    (run,) = (tmp_path / "runs").iterdir()
    path = run / "checkpoints" / "last.safetensors"
    found = load_checkpoint(path)
    save_checkpoint(path, type(found)(found.model, found.optimizer, {**found.state, "versions": {"numpy": "1.0"}}))
    spy = At(-1, crash)
    train(None, resume=run, observer=spy)
    assert any("bits may differ" in message for message in spy.messages)


def test_the_folder_tells_all(config):
    """config.toml, classes.json and env.json are there; env.json has one entry for each process."""
    folder = train(config(epochs=1)).folder
    assert json.loads((folder / "classes.json").read_text()) == ["0", "1", "2"]
    assert json.loads((folder / "env.json").read_text())[0]["versions"]["numpy"] == np.__version__
    assert RunFolder(folder).config() == config(epochs=1)
    assert not list(folder.rglob("*.partial"))


@pytest.mark.parametrize("name", ["nowhere", "checkpoints/best.safetensors"])
def test_what_is_no_run_cannot_be_resumed(config, name):
    """A folder without config.toml, and the best checkpoint, from which a run does not go on."""
    folder = train(config(epochs=1)).folder
    with pytest.raises(ConfigError, match="run folder"):
        train(None, resume=folder / name)
