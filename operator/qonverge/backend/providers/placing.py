"""A program's circuit on a noisy device: in its gates, at its places, on no more qubits than it uses."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import ClassicalRegister, Operation, Qubit
from qiskit.circuit.exceptions import CircuitError
from qiskit_aer.noise import NoiseModel

from qonverge.backend.providers.drawing import Drawable
from qonverge.backend.providers.idling import with_delays, with_idles
from qonverge.backend.providers.noise import Errors, Idle, fits_stabilizers, operations
from qonverge.circuits.analysis import Analysis, analyse
from qonverge.circuits.delays import has_free_delays, in_seconds
from qonverge.circuits.errors import InvalidProgram
from qonverge.circuits.mapping import transpiled
from qonverge.circuits.target import CONTROL_FLOW, basis_target, device_target, leaves_loops
from qonverge.devices import Calibration
from qonverge.devices.noise import Noise
from qonverge.wire.errors import CircuitTooLarge, InvalidCircuit, InvalidTask
from qonverge.wire.messages import Observable

# Measurement bases that are kept of each circuit.
_KEPT_BASES = 64


@dataclass(frozen=True, slots=True)
class Sampled:
    """What gives counts: probabilities to draw from, else runs with errors."""

    circuit: QuantumCircuit
    drawable: Drawable | None = None
    model: NoiseModel | None = None


@dataclass(frozen=True, slots=True)
class Mapped:
    """A circuit in a device's gates, on the qubits that it uses, before it is known when they wait."""

    circuit: QuantumCircuit
    """Its delays are in seconds."""
    places: tuple[int, ...]
    """Which qubit of the device each of its qubits is."""
    homes: tuple[int, ...]
    """Where the program's qubits are at the end."""

    def bound(self, parameters: Mapping[str, NDArray[np.float64]]) -> Mapped:
        """Return it with the first of these values.

        Raises:
            InvalidTask: a delay gets a time that is none.
        """
        # A parameter that has no effect is gone from a circuit that was transpiled.
        there = {parameter.name for parameter in self.circuit.parameters}
        values = {name: float(own[0]) for name, own in parameters.items() if name in there}
        try:
            circuit = self.circuit.assign_parameters(values)
            has_free_delays(circuit)  # Qiskit looks at a delay's time when it is asked for
            return replace(self, circuit=circuit)
        except CircuitError as error:
            given = ", ".join(f"{name} = {value:g}" for name, value in sorted(values.items()))
            raise InvalidTask(f"a delay gets no time of at least 0 s with {given}: {error.message}") from None


class Placed:
    """A circuit on the qubits of the device that it uses."""

    def __init__(
        self,
        circuit: QuantumCircuit,
        places: Sequence[int],
        homes: Sequence[int],
        errors: Errors,
        idles: Sequence[Idle],
    ) -> None:
        """Take the circuit, which qubit of the device each of its qubits is, and where the program's are at the end."""
        self.circuit = circuit
        self.places = tuple(places)
        self.homes = tuple(homes)
        self._errors = errors
        self._idles = idles
        self._measured: OrderedDict[str, Placed] = OrderedDict()

    @property
    def basis_gates(self) -> tuple[str, ...]:
        """The device's gates."""
        return self._errors.basis_gates

    @cached_property
    def analysis(self) -> Analysis:
        """Properties of the circuit."""
        return analyse(self.circuit, errs=True)

    @cached_property
    def model(self) -> NoiseModel:
        """Errors of the circuit, for simulations that choose among them at each shot."""
        return self._errors.model(self.circuit, self.places, self._idles)

    @cached_property
    def pauli(self) -> bool:
        """Whether all errors are random Pauli operators and resets."""
        return fits_stabilizers(self.model)

    @cached_property
    def exact(self) -> QuantumCircuit:
        """The circuit with its errors inside, for a density matrix."""
        return self._errors.with_channels(self.circuit, self.places, self._idles)

    @cached_property
    def confusions(self) -> tuple[NDArray[np.float64], ...]:
        """How the measurement of each qubit errs: rows for what is there, columns for what is read."""
        return tuple(self._errors.confusion(place) for place in self.places)

    @cached_property
    def drawable(self) -> Drawable | None:
        """What gives the probabilities of all outcomes, where nothing follows the measurements."""
        found = Drawable.of(self.circuit, self.analysis)
        if found is None:
            return None
        confusions = tuple(self.confusions[qubit] for qubit in found.qubits)
        noisy = self._errors.with_channels(found.circuit, self.places, self._idles)
        return replace(found, circuit=noisy, confusions=confusions)

    def sampled(self, method: str) -> Sampled:
        """Return what gives counts by a method of Aer: errors leave probabilities to a density matrix only."""
        if method == "density_matrix" and self.drawable is not None:
            return Sampled(self.circuit, self.drawable)
        return Sampled(self.circuit, model=self.model)

    def here(self, observable: Observable) -> list[tuple[str, float]]:
        """Return an observable of the program's qubits as one of this circuit's: a qubit that is not used is in 0."""
        index = {place: position for position, place in enumerate(self.places)}
        terms = []
        for label, weight in observable:
            letters = ["I"] * len(self.places)
            for home, letter in zip(self.homes, reversed(label), strict=True):
                if home in index:
                    letters[index[home]] = letter
                elif letter in "XY":
                    break  # of which the value is 0
            else:
                terms.append(("".join(reversed(letters)), weight))
        return terms or [("I" * len(self.places), 0.0)]

    def measured_in(self, basis: str) -> Placed:
        """Return the circuit with the program's qubits measured in a Pauli basis into fresh bits behind its own.

        Only those that the basis names are: of others nobody asks.
        """
        if basis in self._measured:
            return self._measured[basis]
        wanted = [(k, letter) for k, letter in enumerate(reversed(basis)) if letter != "I"]
        unused = dict.fromkeys(self.homes[k] for k, _ in wanted if self.homes[k] not in self.places)
        places = [*self.places, *unused]
        circuit = QuantumCircuit([Qubit() for _ in places], self.circuit.clbits)
        fresh = ClassicalRegister(len(self.homes))
        for register in (*self.circuit.cregs, fresh):
            circuit.add_register(register)
        circuit.compose(self.circuit, range(len(self.places)), self.circuit.clbits, inplace=True)
        for k, letter in wanted:
            position = places.index(self.homes[k])
            if letter != "Z":
                circuit.compose(_turned(letter, self._errors.basis_gates), [position], inplace=True)
            circuit.measure(position, fresh[k])
        self._measured[basis] = Placed(circuit, places, self.homes, self._errors, self._idles)
        if len(self._measured) > _KEPT_BASES:
            self._measured.popitem(last=False)
        return self._measured[basis]


class Placer:
    """Puts circuits onto a device."""

    def __init__(self, noise: Noise, *, clifford: bool = False) -> None:
        """Lay the device out once; ``clifford`` says that every circuit is to keep Clifford gates as such."""
        self._noise = noise
        self._clifford = clifford
        self._errors = Errors(noise)
        self._target = device_target(noise, control_flow=True) if isinstance(noise, Calibration) else None

    def place(self, circuit: QuantumCircuit) -> Mapped:
        """Return the circuit in the device's gates.

        A circuit that is as wide as the device and keeps to its gates and couplings, as one that was transpiled for
        it, stays where it is. Any other is transpiled to the best places that are found; the same circuit finds the
        same places, in every worker.

        Raises:
            CircuitTooLarge: the device has fewer qubits.
            InvalidCircuit: it cannot be translated, or has a delay of unknown length.
        """
        size = self._noise.num_qubits
        if size is not None and circuit.num_qubits > size:
            raise CircuitTooLarge(
                f"the circuit has {circuit.num_qubits} qubits and the device {self._noise.name} has {size}"
            )
        try:
            circuit = in_seconds(circuit, self._noise.dt)
        except InvalidProgram as error:
            raise InvalidCircuit(str(error)) from None
        homes = list(range(circuit.num_qubits))
        if not self._is_at_home(circuit):
            circuit = self._transpiled(circuit)
            if circuit.layout is not None:
                homes = circuit.layout.final_index_layout(filter_ancillas=True)
        compact, places = _compact(circuit)
        return Mapped(compact, places, tuple(homes))

    def scheduled(self, mapped: Mapped) -> Placed:
        """Return a circuit whose delays all have values with what its qubits suffer while they wait."""
        circuit, places = mapped.circuit, mapped.places
        idles: tuple[Idle, ...] = ()
        if any(item.operation.name in CONTROL_FLOW for item in circuit.data):
            circuit, idles = with_delays(circuit)
        elif self._errors.relaxes:
            circuit, idles = with_idles(
                circuit, lambda name, qubits: self._errors.seconds(name, tuple(places[qubit] for qubit in qubits))
            )
        return Placed(circuit, places, mapped.homes, self._errors, idles)

    def _is_at_home(self, circuit: QuantumCircuit) -> bool:
        used = set(operations(circuit, range(circuit.num_qubits)))
        if self._target is None:
            return {name for name, _ in used} <= {*self._noise.basis_gates, "measure"}
        return circuit.num_qubits == self._target.num_qubits and all(
            self._target.instruction_supported(name, qubits) for name, qubits in used
        )

    def _transpiled(self, circuit: QuantumCircuit) -> QuantumCircuit:
        clifford = self._clifford or analyse(circuit).clifford
        if not isinstance(self._noise, Calibration):
            target = basis_target(self._noise.basis_gates)
        elif leaves_loops(circuit):
            target = device_target(self._noise, control_flow=True, leaving=True)
        else:
            target = self._target
        try:
            return transpiled(circuit, clifford=clifford, target=target)
        except Exception as error:  # the transpiler's plugins raise errors of every kind
            raise InvalidCircuit(f"the circuit cannot be translated for {self._noise.name}: {error}") from None


def _compact(circuit: QuantumCircuit) -> tuple[QuantumCircuit, tuple[int, ...]]:
    """Return the circuit on the qubits that it uses, and which they were."""
    used = {qubit for item in circuit.data if item.operation.name != "barrier" for qubit in item.qubits}
    kept = [qubit for qubit in circuit.qubits if qubit in used] or circuit.qubits[:1]
    fresh = {qubit: Qubit() for qubit in kept}
    compact = QuantumCircuit(list(fresh.values()), circuit.clbits)
    for register in circuit.cregs:
        compact.add_register(register)
    for item in circuit.data:
        qubits = [fresh[qubit] for qubit in item.qubits if qubit in fresh]
        if item.operation.name == "barrier":
            compact.barrier(qubits)
        else:
            compact.append(_unlabelled(item.operation), qubits, item.clbits)
    return compact, tuple(circuit.find_bit(qubit).index for qubit in kept)


def _unlabelled(operation: Operation) -> Operation:
    """Return the operation without labels, under which Aer would look for its errors, and find none."""
    if blocks := getattr(operation, "blocks", ()):
        return operation.replace_blocks([_without_labels(block) for block in blocks])
    if getattr(operation, "label", None) is None:
        return operation
    plain = operation.to_mutable()
    plain.label = None
    return plain


def _without_labels(block: QuantumCircuit) -> QuantumCircuit:
    plain = block.copy_empty_like()
    for item in block.data:
        plain.append(item.replace(operation=_unlabelled(item.operation)))
    return plain


def _turned(letter: str, basis_gates: Sequence[str]) -> QuantumCircuit:
    """Return what turns the eigenstates of X or Y into those of Z, in the device's gates."""
    turn = QuantumCircuit(1)
    if letter == "Y":
        turn.sdg(0)
    turn.h(0)
    return transpile(turn, basis_gates=list(basis_gates), optimization_level=1)
