"""``qonverge rerun``: a job once more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from qonverge.api.base import API_VERSION
from qonverge.api.conditions import seconds
from qonverge.cli.cluster import NoAnswer, connected

RERUN_OF = "qonverge.io/rerun-of"
"""Annotation of a job that ``qonverge rerun`` made: the name of the first one."""
_MOST_TRIES = 100
_LONGEST_NAME = 253
# Labels by which those that deploy manifests know what they made: the new job is none of theirs.
_DEPLOYED = ("argocd.argoproj.io/", "kustomize.toolkit.fluxcd.io/", "helm.toolkit.fluxcd.io/", "helm.sh/")
_OF_DEPLOYMENT = ("app.kubernetes.io/instance", "app.kubernetes.io/managed-by")


@dataclass(frozen=True, slots=True)
class Rerun:
    """A job as it is to be made again."""

    manifest: dict[str, Any]
    notes: tuple[str, ...] = ()
    """What a person should know of it."""


def copy(job: dict[str, Any], now: float) -> Rerun:
    """Return a new job with the specification and labels of another, without a name; ``now`` is in Unix seconds."""
    metadata, spec = job["metadata"], dict(job["spec"])
    notes = []
    spec.pop("cancel", None)
    if (deadline := spec.get("deadline")) is not None and seconds(deadline) <= now:
        del spec["deadline"]
        notes.append(f"without its deadline, {deadline}, which has passed")
    if spec.get("suspend"):
        notes.append("it is suspended, as the former: qonverge resume starts it")
    labels = {
        name: value
        for name, value in (metadata.get("labels") or {}).items()
        if not name.startswith(_DEPLOYED) and name not in _OF_DEPLOYMENT
    }
    first = (metadata.get("annotations") or {}).get(RERUN_OF, metadata["name"])
    made = {"annotations": {RERUN_OF: first}, **({"labels": labels} if labels else {})}
    return Rerun({"apiVersion": API_VERSION, "kind": "HybridJob", "metadata": made, "spec": spec}, tuple(notes))


def name_of(first: str, number: int) -> str:
    """Return the name of the n-th rerun of a job, from 1."""
    suffix = "-rerun" if number == 1 else f"-rerun-{number}"
    return first[: _LONGEST_NAME - len(suffix)].rstrip("-.") + suffix


def rerun_job(name: str, namespace: str | None, *, new_name: str | None, now: float) -> str:
    """Make a job anew and return its name, after printing it.

    Args:
        name: of the job that there is.
        namespace: of both; None: that of the context.
        new_name: of the new one; None: the next that is free.
        now: Unix seconds.

    Raises:
        NoAnswer: the API server does not answer, refuses, has no such job, or has the new one already.
    """
    return asyncio.run(_rerun(name, namespace, new_name=new_name, now=now))


async def _rerun(name: str, namespace: str | None, *, new_name: str | None, now: float) -> str:
    async with connected() as cluster:
        job = await cluster.job(name, namespace)
        where, made = job["metadata"]["namespace"], copy(job, now)
        metadata = made.manifest["metadata"]
        tries = [name_of(metadata["annotations"][RERUN_OF], number) for number in range(1, _MOST_TRIES)]
        for each in [new_name] if new_name is not None else tries:
            if await cluster.create({**made.manifest, "metadata": {**metadata, "name": each}}, where):
                notes = "".join(f"; {note}" for note in made.notes)
                print(f"hybridjob/{each} created with the specification of {name}{notes}")
                return each
        raise NoAnswer(f"there is a HybridJob {new_name or tries[-1]} already: give another --name")
