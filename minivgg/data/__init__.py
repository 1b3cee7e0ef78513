"""Images in, batches out: datasets, transforms, and a loader whose batches depend on nothing but their names."""

from __future__ import annotations

from .bounded import one_line
from .colours import Colours, colours
from .datasets import FASHION_CLASSES, Dataset, load
from .decode import decode, read_image
from .draws import Draws
from .folder import ImageFolder
from .idx import read_idx
from .images import LabelledImages
from .inspection import Report, inspect
from .loader import Batch, Loader
from .parts import Parts, parts, split
from .statistics import statistics
from .transforms import (
    ColourShift,
    Compose,
    Crop,
    CutOut,
    Mirror,
    Normalise,
    Pad,
    RandomResizedCrop,
    Rescale,
    Transform,
    from_json,
    rescale,
)

__all__ = [
    "FASHION_CLASSES",
    "Batch",
    "ColourShift",
    "Colours",
    "Compose",
    "Crop",
    "CutOut",
    "Dataset",
    "Draws",
    "ImageFolder",
    "LabelledImages",
    "Loader",
    "Mirror",
    "Normalise",
    "Pad",
    "Parts",
    "RandomResizedCrop",
    "Report",
    "Rescale",
    "Transform",
    "colours",
    "decode",
    "from_json",
    "inspect",
    "load",
    "one_line",
    "parts",
    "read_idx",
    "read_image",
    "rescale",
    "split",
    "statistics",
]
