"""How long pods of programs are idle: ``python -m bench.idle_pods``.

Twenty programs come together to one backend with one worker. Which of them start, and when, the operator's own rounds
decide; backend, pods and the clock are simulated, so that the figures are the same on every machine. A pod is idle
while it waits for a task, its own task's run included, and while it starts again after a pause.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench import report
from qonverge.controller.jobs.kinds.pod_pauses import next_look
from qonverge.controller.store.program_slots import free_seconds
from qonverge.scheduling import Backend, Job, Snapshot, plan

PROGRAMS = 20
SLOTS_BAR, PAUSES_BAR = 0.1, 0.4
"""Of the idle pod time of programs that start all at once; of the same programs without pauses."""
JUDGED_SECONDS = 60.0
"""Tasks from which on pauses are judged: a shorter one is over before a pause is worth a pod's start."""
TASKS = 10
"""Of each program, one after the other."""
COMPUTE_SECONDS = 5.0
"""Of a program before each task."""
START_SECONDS = 5.0
"""From when a pod is made until its program computes: node, image, interpreter and imports."""


@dataclass(frozen=True, slots=True)
class Case:
    """A way in which programs start and wait."""

    task_seconds: float
    slots: int | None
    """Of the backend; None: all programs start at once."""
    pause_after: float | None = None
    """Seconds after which a waiting program gives its pod back; None: never."""


@dataclass(slots=True)
class Found:
    """What came of it, seconds."""

    idle: float = 0.0
    """Of all pods together."""
    makespan: float = 0.0
    """Until the last program has ended."""
    pods: int = 0
    """Made in all."""


@dataclass(slots=True)
class _World:
    """The backend, the programs' pods, and what happens next."""

    case: Case
    found: Found = field(default_factory=Found)
    now: float = 0.0
    waiting: dict[str, float] = field(default_factory=dict)
    """Programs without a slot, by when they came."""
    begun: dict[str, float] = field(default_factory=dict)
    """Programs with one, by when they got it."""
    done: dict[str, int] = field(default_factory=dict)
    queue: deque[str] = field(default_factory=deque)
    busy: bool = False
    paused: dict[str, float] = field(default_factory=dict)
    """Programs whose pod is given back, by when that was."""
    sent: dict[str, float] = field(default_factory=dict)
    events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    order: itertools.count[int] = field(default_factory=itertools.count)

    def at(self, delay: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.events, (self.now + delay, next(self.order), what))

    def round(self) -> None:
        """Let the operator's planner decide which programs get a slot."""
        if not self.waiting:
            return
        # How long programs take is not known here: only whether a slot is free matters.
        held = [60.0] * len(self.begun)
        slots = None if self.case.slots is None else free_seconds(self.case.slots, held)
        backend = Backend("slow", "lab", True, workers=1, dispatch_depth=256, slot_seconds=slots)
        jobs = tuple(Job(name, "lab", created=came, needs=None) for name, came in self.waiting.items())
        for decision in plan(Snapshot(jobs, (backend,), self.now)).decisions:
            if decision.backend is not None:
                del self.waiting[decision.job]
                self.begun[decision.job], self.done[decision.job] = self.now, 0
                self.found.pods += 1
                self.at(START_SECONDS + COMPUTE_SECONDS, lambda name=decision.job: self.send(name))  # type: ignore[misc]

    def send(self, name: str) -> None:
        self.queue.append(name)
        self.sent[name] = self.now
        if (limit := self.case.pause_after) is not None:
            turn = self.done[name]
            self.at(limit, lambda: self.pause(name, turn))
        self.run()

    def pause(self, name: str, turn: int) -> None:
        if self.done.get(name) == turn and name in self.sent:
            self.paused[name] = self.now
            self.found.idle += self.now - self.sent[name]

    def run(self) -> None:
        if self.queue and not self.busy:
            self.busy, name = True, self.queue.popleft()
            self.at(self.case.task_seconds, lambda: self.ended(name))

    def ended(self, name: str) -> None:
        self.busy = False
        sent = self.sent.pop(name)
        self.done[name] += 1
        if (since := self.paused.pop(name, None)) is None:
            self.found.idle += self.now - sent
            self.go_on(name)
        else:
            # The operator asks now and then whether it has ended.
            look, asked = 0.0, since
            while asked < self.now:
                look = next_look(asked - since)
                asked += look
            self.found.idle += START_SECONDS
            self.found.pods += 1
            self.at(asked - self.now + START_SECONDS, lambda: self.go_on(name))
        self.run()

    def go_on(self, name: str) -> None:
        if self.done[name] < TASKS:
            self.at(COMPUTE_SECONDS, lambda: self.send(name))
            return
        del self.begun[name]
        self.found.makespan = self.now
        self.round()


def simulate(case: Case) -> Found:
    """Return what comes of a case."""
    world = _World(case)
    world.waiting = {f"lab/p{number:02}": float(number) * 1e-6 for number in range(PROGRAMS)}
    world.round()
    while world.events:
        world.now, _, what = heapq.heappop(world.events)
        what()
        world.round()
    return world.found


def main() -> None:
    """Print the table; exit status 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="bench.idle_pods", description="How long pods of programs are idle.")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"{PROGRAMS} programs of {TASKS} tasks each, one backend with one worker; {COMPUTE_SECONDS:g} s of computing")
    print(f"before each task, {START_SECONDS:g} s for a pod to start\n")
    print("| task | programs | idle pod seconds | of all at once | of the same without pauses | makespan | pods |")
    print("|---|---|---|---|---|---|---|")
    cases = [
        Case(task, slots, after) for task in (20.0, 60.0, 300.0) for slots in (None, 1, 2) for after in (None, 10.0)
    ]
    found = {case: simulate(case) for case in cases}
    for case, of in found.items():
        every, still = found[Case(case.task_seconds, None)], found[Case(case.task_seconds, case.slots)]
        name = "all at once" if case.slots is None else f"{case.slots} slot{'s' * (case.slots > 1)}"
        name += "" if case.pause_after is None else f", pauses after {case.pause_after:g} s"
        print(
            f"| {case.task_seconds:g} s | {name} | {of.idle:.0f} | {of.idle / every.idle:.3f} | "
            f"{of.idle / still.idle:.2f} | {of.makespan / every.makespan:.2f} | {of.pods} |"
        )
    slotted = max(found[case].idle / found[Case(case.task_seconds, None)].idle for case in cases if case.slots == 1)
    pauses = max(
        found[case].idle / found[Case(case.task_seconds, case.slots)].idle
        for case in cases
        if case.pause_after is not None and case.task_seconds >= JUDGED_SECONDS
    )
    what = f"{PROGRAMS} programs, one slow backend: idle pod time"
    rows = [
        report.Row(f"{what}, one slot / all at once", f"{slotted:.3f}", f"at most {SLOTS_BAR:g}", slotted <= SLOTS_BAR),
        report.Row(
            f"{what}, malleable / not, tasks from {JUDGED_SECONDS:g} s",
            f"{pauses:.2f}",
            f"at most {PAUSES_BAR:g}",
            pauses <= PAUSES_BAR,
        ),
    ]
    print(f"\n{report.table(rows)}")
    if options.json:
        report.write(options.json, rows, [{**asdict(case), **asdict(of)} for case, of in found.items()])
    sys.exit(0 if all(row.holds for row in rows) else 1)


if __name__ == "__main__":
    main()
