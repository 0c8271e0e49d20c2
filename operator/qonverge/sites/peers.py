"""Whom a server measures its links to: a list that the operator gives it."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

MOST = 33
"""Peers: a server at each of 32 other sites, and one at its own."""
MOST_NAME = 63
"""Characters of a site's name."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A backend server at a site."""

    site: str
    url: str
    """``http://ADDRESS:PORT``: an address and no name, so that nothing else is asked for it."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 0

    def to_dict(self) -> dict[str, str]:
        """Return the form that travels."""
        return {"site": self.site, "url": self.url}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` gave.

        Raises:
            ValueError: it is no peer: the message says what one is.
        """
        site, url = data.get("site"), data.get("url")
        if not isinstance(site, str) or not 0 < len(site) <= MOST_NAME or not isinstance(url, str):
            raise ValueError(f"a peer has a site of 1 to {MOST_NAME} characters and a url")
        found = cls(site, url)
        try:
            parts = urlsplit(url)
            host, port = found.address
            address = ipaddress.ip_address(host)
        except ValueError:
            raise ValueError(f"the url of site {site} is not http://ADDRESS:PORT") from None
        plain = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        if parts.scheme != "http" or not port or url != plain:
            raise ValueError(f"the url of site {site} is not http://ADDRESS:PORT")
        if address.is_link_local or address.is_multicast or address.is_unspecified:
            raise ValueError(f"the address of site {site} is {host}, which is no pod's")
        return found


def peers_from(data: Any) -> tuple[Peer, ...]:
    """Return a list of peers.

    Raises:
        ValueError: it is none, names a site twice, or is too long.
    """
    if not isinstance(data, list) or len(data) > MOST or not all(isinstance(each, dict) for each in data):
        raise ValueError(f"peers is a list of at most {MOST} objects with site and url")
    found = tuple(map(Peer.from_dict, data))
    if len({peer.site for peer in found}) < len(found):
        raise ValueError("peers names a site twice")
    return found


def digest(peers: Sequence[Peer]) -> str:
    """Return what tells a list from another; empty for an empty one."""
    if not peers:
        return ""
    return hashlib.sha256(json.dumps([peer.to_dict() for peer in peers]).encode()).hexdigest()[:16]
