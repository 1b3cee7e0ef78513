"""One section of a page in Markdown, made by a program between others that are not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from minivgg.files import write_atomically

__all__ = ["put_section"]


def put_section(page: Path, heading: str, lines: Sequence[str]) -> None:
    """Replace what stands under `## heading` in the file, up to the next heading of that level, or append it.

    A page that is not there yet begins with the section.
    """
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    title = f"## {heading}"
    before, _, rest = f"\n{text}".partition(f"\n{title}\n")
    _, mark, after = rest.partition("\n## ")
    parts = [before.strip("\n"), "\n".join([title, "", *lines]), f"{mark}{after}".strip("\n")]
    page.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(page, "\n\n".join(part for part in parts if part) + "\n")
