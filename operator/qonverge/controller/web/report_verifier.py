"""Whom a program's report is from."""

from __future__ import annotations

import time

from qonverge.controller.kube.signing_key import SigningKey
from qonverge.controller.objects.object_names import audience_of
from qonverge.controller.store.state import State
from qonverge.wire.tokens import Caller, Verifier

_AUDIENCES = 1024


class ReportVerifier:
    """Verifies tokens of reports, with the key as it is now."""

    def __init__(self, state: State, key: SigningKey) -> None:
        """Know no token."""
        self._state = state
        self._key = key
        self._verifiers = dict[tuple[bytes, str], Verifier]()

    def verify(self, key: str, token: str | None) -> Caller:
        """Return who reports on a job: a program's token is for its backend, and good here too.

        Raises:
            Unauthorized: the token is missing or not good.
        """
        job, public = self._state.jobs.get(key), self._key.signer.public_key
        if job is None or job.status.backend is None:
            return Verifier(public, "no-job", time.time).verify(token)
        name = (public, audience_of(job))
        if name not in self._verifiers:
            if len(self._verifiers) > _AUDIENCES:
                self._verifiers.clear()
            self._verifiers[name] = Verifier(*name, time.time)
        return self._verifiers[name].verify(token)
