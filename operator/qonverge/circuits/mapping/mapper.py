"""Bringing circuits onto a device: in its gates, where a layout says or else where they lie best.

Engines and forecasts use the same, so that what runs is what was forecast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qiskit import QuantumCircuit
from qiskit.transpiler import Target, generate_preset_pass_manager

from qonverge.circuits.analysis.analysis import analyse
from qonverge.circuits.analysis.delays import in_seconds
from qonverge.circuits.analysis.wiring import compact, operations, pairs_of, rewired, used_qubits
from qonverge.circuits.errors import InvalidProgram, Unmapped
from qonverge.circuits.mapping.target import basis_target, device_target, leaves_loops
from qonverge.devices import Calibration, Layout
from qonverge.devices.layout import misfit, too_large
from qonverge.devices.noise import Noise

_LEVEL = 2
# From level 2 on blocks of gates are made anew, and a Clifford circuit would get gates that are none. What is laid out
# already is only translated.
_PLAIN_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Mapped:
    """A circuit on a device."""

    circuit: QuantumCircuit
    """In the device's gates, with a qubit for each of the device's, or of the program's where any are coupled."""
    start: tuple[int, ...]
    """For each qubit of the program the device's qubit on which it begins; empty where any are coupled."""
    end: tuple[int, ...]
    """And on which it ends; where any are coupled, its own number."""


class Mapper:
    """Maps circuits to one device."""

    def __init__(self, noise: Noise, *, clifford: bool = False, keep_layouts: bool = False, seed: int = 0) -> None:
        """Lay the device out.

        Args:
            noise: the device.
            clifford: whether every circuit is to keep Clifford gates as such; else those of Clifford gates only.
            keep_layouts: whether circuits without a layout have the trivial one.
            seed: of the search for places: the same circuit finds the same ones.
        """
        self._noise = noise
        self._clifford = clifford
        self._keep = keep_layouts
        self._seed = seed
        self._targets: dict[tuple[tuple[int, ...], bool], Target] = {}

    def map(self, circuit: QuantumCircuit, layout: Layout | None = None) -> Mapped:
        """Return the circuit in the device's gates.

        Without a layout, a circuit that was transpiled to all qubits of a device (``circuit.layout``), or that is as
        wide as the device and keeps to its gates and couplings, lies on the qubits of the same numbers. Any other is
        transpiled to the best places that are found.

        Raises:
            Unmapped: it cannot be; the message says why.
        """
        device = self._noise
        try:
            circuit = in_seconds(circuit, device.dt)
        except InvalidProgram as error:
            raise Unmapped(str(error)) from None
        if not isinstance(device, Calibration):
            return self._anywhere(circuit)
        if circuit.num_qubits > device.num_qubits:
            raise Unmapped(f"the circuit has {circuit.num_qubits} qubits and {device.name} has {device.num_qubits}")
        layout = layout or self._own_layout(circuit, device)
        if layout is None:
            return self._optimized(circuit, device)
        if len(layout.qubits) != circuit.num_qubits:
            raise Unmapped(f"its layout has {len(layout.qubits)} qubits and the circuit {circuit.num_qubits}")
        used = used_qubits(circuit)
        found = misfit(layout, used, pairs_of(circuit), device)
        if found is not None:
            raise Unmapped(f"it cannot be laid out as given: {found.reason}")
        if not layout.routing:
            wide = rewired(circuit, layout.qubits, device.num_qubits)
            if self._at_home(wide):
                return Mapped(wide, layout.qubits, layout.qubits)
        touched = {layout.qubits[qubit] for qubit in used}
        members = sorted(qubit for part in device.parts if not touched.isdisjoint(part) for qubit in part)
        return self._transpiled(circuit, tuple(members), layout)

    def _own_layout(self, circuit: QuantumCircuit, device: Calibration) -> Layout | None:
        whole = circuit.num_qubits == device.num_qubits
        if whole and (circuit.layout is not None or self._at_home(circuit)):
            return Layout.trivial(device.num_qubits, routing=False)
        return Layout.trivial(circuit.num_qubits) if self._keep else None

    def _at_home(self, circuit: QuantumCircuit) -> bool:
        """Whether a circuit as wide as the device keeps to its gates and couplings."""
        target = self._target(tuple(range(circuit.num_qubits)))
        used = set(operations(circuit, range(circuit.num_qubits)))
        return all(target.instruction_supported(name, qubits) for name, qubits in used)

    def _anywhere(self, circuit: QuantumCircuit) -> Mapped:
        """Map to a device whose qubits are all coupled and alike."""
        places = tuple(range(circuit.num_qubits))
        basis = self._noise.basis_gates
        if not {name for name, _ in operations(circuit, places)} <= {*basis, "measure"}:
            circuit = self._run(circuit, target=basis_target(basis))
        return Mapped(circuit, (), places)

    def _optimized(self, circuit: QuantumCircuit, device: Calibration) -> Mapped:
        used = used_qubits(circuit)
        if (problem := too_large(len(used), pairs_of(circuit), device)) is not None:
            raise Unmapped(problem)
        parts = device.parts
        # What is wider than the largest part has parts of its own, which the transpiler shares out.
        members = parts[0] if len(used) <= len(parts[0]) else tuple(sorted(device.working))
        return self._transpiled(circuit, members, None)

    def _transpiled(self, circuit: QuantumCircuit, members: tuple[int, ...], layout: Layout | None) -> Mapped:
        """Map to these qubits of the device alone."""
        own, used = compact(circuit)
        inner = {qubit: place for place, qubit in enumerate(members)}
        begin = None if layout is None else [inner[layout.qubits[qubit]] for qubit in used]
        target = self._target(members, leaving=leaves_loops(own))
        if begin is None:
            own = self._run(own, target=target)
        elif layout is not None and layout.routing:
            own = self._run(own, target=target, initial_layout=begin)
        else:
            own = self._translated(rewired(own, begin, len(members)), target, members)
        found = own.layout
        if found is not None:
            first, last = (_indices(found, own, ends=ends) for ends in (False, True))
        else:
            first = last = begin or list(range(len(used)))
        moved = {members[a]: members[b] for a, b in zip(first, last, strict=True)}
        start = dict(zip(used, (members[place] for place in first), strict=False))
        self._place_idle(circuit, start, layout)
        places = tuple(start[qubit] for qubit in range(circuit.num_qubits))
        wide = rewired(own, members[: own.num_qubits], self._noise.num_qubits or own.num_qubits)
        return Mapped(wide, places, tuple(moved.get(place, place) for place in places))

    def _place_idle(self, circuit: QuantumCircuit, start: dict[int, int], layout: Layout | None) -> None:
        """Give a place to qubits that nothing acts on: any that is left, where the layout names none."""
        taken = set(start.values())
        left = (qubit for qubit in range(self._noise.num_qubits or 0) if qubit not in taken)
        for qubit in range(circuit.num_qubits):
            if qubit not in start:
                start[qubit] = next(left) if layout is None else layout.qubits[qubit]

    def _target(self, members: tuple[int, ...], *, leaving: bool = False) -> Target:
        if (members, leaving) not in self._targets:
            assert isinstance(self._noise, Calibration)
            target = device_target(self._noise, control_flow=True, leaving=leaving, members=members)
            self._targets[members, leaving] = target
        return self._targets[members, leaving]

    def _run(self, circuit: QuantumCircuit, **there: Any) -> QuantumCircuit:
        clifford = self._clifford or analyse(circuit).clifford
        manager = generate_preset_pass_manager(_LEVEL, seed_transpiler=self._seed, **there)
        if clifford:
            # The same places, but no blocks of gates anew.
            plain = generate_preset_pass_manager(_PLAIN_LEVEL, seed_transpiler=self._seed, **there)
            plain.layout, plain.routing = manager.layout, manager.routing
            manager = plain
        return self._through(manager, circuit)

    def _translated(self, circuit: QuantumCircuit, target: Target, members: Sequence[int]) -> QuantumCircuit:
        manager = generate_preset_pass_manager(_PLAIN_LEVEL, seed_transpiler=self._seed, target=target)
        manager.layout = manager.routing = None
        found = self._through(manager, circuit)
        for name, qubits in operations(found, range(found.num_qubits)):
            if not target.instruction_supported(name, qubits):
                there = " and ".join(str(members[qubit]) for qubit in qubits)
                raise Unmapped(f"it cannot be laid out as given: {self._noise.name} has no {name} on {there}")
        return found

    def _through(self, manager: Any, circuit: QuantumCircuit) -> QuantumCircuit:
        try:
            found: QuantumCircuit = manager.run(circuit)
        except Exception as error:  # the transpiler's plugins raise errors of every kind
            text = str(error).strip("'\"") or type(error).__name__
            raise Unmapped(f"it cannot be translated for {self._noise.name}: {text}") from None
        return found


def _indices(layout: Any, circuit: QuantumCircuit, *, ends: bool) -> list[int]:
    """Return the places of all qubits of a transpiled circuit, the program's first and then its ancillas."""
    of = layout.final_index_layout if ends else layout.initial_index_layout
    return [int(place) for place in of(filter_ancillas=False)][: circuit.num_qubits]
