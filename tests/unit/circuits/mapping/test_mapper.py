"""Circuits on devices: dead parts are gone around, and layouts are kept."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.quantum_info import Statevector

from qonverge.circuits.analysis.canonical import canonical
from qonverge.circuits.analysis.wiring import compact, operations, pairs_of
from qonverge.circuits.errors import Unmapped
from qonverge.circuits.mapping.mapper import Mapped, Mapper
from qonverge.circuits.mapping.target import device_target
from qonverge.devices import Calibration, Gate, Layout, Qubit, Rates, snapshots


def ghz(n: int) -> QuantumCircuit:
    circuit = QuantumCircuit(n, n)
    circuit.h(0)
    for qubit in range(n - 1):
        circuit.cx(qubit, qubit + 1)
    circuit.rx(0.3, 0)
    circuit.measure(range(n), range(n))
    return circuit


def street(errors: dict[tuple[int, int], float], size: int, broken: tuple[int, ...] = ()) -> Calibration:
    """Qubits in a row with sx and rz, and with these couplings, which work both ways."""
    gates = [Gate("cx", pair, error) for a, b in errors for pair in ((a, b), (b, a)) for error in [errors[a, b]]]
    gates += [Gate("sx", (q,), 1.0 if q in broken else 1e-4) for q in range(size)]
    gates += [Gate("rz", (q,), 0.0) for q in range(size)]
    return Calibration("street", (Qubit(read_1_as_0=0.01, read_0_as_1=0.01),) * size, tuple(gates))


def row(size: int, error: float = 0.01) -> Calibration:
    return street({(q, q + 1): error for q in range(size - 1)}, size)


def supported(mapped: Mapped, device: Calibration) -> bool:
    target = device_target(device, control_flow=True)
    used = operations(mapped.circuit, range(device.num_qubits))
    return all(target.instruction_supported(name, qubits) for name, qubits in used)


def state_of_program(mapped: Mapped, count: int) -> Statevector:
    """Return the final state of the program's qubits, which is pure: all others are in 0."""
    own, places = compact(mapped.circuit.remove_final_measurements(inplace=False))
    amplitudes = np.asarray(Statevector(own).data)
    found = np.zeros(2**count, dtype=complex)
    for index, amplitude in enumerate(amplitudes):
        ones = {place for bit, place in enumerate(places) if index >> bit & 1}
        if ones <= set(mapped.end):
            found[sum(1 << k for k, place in enumerate(mapped.end) if place in ones)] += amplitude
    return Statevector(found)


def same(mapped: Mapped, circuit: QuantumCircuit) -> bool:
    wanted = Statevector(circuit.remove_final_measurements(inplace=False))
    return bool(abs(wanted.inner(state_of_program(mapped, circuit.num_qubits))) ** 2 > 1 - 1e-9)


# On all of these Qiskit's own choice of places may take a qubit or a coupling that is out of order.
@pytest.mark.parametrize("name", ["torino", "manhattan", "cambridge", "kingston", "cusco"])
@pytest.mark.parametrize("width", [2, 5, 12])
def test_dead_parts_do_not_stop_mapping(name: str, width: int) -> None:
    device = snapshots.load(name)
    mapped = Mapper(device).map(ghz(width))
    assert supported(mapped, device)
    assert set(mapped.start) | set(mapped.end) <= set(device.parts[0])


def test_a_circuit_goes_where_there_is_room() -> None:
    # Three qubits, a gap, four qubits of which the middle coupling is worse than those of the three.
    device = street({(0, 1): 0.001, (1, 2): 0.001, (2, 3): 1.0, (3, 4): 0.02, (4, 5): 0.03, (5, 6): 0.02}, 7)
    assert set(Mapper(device).map(ghz(4)).start) == {3, 4, 5, 6}
    with pytest.raises(Unmapped, match="street has 4 qubits that work and are connected; the circuit needs 5"):
        Mapper(device).map(ghz(5))


def test_parts_of_a_circuit_may_lie_on_parts_of_a_device() -> None:
    device = street({(0, 1): 0.01, (1, 2): 0.01, (3, 4): 0.01}, 5)
    circuit = QuantumCircuit(5, 5)
    for a, b in ((0, 1), (2, 3), (3, 4)):
        circuit.h(a)
        circuit.cx(a, b)
    circuit.measure(range(5), range(5))
    mapped = Mapper(device).map(circuit)
    assert supported(mapped, device)
    assert {mapped.start[0], mapped.start[1]} == {3, 4}
    assert same(mapped, circuit)
    with pytest.raises(Unmapped, match="street has 4 qubits that work; the circuit needs 5"):
        Mapper(street({(0, 1): 0.01, (1, 2): 0.01, (3, 4): 0.01}, 5, broken=(4,))).map(circuit)


def test_qubits_that_nothing_acts_on_need_no_place_that_works() -> None:
    circuit = QuantumCircuit(5, 2)
    circuit.h(1)
    circuit.cx(1, 3)
    circuit.measure([1, 3], [0, 1])
    device = street({(0, 1): 0.01, (1, 2): 1.0, (3, 4): 1.0}, 5, broken=(4,))
    mapped = Mapper(device).map(circuit)
    assert {mapped.start[1], mapped.start[3]} == {0, 1}
    assert sorted(mapped.end) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("places", [(0, 1, 2), (2, 1, 0), (5, 4, 3), (3, 4, 5)])
@pytest.mark.parametrize("routing", [True, False])
def test_a_layout_that_needs_no_routing_is_kept(places: tuple[int, ...], routing: bool) -> None:
    # The mapper's own choice would be elsewhere: these are the worst.
    device = street({(q, q + 1): 0.001 if q == 6 else 0.05 for q in range(8)}, 9)
    mapped = Mapper(device).map(ghz(3), Layout(places, routing))
    assert mapped.start == mapped.end == places
    assert supported(mapped, device)
    assert same(mapped, ghz(3))


def test_a_layout_is_routed_from_where_it_begins() -> None:
    device = row(6)
    mapped = Mapper(device).map(ghz(3), Layout((0, 5, 2)))
    assert mapped.start == (0, 5, 2)
    assert mapped.end != mapped.start
    assert supported(mapped, device)
    assert same(mapped, ghz(3))
    # As Qiskit itself does it.
    theirs = transpile(ghz(3), target=device_target(device), initial_layout=[0, 5, 2], seed_transpiler=0)
    assert theirs.layout.initial_index_layout(filter_ancillas=True) == [0, 5, 2]


def test_an_idle_qubit_that_routing_passes_is_known() -> None:
    """It lies between the two that meet, so that a SWAP moves it."""
    circuit = QuantumCircuit(3)
    circuit.x(0)
    circuit.cx(0, 2)
    mapped = Mapper(row(3)).map(circuit, Layout((0, 1, 2)))
    assert mapped.start == (0, 1, 2)
    assert sorted(mapped.end) == [0, 1, 2]
    assert same(mapped, circuit)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (Layout((0, 2), routing=False), "qubits 0 and 2 are not coupled on street"),
        (Layout((0, 9)), "street has no qubit 9: it has 6"),
        (Layout((0, 1, 2)), "its layout has 3 qubits and the circuit 2"),
    ],
)
def test_a_layout_that_does_not_fit_is_refused(layout: Layout, message: str) -> None:
    with pytest.raises(Unmapped, match=message):
        Mapper(row(6)).map(ghz(2), layout)


def test_without_routing_wide_gates_need_all_their_couplings() -> None:
    circuit = QuantumCircuit(3)
    circuit.ccx(0, 1, 2)
    assert pairs_of(circuit) == {(0, 1), (0, 2), (1, 2)}
    with pytest.raises(Unmapped, match="qubits 0 and 2 are not coupled on street"):
        Mapper(row(3)).map(circuit, Layout((0, 1, 2), routing=False))
    triangle = street({(0, 1): 0.01, (1, 2): 0.01, (0, 2): 0.01}, 3)
    assert Mapper(triangle).map(circuit, Layout((1, 2, 0), routing=False)).end == (1, 2, 0)


def test_without_routing_a_swap_is_made_where_it_stands() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.swap(0, 1)
    circuit.measure([0, 1], [0, 1])
    mapped = Mapper(row(4)).map(circuit, Layout((2, 1), routing=False))
    assert mapped.end == (2, 1)
    assert [name for name, _ in operations(mapped.circuit, range(4))].count("cx") == 3
    assert same(mapped, circuit)


def test_gates_inside_of_control_flow_need_their_couplings_too() -> None:
    circuit = QuantumCircuit(3, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.cx(0, 2)
    assert pairs_of(circuit) == {(0, 2)}
    with pytest.raises(Unmapped, match="qubits 0 and 2 are not coupled"):
        Mapper(row(3)).map(circuit, Layout((0, 1, 2), routing=False))
    mapped = Mapper(row(3)).map(circuit, Layout((0, 2, 1), routing=False))
    assert ("cx", (0, 1)) in set(operations(mapped.circuit, range(3)))


def test_a_circuit_transpiled_to_the_device_stays() -> None:
    device = row(6)
    there = transpile(ghz(3), target=device_target(device), initial_layout=[4, 3, 2], optimization_level=0)
    mapped = Mapper(device).map(canonical(there))
    assert mapped.start == tuple(range(6))
    assert set(operations(mapped.circuit, range(6))) == set(operations(there, range(6)))
    # Nor does it move in silence when a coupling goes out of order.
    with pytest.raises(Unmapped, match="the coupling of qubits 2 and 3 of street is out of order"):
        Mapper(street({(q, q + 1): 1.0 if q == 2 else 0.01 for q in range(5)}, 6)).map(canonical(there))


def test_a_backend_may_keep_layouts() -> None:
    device = street({(0, 1): 0.2, (1, 2): 0.2, (2, 3): 0.001, (3, 4): 0.001}, 5)
    assert Mapper(device).map(ghz(3)).start != (0, 1, 2)
    assert Mapper(device, keep_layouts=True).map(ghz(3)).start == (0, 1, 2)
    assert Mapper(device, keep_layouts=True).map(ghz(3), Layout((4, 3, 2))).start == (4, 3, 2)


def test_a_device_of_rates_has_no_places() -> None:
    for layout in (None, Layout((3, 1)), Layout((0, 7), routing=False)):
        mapped = Mapper(Rates(two_qubit=0.01)).map(ghz(2), layout)
        assert (mapped.start, mapped.end) == ((), (0, 1))
