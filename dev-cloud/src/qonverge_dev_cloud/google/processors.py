"""The processors that are offered: their state, calibrations, configurations, queues and schedules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cirq_google.cloud import quantum
from google.protobuf import any_pb2
from google.protobuf.message import Message

from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.google import simulation
from qonverge_dev_cloud.google.catalogue import PROCESSORS
from qonverge_dev_cloud.google.errors import Refused
from qonverge_dev_cloud.google.filters import matching
from qonverge_dev_cloud.google.jobs import Job, moment
from qonverge_dev_cloud.scenario import DeviceScenario, Scenario
from qonverge_dev_cloud.work import DeviceQueue

# Of the one configuration that each processor has: the run and the name that jobs of cirq-google's samplers ask for.
RUN, SNAPSHOT, CONFIGURATION = "current", "dev-cloud", "default"
Slot = quantum.QuantumTimeSlot.TimeSlotType
Health = quantum.QuantumProcessor.Health


@dataclass(frozen=True, slots=True)
class Offered:
    """A processor, how it behaves, and what waits for it."""

    name: str
    scenario: DeviceScenario
    queue: DeviceQueue[Job]


class Processors:
    """All processors. An operation is the method of its name."""

    def __init__(self, scenario: Scenario, clock: Clock) -> None:
        """Args: how they behave, and the time."""
        self._seed, self._clock = scenario.seed, clock
        self._offered: dict[str, Offered] = {}
        for name in PROCESSORS:
            own = scenario.google.processors.get(name, DeviceScenario())
            self._offered[name] = Offered(name, own, DeviceQueue(own, start=clock.start, parallel=False))

    def find(self, name: str) -> Offered:
        """Return a processor by its id, or its name in a project.

        Raises:
            Refused: there is none.
        """
        offered = self._offered.get(name.rpartition("/processors/")[2])
        if offered is None:
            raise Refused("NOT_FOUND", f"processor {name!r} does not exist: use {', '.join(self._offered)}")
        return offered

    def noise(self, name: str, time: float) -> Any | None:
        """Return the metrics of which errors are made at a time, Unix seconds; None: there are none."""
        return self._metrics(name, time) if self._offered[name].scenario.noise else None

    def get_quantum_processor(self, request: Any) -> Any:
        """Return a processor."""
        return self._told(request.name)

    def list_quantum_processors(self, request: Any) -> Any:
        """Return all processors."""
        told = [self._told(f"{request.parent}/processors/{name}") for name in self._offered]
        return quantum.ListQuantumProcessorsResponse(processors=told)

    def get_quantum_calibration(self, request: Any) -> Any:
        """Return a calibration by the second in which it was made, or the current one."""
        processor, _, wanted = request.name.partition("/calibrations/")
        own = self._calibrations(processor)
        found = own[-1] if wanted == "current" else next((one for one in own if one.name == request.name), None)
        if found is None:
            raise Refused("NOT_FOUND", f"calibration {request.name} does not exist")
        return found

    def list_quantum_calibrations(self, request: Any) -> Any:
        """Return the calibrations since the start, the newest first."""
        found = [
            one
            for one in reversed(self._calibrations(request.parent))
            if matching(request.filter, {"timestamp": int(one.timestamp.timestamp())})
        ]
        return quantum.ListQuantumCalibrationsResponse(calibrations=found)

    def get_quantum_processor_config(self, request: Any) -> Any:
        """Return the configuration, by run or by snapshot."""
        processor = request.name.partition("/config")[0]
        if request.name not in self._configurations(processor):
            raise Refused("NOT_FOUND", f"configuration {request.name} does not exist")
        return self._configuration(processor)

    def list_quantum_processor_configs(self, request: Any) -> Any:
        """Return the configurations of a run or a snapshot."""
        processor = request.parent.partition("/config")[0]
        found = [name for name in self._configurations(processor) if name.startswith(f"{request.parent}/")]
        configs = [self._configuration(processor) for _ in found]
        return quantum.ListQuantumProcessorConfigsResponse(quantum_processor_configs=configs)

    def list_quantum_time_slots(self, request: Any) -> Any:
        """Return the schedule: maintenance of the scenario, and open between."""
        found = []
        for start, end, kind in self._schedule(request.parent):
            values = {"start_time": start, "end_time": end, "time_slot_type": kind.name}
            if matching(request.filter, values):
                found.append(_slot(request.parent, start, end, kind))
        return quantum.ListQuantumTimeSlotsResponse(time_slots=found)

    def _told(self, name: str) -> Any:
        offered, now = self.find(name), self._clock.now()
        closed = offered.queue.closed(now)
        told = quantum.QuantumProcessor(
            name=name,
            health=Health.INACTIVE if offered.scenario.retired else Health.DOWN if closed else Health.OK,
            supported_languages=["v2_5"],
            device_spec=packed(simulation.specification(offered.name)),
            current_calibration=self._calibrations(name)[-1].name,
            default_device_config_key=quantum.DeviceConfigKey(run=RUN, config_alias=CONFIGURATION),
            activity_stats=quantum.QuantumProcessor.ActivityStats(active_jobs_count=offered.queue.size(now)),
        )
        if closed is not None:
            told.expected_recovery_time = moment(closed[1])
        for start, end, kind in self._schedule(name):
            if start <= now < end:
                told.active_time_slot = _slot(name, start, end, kind)
        return told

    def _schedule(self, name: str) -> list[tuple[float, float, Any]]:
        """Return the time slots of the two weeks from the start on."""
        offered = self.find(name)
        free, last = self._clock.start, self._clock.start + 14 * 86400
        found = []
        for window in offered.scenario.maintenance:
            start, end = self._clock.start + window.start, self._clock.start + window.end
            found += [(free, start, Slot.OPEN_SWIM), (start, end, Slot.MAINTENANCE)]
            free = end
        return [slot for slot in (*found, (free, max(last, free), Slot.OPEN_SWIM)) if slot[0] < slot[1]]

    def _calibrations(self, name: str) -> list[Any]:
        offered, elapsed = self.find(name), self._clock.elapsed()
        drift = offered.scenario.drift
        times = [0.0] if drift is None else [drift.seconds * n for n in range(int(elapsed // drift.seconds) + 1)]
        return [
            quantum.QuantumCalibration(
                name=f"{name}/calibrations/{int(self._clock.start + time)}",
                timestamp=moment(int(self._clock.start + time)),
                data=packed(self._metrics(offered.name, self._clock.start + time)),
            )
            for time in times
        ]

    def _metrics(self, name: str, time: float) -> Any:
        drift, elapsed = self._offered[name].scenario.drift, time - self._clock.start
        epoch = 0 if drift is None else int(elapsed // drift.seconds)
        since = self._clock.start + (0.0 if drift is None else epoch * drift.seconds)
        return simulation.metrics(name, drift, self._seed, epoch, since)

    def _configurations(self, processor: str) -> tuple[str, str]:
        self.find(processor)
        return (
            f"{processor}/configAutomationRuns/{RUN}/configs/{CONFIGURATION}",
            f"{processor}/configSnapshots/{SNAPSHOT}/configs/{CONFIGURATION}",
        )

    def _configuration(self, processor: str) -> Any:
        name = self.find(processor).name
        return quantum.QuantumProcessorConfig(
            name=self._configurations(processor)[1],
            device_specification=packed(simulation.specification(name)),
            characterization=packed(self._metrics(name, self._clock.now())),
        )


def check_configuration(processor: str, asked: Any) -> None:
    """Refuse a ``DeviceConfigSelector`` of another configuration than the one that there is.

    Raises:
        Refused: it is of another.
    """
    revision = f"snapshot {asked.snapshot_id}" if asked.snapshot_id else f"run {asked.run_name}"
    known = (f"run {RUN}", f"snapshot {SNAPSHOT}")
    # Without one the processor's own is meant.
    if (asked.config_alias or asked.snapshot_id or asked.run_name) and (
        asked.config_alias != CONFIGURATION or revision not in known
    ):
        raise Refused("INVALID_ARGUMENT", f"{processor} has no configuration {asked.config_alias} of the {revision}")


def packed(message: Message) -> Any:
    """Return a message packed as ``Any``."""
    found = any_pb2.Any()
    found.Pack(message)
    return found


def _slot(name: str, start: float, end: float, kind: Any) -> Any:
    told = quantum.QuantumTimeSlot(
        processor_name=name, start_time=moment(start), end_time=moment(end), time_slot_type=kind
    )
    if kind == Slot.MAINTENANCE:
        told.maintenance_config = quantum.QuantumTimeSlot.MaintenanceConfig(title="Maintenance of the scenario")
    return told
