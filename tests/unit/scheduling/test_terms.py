"""Every hard term: its sentence, whether waiting helps, and what would help."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from qonverge.amounts import Money
from qonverge.devices.layout import Misfit
from qonverge.scheduling import Quota, plan
from qonverge.scheduling.model import Terms
from tests.unit.scheduling.worlds import NEEDS, backend, job, snapshot

MIB = 2**20


LITTLE = ", or a backend with the method MatrixProductState if the circuit entangles little"


@pytest.mark.parametrize(
    ("wanted", "there", "forecast", "reason", "remedy"),
    [
        ({}, {"max_qubits": 1}, {}, "lab/b takes 1 qubits and the circuit has 2", "a circuit of at most 1 qubits"),
        ({}, {"max_shots": 9}, {}, "lab/b takes 9 shots and the job asks for 1000", "at most 9 shots"),
        (
            {"needs": replace(NEEDS, slots=3)},
            {"workers": 2},
            {},
            "lab/b has 2 workers and the job takes 3 at once",
            "a backend with more workers",
        ),
        (
            {"needs": replace(NEEDS, features=frozenset({"NonClifford", "MidCircuit"}))},
            {"features": frozenset({"MidCircuit"})},
            {},
            "lab/b has no gates beyond Clifford ones",
            "a backend with gates beyond Clifford ones",
        ),
        (
            {"needs": replace(NEEDS, num_qubits=15, statevector_bytes=MIB // 2)},
            {"memory_bytes": MIB, "method": "Statevector", "state_copies": 3},
            {},
            "lab/b has 1 MiB for a circuit and a statevector of 15 qubits needs 1.5 MiB",
            "a backend with 1.5 MiB for a circuit" + LITTLE,
        ),
        (
            {"needs": replace(NEEDS, num_qubits=4096, clifford=True, statevector_bytes=16 << 4096)},
            {"memory_bytes": 4 * MIB, "method": "Stabilizer"},
            {},
            "lab/b has 4 MiB for a circuit and a stabilizer tableau of 4096 qubits needs 8 MiB",
            "a backend with 8 MiB for a circuit",
        ),
        (
            {"needs": replace(NEEDS, num_qubits=17, statevector_bytes=2 * MIB)},
            {"memory_bytes": MIB},
            {},
            "lab/b has 1 MiB for a circuit and a statevector of 17 qubits needs 2 MiB",
            "a backend with 2 MiB for a circuit" + LITTLE,
        ),
        (
            {"needs": replace(NEEDS, num_qubits=64, statevector_bytes=16 << 64)},
            {"memory_bytes": MIB},
            {},
            "lab/b has 1 MiB for a circuit and a statevector of 64 qubits needs 256 EiB",
            "fewer qubits" + LITTLE,
        ),
        (
            {"terms": Terms(tiers=frozenset({"Edge"}))},
            {"tier": "Cloud"},
            {},
            "lab/b's tier is Cloud and the job allows Edge",
            "leave for another tier",
        ),
        (
            {"terms": Terms(regions=frozenset({"eu"}))},
            {"region": "us"},
            {},
            "lab/b is in us and the job's data stays in eu",
            "leave for another region",
        ),
        (
            {"budget": Money(Decimal(1))},
            {},
            {"cost": 3.1},
            "lab/b would cost up to 3.10 USD and the budget has 1.00 USD",
            "a budget of at least 3.10 USD",
        ),
        (
            {"budget": Money(Decimal(0)), "needs": None},
            {},
            {"cost": float("nan")},
            "lab/b is not free and nothing is left of the budget",
            "a larger budget",
        ),
        (
            {"budget": Money(Decimal(9), "EUR")},
            {},
            {"cost": 3.1},
            "lab/b is priced in USD and the budget is in EUR",
            "a budget in the backend's currency",
        ),
        (
            {"deadline": 4.0},
            {},
            {},
            "lab/b needs 10 s and the deadline is in 4 s",
            "a deadline at least 6 s later",
        ),
        (
            {"deadline": -4.0},
            {},
            {},
            "lab/b can't meet a deadline that passed 4 s ago",
            "a deadline at least 14 s later",
        ),
        ({"backend_name": "b"}, {"admits_all_namespaces": False}, {}, "", "access for namespace chem"),
        (
            {"misfits": {"lab/b": Misfit("qubits 3 and 9 are not coupled on lima", lasting=True)}},
            {},
            {},
            "lab/b can't run the circuit: qubits 3 and 9 are not coupled on lima",
            "another layout or a narrower circuit",
        ),
    ],
)
def test_what_no_waiting_helps_is_impossible_and_says_what_would(
    wanted: dict[str, Any], there: dict[str, Any], forecast: dict[str, Any], reason: str, remedy: str
) -> None:
    (decision,) = plan(snapshot([job("a", **wanted)], [replace(backend("b"), **there)], **forecast)).decisions
    assert decision.impossible
    assert decision.remedy == remedy
    assert reason in decision.reason
    assert decision.rejected["lab/b"] == decision.reason


@pytest.mark.parametrize(
    ("wanted", "there", "forecast", "reason"),
    [
        ({}, {"serving": False}, {}, "lab/b is not ready: no pod serves"),
        (
            {"misfits": {"lab/b": Misfit("qubit 3 of lima is out of order", lasting=False)}},
            {},
            {},
            "lab/b can't run the circuit: qubit 3 of lima is out of order",
        ),
        (
            {"terms": Terms(max_two_qubit_error=0.02)},
            {"two_qubit_error": 0.0203, "readout_error": 0.01},
            {},
            "lab/b's median two-qubit error 0.0203 is above 0.02",
        ),
        (
            {"terms": Terms(max_readout_error=0.05)},
            {"two_qubit_error": 0.01, "readout_error": 0.061},
            {},
            "lab/b's median readout error 0.061 is above 0.05",
        ),
        (
            {"terms": Terms(max_two_qubit_error=0.02)},
            {},
            {},
            "lab/b's two-qubit error is not known and the job allows 0.02",
        ),
        (
            {"terms": Terms(max_readout_error=0.05)},
            {"two_qubit_error": 0.0},
            {},
            "lab/b's readout error is not known and the job allows 0.05",
        ),
        (
            {},
            {"calibration_stale_reason": "it is 26 h old"},
            {},
            "lab/b's calibration is not to be trusted: it is 26 h old",
        ),
        ({}, {"room": 0}, {}, "lab/b's queue is full"),
        ({"terms": Terms(min_fidelity=0.8)}, {}, {"fidelity": 0.71}, "lab/b's forecast fidelity 0.71 is below 0.8"),
        (
            {"terms": Terms(min_fidelity=0.8)},
            {},
            {"fidelity": float("nan")},
            "lab/b has no forecast of fidelity yet and the job asks for 0.8",
        ),
        (
            {"terms": Terms(max_latency_seconds=0.1)},
            {"latency_seconds": 0.25},
            {},
            "lab/b is 0.25 s away and the job allows 0.1 s",
        ),
        (
            {"terms": Terms(max_latency_seconds=0.1)},
            {},
            {},
            "lab/b's latency is not measured yet and the job allows 0.1 s",
        ),
        (
            {"budget": Money(Decimal(1))},
            {},
            {"cost": float("nan")},
            "lab/b has no forecast of cost yet and the budget has 1.00 USD",
        ),
        (
            {"terms": Terms(max_wait_seconds=30.0)},
            {"queue_seconds": 42.0},
            {},
            "lab/b's wait of 42 s is beyond 30 s",
        ),
        (
            {"deadline": 40.0},
            {"queue_seconds": 42.0},
            {},
            "lab/b would be done in 52 s and the deadline is in 40 s",
        ),
    ],
)
def test_what_may_change_is_waited_for(
    wanted: dict[str, Any], there: dict[str, Any], forecast: dict[str, Any], reason: str
) -> None:
    (decision,) = plan(snapshot([job("a", **wanted)], [backend("b", **there)], **forecast)).decisions
    assert (decision.backend, decision.impossible, decision.reason) == (None, False, reason)


def test_the_sentence_of_a_job_that_waits() -> None:
    here = [
        backend("falcon", max_qubits=20),
        backend("torino"),
        backend("edge-1", serving=False),
        backend("heron", free_seconds=(42.0,), load=1.0),
    ]
    wide = job("a", needs=replace(NEEDS, num_qubits=27), terms=Terms(min_fidelity=0.8))
    seen = snapshot([wide], here, fidelity=[[0.9, 0.71, 0.9, 0.9]], quotas={"chem": Quota(shots=1000)})
    first = snapshot([job("0"), wide], here, [[0.9] * 4, [0.9, 0.71, 0.9, 0.9]], quotas={"chem": Quota(shots=1000)})
    assert plan(seen).decisions[0].planned is not None
    assert plan(first).decisions[1].reason == (
        "the quota of namespace chem is used up by what goes before it; best wait: lab/heron, 42 s; 3 of 4 backends "
        "rejected: lab/edge-1 is not ready: no pod serves; lab/falcon takes 20 qubits and the circuit has 27; "
        "lab/torino's forecast fidelity 0.71 is below 0.8"
    )


def test_many_rejections_are_counted_by_kind() -> None:
    here = [backend(f"b{n}", max_qubits=1) for n in range(7)] + [backend("z", serving=False)]
    (decision,) = plan(snapshot([job("a")], here)).decisions
    assert decision.reason.endswith("; 3 more too few qubits; 1 more not ready")
    assert len(decision.rejected) == 8


def test_a_selector_of_namespaces() -> None:
    lent = replace(backend("b"), admits_all_namespaces=False, admitted_namespaces=frozenset({"chem"}), selects=True)
    assert plan(snapshot([job("a")], [lent])).decisions[0].backend == lent
    (decision,) = plan(snapshot([job("a", "bio", backend_name="b")], [lent])).decisions
    assert decision.reason == "lab/b does not admit jobs from namespace bio, whose labels its selector does not match"
    assert not decision.impossible, "a namespace may get other labels at any time"


def test_errors_at_their_floor_are_taken_and_other_backends_too() -> None:
    terms = Terms(max_two_qubit_error=0.02, max_readout_error=0.05)
    backends = [
        backend("good", two_qubit_error=0.02, readout_error=0.05),
        backend("ideal", two_qubit_error=0.0, readout_error=0.0),
        backend("bad", two_qubit_error=0.03, readout_error=0.01),
    ]
    wanted = job("a", terms=terms, misfits={"lab/ideal": Misfit("it is none", lasting=True)})
    (decision,) = plan(snapshot([wanted], backends)).decisions
    assert decision.backend is not None
    assert decision.backend.name == "good"
    assert dict(decision.rejected) == {
        "lab/ideal": "lab/ideal can't run the circuit: it is none",
        "lab/bad": "lab/bad's median two-qubit error 0.03 is above 0.02",
    }
