"""What a HybridJob runs: a circuit, a Python program, or a container."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, SkipValidation, field_validator, model_validator

from qonverge.api.backend import ResourceRequirements
from qonverge.api.base import ConfigMapKeyRef, OneOfModel, Rule, SpecModel, cel
from qonverge.api.pod_program import Arguments, Container, Image, Near, ProgramTemplate
from qonverge.api.program_source import ArtifactSource, GitSource, VolumeSource
from qonverge.api.sweep import Sweep
from qonverge.devices import Layout
from qonverge.devices.calibration import MAX_QUBITS
from qonverge.devices.layout import unusable

# etcd refuses objects over 1.5 MiB; this leaves room for a result in the status, with what JSON adds for line ends.
MAX_SOURCE = 1_048_576

MOST_RANKS = 256
"""Ranks of one program."""
ANY_JSON: dict[str, Any] = {"x-kubernetes-preserve-unknown-fields": True}


class CircuitLayout(SpecModel):
    """Where a circuit lies on a device."""

    qubits: Annotated[
        list[Annotated[int, Field(ge=0, le=MAX_QUBITS - 1)]],
        # A set has its elements in order, and none of them twice.
        Field(min_length=1, max_length=MAX_QUBITS, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ]
    """For each qubit of the circuit, in order, the qubit of the device on which it begins."""
    routing: Literal["Allowed", "Never"] = "Allowed"
    """Whether SWAPs may be added where a gate needs two qubits that are not coupled: Allowed, as by Qiskit's transpile
    with an initial_layout. Never: a device without the coupling is not taken."""

    @field_validator("qubits")
    @classmethod
    def _is_one(cls, value: list[int]) -> list[int]:
        if (problem := unusable(value)) is not None:
            raise ValueError(problem)
        return value


class Circuit(OneOfModel):
    """A quantum circuit."""

    one_of = ("openqasm", "qpy", "configMapKeyRef")
    what = "program.circuit"

    openqasm: Annotated[str, Field(min_length=1, max_length=MAX_SOURCE)] | None = None
    """The circuit as OpenQASM 2 or 3 text. Only the standard headers can be included."""
    qpy: Annotated[str, Field(min_length=1, max_length=MAX_SOURCE)] | None = None
    """The circuit in Qiskit's binary format, version 13 or later, compressed by gzip or not, in base64."""
    config_map_key_ref: ConfigMapKeyRef | None = None
    """A ConfigMap's key, in `data` or `binaryData`, that holds OpenQASM text or QPY, compressed by gzip or not."""
    parameters: Annotated[dict[str, float], Field(max_length=10_000)] = {}
    """Values for the circuit's input parameters, by name."""
    observables: Annotated[
        list[Annotated[str | dict[str, float], SkipValidation, Field(json_schema_extra=ANY_JSON)]],
        Field(max_length=10_000),
    ] = []
    """Observables whose expectation values are wanted: a Pauli label such as "ZZ" (qubit 0 is the last
    letter), or a sum such as {"XX": 0.5, "YY": 0.5}. Without observables the job returns counts."""
    layout: CircuitLayout | None = None
    """Where the circuit lies on a device. Default: physical qubits of OpenQASM 3, such as $3, where it names them, or
    else as the backend's `simulator.layout` says. A simulator without noise has no places."""

    @property
    def given_layout(self) -> Layout | None:
        """The layout as the device takes it."""
        given = self.layout
        return None if given is None else Layout(tuple(given.qubits), given.routing == "Allowed")


class Python(OneOfModel):
    """A Python program: the classical half of a hybrid job, which calls the backend through `qonverge.client`."""

    one_of = ("source", "configMapKeyRef", "git", "volume", "artifact")
    what = "program.python"

    source: Annotated[str, Field(min_length=1, max_length=MAX_SOURCE)] | None = None
    """The program's text."""
    config_map_key_ref: ConfigMapKeyRef | None = None
    """A ConfigMap's key that holds the program's text."""
    git: GitSource | None = None
    """A Git repository that the program is in."""
    volume: VolumeSource | None = None
    """A volume that the program is on."""
    artifact: ArtifactSource | None = None
    """An OCI image or artifact that the program is in."""
    requirements: Annotated[
        list[Annotated[str, Field(pattern=r"^[A-Za-z0-9][^\r\n]*$", max_length=512)]], Field(max_length=128)
    ] = []
    """Packages that the program needs beside those of its image, as pip takes them, such as qiskit-nature==0.7.2. They
    are installed once for all programs of the namespace with the same list and image, into a volume that the
    administrator gives."""
    args: Arguments = []
    """Arguments, as in `sys.argv[1:]`."""
    image: Image | None = None
    """Container image with Python and `qonverge[client]`. Default: the image that came with the operator.
    Without a cluster the program runs in the current Python environment."""
    resources: ResourceRequirements = ResourceRequirements()
    """CPU, memory and GPUs of the program's pod. Without a cluster they do not apply."""
    near: Near | None = None
    """On which nodes the program's pod runs. Default: any. Without a cluster it does not apply."""
    template: ProgramTemplate = ProgramTemplate()
    """What else the program's pod gets."""
    pause_after_seconds: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """Seconds that a `qonverge.client.step` waits for a task before the program gives its pod back until the task has
    ended; then it begins again, and its steps find what they did. Default: it waits in its pod. Without a cluster it
    does not apply."""

    @property
    def arguments(self) -> dict[str, list[str]]:
        """Words of the command line, by the field that has them."""
        return {"args": self.args}

    @property
    def uses(self) -> dict[str, tuple[str, str]]:
        """Objects that it uses beside those of `template`: what they are and their name, by the field that has it."""
        found = {}
        if self.git is not None and self.git.credentials is not None:
            found["git.credentials.name"] = ("secrets", self.git.credentials.name)
        if self.volume is not None:
            found["volume.claimName"] = ("persistent volume claims", self.volume.claim_name)
        if self.artifact is not None:
            found["artifact.reference"] = ("images", self.artifact.reference)
        return found


_RANKS_RUN_CODE = "parallelism is about programs that run code: the shots of a circuit are split by placement.split"
_RANKS_TO_GROUP = "ranksPerBackend divides the ranks of a parallel program: set parallelism"
_CONTAINER_CALLS_ONE = "ranksPerBackend is about Python programs: the ranks of a container all call one backend"
_CONTAINER_SWEEPS = (
    "sweep is about circuits and Python programs: a container has its values in program.parameters, and makes its own "
    "loop over them"
)
_CIRCUIT_STRINGS = "a circuit's parameters are numbers: give values or linspace, strings are for programs"
_SWEEP_GROUPS = "each point of a sweep is a program of its own and calls one backend: leave ranksPerBackend out"
_SWEEP_FRAMEWORK = (
    "each point of a sweep is a program of its own, and framework is about ranks that work together: leave one of them "
    "out"
)
_SWEEP_PAUSES = "pauseAfterSeconds is about programs that run alone: leave it out with sweep"
_SWEPT_AND_GIVEN = (
    "a parameter is in program.circuit.parameters and in program.sweep.parameters: give it in one of them"
)
_RANKS_PAUSE = (
    "pauseAfterSeconds is about programs that run alone: ranks wait for each other, so leave it out or set "
    "parallelism to 1"
)
_DASK_HAS_WORKERS = (
    "framework gives the ranks of a parallel program a scheduler: set parallelism to the number of workers"
)
_DASK_RUNS_PYTHON = "framework is about Python programs: a container starts what it needs itself"
_DASK_PAUSES = "pauseAfterSeconds is about programs that run alone: leave it out with framework"


class Program(OneOfModel):
    """What to run: exactly one of the kinds."""

    one_of = ("circuit", "python", "container")
    what = "program"
    model_config = ConfigDict(
        json_schema_extra=cel(
            Rule("!has(self.parallelism) || !has(self.circuit)", _RANKS_RUN_CODE),
            Rule("!has(self.ranksPerBackend) || has(self.parallelism)", _RANKS_TO_GROUP),
            Rule("!has(self.ranksPerBackend) || !has(self.container)", _CONTAINER_CALLS_ONE),
            Rule("!has(self.sweep) || !has(self.container)", _CONTAINER_SWEEPS),
            Rule("!has(self.sweep) || !has(self.ranksPerBackend)", _SWEEP_GROUPS),
            Rule("!has(self.sweep) || !has(self.framework)", _SWEEP_FRAMEWORK),
            Rule(
                "!has(self.sweep) || !has(self.python) || !has(self.python.pauseAfterSeconds)",
                _SWEEP_PAUSES,
            ),
            Rule(
                "!has(self.sweep) || !has(self.circuit) || "
                "self.sweep.parameters.all(name, !has(self.sweep.parameters[name].strings))",
                _CIRCUIT_STRINGS,
            ),
            Rule(
                "!has(self.sweep) || !has(self.circuit) || !has(self.circuit.parameters) || "
                "!self.sweep.parameters.exists(name, name in self.circuit.parameters)",
                _SWEPT_AND_GIVEN,
            ),
            Rule(
                "!has(self.python) || !has(self.python.pauseAfterSeconds) || !has(self.parallelism) || "
                "self.parallelism == 1",
                _RANKS_PAUSE,
            ),
            Rule("!has(self.framework) || has(self.parallelism)", _DASK_HAS_WORKERS),
            Rule("!has(self.framework) || has(self.python)", _DASK_RUNS_PYTHON),
            Rule(
                "!has(self.framework) || !has(self.python) || !has(self.python.pauseAfterSeconds)",
                _DASK_PAUSES,
            ),
        )
    )

    circuit: Circuit | None = None
    """A quantum circuit, run on a backend as it is; needs no pod of its own."""
    python: Python | None = None
    """A Python program that runs in a pod of its own and calls a backend."""
    container: Container | None = None
    """A program in any language: a container that calls a backend."""
    parameters: Annotated[dict[str, Any], Field(json_schema_extra=ANY_JSON)] = {}
    """Values for a program: it has them from `qonverge.client.parameters()`, in `$QONVERGE_PARAMETERS` as JSON, and as
    $(parameters.NAME) in arguments. A circuit has its own."""
    parameter_schema: Annotated[dict[str, Any], Field(json_schema_extra=ANY_JSON)] | None = None
    """JSON Schema that the parameters have to meet before the program starts. A `default` of its properties holds where
    the parameter is not given."""
    sweep: Sweep | None = None
    """Values that parameters take; `status.result.points` has what was found at each point. All points of a circuit are
    run as one task, and `shots` and `precision` hold for each. A Python program is run once for each point, in a pod of
    its own, and has the values from `qonverge.client.parameters()`."""
    parallelism: Annotated[int, Field(ge=1, le=MOST_RANKS)] | None = None
    """How many ranks run the program at the same time, each in a pod of its own: they find each other by MPI, by
    `torch.distributed`, or at the addresses in their environment. Default: one pod without any of that. With `sweep`:
    how many of its points run at the same time at most, which know nothing of each other. Default: 1."""
    framework: Literal["Dask"] | None = None
    """What the ranks run. Dask: rank 0 runs the program beside a scheduler, which `dask.distributed.Client()` finds,
    and each rank a worker of it that calls its backend. Default: each rank runs the program."""
    ranks_per_backend: Annotated[int, Field(ge=1, le=MOST_RANKS)] | None = None
    """How many ranks call the same backend: 2 of 4 ranks put ranks 0 and 1 on one backend and ranks 2 and 3 on
    another, and the job waits until both can take it. Default: all ranks call one, and so do those of a container."""

    @property
    def num_indexes(self) -> int | None:
        """How often the program is run, once for each point of its sweep; None where it is not swept."""
        return None if self.sweep is None or self.circuit is not None else self.sweep.num_points

    @property
    def has_ranks(self) -> bool:
        """Whether its pods are ranks, which find each other."""
        return self.parallelism is not None and self.sweep is None

    @property
    def world_size(self) -> int:
        """How many ranks there are; 1 of a sweep, whose points know nothing of each other."""
        return self.parallelism or 1 if self.has_ranks else 1

    @property
    def pods_at_once(self) -> int:
        """How many pods run at the same time, at most."""
        points = self.num_indexes
        return self.world_size if points is None else min(self.parallelism or 1, points)

    @property
    def ranks_of_groups(self) -> tuple[int, ...]:
        """How many pods call each of the different backends at the same time, in the order of the ranks."""
        size, each = self.pods_at_once, self.ranks_per_backend or self.pods_at_once
        return tuple(min(each, size - first) for first in range(0, size, each))

    @property
    def num_backends(self) -> int:
        """How many different backends the ranks call."""
        return len(self.ranks_of_groups)

    def group_of(self, rank: int) -> int:
        """Return which of these backends a rank calls, from 0."""
        return rank // (self.ranks_per_backend or self.world_size)

    @model_validator(mode="after")
    def _ranks_as_on_the_server(self) -> Program:
        if self.parallelism is not None and self.circuit is not None:
            raise ValueError(_RANKS_RUN_CODE)
        if self.ranks_per_backend is not None and self.parallelism is None:
            raise ValueError(_RANKS_TO_GROUP)
        if self.ranks_per_backend is not None and self.container is not None:
            raise ValueError(_CONTAINER_CALLS_ONE)
        if self.sweep is not None:
            self._sweep_as_on_the_server(self.sweep)
        if self.world_size > 1 and self.python is not None and self.python.pause_after_seconds is not None:
            raise ValueError(_RANKS_PAUSE)
        if self.framework is not None:
            self._framework_as_on_the_server()
        return self

    def _sweep_as_on_the_server(self, sweep: Sweep) -> None:
        if self.container is not None:
            raise ValueError(_CONTAINER_SWEEPS)
        if self.ranks_per_backend is not None:
            raise ValueError(_SWEEP_GROUPS)
        if self.framework is not None:
            raise ValueError(_SWEEP_FRAMEWORK)
        if self.python is not None and self.python.pause_after_seconds is not None:
            raise ValueError(_SWEEP_PAUSES)
        if self.circuit is not None:
            if any(each.strings is not None for each in sweep.parameters.values()):
                raise ValueError(_CIRCUIT_STRINGS)
            if sweep.parameters.keys() & self.circuit.parameters:
                raise ValueError(_SWEPT_AND_GIVEN)

    def _framework_as_on_the_server(self) -> None:
        if self.parallelism is None:
            raise ValueError(_DASK_HAS_WORKERS)
        if self.python is None:
            raise ValueError(_DASK_RUNS_PYTHON)
        if self.python.pause_after_seconds is not None:
            raise ValueError(_DASK_PAUSES)
