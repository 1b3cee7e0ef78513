"""Images in, batches out: datasets, transforms, and a loader whose batches depend on nothing but their names."""

from __future__ import annotations

from .datasets import FASHION_CLASSES, Dataset, load
from .decode import decode, read_image
from .draws import Draws
from .folder import ImageFolder
from .idx import read_idx
from .images import LabelledImages
from .loader import Batch, Loader
from .parts import Parts, parts, split
from .statistics import statistics
from .transforms import Compose, Crop, Mirror, Normalise, Pad, Rescale, Transform, from_json, rescale

__all__ = [
    "FASHION_CLASSES",
    "Batch",
    "Compose",
    "Crop",
    "Dataset",
    "Draws",
    "ImageFolder",
    "LabelledImages",
    "Loader",
    "Mirror",
    "Normalise",
    "Pad",
    "Parts",
    "Rescale",
    "Transform",
    "decode",
    "from_json",
    "load",
    "parts",
    "read_idx",
    "read_image",
    "rescale",
    "split",
    "statistics",
]
