"""Results of points, which are in a store one by one, as one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qonverge.api.sweep import SweepPoint
from qonverge.controller.results.point_results import whole
from qonverge.storage.job_output import RESULT, JobOutput, point_path
from qonverge.storage.objects import Content, Objects
from qonverge.storage.settings import StoreSettings


class InPieces(Objects):
    """A store that gives little at a time."""

    async def get(self, key: str) -> Content:
        found = await super().get(key)

        async def pieces() -> AsyncIterator[bytes]:
            async for piece in found.pieces:
                for begin in range(0, len(piece), 3):
                    yield piece[begin : begin + 3]

        return Content(found.size, pieces())


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


@pytest.mark.parametrize("kind", [Objects, InPieces])
async def test_values_are_put_where_their_points_are(kind: type[Objects], tmp_path: Path) -> None:
    kept = JobOutput(kind(StoreSettings(name="s", folder=str(tmp_path))), "ns/j/uid/")
    for index, value in ((0, {"a": [1, 2]}), (3, "x{}")):
        await kept.put(point_path(index), _once(json.dumps({"value": value}, separators=(",", ":")).encode()))
    points = [
        SweepPoint(index=0, parameters={"t": 0}, stored=True),
        SweepPoint(index=1, parameters={"t": 1}, value=7),
        SweepPoint(index=2, parameters={"t": 2}, error="ProgramFailed: it broke"),
        SweepPoint(index=3, parameters={"t": 3}, stored=True),
        SweepPoint(index=4, parameters={"t": 4}, stored=True),
    ]
    size, sha256 = await whole(kept, points)
    data = b"".join([piece async for piece in (await kept.get(RESULT)).pieces])
    assert (len(data), hashlib.sha256(data).hexdigest()) == (size, sha256)
    assert json.loads(data) == {
        "points": [
            {"index": 0, "parameters": {"t": 0}, "value": {"a": [1, 2]}},
            {"index": 1, "parameters": {"t": 1}, "value": 7},
            {"index": 2, "parameters": {"t": 2}, "error": "ProgramFailed: it broke"},
            {"index": 3, "parameters": {"t": 3}, "value": "x{}"},
            # Somebody deleted it.
            {"index": 4, "parameters": {"t": 4}, "value": None},
        ]
    }
