"""A run's folder: `runs/<date>_<model>[-2]/`, never overwritten, from which alone the run can be reproduced.

config.toml    every choice          metrics.csv, metrics.jsonl    one row an epoch
classes.json   class names           checkpoints/last.safetensors  the newest state
env.json       machine, versions     checkpoints/best.safetensors  the best epoch by validation accuracy
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, ConfigError, StorageError
from ..files import remove_orphans, require_outside, write_atomically
from .config import TrainConfig
from .config_file import config_toml, read_config_file

__all__ = ["RunFolder", "new_folder", "newest", "versions"]


class RunFolder:
    """The paths of one run. `lock()` keeps a second process out while this one trains.

    `resumed_as` is the folder to name to go on: the plan's if the run is a stage of one, otherwise the run's own.
    """

    def __init__(self, path: str | Path, resumed_as: Path | None = None) -> None:
        self.path = Path(path)
        self.resumed_as = resumed_as or self.path
        self.last = self.path / "checkpoints" / "last.safetensors"
        self.best = self.path / "checkpoints" / "best.safetensors"
        self._descriptor: int | None = None

    @classmethod
    def create(cls, config: TrainConfig, classes: tuple[str, ...]) -> RunFolder:
        """A new folder under config.out, locked, with config.toml, classes.json and env.json.

        Raises StorageError if it cannot be made.
        """
        folder = cls(new_folder(config, config.model))
        folder.begin(config, classes)
        return folder

    def begin(self, config: TrainConfig, classes: tuple[str, ...]) -> None:
        """Lock the folder, which may be missing, empty or what a kill left of this method, and write config.toml, classes.json and
        env.json. Raises StorageError if it cannot be made."""
        try:
            self.last.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{self.path}: {_unmade(error)}") from None
        self.lock()
        write_atomically(self.path / "classes.json", json.dumps(list(classes), ensure_ascii=False, indent=1) + "\n")
        self.note_environment(config.device)
        write_atomically(self.path / "config.toml", config_toml(config))  # the last one: a folder that has it is complete

    @classmethod
    def newest(cls, config: TrainConfig) -> RunFolder | None:
        """The newest folder under config.out whose run had the same data, first weights and choices that decide its bits."""
        path = newest(config, config.model, "config.toml")
        return None if path is None else cls(path)

    @property
    def begun(self) -> bool:
        """Whether there is a run in it: config.toml is written when the rest is there."""
        return (self.path / "config.toml").is_file()

    def config(self) -> TrainConfig:
        """The run's configuration. Raises ConfigError if config.toml is missing or wrong."""
        path = self.path / "config.toml"
        return TrainConfig.of(read_config_file(path), source=str(path))

    def checkpoint(self, best: bool = False) -> Path:
        """The path of the last or the best checkpoint. Raises CheckpointError if there is none yet."""
        path = self.best if best else self.last
        if not path.is_file():
            raise CheckpointError(f"{path}: there is no such checkpoint (yet). Train longer, or name another run.")
        return path

    def lock(self) -> None:
        """Hold the folder until the process ends, and sweep away what a killed writer left.

        Raises ConfigError if another process holds it. The kernel lets go at the end of a process, however it ends.
        """
        if os.name != "nt":
            import fcntl

            descriptor = os.open(self.path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                raise ConfigError(f"{self.path}: another process is training in this folder. Wait for it, or start a new run.") from None
            self._descriptor = descriptor
        remove_orphans(self.path)
        remove_orphans(self.last.parent)

    def unlock(self) -> None:
        """Let go of the folder."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def note_environment(self, device: str) -> None:
        """Append this process to env.json: when, on what machine, with which versions."""
        path = self.path / "env.json"
        try:
            processes = json.loads(path.read_text()) if path.exists() else []
        except (OSError, ValueError):
            processes = []  # it informs people only; a damaged one is begun anew
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        entry = {"started": now, "device": device, "machine": platform.platform(), "cores": os.cpu_count(), "versions": versions()}
        write_atomically(path, json.dumps([*processes, entry], indent=1) + "\n")


def new_folder(config: TrainConfig, name: str) -> Path:
    """Make the folder <date>_<name> in config.out, or <date>_<name>-2, … if it is there.

    Raises StorageError if it cannot be made, ConfigError if it would lie in the data set.
    """
    out = config.out
    if Path(config.data).is_dir():
        require_outside("--out", out, config.data)
    date = datetime.date.today().isoformat()
    number = 1
    while True:
        path = Path(out) / f"{date}_{name}{f'-{number}' if number > 1 else ''}"
        try:
            Path(out).mkdir(parents=True, exist_ok=True)
            path.mkdir()
            return path
        except FileExistsError:
            number += 1
            if not Path(out).is_dir():
                raise StorageError(f"{out} is a file, so no run folder can be made in it. Choose another --out.") from None
        except OSError as error:
            raise StorageError(f"{path}: {_unmade(error)}") from None


def _unmade(error: OSError) -> str:
    return f"cannot be made ({error.strerror or error}). Check the folder and its permissions."


def newest(config: TrainConfig, name: str, file: str) -> Path | None:
    """The newest of config.out's folders <date>_<name>[-2] whose TOML file `file` holds this very configuration, up to what does not
    touch a run's bits; None if there is none."""
    pattern = re.compile(rf"(\d{{4}}-\d\d-\d\d)_{re.escape(name)}(?:-(\d+))?")
    found = []
    for path in Path(config.out).iterdir() if Path(config.out).is_dir() else ():
        match = pattern.fullmatch(path.name)
        if match and (path / file).is_file():
            found.append((match[1], int(match[2] or 1), path))
    wanted = config.with_absolute_paths()
    for _, _, path in sorted(found, reverse=True):
        try:
            there = TrainConfig.of(read_config_file(path / file))
        except ConfigError:
            continue  # a damaged file, or another version's, is nobody's equal
        if _identity(there) == _identity(wanted):
            return path
    return None


def _identity(config: TrainConfig) -> tuple[Any, ...]:
    """What makes two runs the same one."""
    return config.essence(), config.data, config.init_from, config.weights


def versions() -> dict[str, str]:
    """Versions of what decides a run's bits: Python, minivgg, NumPy, and CuPy if it is loaded."""
    found: dict[str, Any] = {"python": platform.python_version()}
    for name in ("minivgg", "numpy", *(["cupy"] if "cupy" in sys.modules else [])):
        try:
            found[name] = sys.modules[name].__version__ if name == "cupy" else version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
