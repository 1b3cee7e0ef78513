"""The .pth and .pt files of torch.save, read without torch, and without running what a pickle in them names.

What such a file holds is up to who wrote it. Read are a table of tensors by name (`model.state_dict()`), and a table that has such a one
under a usual name beside other things: epochs, rates and the like are left out.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from ..errors import CheckpointError
from .opening import size_of
from .torch_legacy import read_legacy
from .torch_names import TensorRef, shown
from .torch_tensors import read_tensors
from .torch_zip import read_zip

__all__ = ["read_torch"]

_TABLES = ("state_dict", "model_state_dict", "model", "net", "weights")


def read_torch(file: BinaryIO, path: str) -> tuple[dict[str, Any], dict[str, str]]:
    """(arrays by name, metadata) of a file; `path` is for messages. The arrays are writable and C-contiguous; bfloat16 becomes float32, and
    tensors that are one in the file are one array. Metadata: {"taken_from": name} if the table of tensors was under that name.

    Raises CheckpointError for a damaged file, one that names anything but tensors and plain values (a whole model, code),
    a TorchScript program, or one without a table of tensors.
    """
    try:
        size = size_of(file)
        start = file.read(512)
        if start[257:262] == b"ustar":
            raise CheckpointError("is a tar of PyTorch before 0.1.10. Load it with torch and save model.state_dict() again.")
        value, extents = (read_zip if start.startswith(b"PK") else read_legacy)(file, size)
        tensors, taken_from = _tensors(value)
        return read_tensors(file, tensors, extents, size), {"taken_from": taken_from} if taken_from else {}
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None


def _tensors(value: Any) -> tuple[dict[str, TensorRef], str]:
    """(the tensors by name, under which name of `value` they were)."""
    tables = [(value, "")]
    if isinstance(value, dict):
        tables = [(value[name], name) for name in _TABLES if name in value] + tables
    for table, taken_from in tables:
        tensors = {key: tensor for key, tensor in table.items() if isinstance(tensor, TensorRef)} if isinstance(table, dict) else {}
        if tensors:
            for key in tensors:
                if not key.isprintable():
                    raise CheckpointError(f"has a tensor named {shown(key)}, which is not printable. The file is damaged.")
            return tensors, taken_from
    kind = "a table without tensors" if isinstance(value, dict) else f"a {type(value).__name__}"
    raise CheckpointError(f"holds {kind}, not a table of tensors by name. Save it so: torch.save(model.state_dict(), FILE).")
