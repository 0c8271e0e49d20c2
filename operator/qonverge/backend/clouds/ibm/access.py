"""Requests to IBM Quantum's API, with tokens of IBM Cloud's IAM, and what their failures mean.

urllib3 takes 13 MiB in the server, where the client of qiskit-ibm-runtime takes 163 MiB and repeats what it posts
(measured with 0.51). Nothing is repeated here.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

import urllib3

from qonverge.backend.clouds.errors import (
    CloudBusy,
    CloudError,
    CloudRefused,
    CloudUnavailable,
    CredentialsRefused,
    NoCredentials,
    ReplyLost,
)
from qonverge.backend.clouds.ibm.options import IAM, IBMOptions, api_of
from qonverge.backend.clouds.secret import credential, scrubbed

_GRANT = "urn:ibm:params:oauth:grant-type:apikey"
# Tokens last an hour; one that is about to end might have ended when it arrives.
_MARGIN = 300.0
_FULL = re.compile(r"limit|quota|too many|maximum number", re.IGNORECASE)
_NOT_SENT = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.SSLError)


class NotThere(CloudRefused):
    """IBM knows no such device, job or session."""


class Access:
    """IBM's API, for one instance. Safe for threads."""

    def __init__(
        self, options: IBMOptions, folder: str, clock: Callable[[], float], answered: Callable[[float], None]
    ) -> None:
        """Send nothing yet; ``clock`` gives Unix seconds, and of ``answered`` see ``CloudConfig``.

        Raises:
            LookupError: no instance is known.
        """
        self._credentials, self._clock, self._answered = folder, clock, answered
        self.instance = options.instance or credential(folder, "QISKIT_IBM_INSTANCE")
        if self.instance.count(":") < 6:
            raise LookupError(
                f"the instance for {options.backend} is not known: say its CRN in instance, or as QISKIT_IBM_INSTANCE "
                "in the credentials"
            )
        self._api = (options.endpoint or api_of(self.instance)).rstrip("/")
        self._iam = (options.iam_endpoint or IAM).rstrip("/")
        # Results may be elsewhere; what is posted is sent once.
        retries = urllib3.Retry(
            total=3, connect=0, read=0, status=0, other=0, redirect=3, respect_retry_after_header=False
        )
        self._pool = urllib3.PoolManager(maxsize=16, retries=retries, timeout=urllib3.Timeout(connect=10, read=60))
        self._lock = threading.Lock()
        self._token = ("", "", 0.0)

    def read(self, doing: str, path: str, **query: str) -> str:
        """Return what is there, as text; see ``_call``."""
        return self._call("GET", doing, f"{path}?{urlencode(query)}" if query else path)

    def read_json(self, doing: str, path: str, **query: str) -> Mapping[str, Any]:
        """Return the JSON object that is there.

        Raises:
            CloudError: see ``_call``; an answer that is no object counts as none.
        """
        return _object(doing, self.read(doing, path, **query))

    def send(self, method: str, doing: str, path: str, body: str = "") -> Mapping[str, Any]:
        """Change something once, and return the JSON object of the reply; empty where there is none."""
        text = self._call(method, doing, path, body)
        return _object(doing, text) if text.strip() else {}

    def _call(self, method: str, doing: str, path: str, body: str = "") -> str:
        """Make one request with a token.

        Raises:
            CloudError: by what the failure means; ``NotThere`` where there is no such thing.
        """
        key = credential(self._credentials, "QISKIT_IBM_TOKEN")
        if not key:
            raise NoCredentials("IBM Quantum: the credentials have no QISKIT_IBM_TOKEN: put the API key there")
        token = self._bearer(key)
        headers = {"Authorization": f"Bearer {token}", "Service-CRN": self.instance, "Accept": "application/json"}
        if body:
            headers["Content-Type"] = "application/json"
        began = time.monotonic()
        status, text, after = self._request(
            method, f"{self._api}{path}", doing, headers, body.encode() or None, (key, token)
        )
        if status < 300:
            self._answered(time.monotonic() - began)
            return text
        if status == 401:
            with self._lock:
                self._token = ("", "", 0.0)
        raise _refusal(status, scrubbed(f"IBM Quantum, {doing}: {_words(text, status)}", (key, token)), after)

    def _bearer(self, key: str) -> str:
        """Return a token for the API key; the last one while it lasts.

        Raises:
            CloudError: there is none. Nothing was sent to the API itself.
        """
        with self._lock:
            of, token, until = self._token
            if of == key and self._clock() < until:
                return token
            headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
            body = urlencode({"grant_type": _GRANT, "apikey": key}).encode()
            try:
                status, text, after = self._request(
                    "POST", f"{self._iam}/identity/token", "the token", headers, body, (key,)
                )
            except ReplyLost as error:
                raise CloudUnavailable(str(error)) from None
            said = scrubbed(f"IBM Cloud gives no token: {_words(text, status)}", (key,))
            if status == 429:
                raise CloudBusy(said, after)
            if status >= 500:
                raise CloudUnavailable(said)
            if status >= 300:
                raise CredentialsRefused(said)
            try:
                given = json.loads(text)
                token, lasts = str(given["access_token"]), float(given["expires_in"])
            except (ValueError, LookupError, TypeError):
                raise CloudUnavailable("IBM Cloud gives no token: its answer is none") from None
            self._token = (key, token, self._clock() + max(0.0, lasts - min(_MARGIN, lasts / 2)))
            return token

    def _request(
        self, method: str, url: str, doing: str, headers: Mapping[str, str], body: bytes | None, secrets: Iterable[str]
    ) -> tuple[int, str, float | None]:
        """Return the status, the text, and the seconds that the server asks to wait."""
        try:
            given = {**headers, "User-Agent": "qonverge"}
            reply = self._pool.request(method, url, body=body, headers=given, redirect=method == "GET")
            after = reply.headers.get("retry-after", "")
            return reply.status, reply.data.decode("utf-8", "replace"), float(after) if after.isdigit() else None
        except urllib3.exceptions.HTTPError as error:
            why = error.reason if isinstance(error, urllib3.exceptions.MaxRetryError) and error.reason else error
            kind = CloudUnavailable if isinstance(why, _NOT_SENT) else ReplyLost
            found = kind(scrubbed(f"IBM Quantum, {doing}: {why}", secrets))
        # Outside of the handler, so that no traceback shows the request.
        raise found


def _object(doing: str, text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, Mapping):
        raise ReplyLost(f"IBM Quantum, {doing}: the answer is no JSON object")
    return found


def _words(text: str, status: int) -> str:
    """Return what a refusal says, in one of the forms that IBM's services have."""
    try:
        given = json.loads(text)
        errors = given.get("errors") or [given.get("error") or given]
        first = errors[0] if isinstance(errors[0], Mapping) else {"message": str(errors[0])}
        words = first.get("message") or first.get("errorMessage") or given.get("errorMessage")
        code = first.get("code") or first.get("errorCode")
    except (ValueError, AttributeError, LookupError, TypeError):
        words, code = text.strip()[:200], None
    said = " ".join(str(part) for part in (code, words) if part)
    return said or f"HTTP status {status}"


def _refusal(status: int, said: str, after: float | None) -> CloudError:
    if status == 429 or (status in (403, 409) and _FULL.search(said)):
        # Also more jobs than may wait, or an instance whose time is used up until its next period.
        return CloudBusy(said, after)
    if status in (401, 403):
        return CredentialsRefused(said)
    if status >= 500 or status == 408:
        return ReplyLost(said)
    return NotThere(said) if status == 404 else CloudRefused(said)
