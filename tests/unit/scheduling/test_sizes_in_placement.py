"""Backends with larger sizes: a circuit goes to the smallest one that it fits, and to no other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from qonverge.api.base import LabelSelector
from qonverge.scheduling import Backend, Decision, Job, plan
from qonverge.scheduling.terms import meant
from tests.unit.scheduling.worlds import NEEDS, backend, job, snapshot

MIB = 2**20
ANY = {"backend_name": None}
STARTED = "a pod with 2 GiB of memory is started for it"


def family(usual: int | None = MIB) -> list[Backend]:
    """A backend for circuits of 16 qubits, with sizes for 17 and 18 of which no pod serves."""
    sized: dict[str, Any] = {"size_of": "b", "starting": STARTED, "free_seconds": (10.0,), "ahead_seconds": 0.0}
    first = 2**60 if usual is None else usual
    return [
        backend("b", memory_bytes=usual, larger=True),
        backend("b-2gi", memory_bytes=2 * MIB, smaller_bytes=first, larger=True, **sized),
        backend("b-4gi", memory_bytes=4 * MIB, smaller_bytes=2 * MIB, **sized),
    ]


def wide(qubits: int, **fields: Any) -> Job:
    needs = replace(NEEDS, num_qubits=qubits, statevector_bytes=16 << qubits)
    given: dict[str, Any] = {"needs": needs, "backend_name": "b", "backend_namespace": "lab", **fields}
    return job("j", **given)


def decided(given: Job, backends: list[Backend]) -> Decision:
    (decision,) = plan(snapshot([given], backends)).decisions
    return decision


@pytest.mark.parametrize(("qubits", "size"), [(2, "b"), (16, "b"), (17, "b-2gi"), (18, "b-4gi")])
@pytest.mark.parametrize(
    "by", [{}, {"backend_name": None}, {"backend_name": None, "backend_selector": LabelSelector()}]
)
def test_a_circuit_means_the_smallest_size_that_it_fits(qubits: int, size: str, by: dict[str, object]) -> None:
    given, backends = wide(qubits, **by), family()
    decision = decided(given, backends)
    to = decision.backend or decision.planned
    assert to is not None
    assert (to.name, dict(decision.rejected)) == (size, {})
    assert [b.name for b, may in zip(backends, meant(given, backends), strict=True) if may] == [size]
    assert (STARTED in decision.reason) == (size != "b")


def test_a_circuit_that_fits_none_is_refused_with_what_the_largest_has() -> None:
    decision = decided(wide(19), family())
    assert decision.impossible
    assert decision.reason == "lab/b-4gi has 4 MiB for a circuit and a statevector of 19 qubits needs 8 MiB"


def test_a_circuit_that_fits_none_waits_while_a_larger_size_is_to_be_made() -> None:
    usual = replace(family()[0], larger=False, awaits_larger=True)
    decision = decided(wide(17), [usual])
    assert not decision.impossible
    assert decision.reason.endswith("qubits needs 2 MiB; its next larger size is not there yet")
    assert decided(wide(16), [usual]).backend == usual


def test_a_circuit_that_needs_no_full_state_needs_no_larger_size() -> None:
    needs = replace(NEEDS, num_qubits=18, statevector_bytes=16 << 18, clifford=True)
    assert decided(wide(18, needs=needs), family()).backend == family()[0]


def test_a_program_runs_on_the_usual_size() -> None:
    assert decided(wide(2, needs=None), family()).backend == family()[0]


def test_before_it_is_known_what_the_usual_pods_have_all_is_taken_to_fit_them() -> None:
    assert decided(wide(18), family(usual=None)).backend == family(usual=None)[0]


def test_a_size_that_a_job_names_takes_smaller_circuits_too_and_says_what_it_has() -> None:
    named = decided(wide(2, backend_name="b-4gi"), family())
    assert named.planned is not None
    assert named.planned.name == "b-4gi"
    refused = decided(wide(18, backend_name="b-2gi"), family())
    assert refused.reason == "lab/b-2gi has 2 MiB for a circuit and a statevector of 18 qubits needs 4 MiB"


def test_a_backend_of_the_same_name_elsewhere_has_no_part_in_it() -> None:
    own = replace(backend("b", memory_bytes=MIB), namespace="chem")
    decision = decided(wide(17, backend_namespace=None), [own, *family()])
    assert decision.reason == "b has 1 MiB for a circuit and a statevector of 17 qubits needs 2 MiB"
