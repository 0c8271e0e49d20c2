"""The results of the jobs that this program's job depends on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from qonverge.client.errors import InputMissing, StoreUnreachable
from qonverge.client.program.job_store import JobStore
from qonverge.client.transport.tokens import read_token, renewal_seconds


class Inputs(Mapping[str, Any]):
    """Results by the names of their jobs, each fetched when it is first asked for."""

    def __init__(self, names: tuple[str, ...], store: JobStore) -> None:
        """``store`` gives each result's JSON under the job's name."""
        self._names = names
        self._store = store
        self._known = dict[str, Any]()

    def __getitem__(self, name: str) -> Any:
        """Return the result of a job.

        Raises:
            KeyError: this job does not depend on one of that name.
            InputMissing: its result is there no more.
            StoreUnreachable: it could not be fetched.
        """
        if name not in self._names:
            there = f"there are {', '.join(self._names)}" if self._names else "it depends on none"
            raise KeyError(f"the job depends on no job {name}: {there}")
        if name not in self._known:
            try:
                found = self._store.get(name)
            except StoreUnreachable as error:
                raise StoreUnreachable(f"the result of {name} could not be fetched: {error}") from None
            if found is None:
                raise InputMissing(f"the result of {name} is there no more: it was deleted since this job started")
            whole = json.loads(found)
            # Of a program, what it passed to ``result``; of a circuit, its counts or expectation values.
            self._known[name] = whole.get("value", whole or None)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        """Go over the names, in the order of ``spec.dependsOn``."""
        return iter(self._names)

    def __len__(self) -> int:
        """Return on how many jobs this one depends."""
        return len(self._names)

    def __repr__(self) -> str:
        """Name the jobs; their results may be large."""
        return f"<results of {', '.join(self._names) or 'no jobs'}>"


def inputs(environment: Mapping[str, str] = os.environ) -> Mapping[str, Any]:
    """Return the results of the jobs in ``spec.dependsOn``, by their names; none outside of a job.

    Each is what its program passed to ``result``; of a circuit it is a dict with ``counts`` and ``shots``, or with
    ``expectationValues`` and ``standardErrors``. It is fetched when it is first used.
    """
    names = tuple(filter(None, environment.get("QONVERGE_INPUTS", "").split(",")))
    url = environment.get("QONVERGE_INPUTS_URL", "")
    store = JobStore(url, lambda: read_token(environment), renewal=renewal_seconds(environment))
    return Inputs(names, store)
