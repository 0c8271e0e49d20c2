"""What makes a vendor's programs of circuits, and outcomes of its answers: the other thing to write for a vendor.

A translator runs in a child process, which opens circuits that nobody trusts and has neither credentials nor a network
to use. What sends the programs is in ``clouds.protocol``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from qonverge.backend.clouds.protocol import Submission
from qonverge.devices import Layout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qiskit import QuantumCircuit

    from qonverge.wire.messages import Observable


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What a task of a cloud measured."""

    values: Sequence[int]
    """Outcomes: bit k is that of the circuit's classical bit k."""
    times: Sequence[int] | None = None
    """How often each came; None: each is one shot, in the order in which they were taken."""


@dataclass(frozen=True, slots=True)
class Estimates:
    """Expectation values that a cloud computed itself, in the order of the observables."""

    values: Sequence[float]
    errors: Sequence[float]
    """Standard errors."""
    shots: int | None = None
    """Runs of the circuit in each basis; None where the cloud does not tell."""


@dataclass(frozen=True, slots=True)
class PreparedPub:
    """A circuit that was prepared, parameter sets, and what is wanted of each, see ``wire.messages.Pub``."""

    circuit: QuantumCircuit
    """Its parameters are free."""
    parameters: Mapping[str, NDArray[np.float64]]
    """Values of each of its parameters, one for each set; of a circuit without parameters there is one set."""
    shots: int | None
    """Of each set, of observables in each basis; None: as the precision needs."""
    observables: Sequence[Observable] = ()
    """Of the qubits of the circuit that was prepared; none where the circuit measures what is wanted."""
    precision: float | None = None
    """Standard error wanted of each value; None with shots."""

    @property
    def sets(self) -> int:
        """How many parameter sets there are."""
        return next((len(values) for values in self.parameters.values()), 1)


class Preparer(Protocol):
    """What all translators have. Their classes take the ``EngineConfig``.

    The same circuit must become the same program in every process: after a restart tasks are told by what they are.
    """

    version: str
    """Name and version of what translates."""
    basis_gates: tuple[str, ...]
    """Empty: those of the device's calibration."""

    def prepare(self, circuit: QuantumCircuit, layout: Layout | None = None) -> QuantumCircuit:
        """Return the circuit in gates that the device takes, its parameters kept; the result is kept for later tasks.

        It has gates of Qiskit's library only: those that programs define stand for their definitions already. Its
        measurements are those to make, of observables too, and each writes a bit of its own. It has no more than the
        descriptor allows: where that lacks MidCircuit and ControlFlow, it measures at its end only.

        Raises:
            WireError: the device cannot run it.
        """


class Translator(Preparer, Protocol):
    """Turns circuits into a cloud's tasks, and its answers into outcomes."""

    def encode(self, circuit: QuantumCircuit, shots: int) -> Submission:
        """Return the task for a prepared circuit whose parameters are bound."""

    def decode(self, submission: Submission, answer: str) -> Outcomes:
        """Return what was measured, from what ``Cloud.result`` returned.

        The submission has its reading and shots, and no program: that is dropped as soon as the cloud has it.

        Raises:
            ValueError: the answer is not what the cloud's documentation says.
        """


@runtime_checkable
class ParametricTranslator(Translator, Protocol):
    """A translator for a cloud whose programs have inputs: a sweep is translated once.

    The circuits that ``encode`` and its like get have a parameter for each input, which is the program's by the same
    name. Their values are put into ``Submission.inputs`` afterwards.
    """

    parametric: ClassVar[Literal[True]]


@runtime_checkable
class PubTranslator(Preparer, Protocol):
    """A translator for a cloud that takes primitive unified blocs (PUBs), and estimates expectation values itself.

    Circuits with observables that measure nothing of their own go to it unmeasured. One task of the cloud has as many
    parameter sets as ``Device.max_programs`` says, of one circuit or of several.
    """

    def encode_pubs(self, pubs: Sequence[PreparedPub]) -> Submission:
        """Return the task for some pubs: all with as many shots, and all with observables or all without."""

    def decode_pubs(self, submission: Submission, answer: str) -> Sequence[Outcomes | Estimates]:
        """Return what each parameter set of each pub gave, in their order; see ``Translator.decode``.

        Raises:
            ValueError: the answer is not what the cloud's documentation says.
        """


class ExactTranslator(Translator, Protocol):
    """The translator of a device that gives exact expectation values, see ``Options.lacks``."""

    def encode_exact(self, circuit: QuantumCircuit, observables: Sequence[Observable]) -> Submission:
        """Return the task, of 0 shots, for a circuit that ``prepare`` gave, its parameters bound.

        Args:
            circuit: prepared. It measures nothing.
            observables: of the qubits of the circuit that was prepared.
        """

    def decode_exact(self, submission: Submission, answer: str) -> Estimates:
        """Return the values, one for each observable, with errors of 0; see ``decode``."""


@runtime_checkable
class StateTranslator(Translator, Protocol):
    """A translator for devices of which some give final states."""

    gives_states: bool
    """Whether the device does, see ``Device.states``."""

    def encode_state(self, circuit: QuantumCircuit) -> Submission:
        """Return the task, of 0 shots, for a circuit that ``prepare`` gave, its parameters bound; it measures nothing.

        The phase of the state is that of the circuit's gates and of its ``global_phase``.
        """

    def decode_state(self, submission: Submission, answer: str) -> NDArray[np.complex128]:
        """Return the amplitudes, shape (2^n,): bit k of an index is that of the circuit's qubit k; see ``decode``."""
