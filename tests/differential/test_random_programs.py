"""Random programs on every engine, by every way in, against the reference; ``bench.differential`` runs more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.differential import noise, paths
from tests.differential.answers import Answer, Inexpressible, wrong
from tests.differential.generator import cases
from tests.differential.openqasm import Spelling, openqasm, spellings
from tests.differential.program import Case, Counts, Gate, Measure, Program, Register
from tests.differential.reference import simulate
from tests.differential.survey import Survey, Tally, in_other_processes, in_process

# Examples are drawn from a fixed seed, so that the time is bounded and every run is the same.
_SAME = partial(settings, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def survey() -> Survey:
    return Survey(in_process())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Survey]:
    with in_other_processes(tmp_path_factory.mktemp("manifests")) as entrances:
        yield Survey(entrances)


def test_random_programs_in_this_process(survey: Survey) -> None:
    @_SAME(max_examples=60)
    @given(cases(), spellings(), st.integers(0, 5))
    def every_answer_may_be_true(case: Case, spelling: Spelling, turn: int) -> None:
        assert not (found := survey.run(case, spelling, turn)), str(found[0])

    every_answer_may_be_true()
    _saw_much(survey.tally, least=250)


def test_random_programs_served(served: Survey) -> None:
    @_SAME(max_examples=25)
    @given(cases(), spellings(), st.integers(0, 6))
    def every_answer_may_be_true(case: Case, spelling: Spelling, turn: int) -> None:
        found = served.run(case, spelling, turn, ("Automatic", "BraketLocal/Statevector"))
        assert not found, str(found[0])

    every_answer_may_be_true()
    _saw_much(served.tally, least=25)


def _saw_much(tally: Tally, *, least: int) -> None:
    """A survey in which everything is refused would find nothing."""
    assert tally.compared.total() >= least
    assert tally.compared.total() > tally.refused.total()
    # Of a normal distribution 95 % are within two standard errors; a value that is certain always is.
    assert tally.within(2) >= 0.9


_NOISY = {
    "pauli": (noise.PAULI, ("Automatic", "Aer", "Aer/DensityMatrix", "Aer/Statevector", "BraketLocal/DensityMatrix")),
    "relaxing": (
        noise.RELAXING,
        ("Automatic", "Aer", "Aer/DensityMatrix", "Aer/Statevector", "BraketLocal/DensityMatrix"),
    ),
    "clifford": (noise.PAULI, ("Automatic", "Aer/Stabilizer", "Stim", "BraketLocal/DensityMatrix")),
}


@pytest.mark.parametrize("kind", _NOISY)
def test_noise_is_what_the_documentation_says(kind: str) -> None:
    figures, engines = _NOISY[kind]
    told = noise.reference(figures)
    runners = {name: paths.embedded(name, noise=noise.calibration(figures)) for name in engines}

    @_SAME(max_examples=15)
    @given(noise.cases(clifford=kind == "clifford"))
    def every_answer_may_be_true(case: Case) -> None:
        truth = [simulate(case.program, {}, told)]
        for name, runner in runners.items():
            for way in (paths.texts, paths.sampled):
                try:
                    answer = way(runner, case, Spelling())
                except Inexpressible:
                    continue
                problems = wrong(case, answer, truth)
                assert not problems, f"{name}: {problems[0]}\n{openqasm(case.program)}{case.wanted}"

    every_answer_may_be_true()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda counts: {**counts, (1, 1): counts[0, 0] + 1}, "outcomes of"),
        (lambda counts: {(0, 1): counts[0, 0], (1, 0): counts[1, 1], (1, 1): 0}, "impossible"),
        (lambda counts: {(0, 0): counts[0, 0] + 300, (1, 1): counts[1, 1] - 300}, "the probability 0.5"),
    ],
)
def test_a_wrong_answer_is_found(change: Callable[..., dict[tuple[int, ...], int]], problem: str) -> None:
    case = next(_bell())
    answer = paths.texts(paths.embedded("Aer"), case, Spelling())
    truth = [simulate(case.program, {})]
    assert not wrong(case, answer, truth)
    changed = Answer((change(answer.counts[0]),))
    assert problem in wrong(case, changed, truth)[0]


def _bell() -> Iterator[Case]:
    body = (Gate("h", (0,)), Gate("cx", (0, 1)), Measure(0, 0), Measure(1, 1))
    yield Case(Program(3, (Register("q", 2, 0),), (Register("c", 2, 0),), body), ({},), Counts(4000))
