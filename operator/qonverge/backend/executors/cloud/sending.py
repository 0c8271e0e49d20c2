"""Measurements at a cloud, from their key to their answers: sent once, whatever is lost on the way."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace

from qonverge.backend.clouds.errors import CannotFind, CloudError, CloudRefused, CloudUnavailable, ReplyLost
from qonverge.backend.clouds.protocol import CloudTask, ProgramFailure, Submission
from qonverge.backend.executors.cloud.calls import Calls
from qonverge.backend.executors.cloud.patience import Patience
from qonverge.backend.executors.cloud.polling import Finder, Poller
from qonverge.backend.executors.cloud.records import Part, Run, Sent
from qonverge.backend.executors.cloud.translator import Translators
from qonverge.tracing.spans import OpenSpan, spanning
from qonverge.wire.errors import EngineFailed, OutcomeUnknown

_ATTEMPTS = 3
_VENDOR_ID = "qonverge.cloud.task.id"

logger = logging.getLogger(__name__)


class Sender:
    """Sends measurements and follows them."""

    def __init__(
        self,
        calls: Calls,
        poller: Poller,
        finder: Finder,
        translator: Translators,
        patience: Patience,
        certain: float,
        tell: Callable[[Run], None],
        look_again: Callable[[], None],
    ) -> None:
        """Take what it works with.

        Args:
            calls: of the cloud.
            poller: asks how tasks stand.
            finder: finds them by their keys.
            translator: makes programs of circuits.
            patience: how long things are waited for.
            certain: when the cloud's listings have all that an earlier process sent, on the event loop's clock.
            tell: reports how a task's parts stand.
            look_again: has the device looked at.
        """
        self._calls, self._poller, self._finder, self._translator = calls, poller, finder, translator
        self._patience, self._tell, self._look_again = patience, tell, look_again
        self._clock = asyncio.get_running_loop().time
        self._certain = certain

    async def follow(self, sent: Sent) -> list[Sent]:
        """Return when the cloud's task has ended and its answers are here, or the task was stopped and so is it.

        What has no answer of a task that has several is returned, as further tasks of the cloud.

        Raises:
            EngineFailed: the cloud will not run it, or it failed there; the cloud's words.
            OutcomeUnknown: it may be there, and the cloud cannot say so.
        """
        while await self._place(sent):
            task = await self._ended(sent)
            stopped = sent.run.stop.is_set()
            if task.state == "Completed" and not (stopped and len(sent.parts) == 1):
                failures = await self._collect(sent)
                sent.state = "Ended"
                if not failures:
                    return []
                self._refuse_again(sent, failures)
                logger.info("task %s answered a part, and the rest is measured again", sent.id)
                return sent.run.again(sent)
            if task.state == "Failed" and task.retryable and sent.attempt + 1 < _ATTEMPTS:
                # Where ours was stopped, an earlier process may have sent the next one: it is looked for.
                logger.info("task %s failed at the cloud and gets another: %s", sent.id, task.message)
                sent.next_attempt()
                continue
            if stopped:
                return []
            sent.state = "Ended"
            tries = f", as did {sent.attempt} before it" if sent.attempt else ""
            what = "failed" if task.state == "Failed" else "was cancelled there"
            raise EngineFailed(f"the cloud's task {sent.id} {what}{tries}: {task.message or 'it says no more'}")
        return []

    async def _collect(self, sent: Sent) -> list[ProgramFailure]:
        """Keep what a task that is complete has measured; return why parts have no answer."""
        try:
            with spanning(sent.run.scope, "result", kind="CLIENT") as span:
                span.attributes[_VENDOR_ID] = sent.id
                if len(sent.parts) == 1:
                    found: Sequence[str | ProgramFailure] = [await self._calls.result(sent.id)]
                else:
                    found = await self._calls.results(sent.id)
        except CloudRefused as error:
            raise EngineFailed(f"the cloud does not give the result of its task {sent.id}: {error}") from None
        if len(found) != len(sent.parts):
            raise EngineFailed(
                f"the cloud's task {sent.id} has {len(found)} answers and {len(sent.parts)} were asked for: it is paid "
                "for, and they are in the vendor's console"
            )
        for part, answer in zip(sent.parts, found, strict=True):
            if isinstance(answer, ProgramFailure):
                continue
            if part.reading is None:
                # An earlier process sent it.
                part.reading = (await self._encoded(sent.run, part)).reading
            part.answer = await asyncio.to_thread(zlib.compress, answer.encode(), 1)
        return [each for each in found if isinstance(each, ProgramFailure)]

    def _refuse_again(self, sent: Sent, failures: Sequence[ProgramFailure]) -> None:
        """Raise that some programs of a task failed for good; what the others measured is paid for and lost."""
        lasting = next((each for each in failures if not each.retryable), None)
        if lasting is None and sent.attempt + 1 < _ATTEMPTS:
            return
        tries = f", as some did {sent.attempt} times before" if sent.attempt else ""
        raise EngineFailed(
            f"{len(failures)} of the {len(sent.parts)} programs of the cloud's task {sent.id} failed{tries}: "
            f"{(lasting or failures[0]).message or 'it says no more'}"
        )

    async def _encoded(self, run: Run, part: Part) -> Submission:
        return await self._translator.encode(run.tenant, run.task, part.measurements)

    async def _place(self, sent: Sent) -> bool:
        """Make sure that the cloud has the task exactly once; return False where it has none and is to get none."""
        stop, cloud = sent.run.stop, self._calls.cloud
        if identity := sent.run.task.known.get(sent.key, ""):
            return self._known(sent, identity)
        # Until when a task that was sent may not be found yet. Of one that came here first no earlier process sent any.
        first, look = sent.run.execution.request.first_here, not cloud.idempotent
        certain = float("-inf") if first else self._certain
        may_be_there, refusal = sent.run.task.again, None
        while True:
            if look or stop.is_set():
                if identity := await self._found(sent, certain, may_be_there, refusal):
                    return self._known(sent, identity)
                look = False
                if stop.is_set():
                    sent.state = "Cancelled"
                    return False
                if refusal is not None:
                    raise refusal
            try:
                with spanning(sent.run.scope, "submit", kind="CLIENT") as span:
                    identity = span.attributes[_VENDOR_ID] = await self._submit(sent, span)
                if identity:
                    return self._known(sent, identity)
            except CloudRefused as error:
                refusal = EngineFailed(f"the cloud refuses the task: {error}")
                if not (may_be_there and cloud.idempotent):
                    raise refusal from None
                # It may have the task and refuse its key, since another process translated or described it in another
                # way.
                look = True
            except ReplyLost:
                certain, look = self._clock() + cloud.settle_seconds, not cloud.idempotent
                may_be_there = True
            except CloudUnavailable:
                self._look_again()
            except CloudError:
                # Nothing had an effect, and the next call waits as its pacer says.
                continue

    async def _found(self, sent: Sent, certain: float, may_be_there: bool, refusal: EngineFailed | None) -> str:
        """Return as ``_find``, and say why the task was refused too where the cloud tells nothing."""
        try:
            return await self._find(sent, certain, may_be_there)
        except EngineFailed as error:
            if refusal is None:
                raise
            raise EngineFailed(f"{refusal.message}; {error.message}") from None

    async def _find(self, sent: Sent, certain: float, may_be_there: bool) -> str:
        """Return the cloud's id of the task, empty where it has none; see ``_locate``.

        Raises:
            OutcomeUnknown: it may be there, and the cloud cannot say so.
        """
        sent.state = "Finding"
        try:
            with spanning(sent.run.scope, "find", kind="CLIENT") as span:
                identity = span.attributes[_VENDOR_ID] = await self._locate(sent, certain)
                return identity
        except CannotFind as error:
            if may_be_there:
                raise self._unknown(sent, error) from None
            return ""

    async def _locate(self, sent: Sent, certain: float) -> str:
        """Return the cloud's id of the task, empty where it surely has none: its listing may lag until ``certain``."""
        wait = self._patience.first_backoff
        while True:
            identity, asked = await self._finder.find(sent.key, sent.run.task.since)
            if identity or asked >= certain:
                return identity
            await asyncio.sleep(max(0.0, min(wait, certain - self._clock())))
            wait *= 2

    async def _submit(self, sent: Sent, span: OpenSpan) -> str:
        """Send the task and return the cloud's id of it; empty where it was stopped before it was sent."""
        run, begun = sent.run, False

        async def translated() -> tuple[str, Sequence[Submission]] | None:
            # In its turn only: so no more texts are held than are being sent.
            nonlocal begun
            if run.stop.is_set():
                return None
            submissions = []
            with spanning(span.scope, "translate"):
                for part in sent.parts:
                    submission = await self._encoded(run, part)
                    part.reading = submission.reading
                    submissions.append(replace(submission, tags=run.tags))
            begun, sent.state = True, "Submitting"
            return sent.key, submissions

        sending = asyncio.ensure_future(self._calls.submit(translated))
        stopping = asyncio.ensure_future(run.stop.wait())
        try:
            await asyncio.wait((sending, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not begun and not sending.done():
                sending.cancel()
                return ""
            # What is being sent is not left alone: its id is needed to cancel it.
            return await sending
        except asyncio.CancelledError:
            # The proxy closes. Whoever follows finds by its key what is being sent.
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            raise
        finally:
            stopping.cancel()

    def _unknown(self, sent: Sent, error: CannotFind) -> OutcomeUnknown:
        """Say that a task may be at the cloud, which nobody but a person can find out."""
        sent.state = "Unknown"
        sent.message = f"the cloud may have it, and it is not sent again, since it may be paid for already: {error}"
        self._tell(sent.run)
        return OutcomeUnknown(f"a task was sent, and what became of it is not known: {sent.message}")

    def _known(self, sent: Sent, identity: str) -> bool:
        sent.id, sent.state, sent.known_at = identity, "Known", self._clock()
        self._tell(sent.run)
        return True

    async def _ended(self, sent: Sent) -> CloudTask:
        """Return how the cloud's task ended, see ``_end``."""
        with spanning(sent.run.scope, "cloud task") as span:
            span.attributes[_VENDOR_ID] = sent.id
            task = await self._end(sent)
            span.attributes["qonverge.cloud.task.state"] = task.state
            span.error = "Failed" if task.state == "Failed" else ""
            return task

    async def _end(self, sent: Sent) -> CloudTask:
        """Return how the cloud's task ended; where ours is stopped meanwhile, cancel it."""
        ended = self._poller.watch(sent)
        stopping = asyncio.ensure_future(sent.run.stop.wait())
        try:
            await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                await self._cancel(sent, ended)
            return ended.result() if ended.done() else CloudTask("Running")
        finally:
            stopping.cancel()
            self._poller.leave(sent)

    async def _cancel(self, sent: Sent, ended: asyncio.Future[CloudTask]) -> None:
        """Ask for the task to end until the cloud agrees, and wait until it has ended; not for ever."""
        try:
            # Those before it take their time: of hundreds, the last are not to be left alone for that.
            async with asyncio.timeout(self._patience.cancel + self._calls.cancel_backlog):
                while not ended.done():
                    try:
                        await self._calls.cancel(sent.id)
                        break
                    except CloudRefused as error:
                        sent.message = f"the cloud does not cancel it: {error}"
                        self._tell(sent.run)
                        break
                    except CloudError as error:
                        sent.message = f"it is not cancelled yet: {error}"
                        self._tell(sent.run)
                await asyncio.wait((ended,))
        except TimeoutError:
            sent.message = sent.message or "it was asked to end and did not"
            logger.warning("the cloud's task %s is left as it is: %s", sent.id, sent.message)
        else:
            sent.state = "Cancelled"
