"""Requests to backend pods."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import urlencode

from cachetools import LRUCache

from qonverge.controller.kube.signing_key import SigningKey
from qonverge.controller.pods.connections import PodConnections, checked
from qonverge.controller.pods.errors import PodLost, PodNotReached, PodRefused, PodSilent
from qonverge.controller.store.pods import Endpoint
from qonverge.sites.peers import Peer
from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.codec import pack
from qonverge.wire.errors import NotFound, UnknownCircuit, WireError
from qonverge.wire.grants import Grant, Meters
from qonverge.wire.messages import Task, TaskInfo, TaskResult
from qonverge.wire.vendor import VendorTask

_Told = TypeVar("_Told")

_POLL_SECONDS = 20
_ANSWER_SECONDS = _POLL_SECONDS + 15.0
_TOLD_SECONDS = 2
_SOON_SECONDS = 5.0
# Polls begin at most 4 s apart: with this a pod that is cut off is known to be within 8 s.
_POLLED_SECONDS = 3.0
_KNOWN = 4096
# For a result as a whole: between pods, and to a person over the slowest of networks.
_KEEP_SECONDS = 60.0
_RESULT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class _Watch:
    """Who wants to know of a task meanwhile."""

    told: Callable[[TaskResult], None] | None
    """Takes how it stands."""
    answered: Callable[[], None] | None
    """Is called whenever it does."""

    @property
    def wait(self) -> int:
        """How long a pod may wait with its answer about a task that has not ended, seconds."""
        return _POLL_SECONDS if self.told is None else _TOLD_SECONDS

    def take(self, result: TaskResult) -> None:
        """Take how the task stands."""
        if self.told is not None:
            self.told(result)
        if self.answered is not None:
            self.answered()


class DataPlane:
    """Sends tasks to pods over kept-open connections."""

    def __init__(self, key: SigningKey, carried: Callable[[Endpoint, int, float], None] | None = None) -> None:
        """``key`` signs the tokens that pods ask for.

        ``carried`` is told of answers from which the bandwidth shows: their bytes, and the seconds from first to last.
        """
        self._pods = PodConnections(key, carried)
        self._known: LRUCache[tuple[str, str], None] = LRUCache(_KNOWN)

    async def close(self) -> None:
        """Close the connections."""
        await self._pods.close()

    async def run(
        self,
        endpoint: Endpoint,
        audience: str,
        task: Task,
        *,
        told: Callable[[TaskResult], None] | None = None,
        sent: bool = False,
        answered: Callable[[], None] | None = None,
    ) -> TaskResult:
        """Send a task, unless it was ``sent`` before, and return its result.

        ``told`` takes how it stands meanwhile; with it the pod is asked more often. ``answered`` is called whenever the
        pod says that the task goes on.

        Raises:
            PodLost: the pod has it no more; ``PodNotReached``: it was not sent; ``PodSilent``: nobody can tell.
            WireError: the pod refused it.
        """
        watch = _Watch(told, answered)
        if sent:
            # At once: whether it goes on is not known.
            return await self._ended(endpoint, audience, task, watch, await self._looked(endpoint, audience, task, 0))
        known = all((endpoint.pod, digest) in self._known for digest in task.circuits)
        try:
            return await self._run(endpoint, audience, replace(task, circuits={}) if known else task, watch)
        except UnknownCircuit:
            return await self._run(endpoint, audience, task, watch)
        finally:
            for digest in task.circuits:
                self._known[endpoint.pod, digest] = None

    def holders(self) -> dict[str, set[str]]:
        """Return the pods that were sent each circuit, by its digest; a pod may have dropped it since."""
        found: dict[str, set[str]] = {}
        for pod, digest in self._known:
            found.setdefault(digest, set()).add(pod)
        return found

    async def cancel(self, endpoint: Endpoint, audience: str, identity: str) -> None:
        """End a task; one that has ended is none to cancel.

        Raises:
            PodLost: the pod does not answer, and so runs nothing.
        """
        await self._pods.ask("DELETE", endpoint, audience, f"/v1/tasks/{identity}", seconds=_ANSWER_SECONDS)

    async def start(self, endpoint: Endpoint, audience: str, task: Task) -> None:
        """Send a task, and do not wait for its end.

        Raises:
            WireError: the pod does not answer, or refuses.
        """
        _checked_task(
            await self._pods.ask("POST", endpoint, audience, "/v1/tasks", pack(task.to_dict()), seconds=_ANSWER_SECONDS)
        )

    async def settle(self, endpoint: Endpoint, audience: str, identity: str) -> TaskResult | None:
        """End a task and return how it stands then; None where the pod does not know it.

        Raises:
            PodLost: the pod does not answer soon.
            WireError: it refuses.
        """
        try:
            answer = await self._pods.ask("DELETE", endpoint, audience, f"/v1/tasks/{identity}", seconds=_SOON_SECONDS)
            return _read(_checked_task(answer), TaskResult.from_dict)
        except NotFound:
            return None

    async def end_run(self, endpoint: Endpoint, audience: str, run: str) -> tuple[VendorTask, ...]:
        """End all tasks of an attempt at a program, and return what may still go on elsewhere.

        Raises:
            PodLost: the pod does not answer soon.
            WireError: it refuses.
        """
        answer = checked(await self._pods.ask("DELETE", endpoint, audience, f"/v1/runs/{run}", seconds=_SOON_SECONDS))
        return _read(answer, lambda told: tuple(VendorTask.from_dict(task) for task in told["vendor_tasks"]))

    async def info(self, endpoint: Endpoint, audience: str) -> BackendInfo:
        """Return what the pod says of itself, of a calibration only its digest.

        Raises:
            PodLost: the pod does not answer soon.
        """
        path = "/v1/backend?without=calibration"
        answer = await self._pods.ask("GET", endpoint, audience, path, seconds=_POLLED_SECONDS)
        return _read(checked(answer), BackendInfo.from_dict)

    async def drain(self, endpoint: Endpoint, audience: str, *, on: bool) -> BackendInfo:
        """Let the pod take no new tasks, or take them again, and return what it says of itself then.

        Raises:
            WireError: the pod does not answer soon, or refuses.
        """
        path, body = "/v1/drain?without=calibration", pack({"on": on})
        answer = checked(await self._pods.ask("PUT", endpoint, audience, path, body, seconds=_SOON_SECONDS))
        return _read(answer, BackendInfo.from_dict)

    async def measure(self, endpoint: Endpoint, audience: str, peers: Sequence[Peer]) -> None:
        """Let the pod measure its links to these and no others.

        Raises:
            WireError: the pod does not answer soon, or refuses.
        """
        path, body = "/v1/peers?without=calibration", pack({"peers": [peer.to_dict() for peer in peers]})
        checked(await self._pods.ask("PUT", endpoint, audience, path, body, seconds=_SOON_SECONDS))

    async def described(self, endpoint: Endpoint, audience: str) -> BackendInfo:
        """Return all that the pod says of itself, with its calibration.

        Raises:
            WireError: the pod does not answer.
        """
        answer = await self._pods.ask("GET", endpoint, audience, "/v1/backend", seconds=_KEEP_SECONDS)
        return _read(checked(answer), BackendInfo.from_dict)

    async def tasks(self, endpoint: Endpoint, audience: str) -> list[TaskInfo]:
        """Return the tasks that wait or run on the pod.

        Raises:
            PodLost: the pod does not answer soon.
        """
        answer = await self._pods.ask("GET", endpoint, audience, "/v1/tasks", seconds=_SOON_SECONDS)
        return _read(checked(answer), lambda told: [TaskInfo.from_dict(task) for task in told["tasks"]])

    async def meters(
        self, endpoint: Endpoint, audience: str, grants: Mapping[str, Grant] | None, boot: str = ""
    ) -> Meters:
        """Give the pod all grants that there are, and return what programs used of it; None changes nothing.

        ``boot`` names the start of the pod's server for which the grants were made out: it ignores those for another.

        Raises:
            WireError: the pod does not answer soon, or has no meters.
        """
        given = None if grants is None else {account: grant.to_dict() for account, grant in grants.items()}
        body = pack({"grants": given, "boot": boot})
        answer = await self._pods.ask("POST", endpoint, audience, "/v1/meters", body, seconds=_SOON_SECONDS)
        if "meters" not in answer:
            # A pod of an earlier release meters nothing.
            raise WireError.from_dict(answer.get("error") or {"message": f"the pod answered {answer}"})
        return _read(answer, Meters.from_dict)

    async def keep(
        self,
        endpoint: Endpoint,
        audience: str,
        identity: str,
        data: bytes,
        *,
        namespace: str,
        seconds: float,
        displaces: bool = True,
    ) -> None:
        """Let the pod keep a result for so many seconds, in the place of others where it has no room.

        Raises:
            WireError: the pod does not answer, or refuses.
        """
        query = urlencode({"namespace": namespace, "seconds": seconds, "displaces": str(displaces).lower()})
        path = f"/v1/results/{identity}?{query}"
        checked(await self._pods.ask("PUT", endpoint, audience, path, data, seconds=_KEEP_SECONDS))

    async def kept(self, endpoint: Endpoint, audience: str) -> tuple[set[str], dict[str, str]]:
        """Return the ids of the results that the pod keeps, and why others are kept no more.

        Raises:
            WireError: the pod does not answer soon.
        """
        answer = checked(await self._pods.ask("GET", endpoint, audience, "/v1/results", seconds=_SOON_SECONDS))
        return _read(answer, lambda told: (set(told["results"]), dict(told["dropped"])))

    async def forget(self, endpoint: Endpoint, audience: str, identity: str) -> None:
        """Let the pod drop a result.

        Raises:
            WireError: the pod does not answer soon.
        """
        checked(await self._pods.ask("DELETE", endpoint, audience, f"/v1/results/{identity}", seconds=_SOON_SECONDS))

    def fetched(self, endpoint: Endpoint, audience: str, identity: str) -> AsyncGenerator[bytes]:
        """Return a kept result, a piece at a time.

        Raises:
            WireError: the pod does not answer, or keeps it no more.
        """
        return self._pods.pieces(endpoint, audience, f"/v1/results/{identity}", _RESULT_SECONDS)

    async def _run(self, endpoint: Endpoint, audience: str, task: Task, watch: _Watch) -> TaskResult:
        path = f"/v1/tasks?wait={watch.wait}"
        answer = await self._pods.ask("POST", endpoint, audience, path, pack(task.to_dict()), seconds=_ANSWER_SECONDS)
        return await self._ended(endpoint, audience, task, watch, answer)

    async def _ended(
        self,
        endpoint: Endpoint,
        audience: str,
        task: Task,
        watch: _Watch,
        answer: dict[str, Any],
    ) -> TaskResult:
        """Wait for the end of a task of which the pod gave this answer."""
        while True:
            if "state" not in answer:
                error = WireError.from_dict(answer.get("error") or {"message": f"the pod answered {answer}"})
                if isinstance(error, NotFound):
                    raise PodLost(f"the backend pod has forgotten the task, as after a restart: {error}")
                raise error
            result = _read(answer, TaskResult.from_dict)
            if result.done:
                return result
            watch.take(result)
            answer = await self._looked(endpoint, audience, task, watch.wait)

    async def _looked(self, endpoint: Endpoint, audience: str, task: Task, wait: int) -> dict[str, Any]:
        """Return what the pod answers about a task that it was sent, when it has ended or after so many seconds."""
        try:
            path = f"/v1/tasks/{task.id}?wait={wait}"
            return await self._pods.ask("GET", endpoint, audience, path, seconds=_ANSWER_SECONDS, lasts=_RESULT_SECONDS)
        except PodRefused as error:
            raise PodLost(error.message) from None
        except PodNotReached as error:
            raise PodSilent(error.message) from None


def _read(answer: dict[str, Any], read: Callable[[dict[str, Any]], _Told]) -> _Told:
    """Return what a pod's answer says.

    Raises:
        PodLost: nothing that can be read. Who controls a namespace controls what its pods answer, which must end
            nothing but what has to do with them.
    """
    try:
        return read(answer)
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise PodLost(f"the backend pod's answer cannot be read: {error or type(error).__name__}") from None


def _checked_task(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what the pod says of a task, of which an error is a part.

    Raises:
        WireError: it says why it does not.
    """
    return answer if "state" in answer else checked(answer)
