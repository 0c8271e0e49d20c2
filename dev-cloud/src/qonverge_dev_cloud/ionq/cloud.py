"""All of IonQ: its port, its state, and the environment of programs that use it."""

from __future__ import annotations

from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.gateway import Gateway
from qonverge_dev_cloud.ionq.http import IonqHttp
from qonverge_dev_cloud.ionq.service import IonqService
from qonverge_dev_cloud.scenario import Scenario
from qonverge_dev_cloud.served import ServedCloud
from qonverge_dev_cloud.worker import Worker

API_KEY = "dev-cloud-not-a-real-key"


class IonqCloud(ServedCloud):
    """IonQ on loopback."""

    name = "ionq"

    def __init__(self, scenario: Scenario, clock: Clock, gateway: Gateway) -> None:
        service = IonqService(scenario, clock)
        worker = Worker(service, clock, self.name)
        super().__init__(service, worker, IonqHttp(service, worker, gateway))

    def environment(self, url: str) -> dict[str, str]:
        """Return the variables that make programs of Cirq and Qiskit use it.

        Args:
            url: of the API.
        """
        return {"IONQ_REMOTE_HOST": url, "IONQ_API_URL": f"{url}/v0.4", "IONQ_API_KEY": API_KEY}
