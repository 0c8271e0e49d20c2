"""Backends' pods: which of them serve, how they do, and what they were given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from qonverge.controller.objects.pod_order import Shown
from qonverge.controller.objects.pod_troubles import Trouble
from qonverge.sites.window import rate
from qonverge.telemetry.figures import STALE_SECONDS, Figure
from qonverge.wire.backend_info import BackendInfo

# A poll that met a busy moment says little: what is quick again counts at once, what is slow by and by.
_SLOWER = 0.5
_NEW_RATE = 0.5
_LEAST_SECONDS = 1e-3
RATE_SECONDS = 3600.0
"""For which a bandwidth counts."""


def do_not_answer(keys: Collection[str]) -> str:
    """Return in words that these pods do not answer, such as ``lab/a-0, lab/a-1 do not answer``; empty for none."""
    return f"{', '.join(sorted(keys))} {'does' if len(keys) == 1 else 'do'} not answer" if keys else ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A backend pod that serves."""

    pod: str
    """The pod's uid: a pod of the same name is another one."""
    key: str
    """Its namespace and name."""
    backend: str
    """Namespace and the value of the backend label."""
    url: str
    replica_set: str = ""
    """The uid of the ReplicaSet that controls it; empty where none does."""


@dataclass(slots=True)
class BackendPod:
    """A pod that bears a backend's label, as anybody's pod may, while it exists."""

    uid: str
    key: str
    """Its namespace and name."""
    ready: Endpoint | None = None
    """Where it could serve, while it is ready."""
    admitted: bool = False
    """Whether it serves: it is ready, and the backend's own Deployment controls it."""
    silent_since: float | None = None
    """Since when it does not answer, seconds of a clock that nobody sets: nothing is sent there until it does."""
    info: BackendInfo | None = None
    """What it last said of itself."""
    told_at: float | None = None
    """When it did, Unix seconds."""
    scraped: Mapping[str, Figure] = field(default_factory=dict)
    """What a Prometheus server has of its device, by the names of ``store.devices.FIGURES``."""
    latency: float | None = None
    """Round trip to it, seconds: the least of the last polls."""
    rate: Figure | None = None
    """Bytes a second at which its large answers came."""
    assigned: int = 0
    """Tasks that this operator has under way on it."""
    trouble: tuple[str, Trouble] | None = None
    """Namespace and label of its backend, and why it is not ready, as far as it is told."""
    backend: str = ""
    """Namespace and label of its backend."""
    created: float = 0.0
    """When it was made, Unix seconds."""
    started_in: float | None = None
    """Seconds from then until it was first ready; None while it is not, or where that is not told."""
    shown: Shown | None = None
    """What the API server shows of it beyond that."""
    leaving: bool = False
    """Whether the operator wants it to go, so that it gets nothing new."""
    drained: BackendInfo | None = None
    """What it last said of itself once it took no new tasks; None where it did not say that it takes none."""
    served: str = ""
    """The start of its server that served last, by its container; empty where none did."""

    @property
    def endpoint(self) -> Endpoint:
        """Where it serves; it must be ready."""
        assert self.ready is not None
        return self.ready

    @property
    def silent(self) -> bool:
        """Whether it did not answer when it was last asked."""
        return self.silent_since is not None

    @property
    def answers(self) -> bool:
        """Whether it said something of itself and answered since."""
        return self.info is not None and not self.silent

    @property
    def draining(self) -> bool:
        """Whether it gets no new tasks: the operator wants it to go, or one before it did."""
        return self.leaving or (self.info is not None and self.info.draining)

    @property
    def terminating(self) -> bool:
        """Whether somebody deleted it, as last shown: it is asked for what it has until its server ends."""
        return self.shown is not None and self.shown.terminating

    @property
    def may_run_tasks(self) -> bool:
        """Whether its server may have tasks that nobody can ask for: it served, and is not ready any more."""
        process = "" if self.shown is None else self.shown.process
        return self.ready is None and bool(process) and process == self.served

    @property
    def admits_programs(self) -> bool:
        """Whether programs may be named to its server, without which it runs none of their tasks.

        To one that is to go they are named only once it has said that it takes no new tasks: the watch may show late
        that it is ready, or began anew.
        """
        return not self.leaving or self.drained is not None

    def leave(self) -> None:
        """Let it get no new tasks."""
        self.leaving = True

    def drain(self, info: BackendInfo | None) -> None:
        """Record what it said of itself when it was asked to take no new tasks; None: it may take some."""
        self.drained = info if info is not None and info.draining and self.ready is not None else None

    def refuse(self) -> None:
        """Record that its server takes no new tasks, which it says when it is asked the next time too."""
        if self.info is not None:
            self.info = replace(self.info, draining=True)

    def stay(self, info: BackendInfo | None) -> None:
        """Let it get tasks again; ``info`` is what it says of itself since, where it serves."""
        self.leaving, self.drained = False, None
        self.info = info or self.info

    def show(self, ready: Endpoint | None, trouble: tuple[str, Trouble] | None, shown: Shown | None = None) -> None:
        """Record where the pod could serve, or why it does not, and what else the API server shows of it."""
        self.trouble, self.shown = trouble, shown
        if ready is None:
            self.ready, self.admitted, self.info, self.latency = None, False, None, None
            self.told_at, self.scraped, self.drained, self.rate = None, {}, None, None
            if not self.may_run_tasks:
                # Of a node that is cut off Kubernetes says after a while that its pods are not ready.
                self.silent_since = None
        elif not self.admitted:
            # It was admitted to one backend; another label makes it no pod of another.
            self.ready = ready
        else:
            self._serve()

    def _serve(self) -> None:
        self.served = "" if self.shown is None else self.shown.process

    def belong(self, backend: str, ready_at: float | None) -> None:
        """Record namespace and label of its backend, and since when it is ready, Unix seconds."""
        self.backend = backend
        if self.started_in is None and ready_at is not None:
            self.started_in = max(0.0, ready_at - self.created)

    def admit(self) -> None:
        """Let it serve.

        Raises:
            LookupError: it is not ready.
        """
        if self.ready is None:
            raise LookupError(f"pod {self.key} is not ready")
        self.admitted = True
        self._serve()

    def lose(self, at: float) -> bool:
        """Record that it did not answer at a time, see ``silent_since``, and return whether that is news."""
        news = self.admitted and not self.silent
        if news:
            self.silent_since = at
        return news

    def answer(self, info: BackendInfo, took: float, at: float) -> bool:
        """Record what it said of itself at a time, Unix seconds, after ``took`` seconds, and whether that is news."""
        before = took if self.latency is None else self.latency
        self.latency = min(took, before + _SLOWER * (took - before))
        news = self.silent or self.info != info
        self.silent_since, self.info, self.told_at = None, info, at
        if self.drained is not None and not (info.draining and info.boot == self.drained.boot):
            # It began anew, and takes tasks.
            self.drained = None
        return news

    def carry(self, nbytes: int, seconds: float, at: float) -> None:
        """Take how long an answer took from its first byte to its last, at a time, Unix seconds."""
        trip = self.latency or 0.0
        seen = rate(nbytes, max(seconds, _LEAST_SECONDS) + trip, trip)
        before = seen if self.rate is None else self.rate.value
        self.rate = Figure(before + _NEW_RATE * (seen - before), at, "Pod")

    def scrape(self, figures: Mapping[str, Figure]) -> bool:
        """Take what a Prometheus server has of its device, and return whether a value is another one."""
        before, self.scraped = self.scraped, figures
        return {name: each.value for name, each in before.items()} != {
            name: each.value for name, each in figures.items()
        }

    def assign(self) -> None:
        """Count a task that is sent there."""
        self.assigned += 1

    def release(self) -> None:
        """Count a task that it has no more."""
        if not self.assigned:
            raise ValueError(f"pod {self.key} has no task to release")
        self.assigned -= 1


@dataclass(slots=True)
class BackendPods:
    """All of them. One that is removed takes all that is known of it along."""

    stale_seconds: float = STALE_SECONDS
    """How old a figure of a device may be that is used."""
    _by_key: dict[str, BackendPod] = field(default_factory=dict)
    _by_uid: dict[str, BackendPod] = field(default_factory=dict)
    _by_backend: dict[str, dict[str, BackendPod]] = field(default_factory=dict)
    """By namespace and label of their backend, and uid."""
    _by_ready: dict[str, dict[str, BackendPod]] = field(default_factory=dict)
    """The ready ones by the backend that they may serve, which stays once one is admitted, and uid."""
    _holders: dict[str, BackendPod] = field(default_factory=dict)
    """The pods on which tasks of jobs were found, by the task's id."""

    def observe(
        self,
        uid: str,
        key: str,
        ready: Endpoint | None = None,
        trouble: tuple[str, Trouble] | None = None,
        *,
        backend: str = "",
        created: float = 0.0,
        ready_at: float | None = None,
        shown: Shown | None = None,
    ) -> BackendPod:
        """Take what was seen of a pod: a new one of a name takes the place of the former one.

        Args:
            uid: the pod's.
            key: its namespace and name.
            ready: where it could serve, while it is ready.
            trouble: namespace and label of its backend, and why it is not ready.
            backend: namespace and label of its backend.
            created: when it was made, Unix seconds.
            ready_at: since when it is ready, Unix seconds.
            shown: what else the API server shows of it.
        """
        pod = self._by_key.get(key)
        if pod is None or pod.uid != uid:
            self.remove(key)
            pod = self._by_key[key] = self._by_uid[uid] = BackendPod(uid, key, created=created)
        self._by_backend.get(pod.backend, {}).pop(uid, None)
        self._by_backend.setdefault(backend, {})[uid] = pod
        pod.belong(backend, ready_at)
        self._show(pod, ready, trouble, shown)
        return pod

    def _show(
        self, pod: BackendPod, ready: Endpoint | None, trouble: tuple[str, Trouble] | None, shown: Shown | None
    ) -> None:
        before = pod.ready
        pod.show(ready, trouble, shown)
        if before is not None and (pod.ready is None or pod.ready.backend != before.backend):
            former = self._by_ready.get(before.backend, {})
            former.pop(pod.uid, None)
            if not former:
                self._by_ready.pop(before.backend, None)
        if pod.ready is not None:
            self._by_ready.setdefault(pod.ready.backend, {})[pod.uid] = pod

    def remove(self, key: str) -> None:
        """Forget the pod of this namespace and name, if there is one."""
        pod = self._by_key.pop(key, None)
        if pod is not None:
            del self._by_uid[pod.uid]
            self._by_backend[pod.backend].pop(pod.uid, None)
            if not self._by_backend[pod.backend]:
                del self._by_backend[pod.backend]
            self.hold(pod, ())
            # Whoever still waits for its answer sees that it serves no more, and whether it was to end.
            self._show(pod, None, None, pod.shown)

    def admit(self, is_own: Callable[[Endpoint], bool]) -> None:
        """Let those serve of which ``is_own`` says that their backend's own Deployment controls them.

        A pod that did so once stays one while it is ready: its ReplicaSet may be gone before it.
        """
        for pod in self._by_key.values():
            if pod.ready is not None and not pod.admitted and is_own(pod.ready):
                pod.admit()

    def find(self, uid: str) -> BackendPod | None:
        """Return the pod of this uid, whether it serves or not."""
        return self._by_uid.get(uid)

    def serving(self) -> list[BackendPod]:
        """Return those that serve, whether they answer or not."""
        return [pod for pod in self._by_key.values() if pod.admitted]

    def scrape(self, figures: Mapping[str, Mapping[str, Figure]]) -> bool:
        """Take what a Prometheus server has of devices, by the pods' keys; return whether a value is another one."""
        news = False
        for pod in self.serving():
            news = pod.scrape(figures.get(pod.key, {})) or news
        return news

    def uids(self) -> frozenset[str]:
        """Return the uids of those that serve and stay."""
        return frozenset(pod.uid for pod in self._by_key.values() if pod.admitted and not pod.terminating)

    def reachable(self, selector: str) -> list[BackendPod]:
        """Return those of a backend, by its namespace and label, that serve and may be asked, also while they drain.

        Those that end come last.
        """
        found = [pod for pod in self._by_ready.get(selector, {}).values() if pod.admitted and not pod.silent]
        return sorted(found, key=lambda pod: pod.terminating) if any(pod.terminating for pod in found) else found

    def silent(self, selector: str) -> list[BackendPod]:
        """Return those of a backend, by its namespace and label, that serve and stay, and do not answer."""
        return [pod for pod in self.of(selector) if pod.admitted and pod.silent and not pod.terminating]

    def accepting(self, selector: str) -> list[BackendPod]:
        """Return those of a backend that may be given new work: the reachable ones without those that drain or end."""
        return [pod for pod in self.reachable(selector) if not pod.draining and not pod.terminating]

    def of(self, selector: str) -> list[BackendPod]:
        """Return all of a backend, by its namespace and label, whether they serve or not."""
        return list(self._by_backend.get(selector, {}).values())

    def trouble(self, key: str) -> tuple[str, Trouble] | None:
        """Return namespace and label of a pod's backend, and why the pod is not ready; None where nothing is told."""
        pod = self._by_key.get(key)
        return None if pod is None else pod.trouble

    def trouble_of(self, selector: str) -> Trouble | None:
        """Return why a pod of a backend is not ready, as far as one tells: of several always the same one."""
        told = [pod for pod in self._by_key.values() if pod.trouble is not None and pod.trouble[0] == selector]
        first = min(told, key=lambda pod: pod.key, default=None)
        return None if first is None or first.trouble is None else first.trouble[1]

    def hold(self, pod: BackendPod, identities: Iterable[str]) -> None:
        """Record which tasks of jobs, by their ids, were found on a pod."""
        self._holders = {identity: holder for identity, holder in self._holders.items() if holder is not pod}
        if self._by_uid.get(pod.uid) is pod:
            self._holders |= dict.fromkeys(identities, pod)

    def let_go(self, identity: str) -> None:
        """Record that a task is on no pod any more, by its id."""
        self._holders.pop(identity, None)

    def holder(self, identity: str) -> BackendPod | None:
        """Return the pod on which a task was found, by the task's id."""
        return self._holders.get(identity)
