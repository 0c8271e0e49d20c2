"""What the child process of a cloud backend does with circuits: plan, translate, read answers."""

from __future__ import annotations

import contextlib
import itertools
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from qonverge.backend.clouds.answers import State, checked, checked_estimates, checked_state
from qonverge.backend.clouds.measurement import ESTIMATION, STATE, Measurement, wanted
from qonverge.backend.clouds.plan import Opened, assembled, measurements
from qonverge.backend.clouds.program_inputs import Inputs, values_of, with_inputs
from qonverge.backend.clouds.protocol import Submission
from qonverge.backend.clouds.translators import (
    Estimates,
    ExactTranslator,
    Outcomes,
    ParametricTranslator,
    PreparedPub,
    PubTranslator,
    StateTranslator,
    Translator,
)
from qonverge.backend.config import EngineConfig
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
            self._translator: Translator | PubTranslator = getattr(import_module(module), name)(config)
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
            prepared = self._translator.prepare(circuit)
            if isinstance(self._translator, PubTranslator):
                self._translator.encode_pubs([PreparedPub(prepared, {}, 1)])
            else:
                self._translator.encode(prepared, 1)

    def describe(self) -> dict[str, Any]:
        """Return what the provider can do."""
        translator = self._translator
        return {
            "version": translator.version,
            "methods": self._descriptor.methods,
            "basis_gates": translator.basis_gates,
        }

    def plan(self, task: Task, most_shots: int | None) -> list[Measurement]:
        """Return what a task becomes; all its circuits can be translated, unless it may have been sent before.

        Such a one is to be found, and ended where nobody wants it, also if the device has changed so that it does not
        run there any more. What of it was not sent fails then, when it is translated.

        Raises:
            WireError: the device cannot run it.
        """
        circuits = self._circuits(task)
        estimates = isinstance(self._translator, PubTranslator)
        states = isinstance(self._translator, StateTranslator) and self._translator.gives_states
        found = measurements(
            task, circuits, self._config, most_shots, estimates=estimates, exact=self._exact, states=states
        )
        if not task.again:
            for pub, basis in dict.fromkeys((each.pub, each.basis) for each in found):
                self._prepare(task, pub, basis)
        return found

    def encode(self, task: Task, own: Sequence[Measurement]) -> Submission:
        """Return the cloud's task for some measurements, of which several take a ``PubTranslator``."""
        if isinstance(self._translator, PubTranslator):
            # Once for all: a large one is not kept.
            prepared = {
                (pub, basis): self._prepare(task, pub, basis)
                for pub, basis in dict.fromkeys((each.pub, each.basis) for each in own)
            }
            pubs = _in_pubs(task, own, prepared)
            made = self._translator.encode_pubs([_pub(task, [own[place] for place in each], prepared) for each in pubs])
            return replace(made, reading={"pubs": pubs, "own": made.reading})
        if len(own) > 1:
            raise EngineFailed(
                "the provider says that a task may have several programs, and cannot send such a task: it is a defect "
                "of the provider"
            )
        (measurement,) = own
        pub, row = task.pubs[measurement.pub], measurement.row
        observables = tuple(pub.observables[k] for k in wanted(pub)[row]) if measurement.basis == ESTIMATION else ()
        if isinstance(self._translator, ParametricTranslator):
            submission, inputs = self._written(task, measurement, observables)
            return replace(
                submission,
                inputs=values_of(inputs, {name: float(given[row]) for name, given in pub.parameters.items()}),
            )
        circuit = self._prepare(task, measurement.pub, measurement.basis)
        values = {name: float(given[row]) for name, given in _parameters(circuit, pub).items()}
        bound = circuit.assign_parameters(values) if values else circuit
        return self._encoded(measurement, bound, observables)

    def _written(
        self, task: Task, measurement: Measurement, observables: tuple[Observable, ...]
    ) -> tuple[Submission, Inputs]:
        """Return the task for all values of the circuit's parameters, and how its inputs follow from them."""
        pub = task.pubs[measurement.pub]
        key = (pub.circuit, measurement.basis, pub.layout, measurement.shots, observables)

        def written() -> tuple[Submission, Inputs]:
            circuit, inputs = with_inputs(self._prepare(task, measurement.pub, measurement.basis))
            return self._encoded(measurement, circuit, observables), inputs

        return _kept(self._programs, key, len(task.circuits[pub.circuit]), written)

    def _encoded(
        self, measurement: Measurement, circuit: QuantumCircuit, observables: Sequence[Observable]
    ) -> Submission:
        if measurement.basis == STATE:
            return cast("StateTranslator", self._translator).encode_state(circuit)
        if measurement.basis == ESTIMATION:
            return cast("ExactTranslator", self._translator).encode_exact(circuit, observables)
        return cast("Translator", self._translator).encode(circuit, measurement.shots)

    def assemble(
        self,
        task: Task,
        found: Sequence[Measurement],
        readings: Sequence[Mapping[str, Any]],
        answers: Sequence[bytes],
        seed: int,
        places: Sequence[Sequence[int]] | None = None,
    ) -> tuple[PubResult, ...]:
        """Return a task's results.

        Args:
            task: as ``plan`` took it.
            found: its measurements.
            readings: what ``encode`` said of how each answer is read.
            answers: the cloud's, compressed.
            seed: see ``plan.assembled``.
            places: for each answer those of its measurements; None: each is that of one.

        Raises:
            EngineFailed: an answer is none.
        """
        circuits = self._circuits(task)
        estimated = {each.pub for each in found if each.basis == ESTIMATION}
        asked = {index: [len(own) for own in wanted(task.pubs[index])] for index in estimated}
        outcomes: dict[int, Outcomes | Estimates | State] = {}
        of_each = places or [[place] for place in range(len(found))]
        for own, reading, answer in zip(of_each, readings, answers, strict=True):
            try:
                text = zlib.decompress(answer).decode()
                read = self._read([found[place] for place in own], reading, text)
                for place, one in zip(own, read, strict=True):
                    each = found[place]
                    circuit = circuits[task.pubs[each.pub].circuit].circuit
                    if each.basis == STATE:
                        assert isinstance(one, np.ndarray)
                        outcomes[place] = checked_state(one, circuit.num_qubits)
                    elif each.basis == ESTIMATION:
                        assert isinstance(one, Estimates)
                        outcomes[place] = checked_estimates(one, asked[each.pub][each.row])
                    else:
                        assert isinstance(one, Outcomes)
                        bits = circuit.num_clbits + len(each.basis)
                        outcomes[place] = checked(one, each.shots, bits)
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise EngineFailed(
                    f"the cloud's answer cannot be read: {error}: its task has ended and is paid for, so that "
                    "sending it again costs again; the answer is in the vendor's console"
                ) from None
        return assembled(
            task, circuits, self._config, [(each, outcomes[place]) for place, each in enumerate(found)], seed
        )

    def _read(
        self, own: Sequence[Measurement], reading: Mapping[str, Any], text: str
    ) -> Sequence[Outcomes | Estimates | State]:
        """Return what each measurement of one of the cloud's tasks gave."""
        sent = Submission("", own[0].shots, reading)
        if isinstance(self._translator, PubTranslator):
            read = self._translator.decode_pubs(replace(sent, reading=reading["own"]), text)
            if len(read) != len(own):
                raise ValueError(f"it has {len(read)} parameter sets and {len(own)} were asked for")
            places = itertools.chain.from_iterable(reading["pubs"])
            return [one for _, one in sorted(zip(places, read, strict=True), key=lambda each: each[0])]
        if own[0].basis == STATE:
            return [cast("StateTranslator", self._translator).decode_state(sent, text)]
        if own[0].basis == ESTIMATION:
            return [cast("ExactTranslator", self._translator).decode_exact(sent, text)]
        return [self._translator.decode(sent, text)]

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


def _in_pubs(
    task: Task, own: Sequence[Measurement], prepared: Mapping[tuple[int, str], QuantumCircuit]
) -> list[list[int]]:
    """Return the places of the measurements that are the parameter sets of one PUB, for each PUB."""
    found: dict[tuple[Any, ...], list[int]] = {}
    asked = {index: wanted(task.pubs[index]) for index in {each.pub for each in own if each.basis == ESTIMATION}}
    for place, each in enumerate(own):
        # Of a circuit without parameters there is one set only.
        alone = -1 if prepared[each.pub, each.basis].parameters else place
        observables = tuple(asked[each.pub][each.row]) if each.basis == ESTIMATION else ()
        found.setdefault((each.pub, each.basis, observables, alone), []).append(place)
    return list(found.values())


def _pub(task: Task, own: Sequence[Measurement], prepared: Mapping[tuple[int, str], QuantumCircuit]) -> PreparedPub:
    first, rows = own[0], [each.row for each in own]
    pub, circuit = task.pubs[first.pub], prepared[first.pub, first.basis]
    parameters = {name: given[rows] for name, given in _parameters(circuit, pub).items()}
    if first.basis != ESTIMATION:
        return PreparedPub(circuit, parameters, first.shots)
    observables = [pub.observables[k] for k in wanted(pub)[first.row]]
    shots = first.shots or None
    return PreparedPub(circuit, parameters, shots, observables, pub.precision if shots is None else None)


def _parameters(circuit: QuantumCircuit, pub: Pub) -> dict[str, NDArray[np.float64]]:
    """Return the values of a circuit's parameters: those that have no effect are gone from a transpiled circuit."""
    there = {parameter.name for parameter in circuit.parameters}
    return {name: given for name, given in pub.parameters.items() if name in there}


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
