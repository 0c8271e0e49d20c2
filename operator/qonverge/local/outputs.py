"""Where programs of the embedded mode keep files and checkpoints: a folder of this user, for one run after another."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from qonverge.api import HybridJob
from qonverge.api.job_status import StoredFiles
from qonverge.documents.reports import StoredContent
from qonverge.programs.source import Program
from qonverge.storage.job_output import CHECKPOINTS, FILES, JobOutput, prefix_of
from qonverge.storage.objects import Objects
from qonverge.storage.settings import StoreSettings

_NAME = "local"
# What makes another computation of a job.
_FIELDS = {"program", "shots", "precision", "seed"}


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where this user's programs keep state, as the XDG Base Directory Specification has it."""
    given = environment.get("XDG_STATE_HOME", "")
    return (Path(given) if Path(given).is_absolute() else Path.home() / ".local" / "state") / "qonverge"


@dataclass(frozen=True, slots=True)
class LocalOutput:
    """What one job keeps."""

    kept: JobOutput
    folder: Path
    """Where it is."""
    checkpoints: int
    """How many there are of a former run of the same job."""

    def files(self, told: StoredContent | None) -> StoredFiles | None:
        """Return what the status says of the files that a program told of."""
        if told is None:
            return None
        key = self.kept.prefix + FILES
        path = str(self.folder / FILES)
        return StoredFiles(store=_NAME, key=key, count=told.count, bytes=told.bytes, path=path)

    async def completed(self) -> None:
        """Delete the checkpoints: the next run begins anew."""
        await self.kept.delete_all(CHECKPOINTS)


class LocalOutputs:
    """What the jobs of this user keep."""

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        """Keep it in a folder; ``fresh`` runs go on from no checkpoint."""
        self._folder = folder
        self._fresh = fresh
        self._objects = Objects(StoreSettings(name=_NAME, folder=str(folder.absolute())))

    @contextlib.asynccontextmanager
    async def of(self, job: HybridJob, program: Program) -> AsyncIterator[LocalOutput | None]:
        """Give what a job keeps while it runs: the same for the same program; None while another run of it has it.

        Raises:
            StoreFailed: the folder cannot be used.
        """
        prefix = prefix_of(job.metadata.namespace, job.metadata.name, _digest(job, program))
        kept = JobOutput(self._objects, prefix)
        with _alone(self._folder / f"{prefix.rstrip('/')}.lock") as alone:
            if not alone:
                yield None
                return
            if self._fresh:
                await kept.delete_all(CHECKPOINTS)
            await kept.delete_all(FILES)
            yield LocalOutput(kept, self._folder / prefix, len(await kept.sizes(CHECKPOINTS)))


def _digest(job: HybridJob, program: Program) -> str:
    text = program.encode() if isinstance(program, str) else program
    told = job.spec.model_dump_json(include=_FIELDS, by_alias=True)
    return hashlib.sha256(json.dumps([told, hashlib.sha256(text).hexdigest()]).encode()).hexdigest()[:16]


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Say whether no other process is in this block; the system lets go however a process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
