"""How much memory this process may still take: by its own limits, by its container's, by the machine's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Limit", "cgroup_limit", "memory_limit"]


@dataclass(frozen=True)
class Limit:
    """`bytes` at most, of which `used` are taken already; `name` says whose. `raises`: it counts addresses rather than memory in
    use, and beyond it an allocation fails with MemoryError, where a machine or a container would kill the process."""

    name: str
    bytes: int
    used: int
    raises: bool = False

    @property
    def free(self) -> int:
        """What is left, at least 0."""
        return max(self.bytes - self.used, 0)


def memory_limit() -> Limit:
    """The limit that leaves least: address space (`ulimit -v`), cgroup, or physical memory. Linux; elsewhere the last only."""
    page = os.sysconf("SC_PAGE_SIZE")
    statm = Path("/proc/self/statm")
    address_space, resident = (int(pages) * page for pages in statm.read_text().split()[:2]) if statm.exists() else (0, 0)
    limits = [Limit("this machine's memory", os.sysconf("SC_PHYS_PAGES") * page, resident)]
    container = cgroup_limit()
    if container is not None:
        limits.append(Limit("the container's memory (cgroup)", container, resident))
    if statm.exists():
        import resource

        soft = resource.getrlimit(resource.RLIMIT_AS)[0]
        if soft != resource.RLIM_INFINITY:
            limits.append(Limit("the address space (ulimit -v)", soft, address_space, raises=True))
    return min(limits, key=lambda limit: limit.free)


def cgroup_limit(own: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that the cgroups of this process may have, of version 1 or 2, those above it included; None if there is no limit.

    `own` lists the process's groups, `hierarchy:controllers:path`; in a container the path may be the host's, and only `root`
    be there.
    """
    found = []
    for line in own.read_text().splitlines() if own.exists() else ():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not path or (controllers and "memory" not in controllers.split(",")):
            continue
        top, name = (root / "memory", "memory.limit_in_bytes") if controllers else (root, "memory.max")
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(top) and (folder / name).is_file():
                found.append((folder / name).read_text().strip())
    return min((int(text) for text in found if text.isdigit() and int(text) < 1 << 60), default=None)
