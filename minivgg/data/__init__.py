"""Images in, batches out: datasets, transforms, and a loader whose batches depend on nothing but their names."""

from __future__ import annotations

from .datasets import FASHION_CLASSES, Dataset, load, split
from .draws import Draws
from .idx import read_idx
from .loader import Batch, Loader
from .statistics import statistics
from .transforms import Compose, Crop, Mirror, Normalise, Pad, Transform, from_json

__all__ = [
    "FASHION_CLASSES",
    "Batch",
    "Compose",
    "Crop",
    "Dataset",
    "Draws",
    "Loader",
    "Mirror",
    "Normalise",
    "Pad",
    "Transform",
    "from_json",
    "load",
    "read_idx",
    "split",
    "statistics",
]
