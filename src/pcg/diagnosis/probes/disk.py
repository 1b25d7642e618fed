"""The probe `disk`: is there room on the disks that the installer and its logs are on? Asks this machine only."""

from __future__ import annotations

import os
from pathlib import Path

from pcg.diagnosis.probes.answer import About, ProbeAnswer, bounded
from pcg.diagnosis.probes.threads import in_own_thread

SECONDS = 2.0
"""a network file system that hangs is an answer"""
LEAST_FREE = 64 << 20
"""bytes; below, logs and the gateway's memory cannot be written for long"""


async def probe_disk(path: Path, *, seconds: float = SECONDS, least: int = LEAST_FREE) -> ProbeAnswer:
    async def look(question: ProbeAnswer) -> ProbeAnswer:
        state = await in_own_thread(lambda: _room(path))
        free = state.f_bavail * state.f_frsize
        told = f"{free >> 20} MiB free"
        if free < least:
            return question.failing("disk-full", told)
        if state.f_files and not state.f_favail:
            return question.failing("disk-full", f"{told}, but no inode is")
        return question.passed(told)

    return await bounded(ProbeAnswer(About.DISK, "disk", str(path)), look, seconds)


def _room(path: Path) -> os.statvfs_result:
    """Where the path is, or will be made."""
    return os.statvfs(next(one for one in (path, *path.parents) if one.exists()))
