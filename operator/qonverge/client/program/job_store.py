"""What a program keeps in its job's store: sent to the operator, which has the store's credentials."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from qonverge.client.errors import ResultTooLarge, StoreUnreachable
from qonverge.client.transport.tokens import read_token, renewal_seconds

if TYPE_CHECKING:
    import urllib3

PATIENCE_SECONDS = 86_400.0
"""For how long a store that does not answer is tried again at the end of a program: what was computed is not lost."""
_LONGEST_DELAY = 30.0
_LONGEST_REFUSAL = 1000


class JobStore:
    """The objects of the job that this program is of."""

    def __init__(
        self,
        url: str,
        token: Callable[[], str | None],
        *,
        renewal: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Connect when first used.

        Args:
            url: where the job's output is.
            token: is asked before each request, since tokens are renewed.
            renewal: seconds for which one that is refused is read again.
            clock: seconds, of which only differences count.
            sleep: waits for so many seconds.
        """
        self._url = url.rstrip("/")
        self._token = token
        self._renewal = renewal
        self._clock = clock
        self._sleep = sleep
        self._pool: urllib3.PoolManager | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> JobStore | None:
        """Return the store that a job's environment describes; None where there is none."""
        url = environment.get("QONVERGE_STORE_URL")
        return None if not url else cls(url, lambda: read_token(environment), renewal=renewal_seconds(environment))

    def put(self, path: str, pieces: Callable[[], Iterable[bytes]], *, patience: float = PATIENCE_SECONDS) -> None:
        """Write an object, whole or not at all.

        Args:
            path: of the object.
            pieces: gives its content; is called again where another try is made.
            patience: seconds for which a store that does not take it is tried again.

        Raises:
            ResultTooLarge: with it the job would keep more than it may.
            StoreUnreachable: it could not be written.
        """
        self._request("PUT", path, patience, body=pieces)

    def get(self, path: str, *, patience: float = PATIENCE_SECONDS) -> bytes | None:
        """Return an object, None where there is none.

        Raises:
            StoreUnreachable: it could not be read.
        """
        return self._request("GET", path, patience)

    def sizes(self, folder: str, *, patience: float = PATIENCE_SECONDS) -> dict[str, int]:
        """Return the sizes in bytes of the objects in a folder, by their paths there, in order.

        Raises:
            StoreUnreachable: the store does not tell.
        """
        found = self._request("GET", "", patience, query={"folder": folder})
        sizes: dict[str, int] = json.loads(found or b"{}")
        return sizes

    def delete(self, path: str, *, patience: float = PATIENCE_SECONDS) -> None:
        """Delete an object.

        Raises:
            StoreUnreachable: it could not be deleted.
        """
        self._request("DELETE", path, patience)

    def _request(
        self,
        method: str,
        path: str,
        patience: float,
        *,
        body: Callable[[], Iterable[bytes]] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> bytes | None:
        # Most programs' import of the client is no reason to load it.
        import urllib3

        if self._pool is None:
            timeout = urllib3.Timeout(connect=10, read=150)
            self._pool = urllib3.PoolManager(maxsize=1, retries=False, timeout=timeout)
        url = self._url + (f"/{quote(path)}" if path else "") + (f"?{urlencode(query)}" if query else "")
        began, delay, told = self._clock(), 0.1, False
        while True:
            allowed = patience
            headers = {"authorization": f"Bearer {self._token() or ''}"}
            given: Any = None if body is None else iter(body())
            try:
                response = self._pool.request(method, url, headers=headers, body=given)
                if response.status < 300:
                    return response.data
                said = response.data[:_LONGEST_REFUSAL].decode(errors="replace").strip()
                problem = f"status {response.status}: {said}"
                match response.status:
                    case HTTPStatus.NOT_FOUND if method == "GET" and not query:
                        return None
                    case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                        raise ResultTooLarge(said)
                    case HTTPStatus.UNAUTHORIZED if self._renewal:
                        allowed = max(patience, self._renewal)
                    case HTTPStatus.BAD_REQUEST | HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN | HTTPStatus.NOT_FOUND:
                        raise StoreUnreachable(f"{path or 'the list'} was refused with {problem}")
            except urllib3.exceptions.HTTPError as error:
                problem = str(error)
            if self._clock() + delay > began + allowed:
                raise StoreUnreachable(f"{path or 'the list'} was not taken or given for {allowed:g} s: {problem}")
            if not told and delay > 1:
                told = True
                print(f"qonverge: {path or 'output'} is tried again: {problem}", file=sys.stderr, flush=True)
            self._sleep(delay)
            delay = min(_LONGEST_DELAY, delay * 2)
