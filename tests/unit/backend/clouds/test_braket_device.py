from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from braket.device_schema.iqm import IqmDeviceCapabilities

from qonverge.amounts import Prices, TaskLimits
from qonverge.backend.clouds.braket.device import described
from qonverge.backend.clouds.braket.options import BraketOptions
from qonverge.backend.clouds.braket.windows import next_opening
from qonverge.backend.clouds.protocol import Device
from tests.unit.backend.clouds import braket_documents as documents

GARNET = "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet"
SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


# A Wednesday.
NOW = at("2026-11-25T12:00:00")


def device(
    document: dict[str, Any], arn: str = GARNET, *, reservation: str | None = None, kind: str = "QPU", **reply: Any
) -> Device:
    options = BraketOptions(device=arn, bucket="results", reservation=reservation)
    given = {
        "deviceArn": arn,
        "deviceType": kind,
        "deviceStatus": "ONLINE",
        "deviceCapabilities": json.dumps(document),
        **reply,
    }
    return described(given, options, NOW)


def test_a_device_that_runs_tasks() -> None:
    queues = [
        {"queue": "QUANTUM_TASKS_QUEUE", "queueSize": "12", "queuePriority": "Normal"},
        {"queue": "QUANTUM_TASKS_QUEUE", "queueSize": ">3", "queuePriority": "Priority"},
        {"queue": "JOBS_QUEUE", "queueSize": "7"},
    ]
    found = device(documents.iqm(), deviceQueueInfo=queues)
    assert (found.online, found.reason, found.available_at) == (True, "", None)
    assert (found.num_qubits, found.max_shots, found.queue_length, found.ideal) == (3, 20000, 15, False)
    assert found.prices == Prices(task=Decimal("0.30"), shot=Decimal("0.00145"))
    assert found.calibration is not None


def test_a_device_that_takes_program_sets() -> None:
    document = documents.iqm()
    assert device(document).limits == TaskLimits(20_000)
    name = "braket.ir.openqasm.program_set"
    own = {"actionType": name, "version": ["1"], "maximumExecutables": 100, "maximumTotalShots": 200_000}
    document["action"][name] = own
    IqmDeviceCapabilities.parse_obj(document)
    assert device(document).limits == TaskLimits(20_000, 100, 200_000)
    own["minimumTotalShots"] = 500
    IqmDeviceCapabilities.parse_obj(document)
    assert device(document).limits == TaskLimits(20_000, 100, 200_000, 500)


def test_a_simulator_costs_by_its_time() -> None:
    found = device(documents.sv1(), SV1, kind="SIMULATOR")
    # At least three seconds of each task are charged.
    assert found.prices == Prices(task=Decimal("0.00375"), second=Decimal("0.00125"))
    assert (found.num_qubits, found.max_shots, found.calibration, found.ideal) == (34, 100000, None, True)


def test_outside_of_its_windows_a_device_takes_tasks_and_says_when_it_runs_them() -> None:
    document = documents.iqm()
    window = {"executionDay": "Weekdays", "windowStartHour": "13:00:00", "windowEndHour": "20:00:00"}
    document["service"]["executionWindows"] = [window]
    found = device(document)
    assert found.online
    assert found.reason == "Garnet runs tasks from 2026-11-25 13:00 UTC on, its next window"
    assert found.available_at == at("2026-11-25T13:00:00")
    reserved = device(document, reservation="arn:aws:braket:eu-north-1:123456789012:reservation/a")
    assert (reserved.reason, reserved.available_at) == ("", None)
    assert reserved.prices == Prices()


def test_why_a_device_is_offline() -> None:
    until = datetime(2026, 11, 26, 8, tzinfo=UTC)
    why = {"reason": "MAINTENANCE", "estimatedEndAt": until, "updatedAt": until}
    found = device(documents.iqm(), deviceStatus="OFFLINE", deviceStatusReason=why)
    assert not found.online
    assert found.reason == "Garnet is offline for maintenance, until about 2026-11-26 08:00 UTC"
    assert found.available_at == until.timestamp()
    found = device(documents.iqm(), deviceStatus="OFFLINE")
    assert (found.online, found.reason, found.available_at) == (False, "Garnet is offline", None)
    found = device(documents.iqm(), deviceStatus="RETIRED")
    assert (found.online, found.available_at) == (False, None)
    assert "use a backend with another device" in found.reason


def test_what_takes_no_programs_of_ours_is_offline() -> None:
    document = documents.iqm()
    operations = document["action"]["braket.ir.openqasm.program"]["supportedOperations"]
    operations.remove("ccnot")
    assert device(document).online
    operations.remove("cnot")
    found = device(document)
    assert not found.online
    assert "takes no gate cnot" in found.reason
    document["action"] = {"braket.ir.ahs.program": {}}
    assert "runs no circuits" in device(document).reason


def test_a_calibration_that_cannot_be_read_stops_nothing() -> None:
    document = documents.iqm()
    document["standardized"]["oneQubitProperties"]["1"]["T1"] = "forty"
    found = device(document)
    assert found.online
    assert found.calibration is None


def window(day: str, start: str, end: str) -> dict[str, str]:
    return {"executionDay": day, "windowStartHour": start, "windowEndHour": end}


@pytest.mark.parametrize(
    ("windows", "now", "opens"),
    [
        ([window("Everyday", "09:00", "13:00")], "2026-11-25T12:00:00", "2026-11-25T12:00:00"),
        ([window("Everyday", "09:00", "11:00")], "2026-11-25T12:00:00", "2026-11-26T09:00:00"),
        ([window("Everyday", "00:00", "23:59:59")], "2026-11-25T23:59:59.5", "2026-11-25T23:59:59.5"),
        ([window("Weekend", "09:00", "11:00")], "2026-11-25T12:00:00", "2026-11-28T09:00:00"),
        ([window("Weekdays", "09:00", "11:00")], "2026-11-27T12:00:00", "2026-11-30T09:00:00"),
        ([window("Wednesday", "09:00", "11:00")], "2026-11-25T12:00:00", "2026-12-02T09:00:00"),
        # One that ends on the next day, seen from there.
        ([window("Tuesday", "22:00", "13:00")], "2026-11-25T12:00:00", "2026-11-25T12:00:00"),
        ([window("Monday", "22:00", "13:00")], "2026-11-25T12:00:00", "2026-11-30T22:00:00"),
        (
            [window("Friday", "09:00", "11:00"), window("Thursday", "08:00:00.5", "11:00")],
            "2026-11-25T12:00:00",
            "2026-11-26T08:00:00.5",
        ),
        ([], "2026-11-25T12:00:00", None),
    ],
)
def test_next_window(windows: list[dict[str, str]], now: str, opens: str | None) -> None:
    assert next_opening(windows, at(now)) == (None if opens is None else at(opens))
