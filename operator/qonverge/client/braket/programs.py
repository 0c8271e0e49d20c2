"""What a Braket device can be asked to run, as circuits."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from braket.circuits import Circuit
from braket.circuits.serialization import IRType, SerializableProgram
from braket.ir.openqasm import Program as OpenQASMProgram

from qonverge.client.braket.circuits import Converted, convert
from qonverge.client.braket.openqasm import parse
from qonverge.client.braket.questions import Questions
from qonverge.client.braket.symbols import Inputs, NeedsValues

_REMEMBERED = 256
_INPUT = re.compile(r"\binput\s+([^;]*?)\s*\w+\s*;")


@dataclass(frozen=True, eq=False)
class Prepared:
    """A circuit, ready to be run with values of its free parameters."""

    converted: Converted
    questions: Questions
    source: str
    """OpenQASM."""


class Programs:
    """Prepares programs; what was prepared before is not prepared again."""

    def __init__(self) -> None:
        """Start empty."""
        self._circuits: OrderedDict[tuple[int, bool], tuple[Circuit, Circuit, Prepared]] = OrderedDict()
        self._parsed: OrderedDict[Hashable, Circuit] = OrderedDict()

    def prepare(self, specification: Any, inputs: Inputs, *, sampled: bool) -> tuple[Prepared, Inputs]:
        """Return the program, prepared, and all inputs that it is to be run with.

        Args:
            specification: a circuit, an OpenQASM program, or what can be written as one.
            inputs: values of its free parameters; they take precedence over the program's own.
            sampled: whether it is run for samples rather than for exact values.

        Raises:
            NotImplementedError: it is no program of gates.
            ValueError: it cannot be run, saying why.
        """
        if isinstance(specification, Circuit):
            return self._of_circuit(specification, inputs, None, sampled), inputs
        if isinstance(specification, SerializableProgram):
            specification = OpenQASMProgram(source=specification.to_ir(ir_type=IRType.OPENQASM))
        if not isinstance(specification, OpenQASMProgram):
            raise NotImplementedError(
                f"a {type(specification).__name__} cannot be sent, which is no program of gates: give a "
                "braket.circuits.Circuit or a braket.ir.openqasm.Program"
            )
        merged = {**(specification.inputs or {}), **inputs}
        source = specification.source
        if source.endswith(".qasm"):
            source = Path(source).read_text()
        return self._of_circuit(self._parse(source, merged), merged, source, sampled), merged

    def _of_circuit(self, circuit: Circuit, inputs: Inputs, source: str | None, sampled: bool) -> Prepared:
        key = id(circuit), sampled
        entry = self._circuits.get(key)
        # Circuits can change under the same identity, so the copy taken then decides.
        if entry is not None and entry[0] is circuit and entry[1] == circuit:
            return entry[2]
        questions = Questions.of(circuit, sampled=sampled)
        source = source or circuit.to_ir(ir_type=IRType.OPENQASM).source
        try:
            if questions.phase and circuit.parameters:
                # Engines bind parameters but for a global phase.
                raise NeedsValues
            prepared = Prepared(convert(circuit, sampled=sampled), questions, source)
        except NeedsValues:
            return Prepared(convert(circuit, sampled=sampled, values=inputs), questions, source)
        _remember(self._circuits, key, (circuit, circuit.copy(), prepared))
        return prepared

    def _parse(self, source: str, inputs: Mapping[str, Any]) -> Circuit:
        # Inputs of other types may decide which gates there are, and floats of other sizes are rounded.
        free = all(kind in ("float", "float[64]") for kind in _INPUT.findall(source))
        key = source if free else (source, tuple(sorted((name, repr(value)) for name, value in inputs.items())))
        if key not in self._parsed:
            _remember(self._parsed, key, parse(source, None if free else inputs))
        return self._parsed[key]


def _remember(entries: OrderedDict[Any, Any], key: Hashable, value: object) -> None:
    entries[key] = value
    if len(entries) > _REMEMBERED:
        entries.popitem(last=False)
