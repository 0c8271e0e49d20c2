"""Jobs of a cluster as they change, whatever becomes of the watch."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from qonverge.cli import following
from qonverge.cli.cluster import Cluster, NoAnswer
from qonverge.cli.following import SeenJob, followed


def obj(name: str, state: str, uid: str = "") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "chem", "uid": uid or f"uid-{name}"}
    return {"metadata": metadata, "spec": {"of": "a later version"}, "status": {"state": state, "new": 1}}


def event(kind: str, of: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": of}).encode() + b"\n"


class Server:
    """Gives one list after the other, and after each the chunks of a watch; an error is raised in its place."""

    def __init__(self, *rounds: tuple[list[dict[str, Any]] | NoAnswer, list[bytes | NoAnswer]]) -> None:
        self.rounds = list(rounds)
        self.chunks: list[bytes | NoAnswer] = []
        self.asked: list[str] = []

    async def listed(self, plural: str, namespace: str | None, fields: str) -> tuple[list[dict[str, Any]], str]:
        self.asked.append(f"list {namespace} {fields}")
        objects, self.chunks = self.rounds.pop(0)
        if isinstance(objects, NoAnswer):
            raise objects
        return objects, "7"

    async def stream(self, path: str, idle: float | None) -> AsyncIterator[bytes]:
        assert "resourceVersion=7" in path
        for chunk in self.chunks:
            if isinstance(chunk, NoAnswer):
                raise chunk
            yield chunk


async def states(server: Server, *names: str, until: int) -> list[tuple[str, str]]:
    """Return the first so many changes: names with their states."""
    found: list[tuple[str, str]] = []
    async with asyncio.timeout(60):
        async for changed in followed(cast(Cluster, server), "chem", names):
            found += [(job.name, "Deleted" if job.deleted else job.status.state) for job in changed]
            if len(found) >= until:
                break
    return found


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_PAUSE_SECONDS", 0.0)


async def test_what_is_there_comes_first_and_then_what_changes() -> None:
    line = event("MODIFIED", obj("a", "Running"))
    chunks: list[bytes | NoAnswer] = [line[:20], line[20:] + event("ADDED", obj("c", "Pending")), line]
    server = Server(([obj("a", "Pending"), obj("b", "Complete")], [*chunks, event("DELETED", obj("b", "Complete"))]))
    assert await states(server, until=5) == [
        *[("a", "Pending"), ("b", "Complete"), ("a", "Running"), ("c", "Pending"), ("b", "Deleted")],
    ]


async def test_only_named_jobs_are_told_of() -> None:
    server = Server(([obj("a", "Pending"), obj("b", "Pending")], [event("MODIFIED", obj("b", "Running"))]))
    server.rounds.append(([obj("a", "Complete"), obj("b", "Running")], []))
    assert await states(server, "a", until=2) == [("a", "Pending"), ("a", "Complete")]
    assert set(server.asked) == {"list chem metadata.name=a"}
    with pytest.raises(NoAnswer, match="there is no HybridJob x, y in the namespace chem"):
        await states(Server(([obj("a", "Pending")], [])), "a", "x", "y", until=1)


async def test_what_a_watch_has_missed_a_list_shows() -> None:
    expired = event("ERROR", {"code": 410, "message": "too old resource version"})
    server = Server(
        ([obj("a", "Pending"), obj("b", "Running")], [expired]),
        (NoAnswer("the API server does not answer"), []),
        # One is gone, and another of its name is there.
        ([obj("a", "Pending"), obj("b", "Pending", "another")], [NoAnswer("the connection was lost")]),
        ([obj("a", "Complete"), obj("b", "Pending", "another")], []),
    )
    assert await states(server, until=5) == [
        *[("a", "Pending"), ("b", "Running"), ("b", "Pending"), ("b", "Deleted"), ("a", "Complete")],
    ]


async def test_who_never_answered_is_not_waited_for() -> None:
    with pytest.raises(NoAnswer, match="does not answer"):
        await states(Server((NoAnswer("the API server does not answer"), [])), until=1)


async def test_who_answers_no_more_is_waited_for_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_PATIENCE_SECONDS", -1.0)
    server = Server(([obj("a", "Pending")], [NoAnswer("the connection was lost")]))
    with pytest.raises(NoAnswer, match="the connection was lost"):
        await states(server, until=2)


def test_a_job_is_known_by_its_uid() -> None:
    first, second = SeenJob.of(obj("a", "Failed")), SeenJob.of(obj("a", "Failed", "another"))
    assert first != second
    assert first == SeenJob.of(obj("a", "Failed"))
    assert first.ended
    assert not first.complete
    assert not SeenJob.of(obj("a", "Complete"), deleted=True).complete
