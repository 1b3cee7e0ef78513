"""Small .caffemodel files, written by the protobuf library from descriptors made here: no code is shared with the reader."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# message → field → (number, type, repeated, packed); a type is a message, or 1 double, 2 float, 3 int64, 5 int32, 9 text
NET = {
    "BlobShape": {"dim": (1, 3, True, True)},
    "Blob": {
        "num": (1, 3, False, False), "channels": (2, 3, False, False), "height": (3, 3, False, False), "width": (4, 3, False, False),
        "data": (5, 2, True, True), "diff": (6, 2, True, True), "shape": (7, "BlobShape", False, False), "double_data": (8, 1, True, True),
    },
    "V0": {"name": (1, 9, False, False), "type": (2, 9, False, False), "blobs": (50, "Blob", True, False)},
    "V1": {
        "layer": (1, "V0", False, False), "bottom": (2, 9, True, False), "name": (4, 9, False, False), "type": (5, 5, False, False),
        "blobs": (6, "Blob", True, False),
    },
    "V2": {"name": (1, 9, False, False), "type": (2, 9, False, False), "blobs": (7, "Blob", True, False), "phase": (10, 5, False, False)},
    "Net": {"name": (1, 9, False, False), "layers": (2, "V1", True, False), "layer": (100, "V2", True, False)},
}  # fmt: skip


@functools.cache
def net_class(packed: bool) -> Any:
    """The class of NetParameter messages; all numbers of `data` in one field if `packed`."""
    package = f"caffe{int(packed)}"
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
    for message, entries in NET.items():
        described = file.message_type.add(name=message)
        for name, (number, kind, repeated, in_one) in entries.items():
            field = described.field.add(name=name, number=number, label=3 if repeated else 1)
            if isinstance(kind, str):
                field.type, field.type_name = 11, f".{package}.{kind}"
            else:
                field.type = kind
            if in_one:
                field.options.packed = packed
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.Net"))


def fill(blob: Any, array: np.ndarray[Any, Any], old: bool, double: bool = False) -> None:
    """Write an array into a blob, by four sizes if `old`; gradients come along in the old ones."""
    if old:
        blob.num, blob.channels, blob.height, blob.width = (1,) * (4 - array.ndim) + array.shape
        blob.diff.extend([9.0] * array.size)
    else:
        blob.shape.dim.extend(array.shape)
    (blob.double_data if double else blob.data).extend(array.reshape(-1).tolist())


def arrays() -> dict[str, np.ndarray[Any, Any]]:
    """Two convolutions, one of them in two groups, and an inner product, float32."""
    rng = np.random.default_rng(0)
    shapes = {
        "conv1_1.weight": (4, 3, 3, 3), "conv1_1.bias": (4,), "conv1_2.weight": (2, 2, 3, 3), "conv1_2.bias": (2,),
        "fc6.weight": (5, 8), "fc6.bias": (5,),
    }  # fmt: skip
    return {name: rng.standard_normal(shape).astype("float32") for name, shape in shapes.items()}


def caffemodel(generation: int, packed: bool = True, double: bool = False) -> bytes:
    """A file of the network above of generation 0, 1 or 2."""
    net = net_class(packed)(name="VGG")
    kinds = {"data": ("data", 5, "Data"), "relu1": ("relu", 18, "ReLU")}
    kinds |= {name: ("innerproduct", 14, "InnerProduct") if name == "fc6" else ("conv", 4, "Convolution") for name in _layers()}
    for name, kind in kinds.items():
        layer = (net.layer if generation == 2 else net.layers).add()
        if generation == 0:
            layer.bottom.append("data")
            layer = layer.layer
        layer.name, layer.type = name, kind[generation]
        for part in ("weight", "bias") if name in _layers() else ():
            fill(layer.blobs.add(), arrays()[f"{name}.{part}"], generation < 2, double)
    return bytes(net.SerializeToString())


def normalised(factor: float = 4.0) -> bytes:
    """A file with a BatchNorm, whose sums are `factor` times (1, 2) and (3, 4), and a Scale of (5, 6) and (7, 8)."""
    net = net_class(True)()
    layer = net.layer.add(name="bn1", type="BatchNorm")
    for numbers in ([1 * factor, 2 * factor], [3 * factor, 4 * factor], [factor]):
        fill(layer.blobs.add(), np.array(numbers, "float32"), False)
    layer = net.layer.add(name="scale1", type="Scale")
    for numbers in ([5, 6], [7, 8]):
        fill(layer.blobs.add(), np.array(numbers, "float32"), False)
    return bytes(net.SerializeToString())


def _layers() -> list[str]:
    return list(dict.fromkeys(name.rpartition(".")[0] for name in arrays()))


def samples() -> dict[str, bytes]:
    """Valid files by name: all generations, data packed or not, of either width, with running sums."""
    return {
        "generation 0": caffemodel(0),
        "generation 1": caffemodel(1),
        "generation 2": caffemodel(2),
        "not packed": caffemodel(2, packed=False),
        "not packed, old": caffemodel(1, packed=False),
        "double": caffemodel(2, double=True),
        "batch norm": normalised(),
    }
