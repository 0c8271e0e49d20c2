"""Probes go to addresses of backends' pods and nowhere else."""

from __future__ import annotations

import pytest

from qonverge.sites.peers import MOST, Peer, digest, peers_from


@pytest.mark.parametrize("url", ["http://10.1.2.3:8080", "http://[fd00::7]:8080"])
def test_an_address_with_a_port_is_a_peer(url: str) -> None:
    (peer,) = peers_from([{"site": "works", "url": url}])
    assert peer == Peer("works", url)
    assert Peer.from_dict(peer.to_dict()) == peer
    assert digest([peer]) != digest([]) == ""


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com:80",
        "https://10.1.2.3:8080",
        "http://10.1.2.3",
        "http://10.1.2.3:8080/v1/tasks",
        "http://user@10.1.2.3:8080",
        "http://10.1.2.3:8080?x=1",
        "http://10.1.2.3:99999",
        "http://169.254.169.254:80",
        "http://[fe80::1]:80",
        "http://0.0.0.0:80",
        "http://224.0.0.1:80",
        "file:///etc/passwd",
        "",
        7,
    ],
)
def test_nothing_else_is(url: object) -> None:
    with pytest.raises(ValueError, match="site"):
        peers_from([{"site": "works", "url": url}])


def test_a_list_is_bounded_and_names_each_site_once() -> None:
    one = {"site": "a", "url": "http://10.0.0.1:1"}
    for bad in ([one, one], [{**one, "site": str(number)} for number in range(MOST + 1)], {"a": 1}, ["a"], None):
        with pytest.raises(ValueError, match="peers"):
            peers_from(bad)
    with pytest.raises(ValueError, match="63 characters"):
        peers_from([{**one, "site": "x" * 64}])
