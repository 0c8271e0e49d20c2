"""Exchanges with a pod follow each other, and those who wait for the next one share it."""

from __future__ import annotations

import asyncio

import pytest

from qonverge.controller.quotas.exchanges import Exchanges


def test_callers_that_come_before_the_next_exchange_begins_share_it() -> None:
    async def scenario() -> None:
        exchanges, held, began = Exchanges(), asyncio.Event(), list[str]()

        async def exchange(name: str) -> None:
            began.append(name)
            await held.wait()
            if name == "second":
                raise ValueError("refused")

        async def join(name: str, pod: str = "a") -> None:
            await exchanges.join(pod, lambda: exchange(name))

        first = asyncio.create_task(join("first"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(join(name)) for name in ("second", "third", "fourth")]
        other = asyncio.create_task(join("other", "b"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        # No two at once with one pod; another pod does not wait.
        assert began == ["first", "other"]
        waiting[0].cancel()
        held.set()
        await asyncio.gather(first, other)
        for each in waiting[1:]:
            with pytest.raises(ValueError, match="refused"):
                await each
        assert began == ["first", "other", "second"]
        await join("fifth")
        assert began[-1] == "fifth"

    asyncio.run(scenario())
