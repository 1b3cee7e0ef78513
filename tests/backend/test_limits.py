"""How much memory is left: the tightest of the limits that hold."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minivgg.backend.limits import Limit, cgroup_limit, memory_limit


def files(folder: Path, **texts: str) -> tuple[Path, Path]:
    """A stand-in for /proc/self/cgroup and /sys/fs/cgroup; `__` in a name is a slash, `_DOT_` a dot."""
    for name, text in texts.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return folder / "own", folder / "root"


def test_version_two_takes_the_tightest_group_above(tmp_path):
    """The group of the process has no limit, its parent has 1000 bytes, the root 5000: 1000."""
    texts = {"root__a__b__memory_DOT_max": "max", "root__a__memory_DOT_max": "1000", "root__memory_DOT_max": "5000"}
    assert cgroup_limit(*files(tmp_path, own="0::/a/b", **texts)) == 1000


def test_version_one_reads_the_memory_controller_only(tmp_path):
    """The path of the memory controller counts, not that of another; its huge number stands for no limit."""
    name = "memory_DOT_limit_in_bytes"
    texts = {f"root__memory__x__{name}": "2000", f"root__memory__{name}": "9223372036854771712", f"root__memory__y__{name}": "1"}
    assert cgroup_limit(*files(tmp_path, own="5:cpu:/y\n4:hugetlb,memory:/x", **texts)) == 2000


def test_in_a_container_the_root_counts(tmp_path):
    """The path is the host's and not there: the limit at the root holds."""
    assert cgroup_limit(*files(tmp_path, own="0::/docker/123", root__memory_DOT_max="3000")) == 3000


@pytest.mark.parametrize("own", ["0::/", ""])
def test_no_limit_is_none(tmp_path, own):
    """ "max", or no groups at all."""
    assert cgroup_limit(*files(tmp_path, own=own, root__memory_DOT_max="max")) is None
    assert cgroup_limit(tmp_path / "nothing", tmp_path) is None


def test_free_is_never_negative():
    """More used than allowed leaves nothing."""
    assert Limit("", 10, 4).free == 6 and Limit("", 10, 14).free == 0


def test_the_machine_is_a_limit():
    """Some memory is in use, less than there is."""
    limit = memory_limit()
    assert 0 < limit.used < limit.bytes <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="address space is read from Linux's /proc")
def test_ulimit_is_a_limit_of_addresses():
    """Under `ulimit -v` of 2 GiB the answer is that one, and it raises."""
    script = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))\n"
    script += "from minivgg.backend.limits import memory_limit; m = memory_limit(); print(m.name, m.bytes, m.raises, m.free < 2**31)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True)
    assert done.stdout.strip() == "the address space (ulimit -v) 2147483648 True True"
