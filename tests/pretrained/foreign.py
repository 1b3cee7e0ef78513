"""Narrow random networks, and the same arrays as other programs keep them, by naive loops over rows and columns."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from minivgg import models

SIZE = 64  # pixels: 2×2 cells before fc6, so that the order of its inputs matters
CLASSES = 5


def network(name: str, seed: int = 0, **options: Any) -> Any:
    """A random network of a sixteenth of the width, batch norms with statistics of their own, in evaluation."""
    model = models.build(name, **{"width": 1 / 16, "image_size": SIZE, "num_classes": CLASSES, **options})
    rng = np.random.default_rng(seed)
    state = {}
    for key, array in model.state_dict().items():
        drawn = rng.standard_normal(array.shape).astype(np.float32) * 0.3 + (0.7 if array.ndim == 1 else 0.0)
        state[key] = array if array.dtype.kind != "f" else np.abs(drawn) if key.endswith("running_var") else drawn
    model.load_state_dict(state)
    return model.eval()


def by_layer(model: Any, name: str) -> dict[str, Any]:
    """{"conv1_1.weight": …, "conv1_1.norm.weight": …, "fc6.weight": …} of a network with the paper's head."""
    state, found = model.state_dict(), {}
    for layer, modules in models.blocks(name).items():
        for module, prefix in zip(modules, (layer, f"{layer}.norm"), strict=False):
            found.update({prefix + key[len(module) :]: array for key, array in state.items() if key.startswith(f"{module}.")})
    return found


def blue_first(filters: Any) -> Any:
    """Filters (K, 3, R, S) for images whose blue comes first."""
    return np.stack([filters[:, 2], filters[:, 1], filters[:, 0]], axis=1)


def place_by_place(matrix: Any, channels: int, side: int) -> Any:
    """fc6's matrix (out, C·s·s) for a last map that is flattened place by place: (out, s·s·C)."""
    found = np.empty_like(matrix)
    for c in range(channels):
        for i in range(side):
            for j in range(side):
                found[:, (i * side + j) * channels + c] = matrix[:, (c * side + i) * side + j]
    return found


def filters_last(filters: Any) -> Any:
    """(K, C, R, S) → (R, S, C, K)."""
    k, c, r, s = filters.shape
    found = np.empty((r, s, c, k), filters.dtype)
    for i in range(r):
        for j in range(s):
            found[i, j] = filters[:, :, i, j].T
    return found


def as_timm(model: Any, name: str) -> dict[str, Any]:
    """timm's names: fc6 and fc7 as filters."""
    state = dict(model.state_dict())
    parts = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2", "classifier.6": "head.fc"}
    found = {}
    for key, array in state.items():
        module, _, part = key.rpartition(".")
        if part == "weight" and module == "classifier.0":
            array = array.reshape(len(array), -1, 2, 2)
        if part == "weight" and module == "classifier.3":
            array = array.reshape(*array.shape, 1, 1)
        found[f"{parts.get(module, module)}.{part}"] = array
    return found


def as_keras(model: Any, name: str) -> dict[str, Any]:
    """Keras' names and order, blue first; a batch norm's ε is 1e-3 there, so its variances are smaller by 1e-3 − 1e-5."""
    found = {}
    fully = {"fc6": "fc1", "fc7": "fc2", "fc8": "predictions"}
    norms = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    for key, array in by_layer(model, name).items():
        layer, *_, part = key.split(".")
        theirs = fully.get(layer) or re.sub(r"conv(\d)_(\d)", r"block\1_conv\2", layer)
        if ".norm." in key:
            if part in norms:
                found[f"{theirs}_bn/{norms[part]}"] = array - np.float32(1e-3 - 1e-5) if part == "running_var" else array
            continue
        found[f"{theirs}/{'kernel' if part == 'weight' else 'bias'}"] = last_turned(layer, array)
    return found


def as_tensorflow(model: Any, name: str) -> dict[str, Any]:
    """The names of vgg16_weights.npz, red first."""
    return {
        key.replace(".weight", "_W").replace(".bias", "_b"): last_turned(key.split(".")[0], array, blue=False)
        for key, array in by_layer(model, name).items()
    }


def as_caffe(model: Any, name: str) -> dict[str, Any]:
    """Caffe's names, blue first; a batch norm is two layers, the second with scale and shift."""
    found = {}
    for key, array in by_layer(model, name).items():
        layer, *_, part = key.split(".")
        if ".norm." not in key:
            found[key] = blue_first(array) if key == "conv1_1.weight" and array.shape[1] == 3 else array
        elif part != "num_batches_tracked":
            found[f"{layer}/{'bn' if part.startswith('running') else 'scale'}.{part}"] = array
    return found


def last_turned(layer: str, array: Any, blue: bool = True) -> Any:
    """An array of a layer as TensorFlow keeps it."""
    if array.ndim == 1:
        return array
    if array.ndim == 4:
        return filters_last(blue_first(array) if blue and layer == "conv1_1" and array.shape[1] == 3 else array)
    return (place_by_place(array, array.shape[1] // 4, 2) if layer == "fc6" else array).T


WRITERS = {
    "torchvision": lambda model, name: dict(model.state_dict()),
    "timm": as_timm,
    "Keras": as_keras,
    "Caffe": as_caffe,
    "TensorFlow": as_tensorflow,
}
