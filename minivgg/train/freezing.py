"""Which layers stay as they are: `freeze`, a list of names with commas between them.

features                everything below the module of that path; likewise classifier, features.0, …
conv1_1, …, fc8         a layer by the paper's name (`models.blocks`), its batch norm included
block1, …, block5       all convolutions of a block, likewise

A frozen layer's parameters get no gradient, no velocity and no decay, its batch norm uses the running statistics and leaves them, its
dropout is off (`nn.Module.freeze`). The sweep does not go below the first layer that is trained: what lies before it costs its forward
pass only, and keeps nothing for the backward pass.
"""

from __future__ import annotations

from typing import Any

from .. import models
from ..errors import ConfigError, nearest
from .config import TrainConfig

__all__ = ["freeze"]


def freeze(model: Any, config: TrainConfig) -> None:
    """Freeze what config.freeze names in `model`, the network of `config`.

    Raises ConfigError, with the nearest valid name, for an unknown one; and if nothing is left to train.
    """
    if not config.freeze:
        return
    modules = {path: module for path, module in model.named_modules() if path}
    known = _named(config) | {path: (path,) for path in modules}
    for name in (name.strip() for name in config.freeze.split(",")):
        if name not in known:
            short = [other for other in known if "." not in other]
            raise ConfigError(f'freeze: {config.model} has no layer "{name}": {nearest(name, short)} Or a module\'s path: features.0.')
        for path in known[name]:
            modules[path].freeze()
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ConfigError(f'freeze = "{config.freeze}" leaves no layer of {config.model} to train. Freeze fewer, such as features.')


def _named(config: TrainConfig) -> dict[str, tuple[str, ...]]:
    """Paths of modules by the paper's names of layers and blocks."""
    found = models.blocks(config.model, config.head)
    blocks: dict[str, tuple[str, ...]] = {}
    for name, paths in found.items():
        if name.startswith("conv"):
            block = f"block{name[4:].partition('_')[0]}"
            blocks[block] = blocks.get(block, ()) + paths
    return found | blocks
