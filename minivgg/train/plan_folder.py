"""A plan's folder: `runs/<date>_<recipe>_<model>[-2]/`, with plan.toml and one run folder for each stage that has begun.

plan.toml is the configuration from which the stages follow (`plan.stages`). It is written first and never changed. Nothing else is
noted of the plan: how far it has come is read from the run folders.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from ..errors import ConfigError
from ..files import write_atomically
from ..weights import load_checkpoint
from .config import TrainConfig
from .config_file import config_toml, read_config_file
from .plan import Stage, stages
from .run_folder import RunFolder, new_folder, newest
from .schedule import finished

__all__ = ["PlanFolder", "is_finished", "trained"]

_FILE = "plan.toml"


class PlanFolder:
    """The paths of one plan."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, config: TrainConfig) -> PlanFolder:
        """A new folder under config.out, with plan.toml. Raises StorageError if it cannot be made, ConfigError for a wrong plan."""
        config = config.with_absolute_paths()
        stages(config, Path(config.out))  # refused before anything is written
        folder = cls(new_folder(config, _name(config)))
        write_atomically(folder.path / _FILE, config_toml(config))
        return folder

    @classmethod
    def newest(cls, config: TrainConfig) -> PlanFolder | None:
        """The newest plan under config.out with the same data, first weights and choices; None if there is none."""
        path = newest(config, _name(config), _FILE)
        return None if path is None else cls(path)

    @classmethod
    def is_one(cls, path: Path) -> bool:
        """Whether that is a plan's folder."""
        return (path / _FILE).is_file()

    def config(self) -> TrainConfig:
        """The configuration that the stages follow from. Raises ConfigError if plan.toml is missing or wrong."""
        path = self.path / _FILE
        return TrainConfig.of(read_config_file(path), source=str(path))

    def run(self, stage: Stage) -> RunFolder:
        """The run folder of a stage, whether it has begun or not."""
        return RunFolder(self.path / stage.name, resumed_as=self.path)

    def require_sound(self, plan: list[Stage]) -> None:
        """Raise ConfigError if a begun stage comes after one that has not, or a run in the folder is no stage of the plan."""
        names = [stage.name for stage in plan]
        begun = {path.parent.name for path in self.path.glob("*/config.toml")}
        for name in sorted(begun - {*names}):
            raise ConfigError(
                f"{self.path}: {name} is no stage of the plan in {_FILE}, which has {', '.join(names)}. Move it away, or start a new plan."
            )
        for before, after in itertools.pairwise(names):
            if after in begun and before not in begun:
                raise ConfigError(
                    f"{self.path}: the stage {after} has begun, but {before}, which it starts from, is missing. "
                    "Restore it, or start a new plan."
                )


def is_finished(run: RunFolder) -> bool:
    """Whether the run has come to its end, by its last checkpoint. Raises CheckpointError if that is damaged."""
    return run.last.is_file() and finished(run.config(), load_checkpoint(run.last).state)


def trained(path: str | Path) -> RunFolder:
    """The run folder that `path` is; of a plan's folder that of the last finished stage.

    Raises ConfigError if no stage of the plan is finished.
    """
    path = Path(path)
    if not PlanFolder.is_one(path):
        return RunFolder(path)
    folder = PlanFolder(path)
    begun = [run for run in map(folder.run, stages(folder.config(), path)) if run.begun]
    if begun and is_finished(begun[-1]):
        return begun[-1]
    if len(begun) < 2:  # a stage begins when the one before is finished
        raise ConfigError(f"{path}: no stage of this plan is finished yet. Go on with: minivgg train --resume {path}")
    return begun[-2]


def _name(config: TrainConfig) -> str:
    return f"{config.recipe}_{config.model}"
