"""Requests whose head and body leave in one piece: in two, a server wakes twice, which a small task's time shows."""

from __future__ import annotations

from typing import Any

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

# Larger bodies go by themselves: joining would copy them.
_MOST_BYTES = 64 * 1024


class _Connection(HTTPConnection):
    """Holds a request's head back until its body is there."""

    _holds = False
    _head = b""

    def request(self, method: str, url: str, body: Any = None, *arguments: Any, **more: Any) -> None:
        """Send a request."""
        self._holds, self._head = isinstance(body, bytes) and 0 < len(body) <= _MOST_BYTES, b""
        try:
            super().request(method, url, body, *arguments, **more)
        finally:
            self._holds = False

    def send(self, data: Any) -> None:
        """Send bytes, or keep the head that they are."""
        if self._holds and not self._head:
            self._head = data
            return
        head, self._head, self._holds = self._head, b"", False
        super().send(head + data if head else data)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


def one_piece_pool(size: int) -> urllib3.PoolManager:
    """Return a pool of so many connections for each host, without retries of its own."""
    manager = urllib3.PoolManager(maxsize=size, retries=False)
    manager.pool_classes_by_scheme = {**manager.pool_classes_by_scheme, "http": _Pool}
    return manager
