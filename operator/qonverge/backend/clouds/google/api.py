"""Requests to the REST form of Google's API, and what their failures mean to the executor of cloud tasks.

Google publishes the paths with the client of cirq-google (``transports/rest_base.py``). That client would take 232 MiB
in the server; this takes 34 MiB (measured).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import urllib3

from qonverge.backend.clouds.errors import (
    CloudBusy,
    CloudError,
    CloudRefused,
    CloudUnavailable,
    CredentialsRefused,
    ReplyLost,
)
from qonverge.backend.clouds.google.credentials import AccessTokens
from qonverge.backend.clouds.secret import scrubbed

_VERSION = "v1alpha1"
# No connection came about, so that nothing was sent.
_NOT_SENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.NameResolutionError,
    urllib3.exceptions.SSLError,
)


class NotThere(CloudRefused):
    """Google knows nothing of this name."""


class AlreadyThere(CloudRefused):
    """Google has something of this name."""


class Api:
    """Google's API at an address, for a project."""

    def __init__(self, endpoint: str, credentials: str, answered: Callable[[float], None]) -> None:
        """Send nothing yet.

        Args:
            endpoint: URL of the API.
            credentials: folder of the Secret; empty: the pod's own identity.
            answered: see ``CloudConfig``.
        """
        self._answered = answered
        self._url = f"{endpoint.rstrip('/')}/{_VERSION}/"
        self._pool = urllib3.PoolManager(
            maxsize=16,
            # The executor knows what may be sent again.
            retries=False,
            timeout=urllib3.Timeout(connect=10, read=60),
        )
        self._tokens = AccessTokens(credentials, self._pool)

    def get(self, doing: str, name: str, **query: str) -> dict[str, Any]:
        """Return a resource, or a page of a list; see ``call``."""
        path = quote(name) + (f"?{urlencode(query)}" if query else "")
        return self.call(doing, "GET", path)

    def post(self, doing: str, name: str, body: str) -> dict[str, Any]:
        """Create a resource, or act on one; see ``call``."""
        return self.call(doing, "POST", quote(name, safe="/:"), body)

    def call(self, doing: str, method: str, path: str, body: str | None = None) -> dict[str, Any]:
        """Make one request and return the answer.

        Args:
            doing: what it is called in messages.
            method: of HTTP.
            path: after the API's version.
            body: JSON.

        Raises:
            CloudError: it failed.
        """
        token = self._tokens.token()
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json", "user-agent": "qonverge"}
        began = time.monotonic()
        try:
            reply = self._pool.request(method, self._url + path, body=body, headers=headers, redirect=False)
            took = time.monotonic() - began
            found = _told(doing, reply.status, reply.data, reply.headers, token)
        except _NOT_SENT as error:
            found = CloudUnavailable(f"Google, {doing}: no connection to {self._url}: {type(error).__name__}")
        except urllib3.exceptions.HTTPError as error:
            found = ReplyLost(f"Google, {doing}: no reply: {type(error).__name__}")
        if isinstance(found, CloudError):
            # Outside of the handlers, so that no traceback shows the request.
            raise found
        self._answered(took)
        return found


def _told(doing: str, status: int, data: bytes, headers: Mapping[str, str], token: str) -> dict[str, Any] | CloudError:
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    if 200 <= status < 300:
        if isinstance(answer, dict):
            return answer
        return ReplyLost(f"Google, {doing}: the answer is no JSON object, such as the page of a proxy in between")
    error = answer.get("error") if isinstance(answer, dict) else None
    error = error if isinstance(error, dict) else {}
    code = str(error.get("status") or f"HTTP {status}")
    words = ": ".join(str(word) for word in (code, error.get("message")) if word)
    said = scrubbed(f"Google, {doing}: {words}", (token,))
    if status == 429 or code == "ABORTED":
        after = headers.get("retry-after", "")
        return CloudBusy(said, float(after) if after.isdigit() else None)
    if status in (401, 403):
        return CredentialsRefused(said)
    if status >= 500 or status == 408:
        return ReplyLost(said)
    return {404: NotThere, 409: AlreadyThere}.get(status, CloudRefused)(said)
