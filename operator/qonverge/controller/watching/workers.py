"""Workers that empty the queue: each key goes to the reconciler of its kind."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from qonverge.controller.kube.client import KubeError
from qonverge.controller.kube.status_writer import StatusWriter
from qonverge.controller.store.state import State
from qonverge.controller.store.work_queue import WorkQueue
from qonverge.controller.watching import unreadable
from qonverge.controller.watching.declarations import Reconciler
from qonverge.telemetry import OperatorMetrics
from qonverge.wire.errors import WireError

logger = logging.getLogger(__name__)

WORKERS = 16
# Of them one namespace leaves some to the others: what it waits for may be long in coming, as logs of a lost node are.
WORKERS_FOR_OTHERS = 4


class Workers:
    """Reconciles what the queue holds while this replica acts."""

    def __init__(
        self,
        *,
        state: State,
        queue: WorkQueue,
        statuses: StatusWriter,
        reconcilers: Mapping[str, Reconciler],
        acting: Callable[[], bool],
        metrics: OperatorMetrics,
    ) -> None:
        """Do nothing yet.

        Args:
            state: what is known.
            queue: gives the keys.
            statuses: writes of objects that cannot be read that they cannot.
            reconcilers: by kind.
            acting: tells whether this replica leads; a standby empties its queue without a reconcile.
            metrics: count reconciles and measure them.
        """
        self._state = state
        self._queue = queue
        self._statuses = statuses
        self._reconcilers = reconcilers
        self._acting = acting
        self._metrics = metrics

    def start(self) -> list[asyncio.Task[None]]:
        """Start them; each works until it is cancelled."""
        return [asyncio.create_task(self._work(), name=f"worker {number}") for number in range(WORKERS)]

    async def _work(self) -> None:
        while True:
            item = await self._queue.get()
            failed = False
            if self._acting():
                kind, _, key = item.partition(" ")
                with self._metrics.reconcile_seconds.labels(kind).time():
                    failed = not await self._reconcile(item, kind, key)
                self._metrics.reconciled(kind, time.time(), failed=failed)
            self._queue.done(item, failed=failed)

    async def _reconcile(self, item: str, kind: str, key: str) -> bool:
        """Return whether it went well."""
        try:
            if (unread := self._state.unread.get(item)) is not None:
                await unreadable.report(unread, self._statuses, time.time())
            await self._reconcilers[kind].reconcile(key)
        except KubeError as error:
            # A conflict is news on its way; anything else is worth a line.
            logger.log(logging.DEBUG if error.status == 409 else logging.WARNING, "%s: %s", item, error)
        except WireError as error:
            logger.warning("%s: %s", item, error)
        except Exception:
            # One object that trips a defect must not stop the others.
            logger.exception("%s: unforeseen error", item)
        else:
            return True
        return False
