"""All of IQM: its port, its state, and the environment of programs that use it."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.gateway import Gateway
from qonverge_dev_cloud.iqm.http import IqmHttp
from qonverge_dev_cloud.iqm.service import IqmService
from qonverge_dev_cloud.scenario import Scenario
from qonverge_dev_cloud.worker import Worker

TOKEN = "dev-cloud-not-a-real-token"  # noqa: S105 - any is taken


class IqmCloud:
    """IQM on loopback."""

    name = "iqm"

    def __init__(self, scenario: Scenario, clock: Clock, gateway: Gateway) -> None:
        self._service = IqmService(scenario, clock)
        self._worker = Worker(self._service, clock, self.name)
        self._http = IqmHttp(self._service, self._worker, gateway)

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
        """Return the variables that make programs of IQM's client use it.

        Args:
            url: of the API.
        """
        return {"IQM_SERVER_URL": url, "IQM_QUANTUM_COMPUTER": "garnet", "IQM_TOKEN": TOKEN}
