"""Against what cirq-google reads of the same documents, and the properties that it makes noise of."""

from __future__ import annotations

import statistics

import cirq
import pytest
from cirq_google.engine import virtual_engine_factory
from qiskit import QuantumCircuit

from qonverge.circuits.mapping.mapper import Mapper
from qonverge.devices import Calibration, InvalidCalibration, snapshots
from qonverge.devices.google import from_specification
from qonverge_dev_cloud.google.snapshots import published
from tests.unit.backend.clouds.google_documents import calibration, documents

PROCESSORS = ("willow_pink", "weber", "rainbow")


@pytest.mark.parametrize("processor", PROCESSORS)
def test_qubits_and_couplings_are_those_that_cirq_reads(processor: str) -> None:
    device = virtual_engine_factory.create_device_from_processor_id(processor)
    found = calibration(processor)
    qubits = sorted(device.metadata.qubit_set)
    assert found.labels == tuple(f"{qubit.row}_{qubit.col}" for qubit in qubits)
    index = {qubit: number for number, qubit in enumerate(qubits)}
    pairs = {(index[a], index[b]) for a, b in device.metadata.nx_graph.edges}
    assert set(found.couplings) == pairs | {(b, a) for a, b in pairs}
    assert found.measured_at == virtual_engine_factory.load_median_device_calibration(processor).timestamp / 1000


@pytest.mark.parametrize("processor", PROCESSORS)
def test_figures_are_those_that_cirq_s_noise_has(processor: str) -> None:
    noise = virtual_engine_factory.load_device_noise_properties(processor)
    found = calibration(processor)
    alone = next(iter(noise.gate_pauli_errors))
    assert alone.gate_type is not None
    for number, label in enumerate(found.labels):
        qubit = cirq.GridQubit(*map(int, label.split("_")))
        own = found.qubit(number)
        assert own.t1 == pytest.approx(noise.t1_ns[qubit] * 1e-9, rel=1e-4)
        rate = 1 / (2 * noise.t1_ns[qubit]) + 1 / noise.tphi_ns[qubit]
        assert own.t2 == pytest.approx(1e-9 / rate, rel=1e-3)
        pulse = found.gate("rx", (number,))
        assert pulse is not None
        identity = cirq.devices.noise_utils.OpIdentifier(cirq.PhasedXZGate, qubit)
        assert pulse.error == pytest.approx(noise.gate_pauli_errors[identity] * 2 / 3, rel=1e-4)


@pytest.mark.parametrize("processor", PROCESSORS)
def test_the_snapshot_is_what_is_published(processor: str) -> None:
    """Where this fails after an update of cirq-google: ``make snapshots``."""
    snapshot = snapshots.load(processor)
    assert snapshot == published(processor)
    assert snapshot.source.startswith("cirq-google ")
    found = calibration(processor)
    assert (snapshot.labels, snapshot.gates, snapshot.measured_at) == (found.labels, found.gates, found.measured_at)
    # Of the older processors the specification has 4 ms, and cirq-google's own noise this.
    seconds = virtual_engine_factory.load_device_noise_properties(processor).gate_times_ns[cirq.MeasurementGate] * 1e-9
    assert [qubit.readout_seconds for qubit in snapshot.qubits] == pytest.approx([seconds] * snapshot.num_qubits)


def test_errors_of_pairs_and_of_readout() -> None:
    """Figures of the published file, by hand: 0.0032574 is a Pauli error, and 4/5 of it an average infidelity."""
    willow = calibration("willow_pink")
    one, other = willow.labels.index("0_6"), willow.labels.index("0_7")
    both = [willow.gate("cz", pair) for pair in ((one, other), (other, one))]
    assert [(gate and gate.error, gate and gate.seconds) for gate in both] == [(0.0026059, 4.2e-8)] * 2
    assert willow.misreading(one) == (0.0082189, 0.0037919)
    assert willow.basis_gates == ("cz", "rx", "rz")


def test_a_cz_that_is_made_of_two_roots_of_iswap() -> None:
    weber = calibration("weber")
    one, other = weber.labels.index("1_5"), weber.labels.index("1_6")
    root, cz, pulse = weber.gate("sqrt_iswap", (one, other)), weber.gate("cz", (one, other)), weber.gate("rx", (one,))
    assert root and cz and pulse and pulse.error is not None
    # What was measured while other pairs were busy comes first.
    assert root.error == pytest.approx(0.02814842798978246 * 4 / 5, rel=1e-4)
    assert cz.error == pytest.approx(2 * 0.02814842798978246 * 4 / 5 + pulse.error, rel=1e-4)
    assert cz.seconds == pytest.approx(2 * 32e-9 + 25e-9)
    assert statistics.median(gate.error or 0 for gate in weber.gates if gate.name == "sqrt_iswap") < 0.02


def test_it_travels_and_circuits_are_mapped_to_it() -> None:
    found = calibration("willow_pink")
    again = Calibration.from_dict(found.to_dict())
    assert again == found
    # Names say nothing of how good a device is.
    assert Calibration.from_dict({**found.to_dict(), "labels": None}).digest == found.digest
    circuit = QuantumCircuit(3, 3)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(0, 2)
    circuit.measure(range(3), range(3))
    mapped = Mapper(found).map(circuit).circuit
    assert set(mapped.count_ops()) <= {"cz", "rx", "rz", "measure"}
    assert all(
        tuple(mapped.find_bit(q).index for q in item.qubits) in found.coupled
        for item in mapped.data
        if item.name == "cz"
    )


def test_what_was_not_measured_is_not_known() -> None:
    found = from_specification(documents("willow_pink")[0], None, "willow_pink")
    assert found.measured_at is None
    assert {gate.error for gate in found.gates if gate.name != "rz"} == {None}
    assert found.qubit(0).t1 is None
    assert found.median_readout_error is None


@pytest.mark.parametrize(
    "change",
    [
        {"validQubits": []},
        {"validQubits": ["c_1"]},
        {"validGates": [{"syc": {}}]},
        {"validTargets": [{"targets": [{"ids": ["0_6", "99_99"]}]}]},
    ],
)
def test_what_is_no_specification(change: dict[str, object]) -> None:
    with pytest.raises(InvalidCalibration, match="no specification of a processor"):
        from_specification({**documents("willow_pink")[0], **change}, None, "one")


def test_labels_have_to_be_one_for_each_qubit() -> None:
    data = calibration("rainbow").to_dict()
    for labels, words in ((["a"] * 23, "1 different texts"), ("3_2", "a list of texts"), (["a"], "of the 23 qubits")):
        with pytest.raises(InvalidCalibration, match=words):
            Calibration.from_dict({**data, "labels": labels})
