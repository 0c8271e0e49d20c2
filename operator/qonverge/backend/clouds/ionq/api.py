"""Requests to IonQ's REST API, and what their failure means."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProxyError,
    SSLError,
)

from qonverge.backend.clouds.errors import (
    CloudBusy,
    CloudError,
    CloudRefused,
    CloudUnavailable,
    CredentialsRefused,
    NoCredentials,
    ReplyLost,
)
from qonverge.backend.clouds.secret import credential, scrubbed

KEY = "IONQ_API_KEY"
"""Key of the Secret, and the variable that IonQ's clients read."""
_CONNECTIONS = 16
_TIMEOUT = urllib3.Timeout(connect=10, read=30)
# No connection came about, so that nothing was sent.
_NOT_SENT = (NewConnectionError, ConnectTimeoutError, ProxyError, SSLError)


class NotThere(CloudRefused):
    """IonQ knows no such device, job or session."""


class IonqApi:
    """Sends requests, each once."""

    def __init__(self, endpoint: str, credentials: str, answered: Callable[[float], None]) -> None:
        """Nothing is sent yet.

        Args:
            endpoint: URL of the API.
            credentials: folder of the Secret; empty: the key is in the environment.
            answered: see ``CloudConfig``.
        """
        self._endpoint, self._credentials, self._answered = endpoint.rstrip("/"), credentials, answered
        address = urlsplit(endpoint)
        proxy = getproxies().get(address.scheme)
        options: dict[str, Any] = {"maxsize": _CONNECTIONS, "timeout": _TIMEOUT, "retries": False}
        if proxy and not proxy_bypass(address.hostname or ""):
            self._pool: urllib3.PoolManager = urllib3.ProxyManager(proxy, **options)
        else:
            self._pool = urllib3.PoolManager(**options)

    def get(self, doing: str, path: str, *needed: str, query: Sequence[tuple[str, str]] = ()) -> Any:
        """Return what is there; ``needed`` are fields that the answer must have, ``doing`` names it in messages.

        Raises:
            CloudError: it fails.
        """
        return self._send(doing, "GET", f"{path}?{urlencode(query)}" if query else path, needed)

    def post(self, doing: str, path: str, body: Any, *needed: str) -> Any:
        """Make something, and return the answer; see ``get``."""
        return self._send(doing, "POST", path, needed, json.dumps(body).encode())

    def put(self, doing: str, path: str) -> None:
        """Change something."""
        self._send(doing, "PUT", path, ())

    def delete(self, doing: str, path: str) -> None:
        """Remove something."""
        self._send(doing, "DELETE", path, ())

    def _send(self, doing: str, method: str, path: str, needed: Sequence[str], body: bytes | None = None) -> Any:
        key, began = self._key(), time.monotonic()
        try:
            reply = self._pool.request(
                method,
                f"{self._endpoint}{path}",
                body=body,
                headers={
                    "Authorization": f"apiKey {key}",
                    "User-Agent": "qonverge",
                    **({} if body is None else {"Content-Type": "application/json"}),
                },
                # The executor knows what may be sent again.
                retries=False,
                redirect=False,
            )
            took = time.monotonic() - began
            found = _failure(reply.status, reply.headers.get("retry-after", ""), _told(reply))
            if found is None:
                answer = _json(reply.data)
                if answer is not None and all(name in answer for name in needed):
                    self._answered(took)
                    return answer
                # As of a proxy in between.
                found = ReplyLost(f"the answer is no JSON with {', '.join(needed)}" if needed else "it is no JSON")
        except _NOT_SENT as error:
            found = CloudUnavailable(f"no connection: {error}")
        except HTTPError as error:
            found = ReplyLost(f"no reply: {error}")
        # Outside of the handlers, so that no traceback shows the request.
        found.args = (scrubbed(f"IonQ, {doing}: {found}", (key,)),)
        raise found

    def _key(self) -> str:
        found = credential(self._credentials, KEY)
        if not found:
            where = "the Secret has no key" if self._credentials else "no Secret is named, and there is no variable"
            raise NoCredentials(f"IonQ: {where} {KEY}")
        if not (found.isascii() and found.isprintable()):
            raise CredentialsRefused(f"IonQ: {KEY} has characters that no key of IonQ has")
        return found


def _failure(status: int, retry_after: str, told: str) -> CloudError | None:
    """Return what a status means; None: all is well."""
    said = f"{status}: {told}" if told else str(status)
    if 200 <= status < 300:
        return None
    if status == 429:
        return CloudBusy(said, float(retry_after) if retry_after.isdigit() else None)
    if status in (401, 403):
        return CredentialsRefused(said)
    if status == 404:
        return NotThere(said)
    # IonQ redirects nothing: what does is in between, and may have passed the request on or not.
    return CloudRefused(said) if 400 <= status < 500 and status != 408 else ReplyLost(said)


def _told(reply: urllib3.BaseHTTPResponse) -> str:
    answer = _json(reply.data)
    found = None if answer is None else answer.get("message") or answer.get("error")
    return found if isinstance(found, str) else ""


def _json(data: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(data)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
