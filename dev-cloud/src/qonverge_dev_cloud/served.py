"""A cloud with one API, and a worker that runs what its devices were given."""

from __future__ import annotations

from typing import Any, Protocol

from aiohttp import web

from qonverge_dev_cloud.worker import Devices, Worker


class Service(Devices, Protocol):
    """What a cloud's operations mean."""

    def tasks(self) -> list[dict[str, Any]]:
        """Return all tasks, for the control API."""


class Api(Protocol):
    """A cloud's API on a port."""

    def application(self) -> web.Application:
        """Return the application, to be served on a port."""


class ServedCloud:
    """What all such clouds have in common; ``name`` and the environment of programs are their own."""

    def __init__(self, service: Service, worker: Worker, api: Api) -> None:
        self._service, self._worker, self._api = service, worker, api

    def application(self) -> web.Application:
        """Return the API, to be served on a port."""
        return self._api.application()

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
        """Return all tasks, for the control API."""
        return self._service.tasks()
