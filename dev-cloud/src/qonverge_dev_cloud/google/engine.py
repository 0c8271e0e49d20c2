"""The engine, loaded when it is first called: cirq-google takes seconds to load, which others need not wait for."""

from __future__ import annotations

from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.gateway import Gateway
from qonverge_dev_cloud.google.http import GoogleHttp
from qonverge_dev_cloud.google.rpc import RpcHandler
from qonverge_dev_cloud.google.service import GoogleService
from qonverge_dev_cloud.scenario import Scenario
from qonverge_dev_cloud.worker import Worker


class Engine:
    """The engine's state, and both forms of its API."""

    def __init__(self, scenario: Scenario, clock: Clock, gateway: Gateway, url: str) -> None:
        """Start the processors. ``url``: where the REST form is served."""
        self.service = GoogleService(scenario, clock)
        self.worker = Worker(self.service, clock, "google")
        self.http = GoogleHttp(self.service, self.worker, gateway)
        self.rpc = RpcHandler(self.service, url)
        self.worker.start()
