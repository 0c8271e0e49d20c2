"""Cirq's sampler on a backend."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import cirq
import duet.impl
import numpy as np
from duet.futuretools import AwaitableFuture

from qonverge.client import numbers
from qonverge.client.cirq.circuits import Converted, convert, exact
from qonverge.client.cirq.observables import observable
from qonverge.client.cirq.records import records, unpacked
from qonverge.client.cirq.symbols import NeedsValues
from qonverge.client.qiskit.jobs import new_id
from qonverge.client.seeds import generator_of, seed_of_task
from qonverge.client.transport.connect import Runner, connect
from qonverge.client.transport.connection import MOST_TASKS
from qonverge.wire.messages import MAX_SHOTS, Pub, PubResult, Task, TaskResult

_REMEMBERED = 256

Sweeps = Sequence[Sequence[cirq.Result]]


@dataclass(frozen=True)
class _Runs:
    """One circuit with parameter sets: a pub."""

    converted: Converted
    resolvers: Sequence[cirq.ParamResolver]
    repetitions: int = 0

    def pub(self, **wanted: Any) -> Pub:
        return Pub(self.converted.travelling[0], self.converted.symbols.values(self.resolvers), **wanted)

    def results(self, answer: PubResult, generator: np.random.Generator) -> list[cirq.Result]:
        bits = {name: unpacked(*packed) for name, packed in answer.registers.items()}
        return [
            cirq.ResultDict(
                params=resolver,
                records=records(self.converted.measured, {name: bits[name][row] for name in bits}, generator),
            )
            for row, resolver in enumerate(self.resolvers)
        ]

    def nothing(self) -> list[cirq.Result]:
        bits = {register.name: np.zeros((0, register.size), dtype=np.int8) for register in self.converted.circuit.cregs}
        found = records(self.converted.measured, bits, np.random.default_rng())
        return [cirq.ResultDict(params=resolver, records=found) for resolver in self.resolvers]


class Sampler(cirq.Sampler, cirq.SimulatesExpectationValues):
    """Samples circuits on a backend, and computes exact expectation values there.

    A sweep is one circuit with many parameter sets, and a batch is one task. The methods that are not here, such as
    ``run`` and ``sample``, are ``cirq.Sampler``'s own.
    """

    def __init__(
        self, runner: Runner | None = None, *, seed: int | np.random.Generator | np.random.RandomState | None = None
    ) -> None:
        """Without arguments the job's environment says where to run and with which seed.

        As in ``cirq.Simulator`` two runs with one seed differ, and two samplers with the same seed do the same.
        """
        self._runner = connect() if runner is None else runner
        self._seed = generator_of(seed)
        self._threads = ThreadPoolExecutor(MOST_TASKS, thread_name_prefix="qonverge-cirq")
        self._convert = lru_cache(_REMEMBERED)(convert)

    def run_sweep(
        self, program: cirq.AbstractCircuit, params: cirq.Sweepable, repetitions: int = 1
    ) -> Sequence[cirq.Result]:
        """Sample the circuit for each parameter set.

        Raises:
            ValueError: the circuit cannot be sent, or measures nothing; the message names what is wrong.
            ClientError: the backend has no result, saying why.
        """
        return self.run_batch([program], [params], repetitions)[0]

    async def run_sweep_async(
        self, program: cirq.AbstractCircuit, params: cirq.Sweepable, repetitions: int = 1
    ) -> Sequence[cirq.Result]:
        """As ``run_sweep``, under duet or asyncio."""
        return (await self.run_batch_async([program], [params], repetitions))[0]

    def run_batch(
        self,
        programs: Sequence[cirq.AbstractCircuit],
        params_list: Sequence[cirq.Sweepable] | None = None,
        repetitions: int | Sequence[int] = 1,
    ) -> Sweeps:
        """Sample circuits, each with its parameter sets and repetitions, as one task.

        Raises:
            ValueError: as ``run_sweep``.
            ClientError: the backend has no result, saying why.
        """
        task, finish = self._batch(programs, params_list, repetitions)
        return finish(self._runner.run(task) if task.pubs else None)

    def sample_expectation_values(
        self,
        program: cirq.AbstractCircuit,
        observables: cirq.PauliSumLike | list[cirq.PauliSumLike],
        *,
        num_samples: int,
        params: cirq.Sweepable = None,
        permit_terminal_measurements: bool = False,
    ) -> Sequence[Sequence[float]]:
        """Estimate expectation values by measuring, as ``cirq.Sampler`` does.

        Cirq counts a Pauli string that two observables share for the last of them only, and gives values of equal
        parameter sets to the last of these. Where there are such, each observable and set is measured by itself.
        """
        one = partial(
            super().sample_expectation_values,
            program,
            num_samples=num_samples,
            permit_terminal_measurements=permit_terminal_measurements,
        )
        given = observables if isinstance(observables, list) else [observables]
        strings = [string for each in given for string in cirq.PauliSum.wrap(each)]
        resolvers = list(cirq.to_resolvers(params))
        sets = {frozenset((str(name), value) for name, value in each.param_dict.items()) for each in resolvers}
        if len(set(strings)) == len(strings) and len(sets) == len(resolvers):
            return one(observables, params=params)
        return [[one([each], params=resolver)[0][0] for each in given] for resolver in resolvers]

    async def run_batch_async(
        self,
        programs: Sequence[cirq.AbstractCircuit],
        params_list: Sequence[cirq.Sweepable] | None = None,
        repetitions: int | Sequence[int] = 1,
    ) -> Sweeps:
        """As ``run_batch``, under duet or asyncio; a task that nobody awaits any more is ended."""
        task, finish = self._batch(programs, params_list, repetitions)
        if not task.pubs:
            return finish(None)
        cancelled = threading.Event()
        future = self._threads.submit(self._runner.run, task, cancelled)
        try:
            return finish(await _awaitable(future))
        finally:
            if not future.done():
                cancelled.set()
                self._threads.submit(self._runner.cancel, task.id)

    def simulate_expectation_values_sweep(
        self,
        program: cirq.AbstractCircuit,
        observables: cirq.PauliSumLike | list[cirq.PauliSumLike],
        params: cirq.Sweepable,
        qubit_order: cirq.QubitOrderOrList = cirq.QubitOrder.DEFAULT,
        initial_state: Any = None,
        permit_terminal_measurements: bool = False,
    ) -> list[list[float]]:
        """Return the exact expectation values, a list for each parameter set.

        Args:
            program: circuit; measurements that end it count as averaged over their outcomes.
            observables: one or more.
            params: parameter sets.
            qubit_order: order of the qubits in ``initial_state``; may name more than the circuit has.
            initial_state: what ``cirq.to_valid_state_vector`` takes; None: all qubits are 0.
            permit_terminal_measurements: whether the circuit may end with measurements.

        Raises:
            ValueError: the circuit or an observable cannot be sent; the message names what is wrong.
            ClientError: the backend has no result, saying why.
        """
        if not permit_terminal_measurements and program.are_any_measurements_terminal():
            raise ValueError(
                "the circuit ends with measurements, over whose outcomes expectation values would be averaged: leave "
                "them out, or set permit_terminal_measurements=True"
            )
        # Even without qubits there is a state, of which numbers are observables.
        order = tuple(cirq.QubitOrder.as_qubit_order(qubit_order).order_for(program.all_qubits())) or (cirq.q(0),)
        given = observables if isinstance(observables, list) else [observables]
        resolvers = list(cirq.to_resolvers(params))
        if not given or not resolvers:
            return [[] for _ in resolvers]
        pubs: list[Pub] = []
        circuits: dict[str, bytes] = {}
        for runs in self._runs(program, resolvers, order):
            converted, measured = exact(runs.converted, order, initial_state)
            wanted = tuple(observable(each, converted.qubits, measured) for each in given)
            pubs.append(_Runs(converted, runs.resolvers).pub(observables=wanted))
            circuits.update([converted.travelling])
        result = self._runner.run(Task(new_id(), tuple(pubs), circuits, seed_of_task(self._seed)))
        values = []
        for answer in result.results:
            assert answer.expectation_values is not None
            values += answer.expectation_values.tolist()
        return values

    def _batch(
        self,
        programs: Sequence[cirq.AbstractCircuit],
        params_list: Sequence[cirq.Sweepable] | None,
        repetitions: int | Sequence[int],
    ) -> tuple[Task, Callable[[TaskResult | None], Sweeps]]:
        """Return the task, and what makes Cirq's results of its result; without pubs there is no task to run."""
        if np.ndim(repetitions) == 0:
            repetitions = [numbers.whole("repetitions", repetitions, 0, MAX_SHOTS)] * len(programs)
        sweeps, counts = self._normalize_batch_args(programs, params_list, repetitions)
        batch = []
        for program, params, given in zip(programs, sweeps, counts, strict=True):
            count = numbers.whole("repetitions", given, 0, MAX_SHOTS)
            order = tuple(cirq.QubitOrder.DEFAULT.order_for(program.all_qubits()))
            batch.append(self._runs(program, list(cirq.to_resolvers(params)), order, count))
            if not all(runs.converted.measured for runs in batch[-1]):
                raise ValueError("the circuit has no measurements to sample: add cirq.measure, or ask for expectations")
        sent = [runs for each in batch for runs in each if runs.repetitions and runs.resolvers]
        circuits = dict(runs.converted.travelling for runs in sent)
        pubs = tuple(runs.pub(shots=runs.repetitions) for runs in sent)
        task = Task(new_id(), pubs, circuits, seed_of_task(self._seed), memory=True)

        def finish(result: TaskResult | None) -> Sweeps:
            answers = iter(() if result is None else result.results)
            # What the backend does not draw is drawn here, by the same seed.
            generator = np.random.default_rng(None if result is None else result.seed)
            return [
                [
                    found
                    for runs in each
                    for found in (
                        runs.results(next(answers), generator)
                        if runs.repetitions and runs.resolvers
                        else runs.nothing()
                    )
                ]
                for each in batch
            ]

        return task, finish

    def _runs(
        self,
        program: cirq.AbstractCircuit,
        resolvers: Sequence[cirq.ParamResolver],
        order: tuple[cirq.Qid, ...],
        repetitions: int = 0,
    ) -> list[_Runs]:
        """Return one circuit with all parameter sets, or one for each set where that is not possible."""
        frozen = program.freeze()
        try:
            hash(frozen)
        except TypeError:
            # Gates of a program may have no hash; their circuits are converted each time.
            conversion: Callable[..., Converted] = convert
        else:
            conversion = self._convert
        try:
            converted = conversion(frozen, order)
            if len(converted.symbols):
                return [_Runs(converted, resolvers, repetitions)]
            # Without parameters nothing says how many sets there are.
            return [_Runs(converted, [resolver], repetitions) for resolver in resolvers]
        except NeedsValues:
            return [_Runs(_resolved(frozen, resolver, order), [resolver], repetitions) for resolver in resolvers]


def _resolved(program: cirq.FrozenCircuit, resolver: cirq.ParamResolver, order: tuple[cirq.Qid, ...]) -> Converted:
    resolved = cirq.resolve_parameters(program, resolver)
    if missing := cirq.parameter_names(resolved):
        raise ValueError(
            f"the circuit's symbols {', '.join(sorted(missing))} have no values in {resolver}: give "
            "them in the parameters"
        )
    return convert(resolved, order)


def _awaitable(future: Future[TaskResult]) -> Awaitable[TaskResult]:
    """Return the future as the running event loop takes it: Cirq's own is duet's, notebooks and servers run asyncio."""
    try:
        duet.impl.current_task()
    except RuntimeError:
        try:
            return asyncio.wrap_future(future, loop=asyncio.get_running_loop())
        except RuntimeError:
            pass
    awaitable: Awaitable[TaskResult] = AwaitableFuture.wrap(future)
    return awaitable
