"""A backend as Braket sees devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import repeat
from typing import Any

import braket.devices
import numpy as np
from braket.circuits import Circuit
from braket.circuits.serialization import SerializableProgram
from braket.device_schema.simulators import GateModelSimulatorDeviceCapabilities
from braket.ir.openqasm import Program as OpenQASMProgram
from braket.tasks import GateModelQuantumTaskResult

from qonverge.client import numbers
from qonverge.client.braket.programs import Prepared, Programs
from qonverge.client.braket.properties import capabilities
from qonverge.client.braket.results import About, Answered, result_of
from qonverge.client.braket.symbols import Inputs
from qonverge.client.braket.tasks import Batch, Task
from qonverge.client.errors import BackendUnreachable
from qonverge.client.qiskit.jobs import Sender, new_id
from qonverge.client.seeds import generator_of, seed_of_task
from qonverge.client.transport.connect import Runner, connect
from qonverge.wire import messages
from qonverge.wire.messages import Pub, TaskResult

_SINGLE = (Circuit, OpenQASMProgram, SerializableProgram)


@dataclass(frozen=True, eq=False)
class _Group:
    """One circuit with many inputs."""

    prepared: Prepared
    shots: int
    places: list[int] = field(default_factory=list)
    """Their places in the batch."""
    inputs: list[Inputs] = field(default_factory=list)

    def pubs(self) -> list[Pub]:
        digest, _ = self.prepared.converted.travelling
        parameters = self.prepared.converted.symbols.values(self.inputs)
        pub = Pub(digest, parameters, layout=self.prepared.converted.layout)
        if self.shots:
            return [replace(pub, shots=self.shots)]
        questions = self.prepared.questions
        return [
            *([replace(pub, observables=questions.observables)] if questions.observables else ()),
            *([replace(pub, statevector=True)] if questions.state else ()),
        ]

    def answered(self, answers: Sequence[messages.PubResult]) -> Answered:
        if self.shots:
            return Answered(sample=answers[0])
        questions = self.prepared.questions
        return Answered(
            expectations=answers[0] if questions.observables else None, states=answers[-1] if questions.state else None
        )


class Device(braket.devices.Device):  # type: ignore[misc]  # the SDK ships no types
    """Runs Braket's circuits and OpenQASM programs on a Qonverge backend.

    A batch is one task, and the same circuit with many inputs is one circuit with many parameter sets.
    """

    def __init__(self, runner: Runner | None = None, *, seed: int | np.random.Generator | None = None) -> None:
        """Without arguments the job's environment says where to run and with which seed.

        Two runs with one seed differ, and two devices with the same seed do the same.
        """
        super().__init__(name="qonverge", status="AVAILABLE")
        self._sender = Sender(connect() if runner is None else runner)
        self._seed = generator_of(seed)
        self._programs = Programs()

    @property
    def type(self) -> str:
        """What kind of device it is, as AwsDevice says it."""
        return "SIMULATOR"

    @property
    def status(self) -> str:
        """AVAILABLE, or OFFLINE where the backend takes no tasks or does not answer."""
        try:
            return "OFFLINE" if self._sender.runner.info().draining else "AVAILABLE"
        except BackendUnreachable:
            return "OFFLINE"

    @property
    def properties(self) -> GateModelSimulatorDeviceCapabilities:
        """Gates, result types and limits, as the backend tells them.

        Raises:
            ClientError: the backend does not answer, or refuses.
        """
        return capabilities(self._sender.runner.info())

    def run(
        self,
        task_specification: Any,
        shots: int | None = None,
        inputs: Inputs | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Task:
        """Start a circuit, an OpenQASM program, or what can be written as one.

        Args:
            task_specification: what to run.
            shots: how often; 0 or None: its result types are computed exactly.
            inputs: values of its free parameters, real numbers.
            *args: none, as the options of AWS's own devices have no meaning here.
            **kwargs: none, as well.

        Raises:
            ValueError: the program cannot be sent; the message names what is wrong.
            NotImplementedError: it is no program of gates.
            TypeError: there are other arguments.
        """
        _refuse(args, kwargs)
        created = datetime.now(UTC)
        identity = new_id()
        batch = self._send([(task_specification, inputs or {}, shots)], identity, created)
        about = {"id": identity, "deviceId": self.name, "shots": shots or 0, "createdAt": created}
        return Task(batch, identity, about)

    def run_batch(
        self,
        task_specifications: Any,
        shots: int | Sequence[int] | None = 0,
        max_parallel: int | None = None,
        inputs: Inputs | Sequence[Inputs] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Batch:
        """Start circuits and programs as one task.

        Args:
            task_specifications: one, or many.
            shots: as in ``run``, for all or for each.
            max_parallel: 1 or more; how many circuits run beside each other is the backend's to choose, and never
                more than one task.
            inputs: for all or for each; many inputs of one circuit run it with each of them.
            *args: none, as in ``run``.
            **kwargs: none.

        Raises:
            ValueError: as in ``run``, or the lists have different lengths.
            NotImplementedError: as in ``run``.
            TypeError: as in ``run``.
        """
        _refuse(args, kwargs)
        if max_parallel is not None:
            numbers.whole("max_parallel", max_parallel, 1)
        single = isinstance(task_specifications, _SINGLE)
        specifications = [task_specifications] if single else list(task_specifications)
        given = inputs or {}
        lengths = {len(each) for each in (shots, given) if isinstance(each, Sequence)}
        if not single:
            lengths.add(len(specifications))
        if len(lengths) > 1:
            raise ValueError(
                "Multiple inputs, shots and task specifications must be equal in number, and are "
                f"{' and '.join(map(str, sorted(lengths)))}"
            )
        runs = zip(
            repeat(task_specifications) if single else specifications,
            repeat(given) if isinstance(given, Mapping) else given,
            shots if isinstance(shots, Sequence) else repeat(shots),
            range(*lengths or (1,)),
            strict=False,
        )
        return self._send([run[:3] for run in runs], new_id(), datetime.now(UTC))

    def _send(self, runs: Sequence[tuple[Any, Inputs, int | None]], identity: str, created: datetime) -> Batch:
        groups: dict[Any, _Group] = {}
        for place, (specification, inputs, given) in enumerate(runs):
            shots = 0 if given is None else numbers.shots_or_exact(given)
            prepared, merged = self._programs.prepare(specification, inputs, sampled=bool(shots))
            # Without parameters nothing says how many sets there are.
            key = (id(prepared), shots) if len(prepared.converted.symbols) else place
            group = groups.setdefault(key, _Group(prepared, shots))
            group.places.append(place)
            group.inputs.append(merged)
        pubs = [group.pubs() for group in groups.values()]
        circuits = dict(group.prepared.converted.travelling for group in groups.values())
        sent = tuple(pub for each in pubs for pub in each)
        task = messages.Task(identity, sent, circuits, seed_of_task(self._seed), memory=True)

        def convert(result: TaskResult) -> list[GateModelQuantumTaskResult]:
            answers = iter(result.results)
            found: dict[int, GateModelQuantumTaskResult] = {}
            for group, own in zip(groups.values(), pubs, strict=True):
                answered = group.answered([next(answers) for _ in own])
                for row, (place, inputs) in enumerate(zip(group.places, group.inputs, strict=True)):
                    name = identity if len(runs) == 1 else f"{identity}-{place}"
                    about = About(name, self.name, group.shots, created, inputs)
                    found[place] = result_of(group.prepared, answered, row, about, result)
            return [found[place] for place in range(len(runs))]

        return Batch(self._sender.send(task), convert)


def _refuse(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    if args or kwargs:
        named = ", ".join([*map(repr, args), *kwargs])
        raise TypeError(
            f"the device takes no such arguments ({named}), which are those of other devices: leave them out"
        )
