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

from qonverge.backend.engines.drawing import Drawable
from qonverge.backend.engines.idling import with_delays, with_idles
from qonverge.backend.engines.noise import Errors, Idle, fits_stabilizers
from qonverge.circuits.analysis.analysis import Analysis, analyse
from qonverge.circuits.analysis.delays import has_free_delays
from qonverge.circuits.analysis.wiring import compact
from qonverge.circuits.errors import Unmapped
from qonverge.circuits.mapping.mapper import Mapped, Mapper
from qonverge.circuits.mapping.target import CONTROL_FLOW
from qonverge.devices import Layout
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
class Unscheduled:
    """A circuit in a device's gates, on the qubits that it uses, before it is known when they wait."""

    circuit: QuantumCircuit
    """Its delays are in seconds."""
    places: tuple[int, ...]
    """Which qubit of the device each of its qubits is."""
    mapped: Mapped
    """Where the program's qubits are."""

    def bound(self, parameters: Mapping[str, NDArray[np.float64]]) -> Unscheduled:
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
        self, circuit: QuantumCircuit, places: Sequence[int], mapped: Mapped, errors: Errors, idles: Sequence[Idle]
    ) -> None:
        """Take the circuit, which qubit of the device each of its qubits is, and where the program's are."""
        self.circuit = circuit
        self.places = tuple(places)
        self.mapped = mapped
        self.layout = mapped.start
        self.homes = mapped.end
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
        self._measured[basis] = Placed(circuit, places, self.mapped, self._errors, self._idles)
        if len(self._measured) > _KEPT_BASES:
            self._measured.popitem(last=False)
        return self._measured[basis]


class Placer:
    """Puts circuits onto a device."""

    def __init__(self, noise: Noise, *, clifford: bool = False, keep_layouts: bool = False) -> None:
        """Lay the device out once; the rest is for ``Mapper``."""
        self._noise = noise
        self._errors = Errors(noise)
        self._mapper = Mapper(noise, clifford=clifford, keep_layouts=keep_layouts)

    def place(self, circuit: QuantumCircuit, layout: Layout | None = None) -> Unscheduled:
        """Return the circuit in the device's gates, where ``Mapper`` puts it: in every worker at the same places.

        Raises:
            CircuitTooLarge: the device has fewer qubits.
            InvalidCircuit: it cannot be translated, not be laid out as given, or has a delay of unknown length.
        """
        size = self._noise.num_qubits
        if size is not None and circuit.num_qubits > size:
            raise CircuitTooLarge(
                f"the circuit has {circuit.num_qubits} qubits and the device {self._noise.name} has {size}"
            )
        try:
            mapped = self._mapper.map(circuit, layout)
        except Unmapped as error:
            raise InvalidCircuit(f"the circuit does not run on {self._noise.name}: {error}") from None
        own, places = compact(mapped.circuit)
        own = _without_labels(own)
        # No counts and no values depend on it.
        own.global_phase = 0
        return Unscheduled(own, places, mapped)

    def scheduled(self, placed: Unscheduled) -> Placed:
        """Return a circuit whose delays all have values with what its qubits suffer while they wait."""
        circuit, places = placed.circuit, placed.places
        idles: tuple[Idle, ...] = ()
        if any(item.operation.name in CONTROL_FLOW for item in circuit.data):
            circuit, idles = with_delays(circuit)
        elif self._errors.relaxes:
            circuit, idles = with_idles(
                circuit, lambda name, qubits: self._errors.seconds(name, tuple(places[qubit] for qubit in qubits))
            )
        return Placed(circuit, places, placed.mapped, self._errors, idles)


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
