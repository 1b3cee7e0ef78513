"""`train`: one run, or the stages of a plan one after the other."""

from __future__ import annotations

from pathlib import Path

from .config import TrainConfig
from .observer import Observer
from .plan import Stage, plan_table, stages
from .plan_folder import PlanFolder, is_finished
from .run import Result, begin, go_on, merged, train_run
from .run_folder import RunFolder
from .sources import Sources, sources

__all__ = ["train"]


def train(config: TrainConfig | None = None, *, resume: str | Path | None = None, observer: Observer | None = None) -> Result:
    """Train a model as `config` says (by default: on the embedded images), and return when the last epoch is done.

    If the configuration has `scales`, as the recipe "paper" does, this is a plan of several runs in one folder (`plan.stages`), and the
    result is that of the last one. Stages that are finished are left as they are.

    resume: a run folder, a checkpoint in one, or a plan's folder, to go on with it under its own configuration (`config` may then be
    None, or must agree in all that decides its bits); or "auto", the newest one under config.out with this very
    configuration, and a new one if there is none. A finished run is left as it is.

    Raises ConfigError, DataError, CheckpointError, NumericalError, StorageError, and Interrupted after a signal.
    """
    observer = observer or Observer()
    config = config or (TrainConfig() if resume in (None, "auto") else None)
    named = Path(resume) if resume not in (None, "auto") else None
    if named is not None and PlanFolder.is_one(named):
        folder = PlanFolder(named)
        return _train_plan(folder, merged(named, folder.config(), config), observer)
    if named is not None or config is None or not config.scales:
        return train_run(config, resume=resume, observer=observer)
    found = PlanFolder.newest(config) if resume == "auto" else None
    if resume == "auto" and found is None:
        observer.message(f"no plan with this configuration under {config.out}: starting a new one")
    folder = found or PlanFolder.create(config)
    return _train_plan(folder, merged(folder.path, folder.config(), config), observer)


def _train_plan(folder: PlanFolder, config: TrainConfig, observer: Observer) -> Result:
    plan = stages(config, folder.path)
    folder.require_sound(plan)
    observer.message(f"plan folder {folder.path}\n{plan_table(plan)}")
    lock = RunFolder(folder.path)
    lock.lock()
    try:
        images = sources(config.with_absolute_paths())  # once: with on_bad = skip each file is read, and bad ones are warned of
        for number, stage in enumerate(plan[:-1], 1):
            if _is_over(folder.run(stage), stage):
                observer.message(f"stage {number} of {len(plan)}, {stage.name}, is finished")
            else:
                _stage(folder.run(stage), stage, f"stage {number} of {len(plan)}", observer, images)
        return _stage(folder.run(plan[-1]), plan[-1], f"stage {len(plan)} of {len(plan)}", observer, images)
    finally:
        lock.unlock()


def _is_over(run: RunFolder, stage: Stage) -> bool:
    """Whether the stage's run is finished. Raises ConfigError if it is another plan's."""
    if not run.begun:
        return False
    merged(run.path, run.config(), stage.config)
    return is_finished(run)


def _stage(run: RunFolder, stage: Stage, title: str, observer: Observer, images: Sources) -> Result:
    """Train one stage from its beginning, or from where it was stopped; the images are those of all stages."""
    own = stage.config
    observer.message(f"{title}: {own.model} at S = {own.scale}, rate {own.lr:g}, first weights: {stage.source}")
    if not run.begun:
        return begin(own, observer, run, images)
    try:
        return go_on(run, own, observer, images)
    finally:
        run.unlock()
