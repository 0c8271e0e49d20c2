"""``qonverge logs -f`` of a job whose program has several attempts: what an API server and kubelets would say."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Collection
from typing import Any

import pytest

from qonverge.cli import logs
from qonverge.cli.cluster import NoAnswer
from qonverge.cli.following import SeenJob

_METADATA = {"name": "vqe", "namespace": "chem", "uid": "u"}


def seen(state: str, pod: str | None = None, **status: Any) -> SeenJob:
    return SeenJob.of({"metadata": _METADATA, "status": {"state": state, "pod": pod, "attempts": 1, **status}})


class Cluster:
    """Has the logs of some pods."""

    namespace = "chem"

    def __init__(self, printed: dict[str, list[bytes]], changes: list[SeenJob]) -> None:
        self.printed = printed
        self.changes = changes
        self.asked: list[str] = []

    async def job(self, name: str, namespace: str | None) -> dict[str, Any]:
        status = self.changes[0].status.to_dict()
        return {"metadata": _METADATA, "spec": {"program": {"python": {"source": "x"}}}, "status": status}

    async def stream(self, path: str, idle: float | None) -> AsyncIterator[bytes]:
        self.asked.append(path)
        pod = path.split("/")[6]
        if pod not in self.printed:
            raise NoAnswer(f'the API server answered 404: pods "{pod}" not found')
        for chunk in self.printed[pod]:
            yield chunk


def printed(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, *, follow: bool) -> None:
    async def followed(_: object, namespace: str, names: Collection[str]) -> AsyncIterator[list[SeenJob]]:
        assert (namespace, list(names)) == ("chem", ["vqe"])
        for change in cluster.changes:
            yield [change]

    @contextlib.asynccontextmanager
    async def connected() -> AsyncIterator[Cluster]:
        yield cluster

    monkeypatch.setattr(logs, "followed", followed)
    monkeypatch.setattr(logs, "connected", connected)
    logs.print_log("vqe", None, follow=follow, lines=5)


def test_every_attempt_is_followed(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    changes = [
        seen("Pending"),
        seen("Running", "vqe-1"),
        seen("Running", "vqe-1", progress="50%"),
        seen("Pending", "vqe-1"),
        seen("Running", "vqe-2", attempts=2),
        seen("Complete", "vqe-2", log="step 3"),
    ]
    cluster = Cluster({"vqe-1": [b"step", b" 1\n"], "vqe-2": [b"step 2\nstep 3\n"]}, changes)
    printed(cluster, monkeypatch, follow=True)
    told = capfdbinary.readouterr()
    assert told.out == b"step 1\nstep 2\nstep 3\n"
    assert told.err == b"attempt 2 in the pod vqe-2:\n"
    assert len(cluster.asked) == 2
    assert all("follow=true" in path and "tailLines=5" in path for path in cluster.asked)


@pytest.mark.parametrize("follow", [True, False])
def test_of_a_pod_that_is_gone_the_status_has_the_last_lines(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], follow: bool
) -> None:
    printed(Cluster({}, [seen("Failed", "vqe-1", log="step 1\nstep 2")]), monkeypatch, follow=follow)
    told = capfdbinary.readouterr()
    assert told.out == b"step 1\nstep 2\n"
    assert told.err == b"its pod is gone; the last lines that it printed:\n"


def test_a_program_that_gave_its_pod_back_has_none_to_print_in(monkeypatch: pytest.MonkeyPatch) -> None:
    paused = {"tasks": ["task-1"], "since": "2026-01-01T00:00:00Z"}
    message = "the program gave its pod back until its task has ended on a"
    cluster = Cluster({}, [seen("Running", paused=paused, message=message)])
    with pytest.raises(logs.NoLog, match=f"vqe has no pod to print in: {message}"):
        printed(cluster, monkeypatch, follow=False)


def test_what_the_cluster_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(Cluster):
        async def stream(self, path: str, idle: float | None) -> AsyncIterator[bytes]:
            for chunk in self.printed[path.split("/")[6]]:
                yield chunk
            raise NoAnswer('the API server answered 403: pods "vqe-1" is forbidden')

    with pytest.raises(NoAnswer, match="forbidden"):
        printed(Refusing({"vqe-1": []}, [seen("Running", "vqe-1")]), monkeypatch, follow=True)
    with pytest.raises(logs.NoLog, match="vqe has printed nothing yet: it is Pending: new"):
        printed(Cluster({}, [seen("Pending")]), monkeypatch, follow=False)
