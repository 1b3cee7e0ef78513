"""Configurations as TOML files: what `--config FILE` reads, and what every run folder keeps as config.toml."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from ..errors import ConfigError, nearest
from .config import TrainConfig

__all__ = ["config_toml", "read_config_file"]

_MAX_BYTES = 1_000_000


def read_config_file(path: str | Path) -> dict[str, Any]:
    """The keys and values of a TOML file, for `TrainConfig.of`. Types and ranges are checked there.

    Raises ConfigError, with the path, if the file is missing, unreadable, over 1 MB, no TOML, or has an unknown key.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ConfigError(f"{path}: is larger than {_MAX_BYTES:,} bytes, so it is no configuration.")
        values = tomllib.loads(content.decode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error}). Check the path.") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: is not valid TOML ({error}). Write lines such as: lr = 0.1") from None
    known = TrainConfig().mapping()
    for key in values:
        if key not in known:
            raise ConfigError(f'{path}: there is no key "{key}": {nearest(key, known)}')
    return values


def config_toml(config: TrainConfig) -> str:
    """The configuration as TOML. `read_config_file` gives the same values back, bit for bit."""
    return "".join(f"{key} = {_literal(value)}\n" for key, value in config.mapping().items())


def _literal(value: Any) -> str:
    if isinstance(value, str):  # a JSON string is a TOML string, but for DEL, which TOML wants escaped
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
