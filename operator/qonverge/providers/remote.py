"""The provider that stands for another server of the task protocol: a device at the site, an edge box, a cluster."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from qonverge.providers.descriptor import Descriptor
from qonverge.providers.options import Options

TOKEN_KEY = "QONVERGE_TOKEN"  # noqa: S105 - the name of a key
"""Key of the credentials under which the bearer token is."""
_LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("give a URL such as https://edge.example.org:8443")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("a URL has no user, query or fragment here: the token is among the credentials")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError("use https: tokens and circuits would be readable on the way")
    return text.rstrip("/")


class RemoteOptions(Options):
    """Where the other server is."""

    url: Annotated[str, AfterValidator(_url)]
    """Its address, https outside of this machine."""
    ca_file: str | None = None
    """Certificates in PEM that its own must come from; None: those that the system trusts."""
    server_name: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """Name in its certificate, where that is not the URL's."""


REMOTE = Descriptor(
    name="Remote",
    implementation="",
    methods=("Automatic", "Statevector", "DensityMatrix", "MatrixProductState", "Stabilizer"),
    imitates=False,
    executor="qonverge.backend.executors.remote:Remote",
    options=RemoteOptions,
)
