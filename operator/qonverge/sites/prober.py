"""Measures the links to peers: small questions all the time, and a larger one now and then."""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import sys
import threading
import time
from collections.abc import Sequence

from qonverge.sites.link import Link
from qonverge.sites.peers import Peer, digest
from qonverge.sites.window import Sample, Window

SMALL_PATH = "/healthz"
BULK_PATH = "/v1/bulk"
BULK_BYTES = 256 * 1024
_PAUSE_SECONDS = 0.5
_MOST_PER_SECOND = 32.0
_BULK_SECONDS = 60.0
_ANSWER_SECONDS = 2.0
_BULK_ANSWER_SECONDS = 10.0
# In Linux' struct tcp_info: segments sent again, and all that were sent.
_RETRANSMITTED, _SENT = 100, 136


class Probe:
    """Asks one peer over a connection that is kept. It blocks: it is for a thread."""

    def __init__(self, peer: Peer) -> None:
        """Ask nothing yet."""
        host, port = peer.address
        # The library follows no redirection, and knows no proxy.
        self._connection = http.client.HTTPConnection(host, port, timeout=_ANSWER_SECONDS)
        self._counted = (0, 0)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def once(self) -> Sample:
        """Ask for something small."""
        try:
            try:
                seconds = self._timed(SMALL_PATH, 1024, _ANSWER_SECONDS)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                # The peer ended a connection that was kept, as a server does that begins anew.
                self.close()
                seconds = self._timed(SMALL_PATH, 1024, _ANSWER_SECONDS)
        except (OSError, http.client.HTTPException):
            self.close()
            return Sample(None)
        sent, again = _segments(self._connection.sock)
        before_sent, before_again = self._counted
        self._counted = sent, again
        return Sample(seconds, max(1, sent - before_sent), max(0, again - before_again))

    def bulk(self) -> float | None:
        """Return the seconds from the question to the last of ``BULK_BYTES``; None: they did not come."""
        try:
            return self._timed(BULK_PATH, BULK_BYTES, _BULK_ANSWER_SECONDS, exactly=True)
        except (OSError, http.client.HTTPException):
            self.close()
            return None

    def _timed(self, path: str, most: int, limit: float, *, exactly: bool = False) -> float:
        connection = self._connection
        if connection.sock is None:
            self._counted = (0, 0)
            connection.connect()
        connection.sock.settimeout(limit)
        began = time.perf_counter()
        connection.request("GET", path)
        answer = connection.getresponse()
        read = len(answer.read(most))
        took = time.perf_counter() - began
        if answer.status != 200 or (exactly and read < most):
            raise http.client.HTTPException(f"{answer.status} with {read} bytes")
        # Whoever sends more than that is not asked over this connection again.
        if not answer.isclosed():
            self.close()
        return took


class _Followed:
    """One peer, and the thread that measures the link to it.

    A thread rather than a task of the event loop: what is measured is the link, and not how busy the loop is.
    """

    def __init__(self, peer: Peer) -> None:
        """Begin."""
        self.pause = _PAUSE_SECONDS
        self._peer = peer
        self._window = Window()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        threading.Thread(target=self._run, name=f"link to {peer.site}", daemon=True).start()

    def link(self) -> Link:
        """Return what is known of the link."""
        with self._lock:
            return self._window.link(time.monotonic())

    def stop(self) -> None:
        """Let the thread end once it waits for no answer."""
        self._stop.set()

    def _run(self) -> None:
        probe, bulk_at = Probe(self._peer), time.monotonic() + _PAUSE_SECONDS
        with contextlib.closing(probe):
            while not self._stop.wait(self.pause):
                sample = probe.once()
                with self._lock:
                    self._window.add(sample, time.monotonic())
                if sample.seconds is None or time.monotonic() < bulk_at:
                    continue
                took, bulk_at = probe.bulk(), time.monotonic() + _BULK_SECONDS
                if took is not None:
                    with self._lock:
                        self._window.carry(BULK_BYTES, took, time.monotonic())


class Prober:
    """The links from here to each peer."""

    def __init__(self) -> None:
        """Know no peer."""
        self._followed: dict[Peer, _Followed] = {}

    @property
    def digest(self) -> str:
        """What tells the peers from others; empty without any."""
        return digest(tuple(self._followed))

    def aim(self, peers: Sequence[Peer]) -> None:
        """Measure the links to these and no others."""
        before = self._followed
        self._followed = {peer: before.get(peer) or _Followed(peer) for peer in peers}
        for gone in before.keys() - self._followed.keys():
            before[gone].stop()
        for followed in self._followed.values():
            followed.pause = max(_PAUSE_SECONDS, len(peers) / _MOST_PER_SECOND)

    def links(self) -> dict[str, Link]:
        """Return what is known of the links, by site; one of which nothing is known is missing."""
        found = {peer.site: followed.link() for peer, followed in self._followed.items()}
        return {site: link for site, link in found.items() if link != Link()}

    def close(self) -> None:
        """Measure nothing any more."""
        self.aim(())


def _segments(connection: socket.socket | None) -> tuple[int, int]:
    """Return the segments that a connection sent, and those of them that it sent again; (0, 0) where nobody tells."""
    if connection is None or sys.platform != "linux":
        return 0, 0
    with contextlib.suppress(OSError):
        told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SENT + 4)
        if len(told) == _SENT + 4:
            return struct.unpack_from("=I", told, _SENT)[0], struct.unpack_from("=I", told, _RETRANSMITTED)[0]
    return 0, 0
