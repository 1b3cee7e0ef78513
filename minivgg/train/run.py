"""One run: begun in a new folder, or gone on with where it was stopped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..weights import load_checkpoint
from .build import build_job
from .config import NOT_IN_CHECKPOINTS, TrainConfig
from .evaluate import Evaluation
from .loop import Trainer
from .metrics import Metrics
from .observer import Observer
from .preprocessing import describe
from .progress import Progress
from .run_folder import RunFolder, versions
from .snapshot import restore
from .sources import Sources

__all__ = ["Result", "begin", "find_run", "go_on", "merged", "train_run"]


@dataclass(frozen=True)
class Result:
    """A finished run: its folder, one row an epoch, and the test set's result after the last epoch, if there is a test set."""

    folder: Path
    rows: list[dict[str, Any]]
    test: Evaluation | None


def train_run(config: TrainConfig | None, *, resume: str | Path | None, observer: Observer) -> Result:
    """One run, whatever `config.scales` says; see `train`."""
    folder = None
    if resume == "auto":
        config = config or TrainConfig()
        folder = RunFolder.newest(config)
        if folder is None:
            observer.message(f"no run with this configuration under {config.out}: starting a new one")
    elif resume is not None:
        folder = find_run(Path(resume))
    if folder is None:
        return begin(config or TrainConfig(), observer)
    try:
        return go_on(folder, config, observer)
    finally:
        folder.unlock()


def begin(config: TrainConfig, observer: Observer, folder: RunFolder | None = None, images: Sources | None = None) -> Result:
    """Train from the first step on in a new folder under config.out, or in `folder`, where no run has begun. `images`: see build_job."""
    job = build_job(config, images=images)
    if folder is None:
        folder = RunFolder.create(job.config, job.classes)
    else:
        folder.begin(job.config, job.classes)
    try:
        observer.message(f"run folder {folder.path}")
        observer.message(f"images: {describe(job.transform)}")
        if job.taken:
            observer.message(job.taken)
        metrics = Metrics(folder.path)
        Trainer(job, folder, metrics, Progress(), observer).run()
        return _result(folder, metrics)
    finally:
        folder.unlock()


def go_on(folder: RunFolder, config: TrainConfig | None, observer: Observer, images: Sources | None = None) -> Result:
    """Lock the folder and go on with its run where its last checkpoint was written; a finished one is left as it is. `images`: see
    build_job."""
    folder.lock()
    job = build_job(merged(folder.path, folder.config(), config), begun=folder.last.exists(), images=images)
    metrics, progress = Metrics(folder.path), Progress()
    if folder.last.exists():
        checkpoint = load_checkpoint(folder.last)
        with job.device.use():
            progress = restore(job, checkpoint, folder.last)
        if checkpoint.state["versions"] != versions():
            observer.message(f"the versions changed from {checkpoint.state['versions']} to {versions()}: the bits may differ from now on")
    metrics.read(progress.epoch)
    trainer = Trainer(job, folder, metrics, progress, observer)
    if trainer.finished:
        observer.message(f"{folder.path} is finished: {_end(progress.epoch, job.config)}")
        return _result(folder, metrics)
    folder.note_environment(job.config.device)
    observer.message(f"going on with {folder.path} at epoch {progress.epoch + 1}, step {progress.step}")
    trainer.run()
    return _result(folder, metrics)


def _end(epochs: int, config: TrainConfig) -> str:
    if epochs >= config.epochs:
        return f"all {epochs} epochs are done"
    return f"{epochs} epochs of at most {config.epochs} are done, and the last {config.patience} brought no better validation accuracy"


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


def merged(path: Path, own: TrainConfig, config: TrainConfig | None) -> TrainConfig:
    """`own`, the configuration in the folder `path`; what does not touch the bits may come from `config`.

    Raises ConfigError for another difference.
    """
    if config is None:
        return own
    changed = [key for key, value in own.essence().items() if config.essence()[key] != value]
    if changed:
        key = changed[0]
        raise ConfigError(
            f"{path} was begun with {key} = {own.mapping()[key]!r}, so it cannot go on with {config.mapping()[key]!r}. "
            f"Leave {key} out, or start a new run."
        )
    free = {key: value for key, value in config.mapping().items() if key in NOT_IN_CHECKPOINTS}
    first = {"init_from": config.init_from or own.init_from, "weights": config.weights or own.weights}
    return TrainConfig.of(own.mapping(), free, first)
