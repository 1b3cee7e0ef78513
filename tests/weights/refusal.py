"""What all readers' tests of damaged files ask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minivgg.errors import CheckpointError

__all__ = ["require_refusal"]


def require_refusal(load: Callable[[Path, bytes], Any], folder: Path, content: bytes, reason: str, name: str) -> None:
    """CheckpointError, one line with the path, which is `name` in the folder, and the reason."""
    with pytest.raises(CheckpointError, match=reason) as caught:
        load(folder, content)
    assert str(caught.value).startswith(str(folder / name)) and "\n" not in str(caught.value)
