"""Files of torch.save, small ones: four that torch 2.14.1 made, with the arrays expected of them, and how to make odd ones by hand.

Those in `files/` were made by

    import sys, torch, numpy as np
    from collections import OrderedDict
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    tensors = OrderedDict(
        whole=base, turned=base.t(), rows=base[1:3], column=base[:, 2], again=base, parameter=torch.nn.Parameter(torch.tensor([0.5, -2.0])),
        number=torch.tensor(-7), long=torch.tensor([2**40, -1]), half=torch.tensor([1.5, 65504.0]).half(),
        wide=torch.tensor([[1.0, -3.5, 2**100]]).bfloat16(), wide_turned=torch.arange(6.0).bfloat16().reshape(2, 3).t(),
        double=torch.tensor([1 / 3], dtype=torch.float64), flags=torch.tensor([True, False]),
        small=torch.tensor([-128, 127], dtype=torch.int8), bytes=torch.tensor([255], dtype=torch.uint8), none=torch.zeros(0, 3),
        last=torch.arange(16.0).reshape(1, 4, 2, 2).contiguous(memory_format=torch.channels_last),
        expanded=torch.tensor([1.0, 2.0]).expand(3, 2),
    )
    tensors._metadata = OrderedDict({"": {"version": 1}})
    folder = sys.argv[1]
    torch.save(tensors, f"{folder}/small_zip.pth")
    torch.save(tensors, f"{folder}/small_legacy.pth", _use_new_zipfile_serialization=False)
    table = {"w": torch.ones(2), "u": torch.tensor([65535], dtype=torch.uint16)}
    about = {"epoch": 3, "rate": 0.1, "best": torch.tensor(1.0), "history": [1, 2.5, None]}
    torch.save({**about, "state_dict": table}, f"{folder}/small_checkpoint.pth", pickle_protocol=4)
    torch.save(torch.nn.Linear(2, 1), f"{folder}/whole_model.pth")
    expected = {name: tensor.detach().float() if tensor.dtype == torch.bfloat16 else tensor.detach() for name, tensor in tensors.items()}
    np.savez_compressed(f"{folder}/small.npz", **{name: tensor.numpy() for name, tensor in expected.items()})
"""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np

FILES = Path(__file__).with_name("files")
MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + b"\x80\x02M\xe9\x03." + b"\x80\x02}."


def samples() -> dict[str, bytes]:
    """Valid files by name: both formats of today's torch, a checkpoint with other things in it, and one as Python 2 wrote it."""
    names = ("small_zip.pth", "small_legacy.pth", "small_checkpoint.pth")
    return {**{name: (FILES / name).read_bytes() for name in names}, "old.pth": old()}


def expected() -> dict[str, np.ndarray]:
    """The arrays of small_zip.pth and small_legacy.pth, by torch."""
    with np.load(FILES / "small.npz") as arrays:
        return dict(arrays)


def text(value: str) -> bytes:
    """The instruction that pushes a text."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    """The instruction that pushes an integer of up to 254 bytes."""
    size = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def stored(size: int, key: str = "0", kind: str = "Float", view: bytes = b"") -> bytes:
    """The instructions that push a storage."""
    return b"(" + text("storage") + f"ctorch\n{kind}Storage\n".encode() + text(key) + text("cpu") + number(size) + view + b"tQ"


def counts(values: tuple[int, ...]) -> bytes:
    """The instructions that push a tuple of integers."""
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(storage: bytes, shape: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    """The instructions that push a tensor, as today's torch writes them but for the memo."""
    rest = number(offset) + counts(shape) + counts(stride) + b"\x89ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + rest + b"tR"


def table(**values: bytes) -> bytes:
    """The pickle of a table by names."""
    return b"\x80\x02}(" + b"".join(text(name) + value for name, value in values.items()) + b"u."


def zipped(pickle: bytes, storages: dict[str, bytes] | None = None, **members: bytes) -> bytes:
    """A file in today's format: a pickle and the bytes of its storages."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", pickle)
        for key, data in (storages or {}).items():
            archive.writestr(f"a/data/{key}", data)
        for name, data in members.items():
            archive.writestr(f"a/{name}", data)
    return file.getvalue()


def legacy(pickle: bytes, storages: dict[str, tuple[int, bytes]]) -> bytes:
    """A file in the old format: the value's pickle, then each storage as (how many numbers, bytes)."""
    keys = b"\x80\x02](" + b"".join(map(text, storages)) + b"e."
    return MAGIC + pickle + keys + b"".join(struct.pack("<q", count) + data for count, data in storages.values())


def old() -> bytes:
    """{"w": [[1, 2], [3, 4]], "b": [3, 4, 5]} as early versions wrote it with Python 2.

    A parameter is an object with attributes, texts are byte strings, an OrderedDict is made of pairs in a list, `_rebuild_tensor` has its
    first form, and a storage is a view of another. torch 2.14.1 reads the file so, by torch.load(…, weights_only=False, encoding="utf-8").
    """
    view = b"(U\x013K\x02K\x03t"  # storage "3": three numbers of "7" from its number 2 on
    w = (
        b"ctorch.nn.parameter\nParameter\nctorch._utils\n_rebuild_tensor\n("
        + stored(5, "7", view=b"N")
        + b"K\x00(K\x02K\x02t(K\x02K\x01ttR\x85\x81"
    )
    b = b"ctorch._utils\n_rebuild_tensor\n(" + stored(5, "7", view=view) + b"K\x00K\x03\x85K\x01\x85tR"
    w += b"(\x88\x89ccollections\nOrderedDict\n)Rtb"  # requires_grad, volatile, hooks
    pairs = b"](](U\x01w" + w + b"e](U\x01b" + b + b"ee"
    return legacy(b"\x80\x02ccollections\nOrderedDict\n" + pairs + b"\x85R.", {"7": (5, np.arange(1, 6, dtype="<f4").tobytes())})
