"""The links between sites, as backends' pods measure them, and which pods do. Pure: times are given.

Who can edit a namespace controls its pods, and so what these tell. Therefore the figures that count for a namespace are
those of its own pods and of namespaces that may offer backends to others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from qonverge.links.link import Link
from qonverge.links.peers import MOST, Peer

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

    Of the pods of a namespace at a site one measures: to one at each other site, and to another one at its own, or to
    itself where there is no other. Its peers are pods of its own namespace and of those that may offer backends.
    """
    there: dict[str, dict[str, list[SitePod]]] = {}
    for pod in sorted(pods, key=lambda each: each._order):
        there.setdefault(pod.namespace, {}).setdefault(pod.site, []).append(pod)
    if len({site for sites in there.values() for site in sites}) < 2:
        return {}
    offering = [name for name in sorted(there) if may_offer(name)]
    found = {}
    for namespace, sites in there.items():
        trusted = list(dict.fromkeys([*offering, namespace]))
        for site, own in sites.items():
            prober = own[0]
            known: dict[str, list[SitePod]] = {site: own[1:]}
            for each in trusted:
                for name, others in there[each].items():
                    known.setdefault(name, []).extend(pod for pod in others if pod not in own)
            chosen = {name: (others or [prober])[0] for name, others in known.items()}
            first = sorted(chosen, key=lambda name: (name != site, name))[:MOST]
            found[prober.uid] = tuple(Peer(name, chosen[name].url) for name in first)
    return found


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
