"""Circuits as jobs of IBM's Sampler and Estimator, and the results of those, in the wire format of IBM's SDK.

Circuits are laid out here, by the device's calibration: IBM takes circuits in a device's own gates and places only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, ClassicalRegister, Delay, QuantumRegister
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub

from qonverge.backend.clouds.ibm.options import IBMOptions
from qonverge.backend.clouds.ibm.primitive_options import inputs
from qonverge.backend.clouds.ibm.wire_format import pub_results, written
from qonverge.backend.clouds.measured_bits import outcomes_of
from qonverge.backend.clouds.protocol import Submission
from qonverge.backend.clouds.translators import Estimates, Outcomes, PreparedPub
from qonverge.backend.config import EngineConfig
from qonverge.circuits.errors import Unmapped
from qonverge.circuits.mapping.mapper import Mapper
from qonverge.devices import Calibration, Layout
from qonverge.wire.errors import InvalidCircuit, InvalidTask
from qonverge.wire.messages import Observable

_RUN_BY_NO_DEVICE = frozenset(("while_loop", "break_loop", "continue_loop", "store"))
"""The configurations of IBM's devices name the other kinds of control flow only."""
_EXACTNESS = frozenset(("default_shots", "default_precision"))
_REGISTER = "c"
_ENDS = "ends"


class IBMTranslator:
    """Writes jobs for one device of IBM Quantum, and reads their results."""

    def __init__(self, config: EngineConfig) -> None:
        """Take the device from the options, and how it is from its calibration.

        Raises:
            LookupError: the SDK does not take the options of its primitives.
        """
        options = IBMOptions.read(config.options)
        self._device = options.backend
        self._sampler = inputs("sampler", options.sampler)
        self._estimator = inputs("estimator", options.estimator)
        # Before the device was heard of there is none, and no task is planned.
        self._calibration = config.noise if isinstance(config.noise, Calibration) else None
        self._mapper = None if self._calibration is None else Mapper(self._calibration)
        self.version = f"IBM {self._device}, qiskit-ibm-runtime {version('qiskit-ibm-runtime')}"
        self.basis_gates: tuple[str, ...] = ()

    def prepare(self, circuit: QuantumCircuit, layout: Layout | None = None) -> QuantumCircuit:
        """Return the circuit on the device's qubits; see ``Translator.prepare``."""
        if self._mapper is None:
            raise InvalidCircuit(f"the gates and couplings of {self._device} are not known yet: try again later")
        if foreign := sorted(_RUN_BY_NO_DEVICE.intersection(_names(circuit))):
            raise InvalidCircuit(
                f"{self._device} runs no {foreign[0]}: use if, switch and for with a known number of turns, or a "
                "simulator"
            )
        try:
            mapped = self._mapper.map(circuit, layout)
        except Unmapped as error:
            raise InvalidCircuit(f"the circuit does not run on {self._device}: {error}") from None
        found = mapped.circuit
        found.metadata = {_ENDS: list(mapped.end)}
        return found

    def encode_pubs(self, pubs: Sequence[PreparedPub]) -> Submission:
        """Return the job for some PUBs; see ``PubTranslator.encode_pubs``."""
        if pubs[0].observables:
            return self._estimation(pubs)
        sent: list[Any] = []
        readings = []
        for pub in pubs:
            circuit, bits = self._sent(pub.circuit)
            if "measure" not in _names(circuit):
                raise InvalidCircuit(
                    f"the circuit measures nothing: add a measurement, or observables, for {self._device}"
                )
            own = SamplerPub.coerce((circuit, _values(circuit, pub), pub.shots))
            sent.append((circuit, own.parameter_values.as_array(circuit.parameters), own.shots))
            readings.append({"sets": pub.sets, "bits": bits})
        return Submission(_program("sampler", {"pubs": sent, **self._sampler}), pubs[0].shots or 0, {"pubs": readings})

    def _estimation(self, pubs: Sequence[PreparedPub]) -> Submission:
        sent, readings = [], []
        for pub in pubs:
            ends = pub.circuit.metadata[_ENDS]
            circuit, _ = self._sent(pub.circuit)
            there = [_on_device(each, ends, circuit.num_qubits) for each in pub.observables]
            # The SDK takes no observable that is 0: another one goes in its place.
            nothing = [index for index, terms in enumerate(there) if not any(terms.values())]
            for index in nothing:
                there[index] = {"I" * circuit.num_qubits: 1.0}
            values = _values(circuit, pub)
            # All observables of each set.
            shaped = None if values is None else values[:, np.newaxis, :]
            own = EstimatorPub.coerce((circuit, there, shaped, pub.precision))
            values = own.parameter_values.as_array(circuit.parameters)
            sent.append((circuit, own.observables.tolist(), values, own.precision))
            readings.append({"sets": pub.sets, "observables": len(there), "nothing": nothing})
        params = {"pubs": sent, **self._estimator}
        # How exact values are is for jobs to say, and not for the backend.
        options = {name: value for name, value in params["options"].items() if name not in _EXACTNESS}
        shots = pubs[0].shots
        params["options"] = options if shots is None else {**options, "default_shots": shots}
        return Submission(_program("estimator", params), shots or 0, {"pubs": readings})

    def decode_pubs(self, submission: Submission, answer: str) -> Sequence[Outcomes | Estimates]:
        """Return what is in a job's result; see ``PubTranslator.decode_pubs``."""
        result, readings = pub_results(answer), submission.reading["pubs"]
        if len(result) != len(readings):
            raise ValueError(f"it has the results of {len(result)} PUBs and {len(readings)} were sent")
        found: list[Outcomes | Estimates] = []
        for own, reading in zip(result, readings, strict=True):
            found += (_outcomes if "bits" in reading else _estimates)(*own, reading)
        return found

    def _sent(self, circuit: QuantumCircuit) -> tuple[QuantumCircuit, list[int]]:
        """Return a circuit in the form for the wire, and for each bit of its one register which bit of ours it is.

        The primitives give the bits of registers only, whose names and sizes have rules of their own. Conditions are of
        single bits, so that no register of the program is needed.
        """
        used = {bit for item in circuit.data for bit in item.clbits}
        places = [place for place, bit in enumerate(circuit.clbits) if bit in used]
        bits = [circuit.clbits[place] for place in places]
        sent = QuantumCircuit(QuantumRegister(circuit.num_qubits, "q"), bits)
        if bits:
            sent.add_register(ClassicalRegister(name=_REGISTER, bits=bits))
        for item in circuit.data:
            qubits = [sent.qubits[circuit.find_bit(qubit).index] for qubit in item.qubits]
            sent.append(CircuitInstruction(self._timed(item.operation), qubits, item.clbits))
        return sent, places

    def _timed(self, operation: Any) -> Any:
        """Return an operation with its delays in steps of the device's clock: QPY keeps no other unit."""
        if blocks := getattr(operation, "blocks", ()):
            return operation.replace_blocks([self._with_steps(block) for block in blocks])
        if operation.name != "delay" or operation.unit == "dt":
            return operation
        step = None if self._calibration is None else self._calibration.dt
        if step is None:
            raise InvalidCircuit(f"the circuit has a delay, and the clock of {self._device} is not known: remove it")
        return Delay(round(float(operation.duration) / step), "dt")

    def _with_steps(self, block: QuantumCircuit) -> QuantumCircuit:
        timed = block.copy_empty_like()
        for item in block.data:
            timed.append(item.replace(operation=self._timed(item.operation)))
        return timed


def _program(name: str, params: Mapping[str, Any]) -> str:
    """Return a job's program in the SDK's JSON, without what says where it runs.

    Raises:
        InvalidTask: a parameter has no number.
    """
    try:
        return written({"program_id": name, "params": params})
    except (ValueError, OverflowError) as error:
        raise InvalidTask(f"the circuit cannot be written for IBM Quantum: {error}") from None


def _values(circuit: QuantumCircuit, pub: PreparedPub) -> NDArray[np.float64] | None:
    """Return the values of a circuit's parameters in their order, shape (sets, parameters); None without parameters.

    Raises:
        InvalidTask: a parameter has no number.
    """
    if not circuit.parameters:
        return None
    values = np.stack([pub.parameters[parameter.name] for parameter in circuit.parameters], axis=-1)
    if not np.isfinite(values).all():
        raise InvalidTask("a parameter has a value that is no number: give finite parameters")
    return values


def _outcomes(fields: Mapping[str, Any], _: Any, reading: Mapping[str, Any]) -> list[Outcomes | Estimates]:
    """Return the outcomes of each parameter set in a Sampler's result."""
    if _REGISTER not in fields:
        raise ValueError(f"it has no register {_REGISTER}: {sorted(fields)}")
    own, bits, sets = fields[_REGISTER], reading["bits"], reading["sets"]
    # Shape (parameter sets ..., shots, bytes), the last byte with the first bits.
    array, num_bits = own["array"], own["num_bits"]
    if num_bits != len(bits) or array.shape[-1] != -(-num_bits // 8) or array.dtype != np.uint8:
        raise ValueError(f"its register has {num_bits} bits in {array.shape[-1]} bytes, and {len(bits)} were asked for")
    if math.prod(array.shape[:-2]) != sets:
        raise ValueError(f"it has {math.prod(array.shape[:-2])} parameter sets and {sets} were sent")
    found: list[Outcomes | Estimates] = []
    for shots in array.reshape(sets, *array.shape[-2:]):
        table = np.unpackbits(shots, axis=1)
        # The first bit of the register is the last of the table.
        last = table.shape[1] - 1
        found.append(Outcomes(outcomes_of([(bit, table[:, last - place]) for place, bit in enumerate(bits)])))
    return found


def _estimates(
    fields: Mapping[str, Any], metadata: Mapping[str, Any], reading: Mapping[str, Any]
) -> list[Outcomes | Estimates]:
    """Return the values of each parameter set in an Estimator's result."""
    shape = reading["sets"], reading["observables"]
    values, errors = (np.array(fields[name], dtype=np.float64) for name in ("evs", "stds"))
    for one in (values, errors):
        # Without parameters there is no axis for them.
        if one.shape not in (shape, shape[1:] if shape[0] == 1 else shape):
            raise ValueError(f"it has values of the shape {one.shape} and not {shape}")
    told = metadata.get("shots")
    shots = int(told) if isinstance(told, int | float) else None
    found: list[Outcomes | Estimates] = []
    for own, spread in zip(values.reshape(shape), errors.reshape(shape), strict=True):
        own[reading["nothing"]] = spread[reading["nothing"]] = 0.0
        found.append(Estimates(own.tolist(), spread.tolist(), shots))
    return found


def _names(circuit: QuantumCircuit) -> Iterable[str]:
    """Return the names of all operations, those in blocks too."""
    found = set()
    for item in circuit.data:
        found.add(item.operation.name)
        for block in getattr(item.operation, "blocks", ()):
            found |= set(_names(block))
    return found


def _on_device(observable: Observable, ends: Sequence[int], width: int) -> dict[str, float]:
    """Return an observable of the device's qubits: each letter where its qubit ends."""
    terms: dict[str, float] = {}
    for label, weight in observable:
        letters = ["I"] * width
        for qubit, letter in enumerate(reversed(label)):
            letters[width - 1 - ends[qubit]] = letter
        text = "".join(letters)
        terms[text] = terms.get(text, 0.0) + weight
    return terms
