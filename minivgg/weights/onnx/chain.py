"""A chain of layers as it is being made of a graph's operators, one after another.

Beside the layers it keeps what is known of the value that flows through the graph. In the file it has axes, written as letters in
order: NCHW, NHWC after a Transpose, NC after a Flatten, or after a Squeeze of H and W = 1. In the network made here it is (N, C, H, W), or
(N, C) once `flat`; so Transposes and Squeezes make no layer, and the order that a Flatten meets is that layer's option.

    Mul, Add, Sub, Div by constants of each channel    y = s·x + t, joined in float64 while they follow each other:
                                                       s′·(s·x + t) + t′ = (s′s)·x + (s′t + t′)
    an Add behind a convolution or product without     its bias
    a batch norm of (N, C)                             s = γ/√(σ² + ε), t = β − s·μ
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...nn import Layer
from .tensors import Source

__all__ = ["Chain"]


class Chain:
    """`sizes` of N, C, H, W, None where open; `version` counts the nodes that took the value on; `softmax` ends it.

    The methods return why something cannot be, or "" if it was done.
    """

    def __init__(self, letters: str, sizes: dict[str, int | None], source: Source) -> None:
        self.letters, self.sizes, self.source = letters, sizes, source
        self.flat = self.softmax = False
        self.version = 0
        self.layers: list[Layer] = []
        self.arrays: dict[str, Any] = {}
        self.notes: list[str] = []
        self._scale: Any = None  # (C,) of the affine map that is not yet a layer, float64
        self._shift: Any = None
        self._joined: list[str] = []

    def add(self, kind: str, options: dict[str, Any] | None = None, **arrays: Any) -> str:
        """A layer of that kind with its arrays."""
        self.flush()
        name = str(len(self.layers))
        self.layers.append(Layer(kind, name, options or {}))
        self.arrays.update({f"{name}.{key}": array for key, array in arrays.items() if array is not None})
        return ""

    def affine(self, scale: Any, shift: Any, label: str) -> str:
        """y = scale·x + shift, each float64, (C,) or a number, or None for 1 and 0."""
        channels = next((v.size for v in (scale, shift) if v is not None and v.size > 1), self.sizes["C"])
        if channels is None:
            return "scales channels of which the file does not say how many there are"
        if self.sizes["C"] not in {None, channels}:
            return f"has constants for {channels} channels, but there are {self.sizes['C']}"
        self.sizes["C"] = channels
        self.source.charge(64 * channels, label)
        if self._becomes_bias(scale, shift, channels):
            return ""
        if self._scale is None:
            self._scale, self._shift = np.ones(channels), np.zeros(channels)
        if scale is not None:
            self._scale, self._shift = self._scale * scale, self._shift * scale
        if shift is not None:
            self._shift = self._shift + shift
        self._joined.append(label)
        return ""

    def flush(self) -> None:
        """Make the affine map that was gathered a layer."""
        if self._scale is None:
            return
        scale, shift, self._scale = self._scale, self._shift, None
        name = str(len(self.layers))
        self.layers.append(Layer("affine", name))
        self.arrays |= {f"{name}.weight": scale.astype(np.float32), f"{name}.bias": shift.astype(np.float32)}
        self.notes.append(f"{', '.join(self._joined)}: one scale and shift of each channel, layer {name}.")
        self._joined = []

    def _becomes_bias(self, scale: Any, shift: Any, channels: int) -> bool:
        last = self.layers[-1] if self.layers else None
        if scale is not None or self._scale is not None or last is None or last.kind not in {"conv2d", "linear"}:
            return False
        name = f"{last.name}.bias"
        if name in self.arrays:
            return False
        self.arrays[name] = np.broadcast_to(shift, (channels,)).astype(np.float32)
        return True

    def needs_image(self) -> str:
        """For operators on (N, C, H, W)."""
        if self.letters == "NCHW" and not self.flat:
            return ""
        return f"needs an image (N, C, H, W), but gets ({', '.join(self.letters)}){', which was flattened before' * self.flat}"

    def needs_matrix(self) -> str:
        """For operators on (N, C): images whose H and W were squeezed away are flattened now."""
        if self.letters != "NC":
            return f"needs (N, C), but gets ({', '.join(self.letters)}); a Flatten or Reshape is missing"
        if not self.flat:
            self.add("flatten", {"channels_last": False})
            self.flat = True
        return ""

    def flatten(self) -> str:
        """To (N, C·H·W) in the order of the file's axes."""
        letters = self.letters
        single = self.flat or all(self.sizes[axis] == 1 for axis in letters if axis in "HW")
        if letters not in {"NCHW", "NHWC"} and not (single and letters[0] == "N"):
            return f"flattens ({', '.join(letters)}), an order that is neither (N, C, H, W) nor (N, H, W, C)"
        sizes = [self.sizes[axis] for axis in letters[1:]]
        if not self.flat:
            self.add("flatten", {"channels_last": letters == "NHWC" and not single})
            self.sizes["C"] = None if None in sizes else int(np.prod([size or 1 for size in sizes], dtype=object))
        self.letters, self.flat = "NC", True
        return ""

    def transpose(self, order: tuple[int, ...]) -> str:
        """The file's axes in another order; N stays first."""
        order = order or tuple(range(len(self.letters)))[::-1]
        if sorted(order) != list(range(len(self.letters))) or order[0] != 0:
            return f"has perm {list(order)} for ({', '.join(self.letters)}); N must stay first"
        self.letters = "".join(self.letters[axis] for axis in order)
        return ""

    def squeeze(self, axes: tuple[int, ...]) -> str:
        """Without these axes, which must be H or W, and 1."""
        rank = len(self.letters)
        places = {axis + rank if axis < 0 else axis for axis in axes}
        gone = [self.letters[place] for place in places if 0 <= place < rank]
        if not axes or len(gone) < len(axes) or any(letter not in "HW" or self.sizes[letter] != 1 for letter in gone):
            return f"takes the axes {list(axes)} of ({', '.join(self.letters)}) away; that may only be H and W where they are 1"
        self.letters = "".join(letter for letter in self.letters if letter not in gone)
        return ""

    def unsqueeze(self, axes: tuple[int, ...]) -> str:
        """New axes of size 1: H and W come back."""
        rank = len(self.letters) + len(axes)
        places = sorted({axis + rank if axis < 0 else axis for axis in axes})
        if not axes or rank > 4 or len(places) < len(axes) or places[0] < 1 or places[-1] >= rank:
            return f"adds the axes {list(axes)} to ({', '.join(self.letters)}); that may only be H and W"
        missing = iter([letter for letter in "HW" if letter not in self.letters])
        old = iter(self.letters)
        self.letters = "".join(next(missing) if place in places else next(old) for place in range(rank))
        self.sizes |= dict.fromkeys("HW", 1) if self.flat else {}
        return ""
