"""Counting writes as the API server saw them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

# What the operator writes as time goes by, and does not write once more for each job.
_PERIODIC = ("leases", "quantumbackends/status", "configmaps", "secrets", "events")


def stamp(moment: datetime) -> str:
    """Return a moment in UTC as the audit log writes it, so that both can be compared as text."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def count_writes(
    events: Iterable[Mapping[str, Any]], *, user: str, since: str, until: str, jobs: int
) -> dict[str, Any]:
    """Count a user's requests that arrived from ``since`` until ``until``; refused ones count too.

    Args:
        events: the audit log, of requests that write.
        user: whose requests count.
        since: as ``stamp`` writes it.
        until: likewise.
        jobs: how many jobs ran meanwhile.

    Returns:
        ``by_request``: requests by verb, resource and the status of the answer; ``per_job``: all but those that are
        made as time goes by, per job; ``periodic``: the number of those, by resource.
    """
    counted: Counter[tuple[str, str, int]] = Counter()
    for event in events:
        if event["user"]["username"] == user and since <= event["requestReceivedTimestamp"] < until:
            reference = event["objectRef"]
            resource = "/".join(filter(None, (reference["resource"], reference.get("subresource"))))
            counted[event["verb"], resource, event.get("responseStatus", {}).get("code", 0)] += 1
    periodic = {name: sum(count for (_, of, _), count in counted.items() if of == name) for name in _PERIODIC}
    return {
        "jobs": jobs,
        "by_request": {f"{verb} {of} {code}": count for (verb, of, code), count in sorted(counted.items())},
        "periodic": periodic,
        "per_job": (counted.total() - sum(periodic.values())) / jobs,
    }
