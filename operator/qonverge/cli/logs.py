"""``qonverge logs``: what a job's program prints."""

from __future__ import annotations

import asyncio
import sys
from urllib.parse import urlencode

from qonverge.cli.cluster import Cluster, NoAnswer, connected
from qonverge.cli.following import SeenJob, followed
from qonverge.programs.kinds import KINDS


class NoLog(Exception):
    """The job has printed nothing that is still there."""


def print_log(name: str, namespace: str | None, *, follow: bool, lines: int | None) -> None:
    """Write what a job's program printed to standard output.

    Args:
        name: of the job.
        namespace: of the job; None: that of the context.
        follow: whether to go on until the job has ended, over all its attempts.
        lines: how many of the last lines; None: all.

    Raises:
        NoAnswer: the API server does not answer, or has no such job.
        NoLog: there is none.
    """
    asyncio.run(_print(name, namespace, follow=follow, lines=lines))


async def _print(name: str, namespace: str | None, *, follow: bool, lines: int | None) -> None:
    async with connected() as cluster:
        obj = await cluster.job(name, namespace)
        # Of kinds that a newer version may have nothing is known.
        silent = [field for field in obj["spec"]["program"] if field in KINDS and not KINDS[field].calls_backends]
        if silent:
            raise NoLog(f"{name} is a {silent[0]}, which prints nothing: qonverge result {name} has what it found")
        job = SeenJob.of(obj)
        if not follow:
            if not await _pod_log(cluster, job, follow=False, lines=lines):
                _kept(job)
            return
        printed = ""
        async for changed in followed(cluster, job.namespace, [name]):
            job = changed[-1]
            # Another pod is another attempt, or the same one after a pause.
            if job.status.state == "Running" and job.status.pod and job.status.pod != printed:
                if printed:
                    print(f"attempt {job.status.attempts} in the pod {job.status.pod}:", file=sys.stderr, flush=True)
                if await _pod_log(cluster, job, follow=True, lines=lines):
                    printed = job.status.pod
            if job.ended:
                if not printed and not await _pod_log(cluster, job, follow=False, lines=lines):
                    _kept(job)
                return


async def _pod_log(cluster: Cluster, job: SeenJob, *, follow: bool, lines: int | None) -> bool:
    """Write the log of the job's last pod, and return whether there is one."""
    if job.status.pod is None:
        return False
    given = {"container": "program", "follow": str(follow).lower(), **({} if lines is None else {"tailLines": lines})}
    path = f"/api/v1/namespaces/{job.namespace}/pods/{job.status.pod}/log?{urlencode(given)}"
    some = False
    try:
        # A program may be silent for hours.
        async for chunk in cluster.stream(path, None if follow else 60.0):
            some = True
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
    except NoAnswer as error:
        if not some and ("not found" in str(error) or "is waiting to start" in str(error)):
            return False
        raise
    return True


def _kept(job: SeenJob) -> None:
    """Write the lines that the status has of a program whose pod is gone.

    Raises:
        NoLog: it has none.
    """
    status = job.status
    if status.paused is not None:
        raise NoLog(f"{job.name} has no pod to print in: {status.message}")
    if status.log is None:
        raise NoLog(f"{job.name} has printed nothing yet: it is {status.state}: {status.message or 'new'}")
    if status.pod is not None:
        print("its pod is gone; the last lines that it printed:", file=sys.stderr, flush=True)
    print(status.log)
