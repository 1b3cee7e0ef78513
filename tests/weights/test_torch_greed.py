"""Files of torch.save that claim much with little: each is refused, and gets no memory."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

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
