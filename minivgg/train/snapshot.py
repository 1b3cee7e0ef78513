"""A run's state, taken out of its parts and put back: what exactly is in a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, DataError
from ..weights import Checkpoint
from .build import Job, build_optimizer
from .config import TrainConfig
from .progress import Progress
from .run_folder import versions

__all__ = ["restore", "snapshot"]


def snapshot(job: Job, progress: Progress) -> Checkpoint:
    """The checkpoint of this moment. Random streams need no state: they are keyed by the seed and the counters."""
    state = {
        "classes": list(job.classes),
        "config": job.config.essence(),
        "images": job.images,
        "preprocessing": job.transform.to_json(),
        "progress": progress.state(),
        "schedule": job.schedule.state(),
        "versions": versions(),
        **({} if job.scaling is None else {"scaling": job.scaling.state()}),
        **({"new": list(job.new)} if job.new else {}),
    }
    return Checkpoint(job.model.state_dict(), job.optimizer.state_dict(), state)


def restore(job: Job, checkpoint: Checkpoint, path: Path) -> Progress:
    """Put a checkpoint's state into a job that was built from the same configuration.

    Everything is compared first. Raises CheckpointError (another configuration, other names or shapes) or DataError
    (other images), with the job unchanged.
    """
    state = checkpoint.state
    ours = snapshot(job, Progress()).state
    for key in ours:
        if key not in state:
            raise CheckpointError(f'{path}: its state has no "{key}". It is not a checkpoint of a run.')
    if state["images"] != ours["images"] or state["classes"] != ours["classes"]:
        raise DataError(
            f"the images are not those that the run of {path} began with: {_described(ours)}, expected {_described(state)}. "
            "Give back the data that it had, or start a new run."
        )
    theirs = {**TrainConfig().essence(), **state["config"]}  # a key that is younger than the checkpoint had its default's effect
    changed = [key for key in ours["config"] if theirs[key] != ours["config"][key]]
    if changed or state["preprocessing"] != ours["preprocessing"]:
        raise CheckpointError(
            f"{path}: belongs to another configuration (differs in {', '.join(changed) or 'preprocessing'}). "
            "Resume with the config.toml of its own run folder."
        )
    progress = Progress.of(state["progress"])
    _compare(job.model.state_dict(), checkpoint.model, "model", path)
    _compare(job.optimizer.state_dict(), checkpoint.optimizer, "optimiser", path)
    job.new = tuple(state.get("new", ()))
    job.optimizer = build_optimizer(job.config, job.model, job.new)  # their rate is not the configuration's affair alone
    if job.scaling is not None:
        job.scaling.load_state(state["scaling"])
    job.schedule.load_state(state["schedule"])
    job.model.load_state_dict(checkpoint.model)
    job.optimizer.load_state_dict(checkpoint.optimizer)
    return progress


def _compare(ours: Mapping[str, Any], theirs: Mapping[str, Any], what: str, path: Path) -> None:
    here = {name: tuple(array.shape) for name, array in ours.items()}
    there = {name: tuple(array.shape) for name, array in theirs.items()}
    wrong = sorted(name for name in {*here, *there} if here.get(name) != there.get(name))
    if wrong:
        name = wrong[0]
        raise CheckpointError(
            f"{path}: does not fit this {what}: {name} is {there.get(name, 'missing')}, expected {here.get(name, 'no such array')}."
        )


def _described(state: Mapping[str, Any]) -> str:
    images = state["images"]
    size = "×".join("any" if side is None else str(side) for side in images["shape"])
    return f"{images['count']:,} of {size} in {len(state['classes'])} classes (SHA-256 {images['sha256'][:12]}…)"
