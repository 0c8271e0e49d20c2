"""``qonverge cost``: what jobs cost, from the cluster, or from what ``qonverge run`` or ``kubectl`` printed."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import ValidationError

from qonverge.accounting.conversion import amounts_of, usage_of
from qonverge.amounts import Amounts
from qonverge.api import HybridJob, QuantumQuota
from qonverge.api.conditions import seconds, timestamp
from qonverge.api.usage import Usage
from qonverge.cli.cluster import connected
from qonverge.cli.render import console_of
from qonverge.documents.excerpt import bounded
from qonverge.documents.faults import Unreadable
from qonverge.documents.reader import read_documents
from qonverge.local.manifests import ManifestError
from qonverge.scheduling.texts import joules

By = Literal["job", "namespace", "backend", "day", "month"]
SEVERAL = "(several)"
"""In place of a backend: a job's status has one sum for all that it ran on."""
UNFINISHED = "(not ended)"
_LENGTHS = {"day": 10, "month": 7}


@dataclass(frozen=True, slots=True)
class Row:
    """What jobs that belong together used."""

    name: str
    jobs: int = 0
    used: Amounts = field(default_factory=Amounts)
    joules: float = 0.0
    """Energy of the jobs of which it is known: of the others the sum in ``used`` says nothing."""
    unmeasured: int = 0
    """Jobs that ran and of which it is not."""

    @classmethod
    def of(cls, name: str, used: Amounts) -> Self:
        """Return what one job used, under a name."""
        return cls(name, 1, used, used.joules or 0.0, int(used.joules is None and used.seconds > 0))

    @property
    def energy(self) -> float | None:
        """What is known of the energy, joules; None: nothing, though some job ran."""
        return self.joules if self.joules or not self.unmeasured else None

    def __add__(self, other: Row) -> Row:
        """Return both as one, under the name of the first."""
        return Row(
            self.name,
            self.jobs + other.jobs,
            self.used + other.used,
            self.joules + other.joules,
            self.unmeasured + other.unmeasured,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the form of JSON and YAML."""
        used = usage_of(self.used)
        figures = {"shots": used.shots, "seconds": used.seconds, "costs": _costs(used)}
        energy = None if self.energy is None else round(self.energy, 6)
        return {"name": self.name, "jobs": self.jobs, **figures, "energyJoules": energy, "unmeasured": self.unmeasured}


def rows(jobs: Iterable[HybridJob], by: By, since: float | None = None) -> list[Row]:
    """Return what jobs used, in groups, the names in order.

    Args:
        jobs: with their statuses. Those that used nothing are left out.
        by: what they are grouped by; periods are those in which they ended, UTC.
        since: leaves out jobs that ended before, Unix seconds.
    """
    found: dict[str, Row] = {}
    for job in jobs:
        used, ended = amounts_of(job.status.usage), job.status.completed_at
        if used and (since is None or ended is None or seconds(ended) >= since):
            name = _name(job, by)
            found[name] = found.get(name, Row(name)) + Row.of(name, used)
    return [found[name] for name in sorted(found)]


def _name(job: HybridJob, by: By) -> str:
    metadata, status, placement = job.metadata, job.status, job.spec.placement
    match by:
        case "job":
            return f"{metadata.namespace}/{metadata.name}"
        case "namespace":
            return metadata.namespace
        case "backend":
            parted = placement is not None and (placement.split is not None or placement.hedge)
            # Programs whose ranks call several have the sum of these.
            parted = parted or status.backends is not None
            if parted or (status.attempts or 1) > 1 or status.backend is None:
                return SEVERAL
            return status.backend if "/" in status.backend else f"{metadata.namespace}/{status.backend}"
        case _:
            ended = status.completed_at
            return UNFINISHED if ended is None else timestamp(seconds(ended))[: _LENGTHS[by]]


def beginning(text: str, now: datetime) -> float:
    """Return the Unix seconds of ``--since``: a date, a time, or so many hours or days before now, such as ``7d``.

    Raises:
        ValueError: it is none of them.
        OverflowError: it is before all time.
    """
    unit = {"h": timedelta(hours=1), "d": timedelta(days=1)}.get(text[-1:])
    if unit is not None and text[:-1].isdecimal():
        return (now - int(text[:-1]) * unit).timestamp()
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()


def print_cost(
    files: Sequence[str],
    namespace: str | None,
    *,
    all_namespaces: bool,
    by: By,
    since: float | None,
    output: str | None,
) -> None:
    """Print what jobs cost.

    Args:
        files: what ``qonverge run -o`` or ``kubectl get -o`` printed; none: the cluster is asked.
        namespace: whose jobs; None: that of the context.
        all_namespaces: whether the jobs of all are meant.
        by: see ``rows``.
        since: see ``rows``.
        output: json, yaml, or None for a table.

    Raises:
        NoAnswer: there is no cluster that answers.
        ManifestError: a file cannot be read.
    """
    quotas: list[QuantumQuota] = []
    if files:
        jobs = _read(files)
    else:
        jobs, quotas = asyncio.run(_ask(namespace, all_namespaces=all_namespaces))
    found = rows(jobs, by, since)
    total = sum(found, Row("total"))
    if output is None:
        _print_table(by, [*found, total] if found else [], quotas)
        return
    value = {
        "by": by,
        "rows": [row.to_dict() for row in found],
        "total": total.to_dict(),
        "quotas": [_quota(quota) for quota in quotas],
    }
    if output == "json":
        print(json.dumps(value, indent=2))
    else:
        yaml.safe_dump(value, sys.stdout, sort_keys=False, allow_unicode=True)


def _read(files: Sequence[str]) -> list[HybridJob]:
    """Return the jobs that files hold, with their statuses.

    Raises:
        ManifestError: listing every file that holds something else.
    """
    found: list[HybridJob] = []
    problems: list[str] = []
    for file in files:
        try:
            documents = read_documents(sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes())
            faults = [str(fault) for document in documents for fault in document.faults]
            if faults:
                problems += [f"{file}: {fault}" for fault in faults]
            else:
                found += [HybridJob.model_validate(each) for document in documents for each in _objects(document.value)]
        except OSError as error:
            problems.append(f"{file}: {error.strerror or error}")
        except Unreadable as error:
            problems.append(f"{file}: neither YAML nor JSON: {error}")
        except ValidationError as error:
            problems.append(f"{file}: not jobs as qonverge run -o or kubectl get -o print them: {_what(error)}")
    if problems:
        raise ManifestError(problems)
    return found


def _objects(document: Any) -> list[Any]:
    items = document.get("items") if isinstance(document, dict) else None
    return items if isinstance(items, list) else [document]


def _what(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return bounded(f"{'.'.join(map(str, first['loc'])) or 'the object'}: {first['msg']}")


async def _ask(namespace: str | None, *, all_namespaces: bool) -> tuple[list[HybridJob], list[QuantumQuota]]:
    async with connected() as cluster:
        where = None if all_namespaces else namespace or cluster.namespace
        jobs = [HybridJob.model_validate(each) for each in await cluster.objects("hybridjobs", where)]
        quotas = [QuantumQuota.model_validate(each) for each in await cluster.objects("quantumquotas", where)]
    return jobs, quotas


def _costs(used: Usage) -> list[dict[str, str]]:
    return [cost.model_dump() for cost in used.costs or ()]


def _energy(row: Row) -> str:
    if row.energy is None:
        return "unknown"
    return f"{'at least ' * (row.unmeasured > 0)}{joules(row.energy)}"


def _counted(quota: QuantumQuota) -> tuple[Usage, Usage]:
    """Return what a quota counted in its period, which deleted jobs are part of, and what it has set aside."""
    limit, status = quota.spec.limits.cost, quota.status
    # Of a status that a former version wrote the limit says the currency.
    currency = limit.currency if limit else "USD"
    return usage_of(amounts_of(status.used, currency)), usage_of(amounts_of(status.reserved, currency))


def _quota(quota: QuantumQuota) -> dict[str, Any]:
    used, reserved = _counted(quota)
    limit = quota.spec.limits.cost
    return {
        "name": f"{quota.metadata.namespace}/{quota.metadata.name}",
        "periodStart": quota.status.period_start,
        "periodEnd": quota.status.period_end,
        "used": _costs(used),
        "reserved": _costs(reserved),
        "limit": None if limit is None else limit.model_dump(),
    }


def _print_table(by: By, found: Sequence[Row], quotas: Sequence[QuantumQuota]) -> None:
    from rich.table import Table
    from rich.text import Text

    console = console_of(sys.stdout)
    if not found:
        console.print("none of these jobs has used anything")
    table = Table.grid(padding=(0, 2))
    measured = any(row.joules for row in found)
    columns = (by.upper(), "JOBS", "SHOTS", "SECONDS", "COST", *(("ENERGY",) if measured else ()))
    table.add_row(*(Text(name, style="dim") for name in columns))
    for row in found:
        used = usage_of(row.used)
        cells = (str(row.jobs), str(used.shots), f"{used.seconds:.3g}", used.cost)
        table.add_row(Text(row.name), *cells, *((_energy(row),) if measured else ()))
    if found:
        console.print(table)
    for quota in quotas:
        used, reserved = _counted(quota)
        limit = quota.spec.limits.cost
        most = "" if limit is None else f" of {limit.amount} {limit.currency}"
        name, status = f"{quota.metadata.namespace}/{quota.metadata.name}", quota.status
        period = f"from {status.period_start} to {status.period_end}, deleted jobs included"
        console.print(Text(f"quota {name}: {used.cost} used and {reserved.cost} set aside{most}, {period}"))
