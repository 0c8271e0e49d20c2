"""The algorithms of HPA, KEDA and Knative, as they are documented and by default set, on tasks that wait or run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from bench.scaling.plant import Pool
from qonverge.scaling.windows import Maximum, TimeAverage


@dataclass(slots=True)
class Hpa:
    """A HorizontalPodAutoscaler (autoscaling/v2) on an external metric with an average value as its target."""

    target: float
    """Tasks for each pod."""
    max_replicas: int
    interval: float = 15.0
    start_replicas: int = 1
    drains: bool = False
    tolerance: float = 0.1
    kept: Maximum = field(default_factory=lambda: Maximum(300.0))

    def replicas(self, pool: Pool, now: float) -> int:
        current, tasks = pool.replicas, pool.tasks
        if not current:
            return 0
        ratio = tasks / (self.target * current)
        wanted = current if abs(ratio - 1) <= self.tolerance else math.ceil(tasks / self.target)
        # Down by the largest recommendation of five minutes; up by 100 % or four pods in 15 s, whichever is more.
        wanted = self.kept.record(now, wanted)
        wanted = min(wanted, max(2 * current, current + 4))
        return max(1, min(self.max_replicas, wanted))


@dataclass(slots=True)
class Keda:
    """KEDA: its own loop between 0 and 1, an HPA from 1 on."""

    target: float
    max_replicas: int
    interval: float = 15.0
    start_replicas: int = 1
    drains: bool = False
    polling: float = 30.0
    cooldown: float = 300.0
    hpa: Hpa = field(init=False)
    polled: float = -math.inf
    active_at: float = 0.0

    def __post_init__(self) -> None:
        self.hpa = Hpa(self.target, self.max_replicas)

    def replicas(self, pool: Pool, now: float) -> int:
        current = pool.replicas
        if now - self.polled >= self.polling:
            self.polled = now
            active = bool(pool.tasks)
            if active:
                self.active_at = now
                if not current:
                    return 1
            elif current and now - self.active_at >= self.cooldown:
                return 0
        return self.hpa.replicas(pool, now) if current else 0


@dataclass(slots=True)
class Knative:
    """Knative's KPA on concurrency."""

    target: float
    max_replicas: int
    interval: float = 2.0
    start_replicas: int = 1
    drains: bool = False
    stable: TimeAverage = field(default_factory=lambda: TimeAverage(60.0))
    panic: TimeAverage = field(default_factory=lambda: TimeAverage(6.0))
    panic_at: float | None = None
    panic_pods: int = 0
    zero_since: float | None = None

    def replicas(self, pool: Pool, now: float) -> int:
        self.stable.record(now, pool.tasks)
        self.panic.record(now, pool.tasks)
        ready = max(1, pool.ready)
        most, least = math.ceil(1000 * ready), math.floor(ready / 2)
        stable = math.ceil(round(self.stable.average() / self.target, 6))
        panic = math.ceil(round(self.panic.average() / self.target, 6))
        over = panic / ready >= 2
        if over:
            self.panic_at = now
        elif self.panic_at is not None and now > self.panic_at + 60:
            self.panic_at, self.panic_pods = None, 0
        wanted = min(max(stable, least), most)
        if self.panic_at is not None:
            self.panic_pods = max(self.panic_pods, wanted, min(max(panic, least), most))
            wanted = self.panic_pods
        wanted = min(wanted, self.max_replicas)
        if wanted or not pool.replicas:
            self.zero_since = None
            return wanted
        # The last pod stays for the scale-to-zero grace period.
        self.zero_since = now if self.zero_since is None else self.zero_since
        return 0 if now - self.zero_since >= 30 else 1
