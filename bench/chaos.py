"""Tasks at clouds that fail, while the operator and the proxies are killed: ``python -m bench.chaos [--tasks 1000]``.

The API server, the operator and a proxy for each cloud are real processes. Amazon Braket, IonQ, IBM Quantum and
Google's engine are dev-cloud; of the two vendors of the tests one takes a key twice and the other has tags only. A part
of all calls fails, before or after its effect. The operator and the proxies are killed at moments of chance and while a
cloud holds a call of theirs. Each job asks for a number of shots of its own, by which its tasks are known at the cloud:
so what the clouds have is compared with what the jobs say without asking Qonverge for anything.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.places import Call, DevCloudSite, Known, Place, VendorPlace, When
from e2e.cluster.errors import CommandFailed
from qonverge_dev_cloud.cloud import DevCloud
from qonverge_dev_cloud.scenario import Scenario
from tests.clouds.running import provider, vendor
from tests.integration.conftest import Lab, backend, eventually, job, running_plane

_LEAST_SHOTS = 100
_LIMIT_SECONDS = 300.0
# A pair in 11: whatever else comes is a fault of somebody's.
_CIRCUIT = 'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; bit[2] c; x q[0]; cx q[0], q[1]; c = measure q;'
_ENDED = ("Complete", "Failed")


@dataclass(frozen=True, slots=True)
class Kill:
    """What is killed, and when."""

    operator: bool = False
    place: str = ""
    """Whose proxy is killed; empty: none."""
    call: Call | None = None
    """While the cloud holds such a call of the proxy; None: at any moment."""
    when: When = "after"
    """Whether the call has had its effect by then."""

    def __str__(self) -> str:
        who = " and ".join([*(["operator"] if self.operator else []), *([f"{self.place} proxy"] if self.place else [])])
        return f"{who} in {self.call}, {self.when} its effect" if self.call else who


@dataclass(slots=True)
class Report:
    """What became of the tasks."""

    jobs: int
    completed: int = 0
    deleted: int = 0
    suspended: int = 0
    lost: list[str] = field(default_factory=list)
    """Jobs that did not complete, or whose result is not of the task that the cloud ran for them; and tasks that are
    in no job's status."""
    duplicates: list[str] = field(default_factory=list)
    """Tasks beyond one for each attempt that a person asked for."""
    running: list[str] = field(default_factory=list)
    """Tasks of the clouds that have not ended."""
    kills: Mapping[str, int] = field(default_factory=dict)
    faults: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    seconds: float = 0.0


class Drill:
    """A lab with a backend for each place, and the jobs that are sent there."""

    def __init__(self, lab: Lab, places: Sequence[Place], jobs: int, seed: int) -> None:
        """Start nothing yet."""
        self._lab, self._random = lab, random.Random(seed)
        self._places = {place.name: place for place in places}
        self._names = [f"task-{number}" for number in range(jobs)]
        self._at = {name: places[number % len(places)].name for number, name in enumerate(self._names)}
        self._shots = {name: _LEAST_SHOTS + number for number, name in enumerate(self._names)}
        self._sent = 0
        self._deleted: set[str] = set()
        self._suspended: set[str] = set()
        self._killed: Counter[str] = Counter()

    def start(self) -> None:
        """Start the operator and the proxies."""
        for place in self._places.values():
            manifest = backend(place.name, capacity={"concurrency": 100}, **place.section)
            del manifest["spec"]["simulator"]
            self._lab.apply(manifest)
        self._start_operator()
        self._lab.ready()
        for place in self._places.values():
            self._lab.serve(place.name, self._pod(place.name), *place.flags)

    def run(self, kills: Sequence[Kill], rate: float) -> Report:
        """Send the jobs in as many batches as there are kills, and return what became of all."""
        began = time.monotonic()
        for place in self._places.values():
            place.storm(rate)
        for number, kill in enumerate(kills, 1):
            print(f"{number} of {len(kills)}: {kill}", file=sys.stderr, flush=True)
            self._carry_out(kill, -(-len(self._names) * number // len(kills)))
            self._interfere()
        self._settle()
        report = self._judge()
        report.seconds = round(time.monotonic() - began, 1)
        return report

    def _carry_out(self, kill: Kill, until: int) -> None:
        """Send jobs up to this number and kill, both in the order that the kill needs."""
        with contextlib.ExitStack() as held:
            if kill.call is not None:
                caught = held.enter_context(self._places[kill.place].catch(kill.call, kill.when))
            self._send(until)
            if kill.call is None:
                time.sleep(self._random.uniform(0, 1))
            else:
                if kill.call == "cancel":
                    self._cancel_one(kill.place)
                kill_name = str(kill) if caught() else f"{kill.place} proxy"
            self._killed[str(kill) if kill.call is None else kill_name] += 1
            if kill.operator:
                self._lab.stop_operator(signal.SIGKILL)
            if kill.place:
                process = self._lab.pods[self._pod(kill.place)]
                process.kill()
                process.wait()
        if kill.operator:
            self._start_operator()
        if kill.place:
            self._lab.start_server(self._pod(kill.place))
        if kill.operator:
            self._lab.ready()

    def _send(self, until: int) -> None:
        if names := self._names[self._sent : until]:
            self._lab.apply(
                *(job(each, _CIRCUIT, shots=self._shots[each], backend={"name": self._at[each]}) for each in names)
            )
            self._sent = until

    def _cancel_one(self, place: str) -> None:
        """Delete a job whose task is at the cloud; any of them if none is."""
        jobs = self._jobs()
        mine = [name for name in jobs if self._at[name] == place and name not in self._deleted | self._suspended]
        there = [name for name in mine if jobs[name].get("cloudTasks") and jobs[name]["state"] not in _ENDED]
        if there or mine:
            self._delete((there or mine)[-1])

    def _interfere(self) -> None:
        """Delete a job, suspend another, and let go on what is suspended."""
        jobs = self._jobs()
        self._resume(jobs)
        there = [name for name, status in jobs.items() if status.get("cloudTasks") and status["state"] not in _ENDED]
        free = [name for name in there if name not in self._deleted | self._suspended]
        self._random.shuffle(free)
        if free:
            self._delete(free.pop())
        if free:
            self._suspended.add(free[0])
            self._suspend(free[0], True)

    def _resume(self, jobs: Mapping[str, dict[str, Any]]) -> None:
        for name in self._suspended - self._deleted:
            # Its task is cancelled once nothing is recorded any more.
            if jobs[name].get("state") == "Suspended" and not jobs[name].get("submissions"):
                self._suspend(name, False)

    def _delete(self, name: str) -> None:
        self._deleted.add(name)
        self._lab.kubectl("delete", "hj", name, "--wait=false")

    def _suspend(self, name: str, value: bool) -> None:
        patch = json.dumps({"spec": {"suspend": value}})
        # It may have been deleted meanwhile.
        with contextlib.suppress(CommandFailed):
            self._lab.kubectl("patch", "hj", name, "--type=merge", "-p", patch)

    def _settle(self) -> None:
        """Wait until all jobs have ended, and the tasks of those that were deleted have."""

        def settled() -> bool:
            jobs = self._jobs()
            self._resume(jobs)
            time.sleep(0.5)
            left = [name for name in jobs if name in self._deleted or jobs[name].get("state") not in _ENDED]
            return not left

        with contextlib.suppress(AssertionError):
            eventually(settled, "the end of all jobs", _LIMIT_SECONDS)

    def _judge(self) -> Report:
        """Compare what the clouds have with what the jobs say."""
        jobs, report = self._jobs(), Report(len(self._names))
        known: dict[tuple[str, int], list[Known]] = {}
        for place in self._places.values():
            for task in place.tasks():
                known.setdefault((place.name, task.shots), []).append(task)
        for name in self._names:
            tasks = known.pop((self._at[name], self._shots[name]), [])
            report.running += [f"{name}: {task.id}" for task in tasks if not task.ended]
            status = jobs.get(name)
            # An attempt that a person ended by suspending the job is one that they asked for.
            wanted = 1 if status is None or name not in self._suspended else max(1, status.get("attempts", 1))
            report.duplicates += [f"{name}: {task.id}" for task in tasks[wanted:]]
            if name in self._deleted:
                report.deleted += 1
                report.lost += [f"{name} was not deleted"] if status is not None else []
            elif status is None or status["state"] != "Complete" or not _is_right(status, tasks, self._shots[name]):
                report.lost.append(f"{name}: {status and {k: status.get(k) for k in _TELLING}}, {tasks}")
            else:
                report.completed += 1
                report.suspended += name in self._suspended
        report.lost += [f"in no job: {task.id}" for tasks in known.values() for task in tasks]
        report.kills = dict(self._killed)
        report.faults = {name: dict(place.faults()) for name, place in self._places.items()}
        return report

    def _jobs(self) -> dict[str, dict[str, Any]]:
        """Return the status of each job that is there."""
        path = "/apis/qonverge.io/v1alpha1/namespaces/default/hybridjobs"
        found = json.loads(self._lab.kubectl("get", f"--raw={path}"))["items"]
        return {each["metadata"]["name"]: each.get("status", {}) for each in found}

    def _start_operator(self) -> None:
        # Whoever follows waits for as long as the Lease of the one that was killed holds.
        self._lab.start_operator(QONVERGE_LEASE_SECONDS="2")

    @staticmethod
    def _pod(place: str) -> str:
        return f"{place}-0"


_TELLING = ("state", "reason", "message", "attempts", "result", "cloudTasks")


def _is_right(status: Mapping[str, Any], tasks: Sequence[Known], shots: int) -> bool:
    """Return whether the result is of the shots that the task in the status ran, which the cloud has."""
    said = [each["id"] for each in status.get("cloudTasks", ())]
    ran = [task.id for task in tasks if task.state == "Completed"]
    return len(said) == 1 and said[0] in ran and status["result"]["counts"] == {"11": shots}


def kills_of(places: Sequence[Place], count: int, seed: int) -> list[Kill]:
    """Return kills by chance: a quarter of the operator, a quarter of proxies, the rest of proxies in a call."""
    chance, found = random.Random(seed), list[Kill]()
    for number in range(count):
        place = chance.choice(places)
        call, rare = (
            chance.choice([each for each in place.calls if each in among])
            for among in (place.calls, ("find", "cancel"))
        )
        when: When = chance.choice(("before", "after"))
        found.append(
            (
                Kill(operator=True),
                Kill(place=place.name, operator=chance.random() < 0.5),
                Kill(place=place.name, call=call, when=when),
                Kill(place=place.name, call=rare, when=when, operator=chance.random() < 0.3),
            )[number % 4]
        )
    return found


@contextlib.contextmanager
def all_places(folder: Path, seconds: float) -> Iterator[list[Place]]:
    """Run all clouds, whose tasks take so long."""
    device = {"queue": {"seconds": seconds}, "run": {"seconds": 0.01}, "noise": False}
    clouds = {
        "braket": {"devices": {"Garnet": device}},
        "ionq": {"backends": {"qpu.aria-1": device}},
        "ibm": {"backends": {"ibm_fez": device}},
        "google": {"processors": {"rainbow": device}},
    }
    with (
        provider(folder / "site"),
        vendor() as keyed,
        vendor() as tagged,
        DevCloud(Scenario.model_validate(clouds)) as cloud,
    ):
        site = DevCloudSite(cloud, folder)
        yield [
            site.braket(),
            site.ionq(),
            site.ibm(),
            site.google(),
            VendorPlace("Keyed", keyed, seconds),
            VendorPlace("Tagged", tagged, seconds),
        ]


def main() -> None:
    """Run the drill and print what came of it."""
    parser = argparse.ArgumentParser(prog="bench.chaos", description="Kill what sends tasks to clouds that fail.")
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--rate", type=float, default=0.1, help="part of the calls that fails")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, running_plane(Path(name, "plane")) as plane:
        folder = Path(name)
        with all_places(folder, 3.0) as places:
            lab = Lab(plane, folder)
            try:
                drill = Drill(lab, places, options.tasks, options.seed)
                drill.start()
                kills = kills_of(places, options.kills, options.seed)
                report = drill.run(kills, options.rate)
            finally:
                lab.close()
    print(json.dumps(asdict(report), indent=2))
    if report.lost or report.duplicates or report.running:
        sys.exit(1)


if __name__ == "__main__":
    main()
