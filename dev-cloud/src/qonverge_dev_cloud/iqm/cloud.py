"""All of IQM: its port, its state, and the environment of programs that use it."""

from __future__ import annotations

from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.gateway import Gateway
from qonverge_dev_cloud.iqm.http import IqmHttp
from qonverge_dev_cloud.iqm.service import IqmService
from qonverge_dev_cloud.scenario import Scenario
from qonverge_dev_cloud.served import ServedCloud
from qonverge_dev_cloud.worker import Worker

TOKEN = "dev-cloud-not-a-real-token"  # noqa: S105 - any is taken


class IqmCloud(ServedCloud):
    """IQM on loopback."""

    name = "iqm"

    def __init__(self, scenario: Scenario, clock: Clock, gateway: Gateway) -> None:
        service = IqmService(scenario, clock)
        worker = Worker(service, clock, self.name)
        super().__init__(service, worker, IqmHttp(service, worker, gateway))

    def environment(self, url: str) -> dict[str, str]:
        """Return the variables that make programs of IQM's client use it.

        Args:
            url: of the API.
        """
        return {"IQM_SERVER_URL": url, "IQM_QUANTUM_COMPUTER": "garnet", "IQM_TOKEN": TOKEN}
