"""Random programs on every engine by every way in: ``python -m bench.differential --programs 2000 --seed N``.

The tests in ``tests/differential`` run some dozens of the same.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from contextlib import nullcontext, suppress
from pathlib import Path

from hypothesis import HealthCheck, Phase, find, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from tests.differential.generator import cases
from tests.differential.openqasm import Spelling, spellings
from tests.differential.program import Case
from tests.differential.survey import Finding, Survey, in_other_processes, in_process, kind_of, table

_SHRINKING = 400
"""Programs that are tried to make a finding smaller."""


def main(arguments: list[str] | None = None) -> None:
    """Run, print the table and the smallest program of each kind of finding; exits with 1 where there is one."""
    parser = argparse.ArgumentParser(prog="bench.differential", description="Run random programs on every engine.")
    parser.add_argument("--programs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--served", action="store_true", help="by servers and manifests, in place of this process")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        held = in_other_processes(Path(folder)) if options.served else nullcontext(in_process())
        with held as entrances:
            survey = Survey(entrances)
            ran = _run(survey, options.programs, options.seed)
            print(f"programs: {ran}\n{table(survey.tally)}", flush=True)
            kinds = Counter(map(kind_of, survey.tally.findings))
            for kind, times in kinds.most_common():
                first = next(each for each in survey.tally.findings if kind_of(each) == kind)
                print(f"\n{times} times:\n{_smallest(Survey(entrances), first)}", flush=True)
    if survey.tally.findings:
        sys.exit(1)


def _run(survey: Survey, programs: int, number: int) -> int:
    ran = 0
    kinds: set[str] = set()

    @seed(number)
    @settings(_QUIET, max_examples=programs, phases=[Phase.generate])
    @given(_examples())
    def one(example: tuple[Case, Spelling, int]) -> None:
        nonlocal ran
        ran += 1
        for finding in survey.run(*example):
            if (kind := kind_of(finding)) not in kinds:
                kinds.add(kind)
                print(f"\n{finding}\n", file=sys.stderr, flush=True)
        if ran % 100 == 0:
            print(f"{ran} programs, {len(survey.tally.findings)} findings", file=sys.stderr, flush=True)

    one()
    return ran


def _smallest(survey: Survey, finding: Finding) -> Finding:
    """Return the finding of the smallest program of its kind that turns up."""
    smallest = finding

    def found(example: tuple[Case, Spelling, int]) -> bool:
        nonlocal smallest
        case, spelling, turn = example
        for each in survey.run(case, spelling, turn, (finding.engine,)):
            if kind_of(each) == kind_of(finding):
                smallest = each
                return True
        return False

    with suppress(NoSuchExample):
        find(_examples(), found, settings=settings(_QUIET, max_examples=_SHRINKING))
    return smallest


def _examples() -> st.SearchStrategy[tuple[Case, Spelling, int]]:
    return st.tuples(cases(), spellings(), st.integers(0, 6))


_QUIET = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))


if __name__ == "__main__":
    main()
