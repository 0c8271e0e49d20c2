"""What a task is to run: one OpenQASM program, or a set of programs, each with values for its inputs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from braket.ir.openqasm import Program, ProgramSet

from qonverge_dev_cloud import simulation
from qonverge_dev_cloud.braket.api import Refused
from qonverge_dev_cloud.braket.capabilities import result_types
from qonverge_dev_cloud.braket.catalogue import Device
from qonverge_dev_cloud.simulation import Qasm

PROGRAM, PROGRAM_SET = "braket.ir.openqasm.program", "braket.ir.openqasm.program_set"


@dataclass(frozen=True, slots=True)
class Action:
    """The action of a task that was checked."""

    type: str
    programs: tuple[Program, ...]
    executables: tuple[tuple[Qasm, ...], ...]
    """Of each program: one for each of its input values."""

    @property
    def is_set(self) -> bool:
        """Whether it is a program set."""
        return self.type == PROGRAM_SET

    @property
    def count(self) -> int:
        """How many executables it has."""
        return sum(map(len, self.executables))


def checked(device: Device, request: dict[str, Any], *, noisy: bool) -> Action:
    """Return the action of a request.

    Args:
        device: what it is for.
        request: members of CreateQuantumTask.
        noisy: whether the device errs.

    Raises:
        Refused: the device does not take it.
    """
    try:
        json.loads(request.get("deviceParameters", "{}"))
        plain = json.loads(request["action"])
        header = plain.get("braketSchemaHeader") if isinstance(plain, dict) else None
        wants_set = isinstance(header, dict) and header.get("name") == PROGRAM_SET
        found = (ProgramSet if wants_set else Program).parse_obj(plain)
    except ValueError as error:
        raise Refused("ValidationException", f"action or deviceParameters cannot be read: {error}") from None
    if wants_set:
        return _set(device, found, request["shots"], noisy=noisy)
    shots = request["shots"]
    if not device.min_shots <= shots <= device.max_shots:
        raise Refused(
            "ValidationException", f"{shots} shots: {device.name} takes {device.min_shots} to {device.max_shots}"
        )
    program = Qasm(found.source, tuple(sorted((found.inputs or {}).items())))
    try:
        results = {each["name"]: (each["minShots"], each["maxShots"]) for each in result_types(device)}
        simulation.check(device, program, shots, noisy=noisy, results=results)
    except simulation.BadProgram as error:
        raise Refused("ValidationException", str(error)) from None
    return Action(PROGRAM, (found,), ((program,),))


def _set(device: Device, programs: ProgramSet, shots: int, *, noisy: bool) -> Action:
    count = programs.num_executables
    if not device.most_executables:
        raise Refused("ValidationException", f"{device.name} takes no program sets")
    if not 1 <= count <= device.most_executables:
        raise Refused(
            "ValidationException", f"{count} executables: {device.name} takes 1 to {device.most_executables} in a set"
        )
    if not count <= shots <= device.most_set_shots:
        raise Refused(
            "ValidationException",
            f"{shots} shots for {count} executables: {device.name} takes {count} to {device.most_set_shots} for them",
        )
    if shots % count:
        raise Refused(
            "ValidationException", f"{shots} shots cannot be divided among {count} executables: each has as many"
        )
    executables = tuple(tuple(_bound(program)) for program in programs.programs)
    failures = []
    for index, own in enumerate(executables):
        for place, executable in enumerate(own):
            try:
                simulation.check(device, executable, shots // count, noisy=noisy, results=None)
            except simulation.BadProgram as error:
                failures.append({"programIndex": index, "inputsIndex": place, "errors": [str(error)]})
    if failures:
        raise Refused(
            "ValidationException",
            f"{len(failures)} of {count} executables cannot run on {device.name}",
            {"reason": "ProgramSetValidationFailed", "programSetValidationFailures": failures},
        )
    return Action(PROGRAM_SET, tuple(programs.programs), executables)


def _bound(program: Program) -> list[Qasm]:
    if not program.inputs:
        return [Qasm(program.source)]
    names = sorted(program.inputs)
    rows = zip(*(program.inputs[name] for name in names), strict=True)
    return [Qasm(program.source, tuple(zip(names, row, strict=True))) for row in rows]
