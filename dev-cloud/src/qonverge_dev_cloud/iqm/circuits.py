"""Circuits in IQM's JSON, as OpenQASM for Braket's simulators.

``prx(angle, phase)`` is a rotation by ``angle`` about the axis at ``phase`` in the plane of X and Y, radians: Braket's
gate of the same name. Results are told by the keys of measurements.
"""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from qonverge_dev_cloud.iqm.catalogue import Computer
from qonverge_dev_cloud.simulation import Qasm

_ARGUMENTS = {
    "prx": frozenset(("angle", "phase")),
    "cz": frozenset[str](),
    "measure": frozenset(("key",)),
    "barrier": frozenset[str](),
}
Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class _Sent(BaseModel):
    # Clients send fields that are deprecated too.
    model_config = ConfigDict(extra="ignore", frozen=True)


class Operation(_Sent):
    """An operation of a circuit, as it is sent."""

    name: Name
    locus: tuple[Name, ...] = Field(min_length=1)
    args: dict[str, Any] = Field(default_factory=dict)
    implementation: str | None = None


class Circuit(_Sent):
    """A circuit, as it is sent."""

    name: Name
    instructions: tuple[Operation, ...] = Field(min_length=1)
    metadata: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _readable(self) -> Circuit:
        keys, measured = set[str](), set[str]()
        for place, own in enumerate(self.instructions):
            where = f"instruction {place} ({own.name})"
            if own.name not in _ARGUMENTS:
                raise ValueError(f"{where}: dev-cloud has no such operation: use {', '.join(_ARGUMENTS)}")
            if len(set(own.locus)) != len(own.locus):
                raise ValueError(f"{where} has a qubit twice")
            wanted = {"prx": 1, "cz": 2}.get(own.name)
            if wanted is not None and len(own.locus) != wanted:
                raise ValueError(f"{where} acts on {wanted} qubits, not {len(own.locus)}")
            # None is what clients send for an argument that is not used.
            given = {name for name, value in own.args.items() if value is not None}
            if given != _ARGUMENTS[own.name]:
                raise ValueError(f"{where} has the arguments {sorted(given)}, not {sorted(_ARGUMENTS[own.name])}")
            if own.name == "prx" and not all(math.isfinite(_number(own.args[name])) for name in ("angle", "phase")):
                raise ValueError(f"{where} has an angle that is no finite number")
            if own.name != "barrier" and (again := measured & set(own.locus)):
                raise ValueError(f"{where}: {min(again)} was measured before, which dev-cloud does not do")
            if own.name == "measure":
                key = own.args["key"]
                if not isinstance(key, str) or key in keys:
                    raise ValueError(f"{where}: keys of measurements are different texts")
                keys.add(key)
                measured.update(own.locus)
        return self

    @property
    def measured(self) -> dict[str, tuple[str, ...]]:
        """The qubits of each measurement, by its key."""
        return {str(own.args["key"]): own.locus for own in self.instructions if own.name == "measure"}

    @property
    def qubits(self) -> set[str]:
        """The qubits that are used."""
        return {qubit for own in self.instructions if own.name != "barrier" for qubit in own.locus}

    def problem(self, computer: Computer) -> str | None:
        """Return why a quantum computer does not take it; None where it does."""
        if not self.measured:
            return f"circuit {self.name!r} measures nothing"
        if len(self.instructions) > computer.max_instructions:
            return f"circuit {self.name!r} has more than {computer.max_instructions} instructions"
        places = computer.places
        coupled = frozenset(frozenset(edge) for edge in computer.chip.edges)
        for own in self.instructions:
            if unknown := [qubit for qubit in own.locus if qubit not in places]:
                return f"{computer.display_name} has no qubit {unknown[0]}"
            if own.name == "cz" and frozenset(places[qubit] for qubit in own.locus) not in coupled:
                return f"cz is not calibrated for the locus {', '.join(own.locus)}"
        return None

    def renamed(self, names: dict[str, str]) -> Circuit:
        """Return it with other names of qubits."""
        moved = tuple(
            own.model_copy(update={"locus": tuple(names[qubit] for qubit in own.locus)}) for own in self.instructions
        )
        return self.model_copy(update={"instructions": moved})


def qasm(circuit: Circuit, computer: Computer) -> tuple[Qasm | None, list[int]]:
    """Return the program of the qubits that gates act on, and the qubits that are measured and nothing else.

    Of a qubit without gates a simulator knows nothing; a device reads it.
    """
    places = computer.places
    lines = [
        f"prx({float(own.args['angle'])!r}, {float(own.args['phase'])!r}) ${places[own.locus[0]]};"
        if own.name == "prx"
        else f"cz ${places[own.locus[0]]}, ${places[own.locus[1]]};"
        for own in circuit.instructions
        if own.name in ("prx", "cz")
    ]
    moved = {places[qubit] for own in circuit.instructions if own.name in ("prx", "cz") for qubit in own.locus}
    measured = [places[qubit] for qubit in itertools.chain(*circuit.measured.values())]
    idle = [qubit for qubit in measured if qubit not in moved]
    read = [qubit for qubit in measured if qubit in moved]
    if not read:
        return None, idle
    body = "\n".join(["#pragma braket verbatim", "box{", *lines, "}"])
    reads = "\n".join(f"b[{bit}] = measure ${qubit};" for bit, qubit in enumerate(read))
    return Qasm(f"OPENQASM 3.0;\nbit[{len(read)}] b;\n{body}\n{reads}\n"), idle


def _number(value: Any) -> float:
    return math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)


def plain(problem: Any) -> str:
    """Return one of pydantic's problems in a sentence."""
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg'].removeprefix('Value error, ')}"
