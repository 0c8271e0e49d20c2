"""Requests to another site over a link that may be cut at any moment."""

from __future__ import annotations

import ssl
import time
from pathlib import Path
from typing import Any, Literal

import aiohttp

from qonverge.backend.executors.redaction import Redactor
from qonverge.providers.remote import TOKEN_KEY, RemoteOptions
from qonverge.telemetry import BackendMetrics
from qonverge.wire.codec import pack, unpack
from qonverge.wire.errors import WireError

_MSGPACK = "application/msgpack"
_CONNECT_SECONDS = 10.0
# For which nothing may come beyond what the server was asked to wait.
_SILENT_SECONDS = 15.0
_IDLE_SECONDS = 30.0
_MOST_BYTES = 1024**3
_CONNECTIONS = 100

Kind = Literal["look", "submit", "poll", "cancel", "delivered"]


class LinkDown(Exception):
    """No answer came, or none of a server of the protocol. Whether the request had its effect is not known."""


class NotReached(LinkDown):
    """No connection came about: the request was not sent."""


class RemoteLink:
    """A client of one server. No request is repeated in here."""

    def __init__(self, options: RemoteOptions, credentials: str, metrics: BackendMetrics) -> None:
        """``credentials`` is a folder with the token's file, empty for a server that asks for none."""
        self._options = options
        self._credentials = Path(credentials) if credentials else None
        self._redact = Redactor(credentials)
        self._metrics = metrics
        self._session: aiohttp.ClientSession | None = None
        self._context: tuple[object, ssl.SSLContext] | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def ask(
        self, kind: Kind, method: str, path: str, value: dict[str, Any] | None = None, *, wait: float = 0.0
    ) -> dict[str, Any]:
        """Return the answer to a request, in which the server was asked to wait for so many seconds.

        Raises:
            LinkDown: there is none.
            WireError: the server's own refusal.
        """
        try:
            answer = await self._ask(method, path, value, wait)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self._metrics.remote_calls.labels(kind=kind, answered="false").inc()
            kind_of_loss = NotReached if isinstance(error, aiohttp.ClientConnectorError) else LinkDown
            raise kind_of_loss(self._redact(f"no answer from {self._options.url}: {_words(error)}")) from None
        self._metrics.remote_calls.labels(kind=kind, answered="true").inc()
        refusal = answer.get("error")
        if isinstance(refusal, dict):
            answer["error"] = refusal = self._redacted(refusal)
            if "state" not in answer:
                raise WireError.from_dict(refusal)
        return answer

    async def measured(self, path: str) -> tuple[dict[str, Any], float]:
        """Return an answer about the server, and the seconds from the request to it."""
        began = time.perf_counter()
        answer = await self.ask("look", "GET", path)
        return answer, time.perf_counter() - began

    async def _ask(self, method: str, path: str, value: dict[str, Any] | None, wait: float) -> dict[str, Any]:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_IDLE_SECONDS)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENT_SECONDS + wait, connect=None
        )
        async with self._session.request(
            method,
            self._options.url + path,
            data=None if value is None else pack(value),
            headers=self._headers(),
            timeout=timeout,
            # A token goes to no other place.
            allow_redirects=False,
            ssl=self._tls(),
            server_hostname=self._options.server_name,
        ) as response:
            content = bytearray()
            async for piece in response.content.iter_any():
                content += piece
                if len(content) > _MOST_BYTES:
                    raise ValueError(f"its answer has more than {_MOST_BYTES} bytes")
            try:
                answer = unpack(content)
            except ValueError:
                answer = None
            if not isinstance(answer, dict):
                raise ValueError(f"status {response.status} from something that is no backend server")
            return answer

    def _redacted(self, told: Any) -> Any:
        """Return an error's plain values without credentials."""
        if isinstance(told, dict):
            return {key: self._redacted(value) for key, value in told.items()}
        if isinstance(told, list):
            return [self._redacted(value) for value in told]
        return self._redact(told) if isinstance(told, str) else told

    def _headers(self) -> dict[str, str]:
        headers = {"content-type": _MSGPACK, "accept": _MSGPACK}
        if self._credentials is not None:
            # Read each time: tokens are replaced while this runs.
            try:
                token = (self._credentials / TOKEN_KEY).read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError):
                raise ValueError(
                    f"the credentials have no readable file {TOKEN_KEY}: is it a key of the Secret?"
                ) from None
            headers["authorization"] = f"Bearer {token}"
        return headers

    def _tls(self) -> ssl.SSLContext | bool:
        """Return what is trusted; another object after the file with certificates changed."""
        if not self._options.url.startswith("https"):
            return True
        file = self._options.ca_file
        stamp: object = None
        if file is not None:
            found = Path(file).stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        if self._context is None or self._context[0] != stamp:
            try:
                self._context = (stamp, ssl.create_default_context(cafile=file))
            except ssl.SSLError:
                raise ValueError(f"{file} holds no certificates in PEM") from None
        return self._context[1]


def _words(error: Exception) -> str:
    """Return what went wrong. Nothing of a request is in it."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted ({error.certificate_error}): see caBundle and serverName"
    if isinstance(error, TimeoutError):
        return "nothing came for too long"
    return str(error) or type(error).__name__
