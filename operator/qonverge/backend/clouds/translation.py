"""What the child process of a cloud backend does with circuits: plan, translate, read answers."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any, TypeAlias, TypeVar, cast

from cachetools import LRUCache
from qiskit import QuantumCircuit

from qonverge.backend.clouds.answers import State, checked, checked_estimates, checked_state
from qonverge.backend.clouds.measurement import ESTIMATION, STATE, Measurement, wanted
from qonverge.backend.clouds.plan import Opened, assembled, measurements
from qonverge.backend.clouds.program_inputs import Inputs, values_of, with_inputs
from qonverge.backend.clouds.protocol import (
    Estimates,
    EstimatingTranslator,
    ExactTranslator,
    Outcomes,
    ParametricTranslator,
    StateTranslator,
    Submission,
    Translator,
)
from qonverge.backend.config import EngineConfig
from qonverge.backend.engines.checks import is_exact
from qonverge.backend.engines.opening import opened
from qonverge.devices import Layout
from qonverge.providers.installed import find
from qonverge.wire.errors import EngineFailed, WireError
from qonverge.wire.messages import Observable, Pub, PubResult, Task

# Of QPY, whose circuits take about ten times as much; they are shared by all who send circuits.
_KEPT_BYTES = 4 * 1024**2
_ProgramKey: TypeAlias = "tuple[str, str, Layout | None, int, tuple[Observable, ...]]"
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Translation:
    """Holds a vendor's translator; circuits that were opened and prepared are kept, the least recently used go first.

    Each call brings the circuits that it needs: nothing is lost with the process.
    """

    def __init__(self, config: EngineConfig) -> None:
        """Load the translator.

        Raises:
            LookupError: there is no such provider, or it cannot be set up so.
        """
        self._descriptor = find(config.provider)
        module, _, name = self._descriptor.implementation.partition(":")
        try:
            self._translator: Translator = getattr(import_module(module), name)(config)
        except ModuleNotFoundError as error:
            raise LookupError(f"the provider {config.provider} needs the package {error.name}: install it") from None
        features = self._descriptor.features("Automatic", noisy=False, options=config.options)
        self._config, self._exact = config, "Exact" in features
        self._opened: LRUCache[str, tuple[Opened, int]] = LRUCache(_KEPT_BYTES, _size)
        self._programs: LRUCache[_ProgramKey, tuple[tuple[Submission, Inputs], int]] = LRUCache(_KEPT_BYTES, _size)
        self._prepared: LRUCache[tuple[str, str, Layout | None], tuple[QuantumCircuit, int]] = LRUCache(
            _KEPT_BYTES, _size
        )

    def warm_up(self) -> None:
        """Let the translator load what it loads at its first circuit: Qiskit's transpiler takes a second for that."""
        circuit = QuantumCircuit(1, 1)
        circuit.h(0)
        circuit.measure(0, 0)
        # What it says of this circuit concerns nobody.
        with contextlib.suppress(WireError):
            self._translator.encode(self._translator.prepare(circuit), 1)

    def describe(self) -> dict[str, Any]:
        """Return what the provider can do."""
        translator = self._translator
        return {
            "version": translator.version,
            "methods": self._descriptor.methods,
            "basis_gates": translator.basis_gates,
        }

    def plan(self, task: Task, most_shots: int | None) -> list[Measurement]:
        """Return what a task becomes; all its circuits can be translated.

        Raises:
            WireError: the device cannot run it.
        """
        circuits = self._circuits(task)
        estimates = isinstance(self._translator, EstimatingTranslator)
        states = isinstance(self._translator, StateTranslator) and self._translator.gives_states
        found = measurements(
            task, circuits, self._config, most_shots, estimates=estimates, exact=self._exact, states=states
        )
        for pub, basis in dict.fromkeys((each.pub, each.basis) for each in found):
            self._prepare(task, pub, basis)
        return found

    def encode(self, task: Task, measurement: Measurement) -> Submission:
        """Return the cloud's task for a measurement."""
        pub = task.pubs[measurement.pub]
        values = {name: float(given[measurement.row]) for name, given in pub.parameters.items()}
        own = tuple(pub.observables[k] for k in wanted(pub, measurement.row)) if measurement.basis == ESTIMATION else ()
        if isinstance(self._translator, ParametricTranslator):
            submission, inputs = self._written(task, measurement, own)
            return replace(submission, inputs=values_of(inputs, values))
        circuit = self._prepare(task, measurement.pub, measurement.basis)
        # A parameter that has no effect is gone from a circuit that was transpiled.
        there = {parameter.name for parameter in circuit.parameters}
        values = {name: value for name, value in values.items() if name in there}
        return self._encoded(pub, measurement, circuit.assign_parameters(values) if values else circuit, own)

    def _written(
        self, task: Task, measurement: Measurement, observables: tuple[Observable, ...]
    ) -> tuple[Submission, Inputs]:
        """Return the task for all values of the circuit's parameters, and how its inputs follow from them."""
        pub = task.pubs[measurement.pub]
        key = (pub.circuit, measurement.basis, pub.layout, measurement.shots, observables)

        def written() -> tuple[Submission, Inputs]:
            circuit, inputs = with_inputs(self._prepare(task, measurement.pub, measurement.basis))
            return self._encoded(pub, measurement, circuit, observables), inputs

        return _kept(self._programs, key, len(task.circuits[pub.circuit]), written)

    def _encoded(
        self, pub: Pub, measurement: Measurement, circuit: QuantumCircuit, observables: Sequence[Observable]
    ) -> Submission:
        if measurement.basis == STATE:
            return cast("StateTranslator", self._translator).encode_state(circuit)
        if measurement.basis == ESTIMATION:
            if is_exact(pub):
                return cast("ExactTranslator", self._translator).encode_exact(circuit, observables)
            assert isinstance(self._translator, EstimatingTranslator)
            shots = measurement.shots or None
            precision = pub.precision if shots is None else None
            return self._translator.encode_estimation(circuit, observables, shots, precision)
        return self._translator.encode(circuit, measurement.shots)

    def assemble(
        self,
        task: Task,
        found: Sequence[Measurement],
        readings: Sequence[Mapping[str, Any]],
        answers: Sequence[bytes],
        seed: int,
    ) -> tuple[PubResult, ...]:
        """Return a task's results.

        Args:
            task: as ``plan`` took it.
            found: its measurements.
            readings: what ``encode`` said of how each is read.
            answers: the cloud's for each, compressed.
            seed: see ``plan.assembled``.

        Raises:
            EngineFailed: an answer is none.
        """
        circuits = self._circuits(task)
        outcomes: list[tuple[Measurement, Outcomes | Estimates | State]] = []
        for measurement, reading, answer in zip(found, readings, answers, strict=True):
            pub = task.pubs[measurement.pub]
            sent = Submission("", measurement.shots, reading)
            try:
                text = zlib.decompress(answer).decode()
                if measurement.basis == STATE:
                    state = cast("StateTranslator", self._translator).decode_state(sent, text)
                    outcomes.append((measurement, checked_state(state, circuits[pub.circuit].circuit.num_qubits)))
                    continue
                if measurement.basis == ESTIMATION:
                    if is_exact(pub):
                        values = cast("ExactTranslator", self._translator).decode_exact(sent, text)
                    else:
                        assert isinstance(self._translator, EstimatingTranslator)
                        values = self._translator.decode_estimation(sent, text)
                    outcomes.append((measurement, checked_estimates(values, len(wanted(pub, measurement.row)))))
                    continue
                bits = circuits[pub.circuit].circuit.num_clbits + len(measurement.basis)
                outcomes.append((measurement, checked(self._translator.decode(sent, text), measurement.shots, bits)))
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise EngineFailed(
                    f"the cloud's answer cannot be read: {error}: its task has ended and is paid for, so that "
                    "sending it again costs again; the answer is in the vendor's console"
                ) from None
        return assembled(task, circuits, self._config, outcomes, seed)

    def _circuits(self, task: Task) -> Mapping[str, Opened]:
        return {digest: self._open(digest, data) for digest, data in task.circuits.items()}

    def _open(self, digest: str, data: bytes) -> Opened:
        return _kept(self._opened, digest, len(data), lambda: Opened.of(opened(digest, data)))

    def _prepare(self, task: Task, index: int, basis: str) -> QuantumCircuit:
        pub = task.pubs[index]
        data = task.circuits[pub.circuit]

        def prepared() -> QuantumCircuit:
            measured = self._open(pub.circuit, data).measured_in(basis)
            measured.refuse(self._descriptor.lacks, self._descriptor.name)
            return self._translator.prepare(measured.circuit, pub.layout)

        return _kept(self._prepared, (pub.circuit, basis, pub.layout), len(data), prepared)


def _size(kept: tuple[Any, int]) -> int:
    return kept[1]


def _kept(cache: LRUCache[_Key, tuple[_Value, int]], key: _Key, size: int, make: Callable[[], _Value]) -> _Value:
    """Return what is kept under a key, or what is made now and kept if it is not too large for that."""
    if (known := cache.get(key)) is not None:
        return known[0]
    made = make()
    if size <= cache.maxsize:
        cache[key] = (made, size)
    return made
