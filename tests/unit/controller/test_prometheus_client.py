"""The operator and a Prometheus server behind TLS that asks for a bearer token."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from bench.remote import certificate
from qonverge.controller.pods.prometheus import Prometheus, PrometheusError, promql
from qonverge.controller.settings import Settings
from qonverge.telemetry.figures import Figure

SERIES = {
    "metric": {"__name__": "qonverge_backend_device_online", "namespace": "lab", "pod": "acme-0"},
    "values": [[1000.5, "1"]],
}
FIGURES = {"lab/acme-0": {"online": Figure(1.0, 1000.5, "Prometheus")}}


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """A server that answers as Prometheus' API does, to who has the token."""
    certificate(tmp_path)

    async def query(request: web.Request) -> web.Response:
        if request.headers.get("authorization") != "Bearer good":
            return web.Response(status=401, text="no such token")
        assert (await request.post())["query"] == promql(60)
        return web.json_response({"status": "success", "data": {"resultType": "matrix", "result": [SERIES]}})

    app = web.Application()
    app.router.add_post("/base/api/v1/query", query)
    runner = web.AppRunner(app)
    await runner.setup()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    yield f"https://localhost:{runner.addresses[0][1]}/base/"
    await runner.cleanup()


def settings(url: str, folder: Path, ca: str = "tls.crt") -> Settings:
    given = {"URL": url, "TOKEN_FILE": str(folder / "token"), "CA_FILE": str(folder / ca) if ca else ""}
    return Settings.from_environment({f"QONVERGE_PROMETHEUS_{name}": value for name, value in given.items()})


async def test_a_token_goes_to_a_server_that_is_trusted_and_is_read_again_when_it_is_replaced(
    url: str, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("old\n")
    async with Prometheus.of(settings(url, tmp_path)) as prometheus:
        with pytest.raises(PrometheusError, match="it answered 401: no such token") as refused:
            await prometheus.figures()
        assert "old" not in str(refused.value)
        (tmp_path / "token").write_text("good\n")
        assert await prometheus.figures() == FIGURES


async def test_a_server_that_is_not_trusted_gets_no_token(url: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("good\n")
    async with Prometheus.of(settings(url, tmp_path, "")) as prometheus:
        with pytest.raises(PrometheusError, match=r"it does not answer: .*certificate"):
            await prometheus.figures()


async def test_credentials_that_are_not_there_are_said(url: str, tmp_path: Path) -> None:
    async with Prometheus.of(settings(url, tmp_path)) as prometheus:
        with pytest.raises(PrometheusError, match=r"its credentials cannot be read: .*token"):
            await prometheus.figures()
    (tmp_path / "token").write_text("good")
    (tmp_path / "other.crt").write_text(json.dumps({}))
    async with Prometheus.of(settings(url, tmp_path, "other.crt")) as prometheus:
        with pytest.raises(PrometheusError, match="its credentials cannot be read"):
            await prometheus.figures()
