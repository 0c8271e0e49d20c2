"""All of IonQ: its port, its state, and the environment of programs that use it."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.gateway import Gateway
from qonverge_dev_cloud.ionq.http import IonqHttp
from qonverge_dev_cloud.ionq.service import IonqService
from qonverge_dev_cloud.scenario import Scenario
from qonverge_dev_cloud.worker import Worker

API_KEY = "dev-cloud-not-a-real-key"


class IonqCloud:
    """IonQ on loopback."""

    name = "ionq"

    def __init__(self, scenario: Scenario, clock: Clock, gateway: Gateway) -> None:
        self._service = IonqService(scenario, clock)
        self._worker = Worker(self._service, clock, self.name)
        self._http = IonqHttp(self._service, self._worker, gateway)

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
        """Return the variables that make programs of Cirq and Qiskit use it.

        Args:
            url: of the API.
        """
        return {"IONQ_REMOTE_HOST": url, "IONQ_API_URL": f"{url}/v0.4", "IONQ_API_KEY": API_KEY}
