"""The options of a backend on a quantum computer of IQM."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from qonverge.providers.options import Options

_HERE = frozenset(("localhost", "127.0.0.1", "::1"))


def _url(given: str) -> str:
    parts = urlsplit(given)
    if not parts.hostname or parts.scheme not in ("https", "http") or parts.query or parts.fragment:
        raise ValueError("give the URL of the server, such as https://resonance.iqm.tech")
    if parts.scheme == "http" and parts.hostname not in _HERE:
        raise ValueError("http shows the token to the network: give an https URL")
    return given.rstrip("/")


class IqmOptions(Options):
    """``spec.plugin.options``."""

    quantum_computer: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$")]
    """Alias of the quantum computer, such as ``garnet``, or its id."""
    server: Annotated[str, AfterValidator(_url)] = "https://resonance.iqm.tech"
    """URL of IQM Resonance or of another IQM Server."""
    use_timeslot: bool = False
    """Whether jobs run in booked timeslots rather than in the queue of all."""
