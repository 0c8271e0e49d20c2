"""What is charged before a task runs is what a device is sent: both count the same groups of observables."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qonverge.amounts import TaskLimits
from qonverge.backend.clouds.measurement import in_tasks
from qonverge.backend.clouds.plan import Opened, measurements
from qonverge.backend.config import EngineConfig
from qonverge.backend.tasks.meters import asked
from qonverge.circuits.analysis.measurement_plan import runs, tasks_for
from qonverge.circuits.analysis.observables import Observable, grouped
from qonverge.wire.messages import Pub, Task

Asked = tuple[int | None, float | None]
"""Shots and precision: one of them."""
QUBITS, SETS = 4, 3
CONFIG = EngineConfig(memory_bytes=2 * 1024**3, max_shots=10**9)
CIRCUIT = QuantumCircuit(QUBITS)
CIRCUIT.rx(Parameter("theta"), 0)
STATE = Opened.of(CIRCUIT)
labels = st.text("IXYZ", min_size=QUBITS, max_size=QUBITS)
# No two terms of an observable are alike.
observables = st.dictionaries(labels, st.sampled_from([-1.5, 0.0, 0.25, 1.0]), min_size=1, max_size=8).map(
    lambda terms: tuple(terms.items())
)
pairs = st.lists(st.tuples(st.integers(0, SETS - 1), st.integers(0, 3)), min_size=1, max_size=8, unique=True)
asks = st.sampled_from([(700, None), (None, 0.05)])
limits = st.builds(
    TaskLimits, shots=st.sampled_from([None, 300, 1000]), programs=st.sampled_from([1, 4]), total_shots=st.just(4000)
)


@settings(deadline=None, max_examples=80)
@given(
    st.lists(observables, min_size=4, max_size=4),
    st.none() | pairs,
    asks,
    limits,
)
def test_the_tasks_that_are_charged_are_those_that_are_sent(
    wanted: list[Observable],
    pairs: list[tuple[int, int]] | None,
    asked_for: Asked,
    limits: TaskLimits,
) -> None:
    angles = {"theta": np.arange(float(SETS))}
    pub = Pub("c", angles, *asked_for, tuple(wanted), None if pairs is None else np.array(pairs))
    sent = measurements(Task("t", (pub,), {}), {"c": STATE}, CONFIG, limits.shots)
    charged = asked((pub,), limits)
    assert (charged.tasks, charged.shots) == (len(in_tasks(sent, limits)), sum(each.shots for each in sent))


@settings(deadline=None, max_examples=40)
@given(st.lists(observables, min_size=1, max_size=4), asks, limits)
def test_a_job_is_forecast_to_have_the_tasks_that_are_sent(
    wanted: list[Observable], asked_for: Asked, limits: TaskLimits
) -> None:
    task = Task("t", (Pub("c", {"theta": np.array([0.5])}, *asked_for, tuple(wanted)),), {})
    sent = measurements(task, {"c": STATE}, CONFIG, limits.shots)
    assert tasks_for([runs(wanted, *asked_for)], limits) == len(in_tasks(sent, limits))


@settings(deadline=None, max_examples=40)
@given(st.lists(observables, min_size=1, max_size=4))
def test_a_group_s_basis_measures_each_of_its_labels_and_each_label_is_in_one(wanted: list[Observable]) -> None:
    groups = grouped(wanted)
    for group in groups:
        for label in group.labels:
            assert all(own in ("I", letter) for own, letter in zip(label, group.basis, strict=True))
        # It measures no qubit of which nobody asks.
        for place, letter in enumerate(group.basis):
            assert letter == "I" or any(label[place] == letter for label in group.labels)
    own = sorted(itertools.chain.from_iterable(group.labels for group in groups))
    assert own == sorted({label for observable in wanted for label, _ in observable if set(label) != {"I"}})
