"""One transform after the other, and any of them from JSON."""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

from ...errors import ConfigError, nearest
from ..draws import Draws
from .base import Images, Transform
from .geometry import Crop
from .scaling import Rescale
from .windows import rescaled_crop

__all__ = ["Compose", "from_json"]


@dataclass(frozen=True)
class Compose(Transform):
    """One transform after the other; a Compose inside is opened, so that `steps` is flat. `Compose(())` changes nothing."""

    kind = "compose"
    steps: tuple[Transform, ...]

    def __post_init__(self) -> None:
        flat: list[Transform] = []
        for step in self.steps:
            flat.extend(step.steps if isinstance(step, Compose) else (step,))
        wrong = [step for step in flat if not isinstance(step, Transform)]
        if wrong:
            raise ConfigError(f"Compose takes transforms, but got {wrong[0]!r:.60}. Derive from Transform.")
        self._set(steps=tuple(flat))

    @property
    def least(self) -> int | None:
        return self.steps[0].least if self.steps else None

    def __call__(self, images: Images, draws: Draws) -> Images:
        seen = Counter[str]()
        numbered: deque[tuple[Transform, Draws]] = deque()
        for step in self.steps:
            numbered.append((step, draws.nth(seen[step.kind])))
            seen[step.kind] += 1
        while numbered:
            step, own = numbered.popleft()
            crop = numbered[0][0] if numbered else None
            if own.training and isinstance(step, Rescale) and isinstance(crop, Crop) and not crop.padding:
                images = rescaled_crop(step, crop, images, own, numbered.popleft()[1])
            else:
                images = step(images, own)
        return images

    def to_json(self) -> dict[str, Any]:
        return {"name": self.kind, "steps": [step.to_json() for step in self.steps]}


def from_json(data: Any) -> Transform:
    """The transform that `to_json` described; ConfigError for an unknown name, parameter or value."""
    if not isinstance(data, dict) or not isinstance(data.get("name"), str):
        raise ConfigError(f'a transform is stored as {{"name": …, parameters}}, but this is {data!r:.80}.')
    parameters = {name: value for name, value in data.items() if name != "name"}
    if data["name"] not in Transform.kinds:
        raise ConfigError(f"unknown transform {data['name']!r}: {nearest(data['name'], Transform.kinds)}")
    kind = Transform.kinds[data["name"]]
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in parameters:
        if name not in fields:
            raise ConfigError(f"{kind.__name__} has no parameter {name!r}: {nearest(str(name), fields)}")
    missing = [name for name, field in fields.items() if field.default is dataclasses.MISSING and name not in parameters]
    if missing:
        raise ConfigError(f"{kind.__name__} needs the parameter {missing[0]!r}.")
    if kind is Compose:
        if not isinstance(parameters["steps"], list):
            raise ConfigError(f"Compose's steps must be a list, but are {parameters['steps']!r:.80}.")
        return Compose(tuple(from_json(step) for step in parameters["steps"]))
    return kind(**parameters)
