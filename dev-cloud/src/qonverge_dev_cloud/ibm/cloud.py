"""All of IBM Quantum: its port, its state, and the environment of programs that use it."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.gateway import Gateway
from qonverge_dev_cloud.ibm.http import BASE, INSTANCE, IBMHttp
from qonverge_dev_cloud.ibm.service import IBMService
from qonverge_dev_cloud.scenario import Scenario
from qonverge_dev_cloud.worker import Worker

API_KEY = "dev-cloud-not-a-real-key"


class IBMCloud:
    """IBM Quantum on loopback."""

    name = "ibm"

    def __init__(self, scenario: Scenario, clock: Clock, gateway: Gateway) -> None:
        self._service = IBMService(scenario, clock)
        self._worker = Worker(self._service, clock, self.name)
        self._http = IBMHttp(self._service, self._worker, gateway)

    def application(self) -> web.Application:
        """Return the API, to be served on a port."""
        return self._http.application()

    def start(self) -> None:
        """Start what is beside the API."""
        self._worker.start()

    def stop(self) -> None:
        """End what ``start`` started."""
        self._worker.stop()

    def settle(self) -> None:
        """Run what has to have ended by now."""
        self._worker.settle()
        self._worker.wake()

    def tasks(self) -> list[dict[str, Any]]:
        """Return all jobs, for the control API."""
        return self._service.tasks()

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
