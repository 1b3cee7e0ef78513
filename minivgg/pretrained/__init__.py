"""Networks from files, ready to use: which network the arrays are of, under which names, and how it wants to see an image.

`read(path)` gives a `Network`; its `build()` is the model. `save` writes one into this package's own format, `export` makes an ONNX file.
"""

from __future__ import annotations

from .converting import DTYPES, cast, require_writable, write
from .export import Exported, export
from .imagenet import imagenet_classes
from .network import Network
from .own import save
from .preparing import PREPARATIONS, preparation
from .read import read
from .report import Match, Report

__all__ = [
    "DTYPES",
    "PREPARATIONS",
    "Exported",
    "Match",
    "Network",
    "Report",
    "cast",
    "export",
    "imagenet_classes",
    "preparation",
    "read",
    "require_writable",
    "save",
    "write",
]
