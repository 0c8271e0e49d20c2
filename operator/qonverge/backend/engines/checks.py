"""What makes a pub impossible on any engine, found before anything is allocated."""

from __future__ import annotations

from qiskit import QuantumCircuit

from qonverge.amounts import format_bytes
from qonverge.backend.config import EngineConfig
from qonverge.circuits.analysis.analysis import Analysis
from qonverge.circuits.analysis.canonical import canonical
from qonverge.circuits.analysis.measurement_plan import DEFAULT_SHOTS
from qonverge.circuits.errors import InvalidProgram
from qonverge.devices.noise import Noise
from qonverge.wire.errors import CircuitTooLarge, InvalidCircuit, InvalidTask
from qonverge.wire.messages import Pub

# Memory of a shot's place in the order, and of a different outcome besides its bits: Aer's and Python's forms of a
# narrow one take about as much whatever its bits (measured).
_ORDER_BYTES = 12
_OUTCOME_BYTES = 400


def accepted(circuit: QuantumCircuit, noise: Noise | None) -> QuantumCircuit:
    """Return the circuit in the form that engines translate, in which a gate's name says what it does.

    Args:
        circuit: as it came.
        noise: the device that is imitated; without one, delays have no effect and are left out.

    Raises:
        InvalidCircuit: there is none.
    """
    try:
        return canonical(circuit, delays=noise is not None)
    except InvalidProgram as error:
        raise InvalidCircuit(str(error)) from None


def check(pub: Pub, analysis: Analysis, config: EngineConfig, *, memory: bool) -> None:
    """Refuse a pub that does not fit its circuit or this backend.

    Raises:
        CircuitTooLarge: it would take more qubits or memory than there are.
        InvalidTask: shots, parameters, observables or what is asked for do not fit.
    """
    limit = config.circuit_bytes
    if config.widest is not None and analysis.num_qubits > config.widest:
        raise CircuitTooLarge(f"the circuit has {analysis.num_qubits} qubits and this backend takes {config.widest}")
    if pub.statevector and config.noise is not None:
        raise InvalidTask("a noisy device has no single final state: ask for expectation values or counts")
    if pub.shots is not None and pub.shots > config.max_shots:
        raise InvalidTask(f"the task asks for {pub.shots} shots and this backend takes {config.max_shots}")
    if missing := sorted(set(analysis.parameters) - pub.parameters.keys()):
        raise InvalidTask(f"no values are given for {', '.join(missing)}")
    if unknown := sorted(pub.parameters.keys() - set(analysis.parameters)):
        raise InvalidTask(f"the circuit has no parameter {', '.join(unknown)}")
    for observable in pub.observables:
        for label, _ in observable:
            if len(label) != analysis.num_qubits or set(label) - set("IXYZ"):
                raise InvalidTask(
                    f"the observable {label!r} does not fit a circuit of {analysis.num_qubits} qubits: give one of "
                    "I, X, Y, Z for each, qubit 0 last"
                )
    _check_ends(pub, analysis)
    if pub.statevector and pub.sets * analysis.statevector_bytes > limit // 4:
        raise CircuitTooLarge(
            f"{pub.sets} states of {analysis.num_qubits} qubits are too much for the {format_bytes(limit)} "
            "here to hold and send: ask for fewer at a time, or for expectation values"
        )
    shots, bits = pub.shots or DEFAULT_SHOTS, analysis.num_clbits
    kept = pub.sets * shots * (2 * -(-bits // 8) + _ORDER_BYTES) if memory else 0
    if kept + pub.sets * min(shots, 1 << min(64, bits)) * (_OUTCOME_BYTES + bits) > limit:
        raise CircuitTooLarge(
            f"{pub.sets} parameter sets with {pub.shots} shots each are more than the "
            f"{format_bytes(limit)} here can hold shot by shot: ask for fewer shots at a time, or for counts"
        )
    # Who wants every bit of every shot gets zeros of a circuit that measures nothing, as from Qiskit.
    if not (pub.observables or pub.statevector or analysis.measured_bits or (memory and bits)):
        raise InvalidTask("the circuit measures nothing and no observables are given")


def _check_ends(pub: Pub, analysis: Analysis) -> None:
    """Refuse single values where runs of the circuit differ."""
    branches = bool(analysis.measured_bits) or analysis.control_flow
    if pub.statevector and (branches or analysis.mid_circuit):
        raise InvalidTask("a circuit that measures, resets or branches has no single final state: ask for counts")
    if is_exact(pub) and branches:
        raise InvalidTask(
            "a circuit that measures before its end or branches has no exact values here: give shots or precision"
        )


def is_exact(pub: Pub) -> bool:
    """Return whether the pub wants expectation values without statistical error."""
    return bool(pub.observables) and pub.shots is None and pub.precision is None


def is_mixed(pub: Pub, analysis: Analysis) -> bool:
    """Whether the average over a reset's outcomes is wanted, of which a single run would show one."""
    return is_exact(pub) and analysis.mid_circuit
