"""``qonverge validate``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from qonverge.api import HybridJob, QuantumBackend
from qonverge.circuits import InvalidProgram
from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.circuits.checker.checker import Checker
from qonverge.cli.cluster import connected
from qonverge.devices.noise import Noise
from qonverge.execution.dependencies import sketched
from qonverge.local.against import Against, Findings
from qonverge.local.dependencies import check
from qonverge.local.manifests import ManifestError, Manifests, read
from qonverge.programs.kinds import kind_of


@dataclass(slots=True)
class Report:
    """What was found."""

    lines: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    """What the backend would refuse, and why it runs nothing."""

    def add(self, name: str, found: Findings) -> None:
        """Add what was found of one object."""
        self.lines += [f"{name}: {each}" for each in found.known]
        self.lines += [f"{name}: not checked: {each}" for each in found.unchecked]
        self.refusals += [f"{name}: {each}" for each in found.problems]


@dataclass(frozen=True, slots=True)
class _Named:
    """The backend of ``--against``."""

    backend: QuantumBackend
    noise: Noise | None
    unchecked: list[str] = field(default_factory=list)


def validate_files(files: Sequence[str], against: str | None = None, credentials: str = "") -> Report:
    """Return a line for each object that is good, and what a backend would refuse of it.

    Args:
        files: manifests.
        against: names the backend; None: none is asked.
        credentials: folder with the backend's credentials; empty: what the environment has.

    Raises:
        ManifestError: listing every problem of the manifests.
        NoAnswer: the backend is in a cluster that does not answer, or has no such backend.
    """
    manifests = read(files)
    if not manifests.places and against is None:
        raise ManifestError([f"{', '.join(files)}: there is nothing to check"])
    check(manifests)
    named = None if against is None else _in_files(against, manifests) or against
    return asyncio.run(_validate(manifests, named, credentials))


async def _validate(manifests: Manifests, against: _Named | str | None, credentials: str) -> Report:
    checker, report, checked = Checker(), Report(), list[tuple[HybridJob, CheckedCircuit | None]]()
    problems: list[str] = []
    report.lines += [f"quantumbackend/{backend.metadata.name}: valid" for backend in manifests.backends]
    report.lines += [f"quantumquota/{quota.metadata.name}: valid" for quota in manifests.quotas]
    try:
        for job in manifests.jobs:
            try:
                found = await _check(job, manifests, checker, report)
                checked.append((job, found))
            except (InvalidProgram, LookupError) as error:
                reason = error.args[0] if isinstance(error, LookupError) else error
                problems.append(f"{manifests.where(job)}: {reason}")
        if problems:
            raise ManifestError(problems)
        if against is not None:
            named = await _in_cluster(against) if isinstance(against, str) else against
            await _compare(named, Against(named.backend, named.noise, credentials, checker), checked, report)
    finally:
        await checker.close()
    return report


async def _check(job: HybridJob, manifests: Manifests, checker: Checker, report: Report) -> CheckedCircuit | None:
    name = f"hybridjob/{job.metadata.name}"
    kind, program = kind_of(job), manifests.program(job)
    if (problem := kind.contradiction(job)) is not None:
        raise InvalidProgram(problem)
    checked = await kind.check(sketched(job), program, checker)
    summary = kind.summary(checked)
    report.lines.append(f"{name}: valid{summary and f'; {summary}'}")
    if checked is not None:
        report.lines += [f"{name}: warning: {warning}" for warning in checked.warnings]
    return checked


async def _compare(
    named: _Named, against: Against, checked: Sequence[tuple[HybridJob, CheckedCircuit | None]], report: Report
) -> None:
    """Add what a backend would refuse."""
    backend = named.backend.metadata.name
    report.add(f"quantumbackend/{backend}", Findings(unchecked=named.unchecked))
    try:
        report.add(f"quantumbackend/{backend}", await against.device())
        for job, circuit in checked if against.usable else ():
            report.add(f"hybridjob/{job.metadata.name}", await against.job(job, circuit))
    finally:
        await against.close()


def _in_files(against: str, manifests: Manifests) -> _Named | None:
    """Return the backend of this name among the manifests, or in the file of this name; None where neither is there.

    Raises:
        ManifestError: the file cannot be used.
    """
    if own := [each for each in manifests.backends if each.metadata.name == against]:
        return _Named(own[0], manifests.noise(own[0]))
    if not Path(against).is_file() and Path(against).suffix not in (".yaml", ".yml", ".json"):
        return None
    there = read([against])
    if len(there.backends) != 1:
        raise ManifestError([f"{against}: has {len(there.backends)} QuantumBackends: give a file with one"])
    return _Named(there.backends[0], there.noise(there.backends[0]))


async def _in_cluster(against: str) -> _Named:
    """Return a backend of the cluster.

    Raises:
        ManifestError: it is none that this version knows.
        NoAnswer: the cluster does not answer, or has none of this name.
    """
    namespace, _, name = against.rpartition("/")
    async with connected() as cluster:
        given = await cluster.backend(name, namespace or None)
    try:
        backend = QuantumBackend.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ManifestError([f"the QuantumBackend {against} of the cluster: {place}: {first['msg']}"]) from None
    noise = backend.spec.source.noise
    if noise is not None and noise.config_map_key_ref is not None:
        return _Named(backend, None, ["its calibration, which is in a ConfigMap of the cluster"])
    return _Named(backend, None if noise is None else noise.known())
