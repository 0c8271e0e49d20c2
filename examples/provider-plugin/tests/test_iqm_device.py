"""IQM's documents as the executor of cloud tasks knows a device."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from qonverge_iqm.device import Facts, described, qubit_index, qubit_name

from qonverge.devices import Calibration
from qonverge.devices.calibration import Gate, Qubit

NOON = 1_767_268_800.0  # 2026-01-01T12:00:00Z


def observations(**values: float) -> list[dict[str, Any]]:
    return [{"dut_field": name, "value": value, "invalid": False} for name, value in values.items()]


def gate(name: str, *loci: tuple[str, ...], also: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        name: {
            "implementations": {"usual": {"loci": [list(locus) for locus in loci]}, **(also or {})},
            "default_implementation": "usual",
            "override_default_implementation": {},
        }
    }


def facts() -> Facts:
    """Return three qubits in a row, the second of which is not calibrated, so that QB3 and QB4 are a pair."""
    gates = {
        **gate("prx", ("QB1",), ("QB3",), ("QB4",)),
        **gate("cz", ("QB3", "QB4"), ("QB1", "QB3"), also={"other": {"loci": [["QB1", "QB3"]]}}),
        **gate("measure", ("QB1",), ("QB3",), ("QB4",)),
    }
    gates["cz"]["override_default_implementation"] = {"QB1,QB3": "other"}
    measured = observations(
        **{
            "metrics.rb.prx.usual.QB1.fidelity:par=d1": 0.999,
            "metrics.irb.prx.usual.QB3.fidelity:par=d1": 0.998,
            "metrics.irb.cz.usual.QB3__QB4.fidelity:par=d2": 0.99,
            "metrics.irb.cz.usual.QB1__QB3.fidelity:par=d2": 0.5,
            "metrics.irb.cz.other.QB1__QB3.fidelity:par=d2": 0.98,
            "metrics.ssro.measure.usual.QB1.fidelity": 0.97,
            "metrics.ssro.measure.usual.QB1.error_0_to_1": 0.02,
            "metrics.ssro.measure.usual.QB1.error_1_to_0": 0.04,
            "metrics.ssro.measure.usual.QB3.fidelity": 0.96,
            "characterization.model.QB1.t1_time": 4e-5,
            "characterization.model.QB1.t2_time": 9e-6,
            "characterization.model.QB3.t1_time": -1.0,
        }
    )
    measured.append({"dut_field": "characterization.model.QB4.t1_time", "value": 1.0, "invalid": True})
    measured.append({"dut_field": "characterization.model.QB4.t2_time", "value": "unknown", "invalid": False})
    return Facts(
        name="garnet",
        health={"healthy": True},
        limits={"max_shots_per_circuit": 20_000, "max_executions_per_job": 15_000},
        queue={"queue_length": 7, "available": [{"start": "2026-01-01T11:00:00Z", "end": "2026-01-01T13:00:00Z"}]},
        gates={
            "calibration_set_id": "cal-1",
            "qubits": ["QB4", "QB1", "QB3"],
            "computational_resonators": [],
            "gates": gates,
        },
        metrics={"created_timestamp": "2026-01-01T10:00:00Z", "observations": measured},
        settings={
            "observations": observations(
                **{
                    "gates.prx.usual.QB1.duration": 2e-8,
                    "gates.cz.other.QB1__QB3.duration": 4e-8,
                    "gates.measure.usual.QB1.duration": 1.5e-6,
                }
            )
        },
    )


def test_metrics_are_the_calibration() -> None:
    device = described(facts(), NOON)
    assert (device.online, device.reason, device.queue_length, device.max_shots) == (True, "", 7, 15_000)
    own = device.calibration
    assert isinstance(own, Calibration)
    assert (own.measured_at, own.source, device.num_qubits) == (NOON - 7200, "IQM, calibration set cal-1", 4)
    assert own.qubits == (
        Qubit(t1=4e-5, t2=9e-6, read_1_as_0=0.04, read_0_as_1=0.02, readout_seconds=1.5e-6),
        Qubit(),
        Qubit(read_1_as_0=0.04, read_0_as_1=0.04),
        Qubit(),
    )
    assert own.gate("rx", (0,)) == Gate("rx", (0,), 0.001, 2e-8)
    assert own.gate("rx", (2,)) == Gate("rx", (2,), 0.002, None)
    assert own.gate("rx", (3,)) == Gate("rx", (3,), None, None)
    assert own.gate("rz", (0,)) == Gate("rz", (0,), 0.0, 0.0)
    # The implementation that runs there, in both orders.
    assert own.gate("cz", (0, 2)) == Gate("cz", (0, 2), 0.02, 4e-8)
    assert own.gate("cz", (2, 0)) == Gate("cz", (2, 0), 0.02, 4e-8)
    assert own.couplings == ((0, 2), (2, 0), (2, 3), (3, 2))
    assert own.working == frozenset((0, 2, 3))
    assert Calibration.from_dict(own.to_dict()) == own


def test_what_is_not_measured_or_not_calibrated() -> None:
    whole = facts()
    without = described(replace(whole, metrics=None), NOON).calibration
    assert without is not None
    assert {own.error for own in without.gates if own.name != "rz"} == {None}  # type: ignore[union-attr]
    # A qubit that cannot be measured now gets no circuit.
    whole.gates["gates"]["measure"]["implementations"]["usual"]["loci"] = [["QB1"], ["QB3"]]
    assert described(whole, NOON).calibration.working == frozenset((0, 2))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("change", "online", "reason", "opens"),
    [
        ({"health": {"healthy": False}}, False, "IQM says that garnet is not healthy", None),
        (
            {"queue": {"available": [{"start": "2026-01-01T15:00:00Z", "end": "2026-01-01T16:00:00Z"}]}},
            True,
            "garnet runs jobs of the queue from 2026-01-01 15:00 UTC on",
            NOON + 3 * 3600,
        ),
        ({"queue": {"available": []}}, True, "", None),
    ],
)
def test_when_it_runs_jobs(change: dict[str, Any], online: bool, reason: str, opens: float | None) -> None:
    device = described(replace(facts(), **change), NOON)
    assert (device.online, device.reason, device.available_at) == (online, reason, opens)
    if opens is not None:
        booked = described(replace(facts(), **change), NOON, in_timeslots=True)
        assert (booked.reason, booked.available_at, booked.queue_length) == ("", None, None)


def test_a_star_is_not_taken_for_a_grid() -> None:
    star = facts()
    star.gates["computational_resonators"].append("CR1")
    star.gates["gates"]["cz"]["implementations"]["usual"]["loci"].append(["QB1", "CR1"])
    device = described(star, NOON)
    assert not device.online
    assert "moves states through a resonator" in device.reason


def test_names_of_qubits() -> None:
    assert [qubit_index(qubit_name(place)) for place in (0, 53)] == [0, 53]
    for name in ("QB0", "Q1", "QB01", "QB99999", "COMP_R"):
        with pytest.raises(ValueError, match="is called"):
            qubit_index(name)
