"""Finds the job whose program asks for what the operator keeps for it."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from qonverge.api import HybridJob
from qonverge.controller.jobs.program_reports import refused
from qonverge.controller.store.state import State
from qonverge.wire.tokens import Caller

Verify = Callable[[str, str | None], Caller]
"""Returns whom a token is for that is shown for a job, by the job's key."""


class Callers:
    """The present attempts of unfinished jobs, which are the ones that may ask."""

    def __init__(self, state: State, verify: Verify) -> None:
        """``state`` has the jobs; ``verify`` checks the tokens."""
        self._state = state
        self._verify = verify

    def job(self, request: web.Request) -> HybridJob:
        """Return the job of the request's path, whose present attempt asks.

        Raises:
            Unauthorized: the token is missing or not good.
            PermissionError: it is another job's, or another attempt's.
            LookupError: there is no such job that is unfinished.
        """
        key = f"{request.match_info['namespace']}/{request.match_info['name']}"
        caller = self._verify(key, request.headers.get("authorization", "").removeprefix("Bearer "))
        if caller.subject != key:
            raise PermissionError("the token is another job's")
        job = self._state.jobs.get(key)
        if job is None:
            raise LookupError(f"there is no unfinished job {key}")
        if (why := refused(job, caller)) is not None:
            raise PermissionError(why)
        return job
