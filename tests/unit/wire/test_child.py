"""A child whose answer nobody waited for gives it to nobody else."""

from __future__ import annotations

import asyncio
import os
import select
import signal
from pathlib import Path

import pytest

from qonverge.wire.child import Child, ChildEnded

ROOT = Path(__file__).resolve().parents[3]


async def test_after_a_call_that_broke_off_a_child_answers_no_other() -> None:
    paths = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
    child = await Child.start("tests.unit.wire.echo", environment={"PYTHONPATH": paths})
    try:
        assert await child.exchange({"number": 0}) == {"number": 0}
        # It answers only when the call waits for that: else the call might be over.
        os.kill(child.pid, signal.SIGSTOP)
        broken = asyncio.create_task(child.exchange({"number": 1}))
        await asyncio.sleep(0)
        os.kill(child.pid, signal.SIGCONT)
        # The event loop stands still until the answer is there, so that nobody learns meanwhile that the child ends.
        assert select.select([child._socket], [], [], 60)[0]
        broken.cancel()
        with pytest.raises(asyncio.CancelledError):
            await broken
        assert not child.alive
        with pytest.raises(ChildEnded):
            await child.exchange({"number": 2})
    finally:
        await child.kill()
