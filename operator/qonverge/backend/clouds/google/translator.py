"""Qiskit's circuits as programs for a processor of Google, and its results as outcomes of their classical bits.

Google's engine places nothing: a circuit has to be in the processor's gates, on qubits that are coupled. So circuits
are mapped as for the simulators that imitate a device, by the calibration as it is now, and a layout is kept.
"""

from __future__ import annotations

import base64
import binascii
import json
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from qonverge.backend.clouds.google.options import GoogleOptions
from qonverge.backend.clouds.google.program import KEY, written
from qonverge.backend.clouds.measured_bits import outcomes_of
from qonverge.backend.clouds.protocol import Submission
from qonverge.backend.clouds.translators import Outcomes
from qonverge.backend.config import EngineConfig
from qonverge.circuits.errors import Unmapped
from qonverge.circuits.mapping.mapper import Mapper
from qonverge.devices import Calibration, Layout
from qonverge.devices.google import NATIVE_PAIR_GATES
from qonverge.wire.errors import InvalidCircuit

_GATES = ("cz", "rx", "rz")
_WRITTEN = frozenset((*_GATES, "barrier", "delay", "measure"))


class GoogleTranslator:
    """Writes programs for one processor, as it is calibrated, and reads its results."""

    def __init__(self, config: EngineConfig) -> None:
        """Take the processor from the options, and its qubits from the calibration."""
        self._processor = GoogleOptions.read(config.options).processor
        self._device = config.noise if isinstance(config.noise, Calibration) else None
        self._mapper = None if self._device is None else Mapper(self._device, keep_layouts=config.keep_layouts)
        self.version = f"Google {self._processor}, Qiskit {version('qiskit')}"
        self.basis_gates = _GATES

    def prepare(self, circuit: QuantumCircuit, layout: Layout | None = None) -> QuantumCircuit:
        """Return the circuit on the processor's qubits, in its gates; see ``Translator.prepare``."""
        if self._mapper is None:
            raise InvalidCircuit(f"Google tells no qubits of {self._processor}, so that circuits have no place there")
        try:
            self._check(circuit)
            return self._mapper.map(circuit, layout).circuit
        except Unmapped as error:
            raise InvalidCircuit(str(error)) from None

    def encode(self, circuit: QuantumCircuit, shots: int) -> Submission:
        """Return the program for a prepared circuit; see ``Translator.encode``."""
        device = self._device
        assert device is not None, "no circuit is prepared before the device is known"
        if unknown := sorted({item.name for item in circuit.data} - _WRITTEN):
            raise InvalidCircuit(f"{self._processor} has no {', '.join(unknown)}: use a simulator for this circuit")
        if not any(item.name == "measure" for item in circuit.data):
            raise InvalidCircuit(
                f"the circuit measures nothing: add a measurement, or observables, for {self._processor}"
            )
        native = next((gate for gate in NATIVE_PAIR_GATES if gate != "cz" and gate in device.basis_gates), "cz")
        program, bits = written(circuit, device.labels, native)
        return Submission(program, shots, {"bits": [list(each) for each in bits]})

    def decode(self, submission: Submission, answer: str) -> Outcomes:
        """Return the outcomes in a ``QuantumResult``; see ``Translator.decode``.

        Source: ``result.proto`` of ``cirq.google.api.v2``, in JSON. Qubits are in the order of the measurement, as Cirq
        takes them too.
        """
        result = json.loads(answer)["result"]
        (sweep,) = result["sweepResults"]
        if sweep["repetitions"] != submission.shots:
            raise ValueError(f"it has {sweep['repetitions']} repetitions and {submission.shots} were asked for")
        (parameterized,) = sweep["parameterizedResults"]
        (measured,) = parameterized["measurementResults"]
        if measured.get("key") != KEY or measured.get("instances", 1) not in (0, 1):
            raise ValueError(f"it has {measured.get('instances')} measurements of the key {measured.get('key')}")
        columns = [_bits(each.get("results", ""), submission.shots) for each in measured["qubitMeasurementResults"]]
        wanted = submission.reading["bits"]
        if len(columns) != (asked := 1 + max(place for _, place in wanted)):
            raise ValueError(f"it has outcomes of {len(columns)} qubits and {asked} were measured")
        return Outcomes(outcomes_of([(bit, columns[place]) for bit, place in wanted]))

    def _check(self, circuit: QuantumCircuit) -> None:
        """Refuse what programs cannot say."""
        measured: set[Any] = set()
        for item in circuit.data:
            name = item.name
            if name != "measure" and (item.clbits or getattr(item.operation, "blocks", ()) or name == "store"):
                raise InvalidCircuit(f"{self._processor} runs no control flow, such as {name}: use a simulator")
            if name == "reset" or (name not in ("measure", "barrier") and measured.intersection(item.qubits)):
                raise InvalidCircuit(
                    f"{self._processor} measures at the end only, and there is a {name} of a qubit that is to be used "
                    "again: measure last, or use a simulator"
                )
            if name == "measure":
                measured.update(item.qubits)


def _bits(text: str, shots: int) -> NDArray[np.uint8]:
    """Return a qubit's outcomes, shot by shot: bytes whose lowest bit comes first, in base64."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(f"the outcomes are no base64: {error}") from None
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little")
    if len(data) != -(-shots // 8):
        raise ValueError(f"a qubit has {len(data)} bytes of outcomes, and {shots} shots take {-(-shots // 8)}")
    return bits[:shots]
