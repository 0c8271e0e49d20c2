"""All clouds in this process: started and ended together."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Any, Protocol

from aiohttp import web

from qonverge_dev_cloud.braket.cloud import BraketCloud
from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.control import Control, Controlled
from qonverge_dev_cloud.faults import Fault, FaultPlan
from qonverge_dev_cloud.gateway import Gateway
from qonverge_dev_cloud.google.cloud import GoogleCloud
from qonverge_dev_cloud.ibm.cloud import IBMCloud
from qonverge_dev_cloud.ionq.cloud import IonqCloud
from qonverge_dev_cloud.iqm.cloud import IqmCloud
from qonverge_dev_cloud.journal import Journal
from qonverge_dev_cloud.limits import LimitPlan
from qonverge_dev_cloud.scenario import Scenario

# How many ports are taken.
PORTS = 8


class Cloud(Controlled, Protocol):
    """A cloud, as this module starts and ends it."""

    def application(self) -> web.Application:
        """Return the API, to be served on a port."""

    def start(self) -> None:
        """Start what is beside the API."""

    def stop(self) -> None:
        """End what ``start`` started."""

    def environment(self, url: str) -> dict[str, str]:
        """Return the variables that make programs use it, whose API is there."""


class DevCloud:
    """The clouds of a scenario, while it is entered as a context.

    Ports are chosen by the system unless a first one is given; then that and the next ones are taken.
    """

    def __init__(self, scenario: Scenario | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.scenario = scenario or Scenario()
        self.clock = Clock(virtual=self.scenario.virtual_clock)
        self.journal = Journal()
        self.control_url = ""
        self._faults = FaultPlan(self.scenario.faults, self.scenario.seed)
        self._limits = LimitPlan(self.scenario.limits)
        self._host = host
        ports = [port and port + index for index in range(PORTS)]
        self._control_port, storage_port, rpc_port, *self._cloud_ports = ports
        braket = BraketCloud(
            self.scenario, self.clock, self._gateway(BraketCloud.name), host=host, storage_port=storage_port
        )

        ionq = IonqCloud(self.scenario, self.clock, self._gateway(IonqCloud.name))
        ibm = IBMCloud(self.scenario, self.clock, self._gateway(IBMCloud.name))
        iqm = IqmCloud(self.scenario, self.clock, self._gateway(IqmCloud.name))
        self._google = GoogleCloud(
            self.scenario, self.clock, self._gateway(GoogleCloud.name), host=host, rpc_port=rpc_port
        )
        self._clouds: list[Cloud] = [braket, ionq, ibm, iqm, self._google]
        self._urls: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="dev-cloud", daemon=True)
        self._runners: list[web.AppRunner] = []
        self._started: list[Cloud] = []

    def __enter__(self) -> DevCloud:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Open the ports.

        Raises:
            OSError: one is taken.
        """
        self._thread.start()
        control = Control(self._clouds, self.clock, self.journal, self._faults)
        try:
            for cloud in self._clouds:
                cloud.start()
                self._started.append(cloud)
            self.control_url = self._serve(control.application(), self._control_port)
            self._urls = [
                self._serve(cloud.application(), port)
                for cloud, port in zip(self._clouds, self._cloud_ports, strict=True)
            ]
            self._google.connect(self._urls[self._clouds.index(self._google)])
        except OSError:
            self.stop()
            raise

    def stop(self) -> None:
        """Close the ports; tasks that have not ended are gone."""
        for runner in self._runners:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        for cloud in self._started:
            cloud.stop()

    @property
    def environment(self) -> dict[str, str]:
        """Variables for unchanged programs of the vendors' SDKs, and where the control API is."""
        found = {"QONVERGE_DEV_CLOUD": self.control_url}
        for cloud, url in zip(self._clouds, self._urls, strict=True):
            found |= cloud.environment(url)
        return found

    def advance(self, seconds: float) -> None:
        """Move the clock forward; what has to have ended by then has ended when this returns."""
        self.clock.advance(seconds)
        for cloud in self._clouds:
            cloud.settle()

    def set_faults(self, *faults: Fault) -> None:
        """Set other faults, which count calls from here on."""
        self._faults.replace(faults)

    def tasks(self) -> list[dict[str, Any]]:
        """Return all tasks of all clouds, as the control API has them."""
        return [{"cloud": cloud.name} | task for cloud in self._clouds for task in cloud.tasks()]

    def _gateway(self, cloud: str) -> Gateway:
        return Gateway(cloud, self.clock, self.journal, self._faults, self._limits)

    def _serve(self, application: web.Application, port: int) -> str:
        async def open_port() -> str:
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
            await runner.setup()
            self._runners.append(runner)
            await web.TCPSite(runner, self._host, port).start()
            host, own = runner.addresses[0][:2]
            return f"http://{host}:{own}"

        return asyncio.run_coroutine_threadsafe(open_port(), self._loop).result()
