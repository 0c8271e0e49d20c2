from __future__ import annotations

from datetime import UTC, datetime

import pytest
from qiskit import QuantumCircuit

from qonverge.circuits.mapping.mapper import Mapper
from qonverge.devices import Calibration, InvalidCalibration
from qonverge.devices.braket import from_capabilities
from tests.unit.backend.clouds import braket_documents as documents


def calibration(document: dict[str, object], name: str = "One") -> Calibration:
    found = from_capabilities(document, name)
    assert found is not None
    return found


def test_figures_of_each_qubit_and_pair() -> None:
    found = calibration(documents.iqm())
    # Its qubits are 1 to 3, and that number 0 is not there.
    assert found.num_qubits == 4
    assert found.parts == ((1, 2), (3,))
    assert found.basis_gates == ("cz", "r")
    first = found.qubit(1)
    assert (first.t1, first.t2) == (4e-5, 9e-6)
    assert (first.read_1_as_0, first.read_0_as_1) == (0.02, 0.02)
    assert [gate.error for gate in found.gates if gate.name == "r"] == [0.001, 0.002, 0.003]
    both = [found.gate("cz", pair) for pair in ((1, 2), (2, 1))]
    assert [gate and gate.error for gate in both] == [0.01, 0.01]
    unmeasured = found.gate("cz", (2, 3))
    assert unmeasured is not None
    assert not unmeasured.works
    assert found.measured_at == datetime(2026, 6, 16, 19, 28, 2, tzinfo=UTC).timestamp()
    assert Calibration.from_dict(found.to_dict()) == found


def test_means_stand_for_each_qubit_and_pair() -> None:
    found = calibration(documents.ionq())
    assert found.basis_gates == ("r", "rxx")
    assert len(found.couplings) == 12
    assert {gate.error for gate in found.gates} == {2e-4, 7e-3}
    assert {gate.seconds for gate in found.gates} == {1.3e-4, 9.7e-4}
    assert {found.qubit(index).readout_error for index in range(4)} == {0.004}
    assert found.qubit(3).readout_seconds == 1.5e-4


def test_third_version_of_the_standardized_properties() -> None:
    found = calibration(documents.aqt())
    assert [gate.error for gate in found.gates if gate.name == "r"] == [0.001, 0.002]
    assert {gate.error for gate in found.gates if gate.name == "rxx"} == {0.02}
    assert {gate.error for gate in found.gates if gate.name == "rz"} == {0.0}
    assert found.qubit(1).t1 == 1.1
    assert found.qubit(1).readout_error == 0.003
    assert found.measured_at == datetime(2026, 2, 22, 12, 29, 3, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("name", ["iqm", "ionq", "aqt"])
def test_circuits_can_be_mapped_to_it(name: str) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.crx(0.3, 0, 1)
    circuit.measure([0, 1], [0, 1])
    found = calibration(getattr(documents, name)())
    mapped = Mapper(found).map(circuit)
    assert set(mapped.circuit.count_ops()) <= {*found.basis_gates, "measure"}


def test_a_gate_with_a_direction_is_out_of_order_in_the_other_one() -> None:
    document = documents.iqm()
    document["paradigm"]["nativeGateSet"] = ["prx", "cnot"]
    (figure,) = document["standardized"]["twoQubitProperties"]["1-2"]["twoQubitGateFidelity"]
    figure |= {"gateName": "CNOT", "direction": {"control": 1, "target": 2}}
    found = calibration(document)
    assert found.couplings == ((1, 2),)


def test_what_publishes_nothing_has_no_calibration() -> None:
    assert from_capabilities(documents.sv1(), "SV1") is None


def test_other_forms_are_refused() -> None:
    document = documents.iqm()
    document["standardized"]["oneQubitProperties"]["1"]["T1"]["unit"] = "fortnights"
    with pytest.raises(InvalidCalibration, match="fortnights"):
        from_capabilities(document, "One")
