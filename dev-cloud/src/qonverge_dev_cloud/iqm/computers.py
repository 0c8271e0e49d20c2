"""The quantum computers that are offered: their state, their queues and their calibrations."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from qonverge_dev_cloud.calibration import Calibration
from qonverge_dev_cloud.calibration import calibration as drawn
from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.iqm.catalogue import COMPUTERS, NAMESPACE, Computer, pair_names, qubit_name
from qonverge_dev_cloud.iqm.errors import Refused
from qonverge_dev_cloud.iqm.jobs import Job
from qonverge_dev_cloud.scenario import DeviceScenario, Scenario
from qonverge_dev_cloud.work import DeviceQueue

# One implementation of each operation.
_IMPLEMENTATIONS = {"prx": "drag_gaussian", "cz": "tgss", "measure": "constant"}
_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Offered:
    """A computer, how it behaves, and what waits for it."""

    computer: Computer
    scenario: DeviceScenario
    queue: DeviceQueue[Job]


class Computers:
    """All quantum computers."""

    def __init__(self, scenario: Scenario, clock: Clock, lock: threading.RLock) -> None:
        """Args: how computers behave, the time, and what guards queues."""
        self._seed, self._clock, self._lock = scenario.seed, clock, lock
        self._offered: dict[str, Offered] = {}
        for computer in COMPUTERS:
            own = scenario.iqm.computers.get(computer.alias, DeviceScenario())
            queue: DeviceQueue[Job] = DeviceQueue(own, start=clock.start, parallel=False)
            self._offered[computer.alias] = Offered(computer, own, queue)

    def find(self, name: str) -> Offered:
        """Return a computer by its alias or id.

        Raises:
            Refused: there is none.
        """
        for alias, offered in self._offered.items():
            if name in (alias, offered.computer.id) and not offered.scenario.retired:
                return offered
        raise Refused(404, "qc_not_found", f"there is no quantum computer {name!r}")

    def of(self, job: Job) -> Offered:
        """Return the computer of a job."""
        return self._offered[job.computer.alias]

    def all(self) -> dict[str, Any]:
        """Return all computers."""
        found = [own.computer for own in self._offered.values() if not own.scenario.retired]
        return {
            "quantum_computers": [{"id": own.id, "alias": own.alias, "display_name": own.display_name} for own in found]
        }

    def health(self, name: str) -> dict[str, Any]:
        """Return whether a computer works."""
        offered, now = self.find(name), self._clock.now()
        return {"healthy": offered.queue.closed(now) is None, "updated_at": moment(now)}

    def limits(self, name: str) -> dict[str, Any]:
        """Return how large jobs may be."""
        own = self.find(name).computer
        return {
            "max_circuits_per_job": own.max_circuits,
            "max_shots_per_circuit": own.max_shots,
            "max_executions_per_job": own.max_executions,
            "max_instructions_per_circuit": own.max_instructions,
        }

    def queue(self, name: str) -> dict[str, Any]:
        """Return how many jobs wait, and when they run within the next day."""
        offered = self.find(name)
        with self._lock:
            now = self._clock.now()
            begin, windows = now, list[tuple[float, float]]()
            for own in offered.scenario.maintenance:
                first, last = self._clock.start + own.start, self._clock.start + own.end
                if last > begin:
                    windows.append((begin, min(first, now + _DAY)))
                    begin = last
            windows.append((begin, now + _DAY))
            ranges = [{"start": moment(first), "end": moment(last)} for first, last in windows if first < last]
            return {"queue_length": offered.queue.size(now), "available": ranges}

    def architecture(self, name: str) -> list[dict[str, Any]]:
        """Return the qubits and their couplings."""
        own = self.find(name).computer
        return [
            {
                "dut_label": own.display_name,
                "qubits": list(own.places),
                "computational_resonators": [],
                "connectivity": [list(pair_names(edge)) for edge in own.chip.edges],
            }
        ]

    def gates(self, name: str, identity: str) -> dict[str, Any]:
        """Return the operations that a calibration set has: the dynamic quantum architecture."""
        offered = self.find(name)
        found, own = self._known(offered, identity), offered.computer
        singles = [[qubit] for qubit in own.places]
        loci = {"prx": singles, "cz": [list(pair_names(edge)) for edge in own.chip.edges], "measure": singles}
        return {
            "calibration_set_id": self.identity(own, found),
            "qubits": list(own.places),
            "computational_resonators": [],
            "gates": {
                gate: {
                    "implementations": {_IMPLEMENTATIONS[gate]: {"loci": each}},
                    "default_implementation": _IMPLEMENTATIONS[gate],
                    "override_default_implementation": {},
                }
                for gate, each in loci.items()
            },
        }

    def calibration_set(self, name: str, identity: str) -> dict[str, Any]:
        """Return a calibration set: the durations of its gates."""
        offered = self.find(name)
        single, pair, readout = offered.computer.chip.durations
        found = [
            *((f"gates.prx.drag_gaussian.{qubit}.duration", single, "s") for qubit in offered.computer.places),
            *(
                (f"gates.cz.tgss.{'__'.join(pair_names(edge))}.duration", pair, "s")
                for edge in offered.computer.chip.edges
            ),
            *((f"gates.measure.constant.{qubit}.duration", readout, "s") for qubit in offered.computer.places),
        ]
        return self._set("calibration-set", offered, self._known(offered, identity), found)

    def metrics(self, name: str, identity: str) -> dict[str, Any]:
        """Return the quality metrics of a calibration set."""
        offered = self.find(name)
        found = self._known(offered, identity)
        return self._set("quality-metric-set", offered, found, list(_metrics(offered.computer, found)))

    def calibration(self, computer: Computer, time: float) -> Calibration:
        """Return the calibration at a time, seconds since 1970."""
        offered = self._offered[computer.alias]
        return drawn(computer.chip, offered.scenario.drift, self._seed, time - self._clock.start)

    def identity(self, computer: Computer, found: Calibration) -> str:
        """Return the id of a calibration set."""
        return str(uuid.uuid5(NAMESPACE, f"{self._seed}/{computer.alias}/calibration/{found.epoch}"))

    def calibrated(self, computer: Computer, identity: str | None) -> str:
        """Return the id of the calibration set that a job is compiled with: the one in force, unless it names one.

        Raises:
            Refused: there is none with this id.
        """
        return self.identity(computer, self._known(self._offered[computer.alias], identity or "default"))

    def _known(self, offered: Offered, identity: str) -> Calibration:
        newest = self.calibration(offered.computer, self._clock.now())
        if identity == "default":
            return newest
        drift = offered.scenario.drift
        for epoch in range(newest.epoch, -1, -1):
            found = drawn(offered.computer.chip, drift, self._seed, 0.0 if drift is None else epoch * drift.seconds)
            if self.identity(offered.computer, found) == identity:
                return found
        raise Refused(404, "calibration_set_not_found", f"there is no calibration set {identity}")

    def _set(
        self, kind: str, offered: Offered, found: Calibration, values: list[tuple[str, float, str]]
    ) -> dict[str, Any]:
        made, computer = moment(self._clock.start + found.time), offered.computer
        own, described = self.identity(computer, found), None
        if kind == "quality-metric-set":
            own, described = str(uuid.uuid5(NAMESPACE, f"{own}/metrics")), own
        return {
            "observation_set_id": own,
            "observation_set_type": kind,
            "describes_id": described,
            "dut_label": computer.display_name,
            "created_timestamp": made,
            "end_timestamp": made,
            "invalid": False,
            "observations": [
                {
                    "observation_id": number,
                    "dut_field": field,
                    "value": value,
                    "unit": unit,
                    "uncertainty": None,
                    "invalid": False,
                    "created_timestamp": made,
                    "modified_timestamp": made,
                }
                for number, (field, value, unit) in enumerate(values, 1)
            ],
        }


def _metrics(computer: Computer, found: Calibration) -> Iterator[tuple[str, float, str]]:
    """Yield the name, value and unit of each metric."""
    t1, t2 = computer.chip.coherence
    for label in computer.chip.qubits:
        qubit, read = qubit_name(label), found.readout[label]
        yield f"metrics.rb.prx.drag_gaussian.{qubit}.fidelity:par=d1", found.single[label], ""
        yield f"metrics.ssro.measure.constant.{qubit}.fidelity", read, ""
        # Qubits are misread either way alike.
        yield f"metrics.ssro.measure.constant.{qubit}.error_0_to_1", round(1 - read, 6), ""
        yield f"metrics.ssro.measure.constant.{qubit}.error_1_to_0", round(1 - read, 6), ""
        yield f"characterization.model.{qubit}.t1_time", t1, "s"
        yield f"characterization.model.{qubit}.t2_time", t2, "s"
    for edge, fidelity in found.pairs.items():
        yield f"metrics.irb.cz.tgss.{'__'.join(pair_names(edge))}.fidelity:par=d2", fidelity, ""


def moment(seconds: float) -> str:
    """Return a time as replies carry it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"
