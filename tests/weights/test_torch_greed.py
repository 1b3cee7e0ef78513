"""Files of torch.save that claim much with little are refused, and get no memory; and turned tensors take none but their own."""

from __future__ import annotations

import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from minivgg import weights
from tests.weights.sample_torch import FILES, stored, table, tensor, text, zipped

STEPS = 149_000
GREEDY = {
    "expanded": table(w=tensor(stored(2), (2**28, 2), (0, 1))),
    "many views": table(**{f"w{i}": tensor(stored(2**18), (2**17 + i,), (1,)) for i in range(40)}),
    "many sparse views": table(**{f"w{i}": tensor(stored(2**18), (2,), (2**17 + i,)) for i in range(40)}),
    "tables": b"}" * STEPS + b".",
    "kept tables": b"}\x94" * (STEPS // 2) + b".",
    "kept far apart": b"N" + b"".join(b"r" + struct.pack("<I", i << 12) for i in range(STEPS)) + b".",
    "nested tuples": b")" + b"\x85" * STEPS + b".",
    "laughs": b")q\x00" + b"h\x00h\x00\x86q\x00" * (STEPS // 4 - 1) + b".",
    "tuples as keys": b"})" + b"\x85" * (STEPS - 100) + b"Ns.",
    "marks": b"(" * STEPS + b".",
    "marks, then tuples": b"(" * (STEPS // 2) + b"t" * (STEPS // 2) + b".",
    "one list in many tables": b"ccollections\nOrderedDict\nq\x00]("
    + (text("a") + b"N\x86q\x02" + b"h\x02" * 90_000 + b"e\x85q\x01" + b"h\x00h\x01R" * 15_000 + b"."),
    "long texts": text("é" * 4000 + "\U0001f600") * 240 + b".",
    "one text without end": text("a" * (5 << 20)) + b".",
    "more steps than any": b"N" * 2**20 + b".",
}


LOADER = """
import sys
from pathlib import Path
from minivgg import weights
from minivgg.errors import CheckpointError
def memory(key):
    return 1024 * int(Path("/proc/self/status").read_text().split(key + ":")[1].split()[0])
weights.load(sys.argv[1])
for path in sys.argv[2:]:
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory("VmRSS")
    try:
        weights.load(path)
        print("read", path)
    except CheckpointError:
        print("refused", memory("VmHWM") - before)
"""


def test_greedy_files_get_no_memory(tmp_path):
    """Little that claims much, a process for all: each is refused, and none takes more memory than twice itself and 32 MB."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("this system does not tell a process's peak memory: it has no /proc")
    paths = []
    for kind, pickle in GREEDY.items():
        paths.append(tmp_path / f"{kind}.pth")
        paths[-1].write_bytes(zipped(pickle, {"0": bytes(2**20)}))
    command = [sys.executable, "-c", LOADER, str(FILES / "small_zip.pth"), *map(str, paths)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(lines) == len(paths)
    for line, path in zip(lines, paths, strict=True):
        result, extra = line.split(maxsplit=1)
        assert result == "refused" and int(extra) < 2 * path.stat().st_size + (32 << 20), path.name


VIEWS = {  # of 2²¹ numbers: shape, strides
    "turned": ((1024, 2048), (1, 1024)),
    "channels last": ((64, 512, 8, 8), (512 * 64, 1, 8 * 512, 512)),
    "with gaps": ((512, 700), (1, 2048)),
    "over one another": ((3, 2**20, 1), (2**19, 1, 7)),
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("kind", ["Float", "BFloat16"])
def test_tensors_in_another_order_are_read_in_pieces(tmp_path, name, kind):
    """Larger than a piece: the numbers are those of NumPy's view on the whole; at most the array, and 4 MB, are in memory."""
    shape, strides = VIEWS[name]
    numbers = np.random.default_rng(0).standard_normal(2**21).astype(np.float32)
    if kind == "BFloat16":
        numbers = (numbers.view("<u4") & 0xFFFF0000).view("<f4")
    stored_as = numbers if kind == "Float" else (numbers.view("<u4") >> 16).astype("<u2")
    path = tmp_path / "a.pth"
    path.write_bytes(zipped(table(w=tensor(stored(2**21, kind=kind), shape, strides)), {"0": stored_as.tobytes()}))
    tracemalloc.start()
    found = weights.load(path)["w"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.flags.c_contiguous and peak < found.nbytes + (4 << 20)
    assert np.array_equal(found, np.lib.stride_tricks.as_strided(numbers, shape, [4 * step for step in strides]))
