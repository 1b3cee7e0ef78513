"""Who is told of every report that a check makes: the pytest plugin counts here, without loading the checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["observers"]

observers: list[Callable[[Any], None]] = []
