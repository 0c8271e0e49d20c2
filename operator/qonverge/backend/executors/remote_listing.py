"""Which of many tasks at another site have changed: one request for all, instead of one that waits for each."""

from __future__ import annotations

import asyncio

from qonverge.backend.executors.remote_link import LinkDown, RemoteLink
from qonverge.wire.errors import WireError

_SOONEST_SECONDS = 0.5
_TASKS_A_SECOND = 500


class RemoteListing:
    """Asks for the list of the tasks that have not ended while somebody waits for one to change."""

    def __init__(self, link: RemoteLink) -> None:
        """Ask nothing yet."""
        self._link = link
        self._waiting: dict[str, tuple[str, asyncio.Future[None]]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def changed(self, key: str, state: str) -> None:
        """Return when a task, which the other server has, has another state than this one.

        Raises:
            LinkDown, WireError: the list did not come.
        """
        coming: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[key] = (state, coming)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_again())
        try:
            await coming
        finally:
            if self._waiting.get(key) == (state, coming):
                del self._waiting[key]

    async def states(self) -> dict[str, str]:
        """Return the states of the tasks that have not ended, by their ids.

        Raises:
            LinkDown, WireError: the list did not come.
        """
        answer = await self._link.ask("poll", "GET", "/v1/tasks")
        try:
            return {str(task["id"]): str(task["state"]) for task in answer["tasks"]}
        except (KeyError, TypeError) as error:
            raise LinkDown(f"the other server's list of tasks is none of the protocol: {error}") from None

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _ask_again(self) -> None:
        while self._waiting:
            # The longer the list the less often: what it takes of a slow link is bounded.
            await asyncio.sleep(max(_SOONEST_SECONDS, len(self._waiting) / _TASKS_A_SECOND))
            # Only what was there before the request is judged by its answer.
            waiting = dict(self._waiting)
            try:
                states = await self.states()
            except (LinkDown, WireError) as error:
                self._fail(waiting, error)
            else:
                for key, (state, coming) in waiting.items():
                    if states.get(key) != state and not coming.done():
                        coming.set_result(None)

    @staticmethod
    def _fail(waiting: dict[str, tuple[str, asyncio.Future[None]]], error: Exception) -> None:
        for _, coming in waiting.values():
            if not coming.done():
                coming.set_exception(error)
