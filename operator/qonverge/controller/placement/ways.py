"""The ways from where programs run to backends, as a round of placement sees them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qonverge.api import HybridJob
from qonverge.controller.objects.node_placement import pods_site
from qonverge.controller.store.cluster import Cluster
from qonverge.controller.store.devices import beyond, measured
from qonverge.controller.store.state import State
from qonverge.programs.kinds import kind_of
from qonverge.scheduling import Backend
from qonverge.sites.link import Link


class Ways:
    """The ways of one moment."""

    def __init__(self, state: State, cluster: Cluster, backends: Sequence[Backend], now: float) -> None:
        """Look nothing up yet; ``now`` in Unix seconds."""
        self._state = state
        self._cluster = cluster
        self._backends = backends
        self._now = now
        self._known: dict[str, Mapping[str, Link]] = {}

    def of(self, job: HybridJob) -> tuple[str, Mapping[str, Link]]:
        """Return from where a job's questions come, and the links from there to backends, by their keys.

        Nothing is told of a job whose circuits the operator sends, or whose program may run anywhere: the operator's
        own links count then.
        """
        near, namespace = kind_of(job).near(job), job.metadata.namespace
        if near is None:
            return "", {}
        origin = f"{namespace}/{near.site or ''}"
        if origin not in self._known:
            self._known[origin] = self._links(namespace, near.site)
        return origin, self._known[origin]

    def _links(self, namespace: str, site: str | None) -> dict[str, Link]:
        """Return the links from a site to backends; where none is named, from each backend's own."""
        offering = {backend.namespace for backend in self._backends if self._cluster.may_offer(backend.namespace)}
        trusted, links, to_site = offering | {namespace}, dict[str, Link](), dict[str, Link]()
        for seen in self._backends:
            backend = self._state.backends.get(seen.key)
            end = None if backend is None else pods_site(backend)
            if backend is None or end is None:
                continue
            if end not in to_site:
                to_site[end] = self._state.links.between(site or end, end, trusted, self._now)
            if (link := to_site[end]) != Link():
                links[seen.key] = link.beyond(beyond(backend, measured(self._state.pods, backend, self._now)))
        return links
