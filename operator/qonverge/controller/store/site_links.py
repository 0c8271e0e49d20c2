"""The links between sites, as backends' pods measure them, and which pods do. Pure: times are given.

Who can edit a namespace controls its pods, and so what these tell. Therefore the figures that count for a namespace are
those of its own pods and of namespaces that may offer backends to others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from qonverge.sites.link import Link
from qonverge.sites.peers import MOST, Peer

STALE_SECONDS = 20.0
"""What a pod told longer ago does not count."""
_JUMP = 0.25
_DRIFT = 0.1


@dataclass(frozen=True, slots=True)
class SitePod:
    """A pod that serves, at a site."""

    uid: str
    namespace: str
    site: str
    url: str
    created: float
    """Unix seconds."""

    @property
    def _order(self) -> tuple[float, str]:
        # The oldest measures, so that it is the same one while pods come and go.
        return self.created, self.uid


@dataclass(frozen=True, slots=True)
class _Told:
    at: float
    """Unix seconds."""
    link: Link

    def fresh(self, now: float) -> bool:
        # Before a clock was set back, nobody knows when.
        return abs(now - self.at) <= STALE_SECONDS


def peers_of(pods: Iterable[SitePod], may_offer: Callable[[str], bool]) -> dict[str, tuple[Peer, ...]]:
    """Return to which peers each pod is to measure its links, by the pod's uid; most pods to none.

    Namespaces that may offer backends measure together, for all: of their pods at a site one, to one at each other
    site, and to another one at its own, or to itself where there is no other. A pod of another namespace measures what
    these do not: the links from a site where they are not, and those to sites where only its own namespace is.
    """
    shared: dict[str, list[SitePod]] = {}
    tenants: dict[str, dict[str, list[SitePod]]] = {}
    sites = set[str]()
    offering: dict[str, bool] = {}
    for pod in sorted(pods, key=lambda each: each._order):
        sites.add(pod.site)
        if pod.namespace not in offering:
            offering[pod.namespace] = may_offer(pod.namespace)
        there = shared if offering[pod.namespace] else tenants.setdefault(pod.namespace, {})
        there.setdefault(pod.site, []).append(pod)
    if len(sites) < 2:
        return {}
    found = {own[0].uid: _peers(site, own, shared) for site, own in shared.items()}
    for owns in tenants.values():
        known = {**owns, **shared}
        for site, own in owns.items():
            missing = {name: there for name, there in known.items() if site not in shared or name not in shared}
            found[own[0].uid] = _peers(site, own, missing)
    return {uid: peers for uid, peers in found.items() if peers}


def _peers(site: str, own: list[SitePod], there: Mapping[str, list[SitePod]]) -> tuple[Peer, ...]:
    """Return whom the first of the pods at a site asks: of those at each site the first that is not itself."""
    first = sorted(there, key=lambda name: (name != site, name))[:MOST]
    return tuple(Peer(name, next((pod for pod in there[name] if pod is not own[0]), own[0]).url) for name in first)


@dataclass(slots=True)
class SiteLinks:
    """What pods told last, by their namespace and site."""

    _told: dict[tuple[str, str], dict[str, _Told]] = field(default_factory=dict)
    """By the site to which a link leads."""

    def __len__(self) -> int:
        """Return how many links are kept."""
        return sum(map(len, self._told.values()))

    def tell(self, namespace: str, site: str, links: Mapping[str, Link], at: float) -> None:
        """Take what a pod of a namespace at a site measured, at a time in Unix seconds.

        What was told before of others counts until it is too old: a pod that begins to measure has nothing to tell yet.
        """
        before = self._told.get((namespace, site), {})
        known = {to: told for to, told in before.items() if told.fresh(at)}
        steady = {to: _Told(at, _steady(known[to].link if to in known else Link(), link)) for to, link in links.items()}
        self._told[namespace, site] = {**known, **steady}
        for key in [key for key, each in self._told.items() if not any(told.fresh(at) for told in each.values())]:
            del self._told[key]

    def between(self, start: str, end: str, trusted: Collection[str], now: float) -> Link:
        """Return the link from one site to another, by what pods of these namespaces told of late.

        A round trip is the same from both ends: where no pod at the one asks the other, the other's word counts. A
        bandwidth is not.
        """
        there, back = self._links(start, end, trusted, now), self._links(end, start, trusted, now)
        trips = [link for link in there or back if link.round_trip_seconds is not None]
        rates = [link.bytes_per_second for link in there if link.bytes_per_second is not None]
        if not trips:
            return Link(None, None, rates[0] if rates else None)
        return Link(trips[0].round_trip_seconds, trips[0].loss_ratio, rates[0] if rates else None)

    def _links(self, start: str, end: str, trusted: Collection[str], now: float) -> list[Link]:
        told = (self._told.get((namespace, start), {}).get(end) for namespace in sorted(trusted))
        return [each.link for each in told if each is not None and each.fresh(now)]


def _steady(before: Link, now: Link) -> Link:
    """Return figures that follow a real change at once and pass over noise."""
    return Link(
        _followed(before.round_trip_seconds, now.round_trip_seconds),
        now.loss_ratio,
        _followed(before.bytes_per_second, now.bytes_per_second),
    )


def _followed(before: float | None, now: float | None) -> float | None:
    if before is None or now is None or abs(now - before) > _JUMP * before:
        return now
    return before + _DRIFT * (now - before)
