"""The cores that this container is allowed, which may be fewer than the host has, and their kind.

Docker and Kubernetes limit by cgroups: the kernel's documentation, "Control Group v2" (cpu.max),
and "CFS Bandwidth Control" for version 1.
"""

import math
import os
from pathlib import Path

_CGROUP, _CPUINFO = Path("/sys/fs/cgroup"), Path("/proc/cpuinfo")


def allowed_cores(cgroup: Path = _CGROUP) -> int:
    """Return how many cores may be busy at the same time, at least 1: a quota is rounded up."""
    pinned = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores, quota = pinned or 1, _quota(cgroup)
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def has_vnni(cpuinfo: Path = _CPUINFO) -> bool:
    """Return whether the processor multiplies 8-bit numbers and adds up in 32 bits in one step.

    Others add two products in 16 bits first, which overflows (Intel's AVX512_VNNI and AVX_VNNI;
    OpenVINO's "Saturation (overflow) issue workaround").
    """
    return any(word.endswith("_vnni") for word in _read(cpuinfo))


def _quota(cgroup: Path) -> float | None:
    limit = _read(cgroup / "cpu.max")
    if not limit:
        folder = cgroup / "cpu"
        limit = _read(folder / "cpu.cfs_quota_us") + _read(folder / "cpu.cfs_period_us")
    if len(limit) != 2 or not all(part.isdigit() for part in limit) or int(limit[1]) == 0:
        return None  # "max", -1, or no such controller: no limit
    return int(limit[0]) / int(limit[1])


def _read(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []
