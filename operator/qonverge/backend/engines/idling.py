"""When qubits wait: each operation as late as what follows it allows, so that qubits leave their ground state late."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, Operation
from qiskit.circuit.library import IGate

from qonverge.backend.engines.noise import Idle
from qonverge.circuits.analysis.delays import has_delays

# Shorter gaps are rounding.
_LEAST_SECONDS = 1e-13


def with_delays(circuit: QuantumCircuit) -> tuple[QuantumCircuit, tuple[Idle, ...]]:
    """Return a circuit with control flow with a labelled ``id`` for each ``delay``.

    Other waits are not known: how long a branch or a loop takes differs from run to run.
    """
    labels: dict[tuple[int, float], str] = {}
    waiting = _labelled(circuit, list(range(circuit.num_qubits)), labels)
    return waiting, tuple((label, qubit, time) for (qubit, time), label in labels.items())


def _labelled(circuit: QuantumCircuit, places: Sequence[int], labels: dict[tuple[int, float], str]) -> QuantumCircuit:
    if not has_delays(circuit):
        return circuit
    index = dict(zip(circuit.qubits, places, strict=True))
    made = circuit.copy_empty_like()
    for item in circuit.data:
        operation: Operation = item.operation
        own = [index[qubit] for qubit in item.qubits]
        if operation.name == "delay":
            operation = IGate(label=_label(labels, own[0], float(operation.duration)))
        elif blocks := getattr(operation, "blocks", ()):
            operation = operation.replace_blocks([_labelled(block, own, labels) for block in blocks])
        made.append(item.replace(operation=operation), copy=False)
    return made


def _label(labels: dict[tuple[int, float], str], qubit: int, time: float) -> str:
    # Rounded, so that waits of the same length share their error.
    return labels.setdefault((qubit, float(f"{time:.6g}")), f"idle{len(labels)}")


def with_idles(
    circuit: QuantumCircuit, seconds: Callable[[str, tuple[int, ...]], float]
) -> tuple[QuantumCircuit, tuple[Idle, ...]]:
    """Return the circuit with a labelled ``id`` wherever a qubit waits between two operations, or by a ``delay``.

    Args:
        circuit: without control flow, its delays in seconds.
        seconds: how long an operation takes, by its name and qubits.
    """
    index = {qubit: place for place, qubit in enumerate(circuit.qubits)}
    # From the end backwards: time from the beginning of what follows on each qubit to the end of the circuit.
    following = [0.0] * circuit.num_qubits
    # Waits that nothing follows, by qubit: after a measurement they have no effect.
    last: dict[int, list[int]] = {place: [] for place in range(circuit.num_qubits)}
    labels: dict[tuple[int, float], str] = {}
    items: list[CircuitInstruction | None] = []

    def wait(qubit: int, time: float) -> None:
        if time > _LEAST_SECONDS:
            label = _label(labels, qubit, time)
            if qubit in last:
                last[qubit].append(len(items))
            items.append(CircuitInstruction(IGate(label=label), (circuit.qubits[qubit],), ()))

    for item in reversed(circuit.data):
        name, places = item.operation.name, tuple(index[qubit] for qubit in item.qubits)
        end = max((following[place] for place in places), default=0.0)
        for place in places:
            wait(place, end - following[place])
        taken = 0.0
        if name == "delay":
            taken = float(item.operation.duration)
            wait(places[0], taken)
        else:
            items.append(item)
            taken = 0.0 if name == "barrier" else seconds(name, places)
        for place in places:
            following[place] = end + taken
            if name not in ("barrier", "delay"):
                for dropped in last.pop(place, ()) if name == "measure" else ():
                    items[dropped] = None
                last.pop(place, None)
    names = set(labels.values())
    waiting, touched = circuit.copy_empty_like(), set()
    for item in reversed(items):
        if item is None or (item.operation.label in names and item.qubits[0] not in touched):
            continue  # in the ground state a qubit may wait as long as it likes
        if item.operation.name != "barrier":
            touched.update(item.qubits)
        waiting.append(item)
    return waiting, tuple((label, qubit, time) for (qubit, time), label in labels.items())
