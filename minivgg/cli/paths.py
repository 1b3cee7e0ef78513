"""Paths that a command was given: none of them is empty, as an unset variable of a shell's would be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import click

__all__ = ["require_named"]


def require_named(paths: Mapping[str, str | Iterable[str] | None]) -> None:
    """Raise click.UsageError for the first of `paths`, by option or argument, that is the empty text; None was not given."""
    for name, found in paths.items():
        if "" in ([found] if isinstance(found, str) else found or []):
            raise click.UsageError(f"{name} is empty: give a path, or leave it out.")
