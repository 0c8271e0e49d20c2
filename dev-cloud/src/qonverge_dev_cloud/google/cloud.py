"""All of Google's engine: its ports, its state, and the environment of programs that use it."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from concurrent import futures
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from aiohttp import web

from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.gateway import Gateway
from qonverge_dev_cloud.google.identity import certificate, service_account
from qonverge_dev_cloud.scenario import Scenario

if TYPE_CHECKING:
    from qonverge_dev_cloud.google.engine import Engine

PROJECT = "dev-cloud"
_CALLS = 64


class GoogleCloud:
    """Google's Quantum Engine on loopback."""

    name = "google"

    def __init__(self, scenario: Scenario, clock: Clock, gateway: Gateway, *, host: str, rpc_port: int) -> None:
        self._scenario, self._clock, self._gateway = scenario, clock, gateway
        self._host, self._rpc_port = host, rpc_port
        self._url = ""
        self._lock = threading.Lock()
        self._engine: Engine | None = None

    def application(self) -> web.Application:
        """Return the REST form of the API, to be served on a port."""
        application = web.Application(client_max_size=64 << 20)
        application.router.add_route("*", "/{path:.*}", self._handle)
        return application

    def start(self) -> None:
        """Take the port of the gRPC form, and write the files that Google's client reads."""
        own, self._rpc = (
            certificate("quantum.localhost"),
            grpc.server(futures.ThreadPoolExecutor(_CALLS), options=[("grpc.so_reuseport", 0)]),
        )
        self._rpc.add_generic_rpc_handlers((_Deferred(self),))
        credentials = grpc.ssl_server_credentials([(own.key, own.certificate)])
        try:
            self._rpc_port = self._rpc.add_secure_port(f"{self._host}:{self._rpc_port}", credentials)
        except RuntimeError as error:
            raise OSError(str(error)) from None
        self._folder = tempfile.TemporaryDirectory(prefix="qonverge-dev-cloud-")
        self._file("roots.pem").write_bytes(own.certificate)
        self._file("service-account.json").write_text(service_account(PROJECT, self._universe))

    def connect(self, url: str) -> None:
        """Answer calls of the gRPC form. ``url``: where the REST form is served, which carries them out."""
        self._url = url
        self._rpc.start()

    def stop(self) -> None:
        """End what ``start`` started."""
        self._rpc.stop(0.1).wait()
        if self._engine is not None:
            self._engine.worker.stop()
        self._folder.cleanup()

    def settle(self) -> None:
        """Run what has to have ended by now."""
        if self._engine is not None:
            self._engine.worker.settle()
            self._engine.worker.wake()

    def tasks(self) -> list[dict[str, Any]]:
        """Return all jobs, for the control API."""
        return [] if self._engine is None else self._engine.service.tasks()

    def environment(self, url: str) -> dict[str, str]:
        """Return the variables that make programs of cirq-google use it.

        Google's client takes a service's host from the domain of its universe, and reads credentials from a file, and
        gRPC the certificates that it trusts from another.

        Args:
            url: of the REST form.
        """
        return {
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "GOOGLE_CLOUD_UNIVERSE_DOMAIN": self._universe,
            "GOOGLE_APPLICATION_CREDENTIALS": str(self._file("service-account.json")),
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(self._file("roots.pem")),
            "QONVERGE_GOOGLE_ENDPOINT": url,
        }

    def engine(self) -> Engine:
        """Return the engine, which is loaded by then."""
        with self._lock:
            if self._engine is None:
                from qonverge_dev_cloud.google.engine import Engine

                self._engine = Engine(self._scenario, self._clock, self._gateway, self._url)
            return self._engine

    @property
    def _universe(self) -> str:
        return f"localhost:{self._rpc_port}"

    def _file(self, name: str) -> Path:
        return Path(self._folder.name, name)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        engine = await asyncio.to_thread(self.engine)
        return await engine.http.handle(request)


class _Deferred(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no types
    """Passes calls to the engine's own handler, once there is one."""

    def __init__(self, cloud: GoogleCloud) -> None:
        self._cloud = cloud

    def service(self, handler_call_details: Any) -> Any:
        return self._cloud.engine().rpc.service(handler_call_details)
