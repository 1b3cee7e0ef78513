"""`Scored`: what a network said of every image of a set, and what the images really are."""

from __future__ import annotations

from dataclasses import dataclass

from ..backend.arrays import Array

__all__ = ["Scored"]


@dataclass(frozen=True, eq=False)
class Scored:
    """`probabilities` float64 (N, K), each row sums to 1; `labels` int64 (N,); K class names; N image names (a path, or a number).

    `protocol` says in one line how the probabilities were found, such as "dense, scales 256 384 512, mirrored".
    """

    probabilities: Array
    labels: Array
    classes: tuple[str, ...]
    names: tuple[str, ...]
    protocol: str

    def __len__(self) -> int:
        return len(self.labels)
