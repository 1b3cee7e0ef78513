"""What an ONNX file that this package wrote tells beside its graph: how images are prepared, and the classes' names."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

from .. import data
from ..errors import CheckpointError
from .network import Network
from .preparing import require_sound

__all__ = ["KEYS", "as_told"]

_PREPROCESSING = "minivgg.preprocessing"  # JSON of a transform
_CLASSES = "classes"  # JSON, a list of texts
KEYS = frozenset({_PREPROCESSING, _CLASSES})


def as_told(network: Network, properties: Mapping[str, str], path: str, prepared: str) -> Network:
    """The network with the preprocessing and the classes that the file's properties tell. `prepared`: the caller's wish, which goes
    before what they say.

    Raises CheckpointError if they say nonsense; classes of another form or number, or whose names cannot be
    printed, are not this package's, and are passed over.
    """
    try:
        transform = network.transform
        if _PREPROCESSING in properties and not prepared:
            transform = data.from_json(json.loads(properties[_PREPROCESSING]))
            require_sound(transform, network.options["in_channels"])
        names = json.loads(properties.get(_CLASSES, "null"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: its metadata do not describe a network ({type(error).__name__}: {error}).") from None
    fits = isinstance(names, list) and len(names) == len(network.classes)
    fits = fits and all(isinstance(name, str) and name.isprintable() for name in names)
    return dataclasses.replace(network, transform=transform, classes=tuple(names) if fits else network.classes)
