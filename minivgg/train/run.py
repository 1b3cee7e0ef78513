"""`train`: start a run in a new folder, or go on with one that was stopped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .build import Job, build_job
from .checkpoint import load_checkpoint
from .config import NOT_IN_CHECKPOINTS, TrainConfig
from .evaluate import Evaluation
from .loop import Trainer
from .metrics import Metrics
from .observer import Observer
from .progress import Progress
from .run_folder import RunFolder, versions
from .snapshot import restore

__all__ = ["Result", "find_run", "train"]


@dataclass(frozen=True)
class Result:
    """A finished run: its folder, one row an epoch, and the test set's result after the last epoch, if there is a test set."""

    folder: Path
    rows: list[dict[str, Any]]
    test: Evaluation | None


def train(config: TrainConfig | None = None, *, resume: str | Path | None = None, observer: Observer | None = None) -> Result:
    """Train a model as `config` says (by default: on the embedded images), and return when the last epoch is done.

    resume: a run folder or a checkpoint in one, to go on with that run under its own configuration (`config` may then be
    None, or must agree in all that decides its bits); or "auto", the newest run under config.out with this very
    configuration, and a new run if there is none. A finished run is left as it is.

    Raises ConfigError, DataError, CheckpointError, NumericalError, StorageError, and Interrupted after a signal.
    """
    observer = observer or Observer()
    folder = None
    if resume == "auto":
        config = config or TrainConfig()
        folder = RunFolder.newest(config)
        if folder is None:
            observer.message(f"no run with this configuration under {config.out}: starting a new one")
    elif resume is not None:
        folder = find_run(Path(resume))
    if folder is None:
        job = build_job(config or TrainConfig())
        folder = RunFolder.create(job.config, job.classes)
        observer.message(f"run folder {folder.path}")
    else:
        folder.lock()
        job = None
    try:
        return _begin(folder, job, observer) if job else _go_on(folder, config, observer)
    finally:
        folder.unlock()


def _begin(folder: RunFolder, job: Job, observer: Observer) -> Result:
    metrics = Metrics(folder.path)
    Trainer(job, folder, metrics, Progress(), observer).run()
    return _result(folder, metrics)


def _go_on(folder: RunFolder, config: TrainConfig | None, observer: Observer) -> Result:
    job = build_job(_merged(folder, config))
    metrics, progress = Metrics(folder.path), Progress()
    if folder.last.exists():
        checkpoint = load_checkpoint(folder.last)
        with job.device.use():
            progress = restore(job, checkpoint, folder.last)
        if checkpoint.state["versions"] != versions():
            observer.message(f"the versions changed from {checkpoint.state['versions']} to {versions()}: the bits may differ from now on")
    metrics.read(progress.epoch)
    if progress.epoch == job.config.epochs:
        observer.message(f"{folder.path} is finished: all {progress.epoch} epochs are done")
        return _result(folder, metrics)
    folder.note_environment(job.config.device)
    observer.message(f"going on with {folder.path} at epoch {progress.epoch + 1}, step {progress.step}")
    Trainer(job, folder, metrics, progress, observer).run()
    return _result(folder, metrics)


def _result(folder: RunFolder, metrics: Metrics) -> Result:
    last = metrics.rows[-1]
    test = Evaluation(last["test_loss"], last["test_correct"], last["test_count"]) if "test_loss" in last else None
    return Result(folder.path, metrics.rows, test)


def find_run(path: Path) -> RunFolder:
    """The run folder that `path` is, or that holds the checkpoint `path`. Raises ConfigError if it is neither."""
    if path.is_file() and path.parent.name == "checkpoints":
        if path.name != "last.safetensors":
            raise ConfigError(f"{path}: a run goes on from its last checkpoint, not from {path.name}. Name the run folder.")
        path = path.parent.parent
    if not (path / "config.toml").is_file():
        raise ConfigError(f"{path} is not a run folder: it has no config.toml. Name one such as runs/2025-01-31_vgg11_bn, or auto.")
    return RunFolder(path)


def _merged(folder: RunFolder, config: TrainConfig | None) -> TrainConfig:
    """The folder's configuration; what does not touch the run's bits may come from `config`."""
    own = folder.config()
    if config is None:
        return own
    changed = [key for key, value in own.essence().items() if config.essence()[key] != value]
    if changed:
        key = changed[0]
        raise ConfigError(
            f"{folder.path} was begun with {key} = {own.mapping()[key]!r}, so it cannot go on with {config.mapping()[key]!r}. "
            f"Leave {key} out, or start a new run."
        )
    free = {key: value for key, value in config.mapping().items() if key in NOT_IN_CHECKPOINTS}
    return TrainConfig.of(own.mapping(), free)
