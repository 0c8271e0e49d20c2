"""Figures of backend pods' devices, and what pods and tasks draw, from a Prometheus server."""

from __future__ import annotations

import json
import math
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import aiohttp

from qonverge.controller.settings import Settings
from qonverge.controller.store.devices import FIGURES
from qonverge.telemetry.figures import Figure

_TIMEOUT = aiohttp.ClientTimeout(total=5, sock_connect=2)
_MOST_BYTES = 32 * 1024**2
_MOST_WORDS = 300

PodFigures = dict[str, dict[str, Figure]]
"""Figures by the pod's namespace and name, and by the field of ``DeviceState``."""


@dataclass(frozen=True, slots=True)
class Watts:
    """What is drawn."""

    pods: Mapping[str, float]
    """By pods, by their namespace and name."""
    tasks: Mapping[str, float]
    """By a task while it runs, by its backend's namespace and name."""


class PrometheusError(Exception):
    """The server does not answer, or not with figures."""


class Prometheus:
    """Asks one server by PromQL."""

    def __init__(
        self,
        url: str,
        *,
        stale_seconds: float,
        ca: Path | None = None,
        token: Path | None = None,
        power_query: str = "",
    ) -> None:
        """Ask nothing yet.

        Args:
            url: of the server, without the path of its API.
            stale_seconds: figures that are older are not asked for.
            ca: certificates, in PEM, of which one signed the server's; None: those that the system trusts.
            token: file with a bearer token. Both files are read again for each request, so that they can be replaced.
            power_query: tells what is drawn, see ``watts``; empty: nothing does.
        """
        self._url = f"{url.rstrip('/')}/api/v1/query"
        self._query = promql(stale_seconds)
        self._power_query = power_query
        self._ca = ca
        self._token = token
        self._session: aiohttp.ClientSession
        self._context: tuple[bytes, ssl.SSLContext] | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the server that the settings name."""
        ca, token = (
            Path(name) if name else None for name in (settings.prometheus_ca_file, settings.prometheus_token_file)
        )
        return cls(
            settings.prometheus_url,
            stale_seconds=settings.stale_seconds,
            ca=ca,
            token=token,
            power_query=settings.prometheus_power_query,
        )

    async def __aenter__(self) -> Self:
        """Keep connections until the end of the block."""
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close them."""
        await self._session.close()

    async def figures(self) -> PodFigures:
        """Return the newest figure of each pod, with the time at which it was scraped.

        Raises:
            PrometheusError: there is no answer of that kind; the message says what there is.
        """
        return read(await self._ask(self._query))

    async def watts(self) -> Watts | None:
        """Return what is drawn now; None where nothing is configured that tells.

        Series with the labels ``namespace`` and ``pod`` are what that pod draws, and those with ``namespace`` and
        ``backend`` what a task draws there while it runs, watts.

        Raises:
            PrometheusError: there is no answer of that kind; the message says what there is.
        """
        if not self._power_query:
            return None
        try:
            return read_watts(await self._ask(self._power_query))
        except PrometheusError as error:
            raise PrometheusError(f"{error} (to the query of power)") from None

    async def _ask(self, query: str) -> bytes:
        try:
            headers = {} if self._token is None else {"authorization": f"Bearer {self._token.read_text().strip()}"}
            tls: ssl.SSLContext | bool = True if self._ca is None else self._trust(self._ca.read_bytes())
        except (OSError, ValueError) as error:
            raise PrometheusError(f"its credentials cannot be read: {error}") from None
        try:
            async with self._session.post(
                self._url, data={"query": query}, headers=headers, ssl=tls, allow_redirects=False
            ) as answer:
                body = await _at_most(answer.content, _MOST_BYTES)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise PrometheusError(f"it does not answer: {error or type(error).__name__}") from None
        if answer.status != 200:
            words = body[:_MOST_WORDS].decode(errors="replace").strip()
            raise PrometheusError(f"it answered {answer.status}: {words}")
        return body

    def _trust(self, certificates: bytes) -> ssl.SSLContext:
        if self._context is None or self._context[0] != certificates:
            self._context = certificates, ssl.create_default_context(cadata=certificates.decode())
        return self._context[1]


def promql(stale_seconds: float) -> str:
    """Return the query: all samples of the last while, each with its own time, which an instant value lacks."""
    metrics = "|".join(metric.name for metric in FIGURES.values())
    return f'{{__name__=~"{metrics}",namespace!="",pod!=""}}[{math.ceil(stale_seconds * 1000)}ms]'


def read(body: bytes) -> PodFigures:
    """Return the figures of an answer.

    Raises:
        PrometheusError: it is another one.
    """
    fields = {metric.name: field for field, metric in FIGURES.items()}
    found: PodFigures = {}
    try:
        for series in json.loads(body)["data"]["result"]:
            labels: Mapping[str, str] = series["metric"]
            at, value = (float(part) for part in series["values"][-1])
            pod = found.setdefault(f"{labels['namespace']}/{labels['pod']}", {})
            field = fields[labels["__name__"]]
            # A pod that restarted may have two series for a while, by labels that nobody asked for.
            if math.isfinite(value) and (field not in pod or pod[field].at < at):
                pod[field] = Figure(value, at, "Prometheus")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise PrometheusError(f"its answer is none of the API: {type(error).__name__} {error}") from None
    return found


def read_watts(body: bytes) -> Watts:
    """Return what is drawn, by an answer; several series of one thing are parts of it.

    Raises:
        PrometheusError: it is another one.
    """
    found: dict[str, dict[str, float]] = {"pod": {}, "backend": {}}
    try:
        for labels, value in _instant(body):
            for name, amounts in found.items():
                if labels.get("namespace") and labels.get(name) and math.isfinite(value) and value >= 0:
                    key = f"{labels['namespace']}/{labels[name]}"
                    amounts[key] = amounts.get(key, 0.0) + value
                    break
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise PrometheusError(f"its answer is no instant vector: {type(error).__name__} {error}") from None
    return Watts(found["pod"], found["backend"])


def _instant(body: bytes) -> Iterator[tuple[Mapping[str, str], float]]:
    data = json.loads(body)["data"]
    if data["resultType"] != "vector":
        raise ValueError(f"it is a {data['resultType']}")
    for series in data["result"]:
        _, value = series["value"]
        yield series["metric"], float(value)


async def _at_most(content: aiohttp.StreamReader, most: int) -> bytes:
    body = bytearray()
    async for piece in content.iter_any():
        body += piece
        if len(body) > most:
            raise PrometheusError(f"its answer has more than {most >> 20} MiB: let it scrape fewer backends' pods")
    return bytes(body)
