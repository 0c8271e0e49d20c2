"""All of IBM Quantum: its port, its state, and the environment of programs that use it."""

from __future__ import annotations

from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.gateway import Gateway
from qonverge_dev_cloud.ibm.http import BASE, INSTANCE, IBMHttp
from qonverge_dev_cloud.ibm.service import IBMService
from qonverge_dev_cloud.scenario import Scenario
from qonverge_dev_cloud.served import ServedCloud
from qonverge_dev_cloud.worker import Worker

API_KEY = "dev-cloud-not-a-real-key"


class IBMCloud(ServedCloud):
    """IBM Quantum on loopback."""

    name = "ibm"

    def __init__(self, scenario: Scenario, clock: Clock, gateway: Gateway) -> None:
        service = IBMService(scenario, clock)
        worker = Worker(service, clock, self.name)
        super().__init__(service, worker, IBMHttp(service, worker, gateway))

    def environment(self, url: str) -> dict[str, str]:
        """Return the variables that make programs of qiskit-ibm-runtime use it.

        Args:
            url: of the API.
        """
        return {
            "QISKIT_IBM_URL": f"{url}{BASE}",
            "QISKIT_IBM_TOKEN": API_KEY,
            "QISKIT_IBM_INSTANCE": INSTANCE,
            "IAM_URL": url,
            # The SDK asks IBM Cloud for nothing but tokens then: it takes the instance from here.
            "QISKIT_FUNCTIONS_EXPERIMENTAL": "1",
        }
