"""Requests to pods that have proven that the operator made them, over kept-open connections."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

import aiohttp
from cachetools import LRUCache

from qonverge.controller.kube.signing_key import SigningKey
from qonverge.controller.pods.errors import PodLost, PodNotReached, PodRefused, PodSilent
from qonverge.controller.store.pods import Endpoint
from qonverge.wire.codec import unpack
from qonverge.wire.errors import Unauthorized, WireError
from qonverge.wire.proof import challenge, is_proof
from qonverge.wire.tokens import OPERATOR_SUBJECT, Signer, instance_audience

_MSGPACK = "application/msgpack"
_PROOF_SECONDS = 5.0
_PROOF_BYTES = 4096
_TOKEN_SECONDS = 60.0
_KNOWN = 4096
_ERROR_BYTES = 64 * 1024
_PIECE_BYTES = 64 * 1024
# From answers that are shorter no bandwidth shows.
_TELLING_BYTES = 256 * 1024


class PodConnections:
    """Asks pods, with a token that each gets once it has proven itself."""

    def __init__(self, key: SigningKey, carried: Callable[[Endpoint, int, float], None] | None) -> None:
        """See ``DataPlane``."""
        self._key = key
        self._carried = carried
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60))
        self._tokens: LRUCache[tuple[Signer, str], tuple[str, float]] = LRUCache(_KNOWN)
        # With the key that the pod knows: where the key is replaced, pods that started before keep the former one.
        self._proven: LRUCache[Endpoint, Signer] = LRUCache(_KNOWN)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def pieces(self, endpoint: Endpoint, audience: str, path: str, lasts: float) -> AsyncGenerator[bytes]:
        """Yield the pod's answer a piece at a time, within ``lasts`` seconds.

        Raises:
            PodLost: there is none.
            WireError: the pod refuses.
        """
        headers = await self._headers(endpoint, audience)
        timeout = aiohttp.ClientTimeout(total=lasts, sock_connect=5)
        try:
            async with self._session.get(endpoint.url + path, headers=headers, timeout=timeout) as response:
                if response.status != 200:
                    checked(unpack(await _at_most(response.content, _ERROR_BYTES)))
                async for piece in response.content.iter_chunked(_PIECE_BYTES):
                    yield piece
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self._proven.pop(endpoint, None)
            raise PodLost(f"the backend pod does not answer: {str(error) or type(error).__name__}") from None

    async def ask(
        self,
        method: str,
        endpoint: Endpoint,
        audience: str,
        path: str,
        body: bytes | None = None,
        *,
        seconds: float,
        lasts: float | None = None,
    ) -> dict[str, Any]:
        """Return the pod's answer.

        It is whole within ``seconds``, or where ``lasts`` says for how long it may come, never pauses for so long.

        Raises:
            PodLost: there is none; ``PodNotReached``: the request was not sent; ``PodSilent``: it may have been.
        """
        answer = await self._send(method, endpoint, audience, path, body, seconds, lasts)
        if _refusal(answer) is None:
            return answer
        # Another server may have the pod's address, or the key or the token was replaced under way: one that cannot
        # prove itself any more is not ours, and ours gets another token.
        self._proven.pop(endpoint, None)
        self._tokens.clear()
        answer = await self._send(method, endpoint, audience, path, body, seconds, lasts)
        if (refusal := _refusal(answer)) is not None:
            raise PodLost(
                f"pod {endpoint.key} proves that it is one of {audience}, and refuses the operator's token: {refusal}; "
                f"tokens last {_TOKEN_SECONDS:g} s: compare the clocks of its node and the operator's"
            )
        return answer

    async def _send(
        self,
        method: str,
        endpoint: Endpoint,
        audience: str,
        path: str,
        body: bytes | None,
        seconds: float,
        lasts: float | None,
    ) -> dict[str, Any]:
        try:
            headers = await self._headers(endpoint, audience, min(seconds, _PROOF_SECONDS))
        except PodRefused:
            raise
        except PodLost as error:
            raise PodNotReached(error.message) from None
        return await self._request(method, endpoint, path, headers, body, seconds=seconds, lasts=lasts)

    async def _headers(self, endpoint: Endpoint, audience: str, seconds: float = _PROOF_SECONDS) -> dict[str, str]:
        """Return the headers of a request to a pod that has proven itself."""
        signer = self._proven.get(endpoint) or await self._prove(endpoint, audience, seconds)
        token = self._token(signer, instance_audience(audience, endpoint.pod))
        return {"content-type": _MSGPACK, "accept": _MSGPACK, "authorization": f"Bearer {token}"}

    async def _prove(self, endpoint: Endpoint, audience: str, seconds: float) -> Signer:
        """Let the pod prove that the operator made it, before it gets a token or a circuit; return the key it knows.

        Raises:
            PodLost: it does not answer, or cannot.
        """
        sent, signer = challenge(), self._key.signer
        path, headers = f"/v1/identity?challenge={sent}", {"accept": _MSGPACK}
        answer = await self._request("GET", endpoint, path, headers, seconds=seconds, most=_PROOF_BYTES)
        if not is_proof(answer.get("proof"), signer.backend_key(audience), sent, endpoint.pod):
            raise PodLost(f"pod {endpoint.key} cannot prove that it is one of {audience}: nothing is sent to it")
        self._proven[endpoint] = signer
        return signer

    async def _request(
        self,
        method: str,
        endpoint: Endpoint,
        path: str,
        headers: dict[str, str],
        body: bytes | None = None,
        *,
        seconds: float,
        most: int | None = None,
        lasts: float | None = None,
    ) -> dict[str, Any]:
        """Return the pod's answer, of at most so many bytes; see ``ask`` for the times."""
        timeout = aiohttp.ClientTimeout(total=lasts or seconds, sock_connect=5, sock_read=seconds)
        try:
            async with self._session.request(
                method, endpoint.url + path, data=body, headers=headers, timeout=timeout
            ) as response:
                began = time.monotonic()
                data = await response.read() if most is None else await _at_most(response.content, most)
                if self._carried is not None and len(data) >= _TELLING_BYTES:
                    self._carried(endpoint, len(data), time.monotonic() - began)
                answer = unpack(data)
                if not isinstance(answer, dict):
                    raise ValueError(f"its answer to {method} {path} is a {type(answer).__name__}")
                return answer
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # Another pod may have its address by now.
            self._proven.pop(endpoint, None)
            raise _lost(error)(f"the backend pod does not answer: {str(error) or type(error).__name__}") from None

    def _token(self, signer: Signer, audience: str) -> str:
        now = time.time()
        known = self._tokens.get((signer, audience))
        if known is None or known[1] < now:
            token = signer.sign(audience=audience, subject=OPERATOR_SUBJECT, now=now, ttl=_TOKEN_SECONDS)
            known = self._tokens[signer, audience] = (token, now + _TOKEN_SECONDS / 2)
        return known[0]


def checked(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of a pod that did what it was asked.

    Raises:
        WireError: it says why it did not.
    """
    if "error" in answer:
        raise WireError.from_dict(answer["error"])
    return answer


def _lost(error: Exception) -> type[PodLost]:
    """Return what a request that failed so says of the pod."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return PodRefused if isinstance(error.os_error, ConnectionRefusedError) else PodNotReached
    return PodLost if isinstance(error, ValueError) else PodSilent


def _refusal(answer: dict[str, Any]) -> Unauthorized | None:
    """Return that the pod did not take the token."""
    error = answer.get("error")
    found = WireError.from_dict(error) if isinstance(error, dict) else None
    return found if isinstance(found, Unauthorized) else None


async def _at_most(content: aiohttp.StreamReader, most: int) -> bytes:
    """Return a body; of a pod that is not known yet not everything is taken."""
    data = b""
    while part := await content.readany():
        data += part
        if len(data) > most:
            raise ValueError(f"its answer has more than {most} bytes")
    return data
