"""Lets pods at sites measure the links between them, and takes what they tell."""

from __future__ import annotations

import logging
from collections.abc import Callable

from qonverge.api import QuantumBackend
from qonverge.controller.objects.node_placement import pods_site
from qonverge.controller.objects.object_names import audience, backend_selector
from qonverge.controller.pods.task_client import DataPlane
from qonverge.controller.store.cluster import Cluster
from qonverge.controller.store.pods import BackendPod
from qonverge.controller.store.site_links import SitePod, peers_of
from qonverge.controller.store.state import State
from qonverge.sites.peers import Peer, digest
from qonverge.wire.backend_info import BackendInfo
from qonverge.wire.errors import WireError

logger = logging.getLogger(__name__)


class LinkMeasurements:
    """Which pods measure, and to which peers."""

    def __init__(self, state: State, cluster: Cluster, data: DataPlane, clock: Callable[[], float]) -> None:
        """Know no pod. ``clock`` gives Unix seconds."""
        self._state = state
        self._cluster = cluster
        self._data = data
        self._clock = clock
        self._peers: dict[str, tuple[Peer, ...]] = {}

    def choose(self) -> None:
        """Choose the pods that measure, of those that serve now."""
        backends, pods = {backend_selector(each): each for each in self._state.backends.values()}, []
        for pod in self._state.pods.serving():
            backend = backends.get(pod.endpoint.backend)
            site = None if backend is None else pods_site(backend)
            if backend is not None and site is not None and pod.answers and not pod.leaving:
                pods.append(SitePod(pod.uid, backend.metadata.namespace, site, pod.endpoint.url, pod.created))
        self._peers = peers_of(pods, self._cluster.may_offer)

    async def meet(self, pod: BackendPod, backend: QuantumBackend, info: BackendInfo) -> None:
        """Take what a pod told of its links, and name its peers to it where it has others."""
        peers, site = self._peers.get(pod.uid, ()), pods_site(backend)
        if peers and site is not None:
            told = {peer.site: info.links[peer.site] for peer in peers if peer.site in info.links}
            self._state.links.tell(backend.metadata.namespace, site, told, self._clock())
        if info.peers != digest(peers):
            try:
                await self._data.measure(pod.endpoint, audience(backend), peers)
            except WireError as error:
                logger.info("pod %s does not measure links: %s", pod.key, error)
