"""How many replicas a backend should have.

After Knative's autoscaler (a function of windows and the clock, with a window for panic, rate clamps and a delay before
scaling down), with forecast work in the place of concurrent requests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from qonverge.scaling.arrivals import ArrivalForecaster, Expected
from qonverge.scaling.model import Bound, Decision, Demand, Driver, Policy, pods_for
from qonverge.scaling.windows import Maximum, TimeAverage, Total

# Share of the target that is aimed at: forecasts err, and pods are started one decision after they are needed.
_AIM = 0.5


@dataclass(frozen=True, slots=True)
class _Need:
    """What one signal asks for."""

    driver: Driver
    workers: float
    why: str


class Autoscaler:
    """Decides for one backend. It keeps the windows, in memory only; the clock is the caller's."""

    def __init__(self, policy: Policy, now: float, replicas: int = 0) -> None:
        """Begin with the replicas that there are: they stay until the windows are filled, as after a restart.

        Args:
            policy: how to scale.
            now: Unix seconds.
            replicas: pods that were asked for until now.
        """
        self._policy = policy
        self._busy = TimeAverage(policy.stable_window)
        self._arrivals = Total(policy.stable_window)
        self._surge = Total(policy.panic_window)
        self._coming = self._surging = 0.0
        self._kept = Maximum(policy.scale_down_after)
        self._forecaster = ArrivalForecaster()
        self._begun = self._last = now
        self._before = replicas
        self._idle_since: float | None = None
        self._panic_at = -math.inf

    def follow(self, policy: Policy) -> None:
        """Go by another policy from now on; what was seen stays, but for windows that have another length."""
        old, self._policy = self._policy, policy
        if policy.stable_window != old.stable_window:
            self._busy, self._arrivals = TimeAverage(policy.stable_window), Total(policy.stable_window)
        if policy.panic_window != old.panic_window:
            self._surge = Total(policy.panic_window)
        if policy.scale_down_after != old.scale_down_after:
            self._kept = Maximum(policy.scale_down_after)

    def scale(self, demand: Demand, now: float) -> Decision:
        """Return how many replicas there should be.

        Args:
            demand: what there is to do, and with what.
            now: Unix seconds, later than at the last decision.
        """
        policy = self._policy
        self._observe(demand, now)
        need = max(self._needs(demand, now), key=lambda need: need.workers)
        needed = pods_for(need.workers, demand.workers_per_pod)
        kept = self._kept.record(now, needed)
        driver, why, wanted = need.driver, need.why, needed
        if now - self._begun < policy.stable_window and self._before > kept:
            driver, wanted = "Stabilized", self._before
            why = f"{wanted} stay until {policy.stable_window:g} s of load were seen"
        elif kept > needed:
            driver, wanted = "Stabilized", kept
            why = f"{kept} were needed in the last {policy.scale_down_after:g} s, {needed} now"
        elif not needed:
            driver, why = "Idle", "nothing runs, waits or is expected"
            idle = 0.0 if self._idle_since is None else now - self._idle_since
            if demand.programs:
                count = demand.programs
                wanted, why = 1, f"{count} program{' has' if count == 1 else 's have'} begun and may send tasks"
            elif demand.replicas and not policy.min_replicas and idle < policy.scale_to_zero_after:
                wanted = 1
                why += f"; the last replica goes after {policy.scale_to_zero_after:g} s, {idle:.0f} s have passed"
        replicas, bound, limit = self._bounded(wanted, demand)
        message = f"{replicas} replica{'' if replicas == 1 else 's'}: {why}"
        return Decision(replicas, wanted, driver, bound, f"{message}; {limit}" if limit else message)

    def _observe(self, demand: Demand, now: float) -> None:
        policy = self._policy
        if now < self._last:
            raise ValueError(f"the clock went back by {self._last - now:g} s")
        self._last = now
        self._busy.record(now, len(demand.running))
        # Workers that what came keeps busy for the window: a task occupies one and no more, however long it is.
        stable, panic = policy.stable_window, policy.panic_window
        self._coming = self._arrivals.record(now, sum(min(task, stable) for task in demand.arrived)) / stable
        self._surging = self._surge.record(now, sum(min(task, panic) for task in demand.arrived)) / panic
        self._forecaster.record(now, demand.arrived)
        if demand.running or demand.waiting or demand.arrived or demand.programs:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        if self._surging >= policy.panic_threshold * max(1, demand.ready) * demand.workers_per_pod:
            self._panic_at = now

    def _needs(self, demand: Demand, now: float) -> list[_Need]:
        policy = self._policy
        busy, coming = self._busy.average(), self._coming
        window = f"in the last {policy.stable_window:g} s"
        needs = [_Need("Load", busy, f"{busy:.1f} workers were busy on average {window}")]
        if coming > busy:
            needs = [_Need("Load", coming, f"what came {window} keeps {coming:.1f} workers busy")]
        if demand.waiting:
            needs.append(self._backlog(demand))
        if now - self._panic_at <= policy.stable_window:
            why = f"what came in the last {policy.panic_window:g} s keeps {self._surging:.1f} workers busy"
            needs.append(_Need("Burst", self._surging, why))
        expected = self._forecaster.expect(now + demand.start_seconds)
        if expected is not None:
            needs.append(_Need("Forecast", expected.workers, _foretold(expected)))
        return needs

    def _backlog(self, demand: Demand) -> _Need:
        """Return the workers with which all that waits starts in time.

        A task that is longer than that time occupies one worker for all of it, a shorter one for as long as it runs.
        Workers that are still to start help for what is left of the time then; where too little is left, the time is
        that of their start and half of what is aimed at.
        """
        aim = _AIM * self._policy.target_queue_seconds
        useful = max(aim - demand.start_seconds, aim / 2)
        horizon = demand.start_seconds + useful
        work = sum(min(task, horizon) for tasks in (demand.running, demand.waiting) for task in tasks)
        there = demand.replicas * demand.workers_per_pod
        missing = work - there * horizon
        workers = there + missing / useful if missing > 0 else work / horizon
        # More workers than tasks help nobody, and one task needs one.
        workers = min(max(1.0, workers), len(demand.running) + len(demand.waiting))
        count, total = len(demand.waiting), sum(demand.waiting)
        tasks = f"{count} task{' waits' if count == 1 else 's wait'} with {total:.0f} s of work"
        return _Need("Backlog", workers, f"{tasks}, and {workers:.1f} workers start all in {horizon:.0f} s")

    def _bounded(self, wanted: int, demand: Demand) -> tuple[int, Bound, str]:
        """Return the replicas within all bounds, which of them decided, and what to say of it."""
        policy = self._policy
        bound: Bound = "DesiredWithinRange"
        replicas, limit = wanted, ""

        def at_most(most: int, name: Bound, text: str) -> None:
            nonlocal replicas, bound, limit
            if replicas > most:
                replicas, bound, limit = most, name, f"{wanted} are wanted, {text}"

        def at_least(least: int, name: Bound, text: str) -> None:
            nonlocal replicas, bound, limit
            if replicas < least:
                replicas, bound, limit = least, name, f"{wanted} are wanted, {text}"

        ready = max(1, demand.ready)
        most = max(math.floor(policy.max_scale_up_rate * ready), ready + 1, demand.replicas)
        at_most(most, "ScaleUpLimit", f"at most {policy.max_scale_up_rate:g} times the {ready} ready ones at once")
        least = min(math.floor(demand.ready / policy.max_scale_down_rate), demand.replicas)
        at_least(
            least, "ScaleDownLimit", f"at least 1/{policy.max_scale_down_rate:g} of the {demand.ready} ready ones stay"
        )
        at_least(policy.min_replicas, "TooFewReplicas", f"minReplicas is {policy.min_replicas}")
        if demand.unschedulable:
            held = max(0, demand.replicas - demand.unschedulable)
            # One that waits for a node shows when there is room, and has a cluster autoscaler make some.
            at_most(held + 1, "NodesFull", f"nodes hold {held} and one more waits for room")
        at_most(policy.max_replicas, "TooManyReplicas", f"maxReplicas is {policy.max_replicas}")
        if policy.affordable_replicas is not None:
            at_most(policy.affordable_replicas, "BudgetLimit", f"{policy.budget} pays for {policy.affordable_replicas}")
        return replicas, bound, limit


def _foretold(expected: Expected) -> str:
    return (
        f"in this minute of the {expected.period} {expected.workers:.1f} workers were busy with what came, twice; such "
        f"forecasts have {expected.error:.0%} of the error of recent means"
    )
