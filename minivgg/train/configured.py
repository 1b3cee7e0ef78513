"""`configured`: a configuration whose defaults are those of the file of weights that it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .config import TrainConfig
from .pretrained_weights import file_defaults

__all__ = ["configured"]


def configured(*layers: Mapping[str, Any], source: str = "the configuration") -> TrainConfig:
    """As `TrainConfig.of`, with what the file that `weights` names says of network, sizes and colours below the mappings.

    Raises ConfigError for an unknown key or a wrong value; CheckpointError for a file that is missing, damaged, or of no VGG.
    """
    merged = {key: value for layer in layers for key, value in layer.items()}
    return TrainConfig.of(file_defaults(merged), *layers, source=source)
