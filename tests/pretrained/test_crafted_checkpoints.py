"""Checkpoints whose digest is right, and whose state is nonsense: anybody can write one."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np

from minivgg import pretrained, weights
from minivgg.errors import CheckpointError

from ..weights.sample_arrays import samples

ODD = (None, True, 0, -1, 3, 2**70, 1e308, -0.5, "", "x", "a\nb", "\u2028", [], {}, [[]], {"a": 1}, [1, 2, 3], "vgg16", [None], ["a", "a"])


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The keys and indices that lead to each value within."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, below in inner for place in ((*above, key), *places(below, (*above, key)))]


def test_a_state_of_nonsense_is_refused_in_a_line(tmp_path: Path) -> None:
    """200 states with one to three values exchanged or missing: a network, or a CheckpointError of one line with the path."""
    path, refused = tmp_path / "crafted.safetensors", 0
    whole = []
    for name in ("network", "run"):
        path.write_bytes(samples()[name])
        whole.append(weights.load_checkpoint(path))
    for index in range(200):
        rng = np.random.default_rng([1, index])
        checkpoint = whole[index % 2]
        state = copy.deepcopy(dict(checkpoint.state))
        for _ in range(rng.integers(1, 4)):
            found = places(state)
            *above, last = found[rng.integers(len(found))]
            value = state
            for key in above:
                value = value[key]
            if rng.random() < 0.2:
                del value[last]
            else:
                value[last] = copy.deepcopy(ODD[rng.integers(len(ODD))])
        weights.save_checkpoint(path, weights.Checkpoint({}, {}, state))
        try:
            pretrained.read(path)
        except CheckpointError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ") and str(error).isprintable(), index
    assert refused > 100
