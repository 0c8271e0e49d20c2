"""Cases on many ways to many engines, each answer held against what is true."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path as File

from qonverge.client.transport.connect import connect
from tests.differential import paths, served
from tests.differential.answers import Answer, Inexpressible, Refused, deviations, wrong
from tests.differential.braket_circuits import through_braket
from tests.differential.cirq_circuits import through_cirq
from tests.differential.openqasm import Spelling, openqasm
from tests.differential.paths import ENGINES
from tests.differential.pennylane_circuits import through_pennylane
from tests.differential.program import Case, Counts
from tests.differential.reference import Exact, simulate, without_final_measurements
from tests.differential.refusals import announced
from tests.differential.straight import measured, steps

Way = Callable[[str, Case, Spelling], Answer]
"""Runs a case on an engine, named as in ``ENGINES``."""


@dataclass(frozen=True)
class Entrance:
    """One way in, which leads to every engine."""

    name: str
    way: Way
    sdk: bool = False
    """Whether its outcomes hold only the bits that the program writes."""
    text: bool = False
    """Whether it takes OpenQASM, with one parameter set at a time."""


@dataclass(frozen=True)
class Finding:
    """What is wrong with an answer, a refusal or a failure."""

    entrance: str
    engine: str
    problem: str
    case: Case
    spelling: Spelling

    def __str__(self) -> str:
        """Return all that is needed to repeat it."""
        return (
            f"{self.entrance} on {self.engine}: {self.problem}\n{openqasm(self.case.program, self.spelling)}"
            f"sets {[dict(values) for values in self.case.sets]}\n{self.case.wanted}, seed {self.case.seed}\n"
            f"{self.spelling}"
        )


@dataclass
class Tally:
    """What happened so far."""

    compared: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Answers that were compared, by entrance and engine."""
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Refusals by what documentation announces, and engine."""
    deviations: list[float] = field(default_factory=list)
    """Of sampled values from the true ones, in standard errors."""
    findings: list[Finding] = field(default_factory=list)

    def within(self, errors: float) -> float:
        """Return the share of sampled values that are at most so many standard errors from the true ones."""
        return sum(deviation <= errors for deviation in self.deviations) / max(1, len(self.deviations))


class Survey:
    """Runs cases and judges the answers."""

    def __init__(self, entrances: Sequence[Entrance]) -> None:
        """Take the ways in."""
        self._entrances = entrances
        self.tally = Tally()

    def run(self, case: Case, spelling: Spelling, turn: int, engines: Sequence[str] = tuple(ENGINES)) -> list[Finding]:
        """Run a case on every engine, on each by the next way that can express it; ``turn`` says which is the first."""
        truth = _truth(case)
        found = []
        for place, engine in enumerate(engines):
            for step in range(len(self._entrances)):
                entrance = self._entrances[(turn + place + step) % len(self._entrances)]
                try:
                    found += self._compared(entrance, engine, case, spelling, truth)
                except Inexpressible:
                    continue
                break
        self.tally.findings += found
        return found

    def _compared(
        self, entrance: Entrance, engine: str, case: Case, spelling: Spelling, truth: Sequence[Exact]
    ) -> list[Finding]:
        if entrance.text:
            case, truth = replace(case, sets=case.sets[:1]), truth[:1]
        bits = None
        if entrance.sdk:
            made = steps(case.program)
            bits = measured(made) if isinstance(case.wanted, Counts) else None
        finding = partial(Finding, entrance.name, engine, case=case, spelling=spelling)
        try:
            answer = entrance.way(engine, case, spelling)
        except Refused as error:
            reason = announced(str(error), engine)
            if reason is None:
                return [finding(problem=f"refused without a word in the documentation: {error}")]
            self.tally.refused[reason, engine] += 1
            return []
        except Inexpressible:
            raise
        except Exception as error:  # whatever comes out of a library is what this looks for
            return [finding(problem=f"fails: {type(error).__name__}: {error}")]
        self.tally.compared[entrance.name, engine] += 1
        problems = wrong(case, answer, truth, bits)
        if not problems:
            self.tally.deviations += deviations(case, answer, truth)
        return [finding(problem=problem) for problem in problems[:1]]


def _truth(case: Case) -> list[Exact]:
    program = case.program if isinstance(case.wanted, Counts) else without_final_measurements(case.program)
    return [simulate(program, values) for values in case.sets]


def in_process() -> list[Entrance]:
    """Return the ways to engines in this process."""
    runners = {name: paths.embedded(name) for name in ENGINES}

    def leads(way: Callable[..., Answer]) -> Way:
        return lambda name, case, spelling: way(runners[name], case, spelling)

    return [
        Entrance("OpenQASM", leads(paths.texts), text=True),
        Entrance("primitives", leads(paths.sampled)),
        Entrance("backend.run", leads(paths.through_backend)),
        Entrance("Cirq", leads(through_cirq), sdk=True),
        Entrance("PennyLane", leads(through_pennylane), sdk=True),
        Entrance("Braket", leads(through_braket), sdk=True),
    ]


@contextmanager
def in_other_processes(folder: File) -> Iterator[list[Entrance]]:
    """Yield the ways to engines in processes of their own."""
    with ExitStack() as held:
        servers = held.enter_context(served.Servers())
        manifests = held.enter_context(served.Manifests(folder))
        clients: dict[str, object] = {}

        def client(name: str) -> object:
            return clients.setdefault(name, connect(servers.url(name)))

        def leads(way: Callable[..., Answer]) -> Way:
            return lambda name, case, spelling: way(client(name), case, spelling)

        yield [
            Entrance("manifest", manifests.answer, text=True),
            Entrance("JSON", lambda name, case, spelling: paths.posted(servers.url(name), case, spelling)),
            Entrance("primitives, served", leads(paths.sampled)),
            Entrance("backend.run, served", leads(paths.through_backend)),
            Entrance("Cirq, served", leads(through_cirq), sdk=True),
            Entrance("PennyLane, served", leads(through_pennylane), sdk=True),
            Entrance("Braket, served", leads(through_braket), sdk=True),
        ]


def kind_of(finding: Finding) -> str:
    """Return what findings of one cause mostly share."""
    plain = re.sub(r"'[^']*'|\"[^\"]*\"|\{[^}]*\}", "...", finding.problem)
    return f"{finding.entrance}: {re.sub(r'[0-9][0-9.]*(e-[0-9]+)?', '#', plain)[:160]}"


def table(tally: Tally) -> str:
    """Return what was compared and refused, as lines of text."""
    lines = ["compared:"]
    lines += [f"  {entrance:22} {engine:24} {times:6}" for (entrance, engine), times in sorted(tally.compared.items())]
    lines.append("refused, as documented:")
    lines += [f"  {engine:24} {times:6}  {reason}" for (reason, engine), times in sorted(tally.refused.items())]
    within = ", ".join(f"{tally.within(errors):.1%} within {errors}" for errors in (1, 2, 3))
    lines.append(f"sampled values: {len(tally.deviations)}; of the true ones, in their standard errors: {within}")
    lines.append(f"wrong: {len(tally.findings)}")
    return "\n".join(lines)
