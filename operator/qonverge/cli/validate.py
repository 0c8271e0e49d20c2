"""``qonverge validate``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from qonverge.circuits import InvalidProgram
from qonverge.circuits.checker.checker import Checker
from qonverge.local.manifests import ManifestError, Manifests, read
from qonverge.programs.circuit import contradiction
from qonverge.programs.source import text as program_text


def validate_files(files: Sequence[str]) -> list[str]:
    """Return a line for each object that is good.

    Raises:
        ManifestError: listing every problem.
    """
    manifests = read(files)
    if not manifests.places:
        raise ManifestError([f"{', '.join(files)}: there is nothing to check"])
    return asyncio.run(_validate(manifests))


async def _validate(manifests: Manifests) -> list[str]:
    checker, problems = Checker(), []
    lines = [f"quantumbackend/{backend.metadata.name}: valid" for backend in manifests.backends]
    lines += [f"quantumquota/{quota.metadata.name}: valid" for quota in manifests.quotas]
    try:
        for job in manifests.jobs:
            name = f"hybridjob/{job.metadata.name}"
            circuit = job.spec.program.circuit
            try:
                program = manifests.program(job)
                if (problem := contradiction(job)) is not None:
                    raise InvalidProgram(problem)
                if circuit is None:
                    program_text(program)
                    lines.append(f"{name}: valid")
                    continue
                checked = await checker.check(program, circuit.parameters, circuit.observables, circuit.given_layout)
                analysis = checked.analysis
                lines.append(
                    f"{name}: valid; {analysis.num_qubits} qubits, depth {analysis.depth}, "
                    f"{analysis.two_qubit_gates} two-qubit gates{', Clifford' if analysis.clifford else ''}"
                )
                lines += [f"{name}: warning: {warning}" for warning in checked.warnings]
            except (InvalidProgram, LookupError) as error:
                reason = error.args[0] if isinstance(error, LookupError) else error
                problems.append(f"{manifests.where(job)}: {reason}")
    finally:
        await checker.close()
    if problems:
        raise ManifestError(problems)
    return lines
