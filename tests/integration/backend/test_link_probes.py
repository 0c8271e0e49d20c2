"""A server measures its links to the peers that the operator names, over a proxy that delays what it passes on."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from qonverge.sites.peers import Peer
from qonverge.sites.prober import BULK_BYTES, Probe, _segments
from qonverge.wire.tokens import OPERATOR_SUBJECT
from tests.integration.backend.conftest import Backend, free_port, serving, until
from tests.integration.slow_link import SlowLink

DELAY = 0.05


@pytest.fixture(scope="module")
def pod() -> Iterator[Backend]:
    """A server as an operator makes it."""
    with serving("--concurrency", "1", "--key", "secret") as running:
        yield running


def name_peers(pod: Backend, peers: list[dict[str, str]], subject: str = OPERATOR_SUBJECT) -> Any:
    body = json.dumps({"peers": peers}).encode()
    return pod.ask("PUT", "/v1/peers", body, subject=subject, content_type="application/json")


def test_a_server_tells_the_way_to_each_peer_and_never_one_that_it_did_not_measure(pod: Backend) -> None:
    link = SlowLink(DELAY)
    peers = [
        {"site": "works", "url": f"http://127.0.0.1:{link(pod.port)}"},
        {"site": "gone", "url": f"http://127.0.0.1:{free_port()}"},
    ]
    assert name_peers(pod, peers, "chem/job").error["code"] == "NotFound"
    refused = name_peers(pod, [{"site": "works", "url": "http://example.com:80"}])
    assert (refused.error["code"], pod.info()["peers"]) == ("InvalidTask", "")
    try:
        named = name_peers(pod, peers)
        assert named.body["peers"]

        def measured() -> Any:
            links = pod.info()["links"]
            known = links.get("works", {})
            return links if known.get("bytes_per_second") and links.get("gone", {}).get("loss_ratio") else None

        links = until(measured, "figures of both links")
        assert links["works"]["round_trip_seconds"] >= 2 * DELAY
        assert links["works"]["loss_ratio"] < 0.5
        # The proxy passes at most 64 KiB on and waits, so that so many bytes need four waits at least.
        assert links["works"]["bytes_per_second"] < 10 * BULK_BYTES / DELAY
        assert links["gone"] == {"round_trip_seconds": None, "loss_ratio": 1.0, "bytes_per_second": None}
        assert pod.metric('qonverge_backend_link_round_trip_seconds{site="works"}') >= 2 * DELAY
        assert pod.metric('qonverge_backend_link_loss_ratio{site="gone"}') == 1.0
        exposed = pod.ask("GET", "/metrics").body
        assert 'qonverge_backend_link_round_trip_seconds{site="gone"}' not in exposed
        link.seconds = 3 * DELAY
        until(lambda: pod.info()["links"]["works"]["round_trip_seconds"] >= 6 * DELAY, "the longer way")
        link.seconds = DELAY
        until(lambda: pod.info()["links"]["works"]["round_trip_seconds"] < 6 * DELAY, "the way as it was")
    finally:
        name_peers(pod, [])
        link.close()
    told = pod.info()
    assert (told["peers"], told["links"]) == ("", {})


def test_a_probe_says_what_was_sent_and_goes_on_after_a_server_that_began_anew(pod: Backend) -> None:
    probe = Probe(Peer("works", pod.url))
    first = probe.once()
    assert first.seconds is not None
    assert first.sent >= 1
    assert probe.bulk() is not None
    kept = probe._connection.sock
    sent, again = _segments(kept)
    assert sent >= 2
    assert again == 0
    assert probe.once().seconds is not None
    assert probe._connection.sock is kept, "no connection is made for each"
    kept.shutdown(socket.SHUT_RDWR)
    assert probe.once().seconds is not None
    probe.close()


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n", b"nonsense\r\n"]
)
def test_what_is_no_backend_gives_no_figure(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        probe = Probe(Peer("works", f"http://127.0.0.1:{listener.getsockname()[1]}"))

        def serve() -> None:
            for _ in range(2):
                with listener.accept()[0] as caller:
                    caller.recv(1024)
                    caller.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert probe.once().seconds is None
        probe.close()
