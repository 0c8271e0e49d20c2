"""The images of one node for another on this machine, by hard links: in a second, and once on the disk."""

from __future__ import annotations

import os
import re
import shutil
import signal
from pathlib import Path

from e2e.cluster.plan import NodePlan
from e2e.cluster.processes import execute

_SNAPSHOTTER = Path("io.containerd.snapshotter.v1.overlayfs")
_SNAPSHOTS = _SNAPSHOTTER / "snapshots"
_BLOBS = Path("io.containerd.content.v1.content") / "blobs"
#: containerd's databases, which survive a crash at any moment, and so a copy at one.
_DATABASES = (Path("io.containerd.metadata.v1.bolt") / "meta.db", _SNAPSHOTTER / "metadata.db")


def copy_images(source: NodePlan, containerd: int, target: NodePlan) -> None:
    """Give a node that has no containerd yet the images of one whose containerd is the process ``containerd``.

    The databases name its containers too, which ``Node.forget_containers`` removes; their own layers are not linked,
    since they change.
    """
    from_, to = source.home / "containerd" / "root", target.home / "containerd" / "root"
    for folder in (_BLOBS, _SNAPSHOTS, *(database.parent for database in _DATABASES)):
        (to / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    os.kill(containerd, signal.SIGSTOP)
    try:
        for database in _DATABASES:
            shutil.copyfile(from_ / database, to / database)
        snapshots = {path.name for path in (from_ / _SNAPSHOTS).iterdir()}
        changing = _written(Path("/proc/self/mountinfo").read_text(), from_ / _SNAPSHOTS)
    finally:
        os.kill(containerd, signal.SIGCONT)
    _link([from_ / _BLOBS / "sha256"], to / _BLOBS)
    _link([from_ / _SNAPSHOTS / name for name in sorted(snapshots - changing)], to / _SNAPSHOTS)


def _written(mounts: str, snapshots: Path) -> set[str]:
    """Return the snapshots that are mounted to be written, from the text of ``/proc/self/mountinfo``."""
    return set(re.findall(rf"upperdir={re.escape(str(snapshots))}/(\d+)/fs", mounts))


def _link(sources: list[Path], target: Path) -> None:
    execute(["cp", "--archive", "--link", f"--target-directory={target}", *sources])
