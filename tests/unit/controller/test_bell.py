"""The Bell pair of ``helm test``: what is said where it does not go well."""

from __future__ import annotations

from typing import Any

import pytest

from qonverge.controller import bell
from qonverge.controller.bell import BellFailed
from qonverge.controller.kube.client import Kube


class Server(Kube):
    """An API server whose jobs have one status."""

    def __init__(self, status: dict[str, Any]) -> None:
        self.status = status
        self.calls: list[str] = []

    async def create(self, obj: dict[str, Any]) -> dict[str, Any]:
        self.calls.append("create")
        return obj

    async def get(self, kind: str, namespace: str | None, name: str) -> dict[str, Any] | None:
        return {"status": self.status} if self.status else None

    async def delete(self, kind: str, namespace: str, name: str, uid: str | None = None) -> None:
        self.calls.append("delete")


@pytest.mark.parametrize(
    ("status", "seconds", "said"),
    [
        ({"state": "Failed", "message": "no room"}, 60.0, "Failed: no room"),
        ({"state": "Complete", "result": {"counts": {"01": 7}}}, 60.0, "no other outcomes than 00 and 11"),
        ({"state": "Pending", "message": "no pod"}, 0.01, "had not ended after 0.01 s: Pending: no pod"),
        ({}, 0.01, "had not ended after 0.01 s: not seen by the operator: nothing was said"),
    ],
)
async def test_what_went_wrong_is_said_and_the_job_deleted(status: dict[str, Any], seconds: float, said: str) -> None:
    server = Server(status)
    with pytest.raises(BellFailed, match=said):
        await bell.run(server, "quantum", "aer", "test", seconds)
    assert server.calls == ["delete", "create", "delete"]


async def test_the_counts_are_returned() -> None:
    counts = {"00": 500, "11": 524}
    server = Server({"state": "Complete", "result": {"counts": counts}})
    assert await bell.run(server, "quantum", "aer", "test") == counts
