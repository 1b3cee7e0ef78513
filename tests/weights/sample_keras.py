"""Small files in the layouts of Keras 1 to 3, written by h5py as Keras writes them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

Arrays = Mapping[str, np.ndarray[Any, Any]]


def arrays() -> dict[str, np.ndarray[Any, Any]]:
    """Ten convolutions and more, a batch normalisation, a dense layer, float32, in the order of Keras 3's files."""
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {"block1_bn1/" + part: (4,) for part in ("gamma", "beta", "moving_mean", "moving_variance")}
    for name in ("block1_conv1", "block1_conv2", "block2_conv1"):
        shapes |= {f"{name}/kernel": (3, 3, 3 if name == "block1_conv1" else 4, 4), f"{name}/bias": (4,)}
    shapes |= {"fc1/kernel": (8, 5), "fc1/bias": (5,)}
    return {name: rng.standard_normal(shape).astype("float32") for name, shape in shapes.items()}


def hdf5(datasets: Arrays, attributes: Mapping[str, Mapping[str, Any]] | None = None, **options: Any) -> bytes:
    """A file of datasets by path, with attributes of groups by path; options of create_dataset, `libver` of the file."""
    stream = io.BytesIO()
    with h5py.File(stream, "w", libver=options.pop("libver", None)) as file:
        for path, array in datasets.items():
            file.create_dataset(path, data=array, **options)
        for path, named in (attributes or {}).items():
            file.require_group(path).attrs.update(named)
    return stream.getvalue()


def keras_1() -> bytes:
    """As keras-applications publishes them: block1_conv1/block1_conv1_W_1:0."""
    parts = {"kernel": "W", "bias": "b", "moving_mean": "running_mean", "moving_variance": "running_std"}
    found = {f"{la}/{la}_{parts.get(part, part)}_1:0": array for (la, part), array in _split().items()}
    layers = {la: {"weight_names": [path.split("/")[1].encode() for path in found if path.startswith(la + "/")]} for la, _ in _split()}
    return hdf5(found, {"/": {"layer_names": [la.encode() for la in layers]}, **layers, "pool1": {"weight_names": np.zeros(0)}})


def keras_2(whole: bool) -> bytes:
    """block1_conv1/block1_conv1/kernel:0, below model_weights in a whole model; one layer was made twice under its name."""
    base = "model_weights/" if whole else ""
    found = {f"{base}{la}/{la + '_1' * (la == 'block2_conv1')}/{part}:0": array for (la, part), array in _split().items()}
    if whole:
        found["optimizer_weights/Adam/iterations:0"] = np.array(7)
    return hdf5(found, {"/": {"keras_version": "2.15.0", "model_config": "{}" * 1000}, base + "dropout_1": {"weight_names": np.zeros(0)}})


def keras_3(attributes: bool = True) -> bytes:
    """layers/conv2d_1/vars/0, where layers' own names are attributes (earlier versions have none of them)."""
    kinds = {
        "block1_conv1": "conv2d",
        "block1_conv2": "conv2d_2",
        "block2_conv1": "conv2d_10",
        "fc1": "dense",
        "block1_bn1": "batch_normalization",
    }
    found: dict[str, Any] = {"layers/dropout/seed_generator/vars/0": np.array([1, 2], "uint32"), "optimizer/vars/0": np.array(3)}
    counts: dict[str, int] = {}
    for (layer, _), array in _split().items():
        counts[layer] = counts.get(layer, -1) + 1
        found[f"layers/{kinds[layer]}/vars/{counts[layer]}"] = array
    names = {f"layers/{kind}/vars": {"name": layer} for layer, kind in kinds.items()}
    return hdf5(found, {**names, "layers/max_pooling2d/vars": {"name": "pool1"}, "vars": {"name": "vgg"}} if attributes else {"vars": {}})


def zipped(content: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    """A .keras file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.15.1"}')
        archive.writestr("config.json", '{"module": "os", "class_name": "system", "config": {}}')
        archive.writestr("model.weights.h5", content)
    return stream.getvalue()


def compressed() -> bytes:
    """As Keras 2's, rewritten in chunks, with all filters that are known."""
    options = {"compression": "gzip", "shuffle": True, "fletcher32": True}
    return hdf5({f"{layer}/{layer}/{part}:0": array for (layer, part), array in _split().items()}, **options)


def _split() -> dict[tuple[str, str], np.ndarray[Any, Any]]:
    return {(name.split("/")[0], name.split("/")[1]): array for name, array in arrays().items()}


def samples() -> dict[str, bytes]:
    """Valid .h5 files by name, in all layouts."""
    return {
        "Keras 1": keras_1(),
        "Keras 2, weights": keras_2(False),
        "Keras 2, model": keras_2(True),
        "Keras 3": keras_3(),
        "compressed": compressed(),
    }


def zip_samples() -> dict[str, bytes]:
    """Valid .keras files."""
    return {"Keras 3": zipped(keras_3())}
