"""The descriptors, and the service as the executor sees it. One kind takes a key twice, one has tags, one neither."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import urllib3

from qonverge.amounts import Money, Prices
from qonverge.backend.clouds.errors import (
    CannotFind,
    CloudBusy,
    CloudRefused,
    CloudUnavailable,
    CredentialsRefused,
    ReplyLost,
)
from qonverge.backend.clouds.protocol import CloudConfig, CloudTask, Device, Rates, Submission
from qonverge.devices.noise import noise_from_dict
from qonverge.providers.descriptor import Descriptor
from qonverge.providers.options import Options

_REFUSALS = {400: CloudRefused, 401: CredentialsRefused, 403: CredentialsRefused, 503: CloudUnavailable}


class VendorOptions(Options):
    """Where the service is."""

    endpoint: str
    busy: str = ""
    """While this file is there, circuits with a gate id keep the translator busy."""


def _descriptor(name: str) -> Descriptor:
    return Descriptor(
        name=name,
        implementation="tests.clouds.translator:VendorTranslator",
        cloud=f"tests.clouds.provider:{name}",
        methods=("Automatic",),
        lacks=frozenset(("ControlFlow", "MidCircuit", "Exact")),
        imitates=False,
        takes_long=True,
        costs_money=True,
        options=VendorOptions,
    )


KEYED, TAGGED, UNTRACEABLE = _descriptor("Keyed"), _descriptor("Tagged"), _descriptor("Untraceable")


class Tagged:
    """A service that knows a key as a tag only: who sends twice pays twice."""

    rates: ClassVar[Rates] = Rates(submit=200, read=200, batch=20)
    idempotent: ClassVar[bool] = False
    settle_seconds: ClassVar[float] = 0.3

    def __init__(self, config: CloudConfig) -> None:
        self._endpoint, self._answered = str(config.options["endpoint"]), config.answered
        self._token = Path(config.credentials, "TOKEN") if config.credentials else None
        self._pool = urllib3.PoolManager(retries=False, maxsize=16, timeout=urllib3.Timeout(connect=5, read=20))

    def device(self) -> Device:
        told = self._ask("GET", "/device")
        calibration = told.pop("calibration", None)
        price = told.pop("price", None)
        return Device(
            **told,
            calibration=None if calibration is None else noise_from_dict(calibration),
            prices=None if price is None else Prices(task=Decimal(price[0]), currency=price[1]),
        )

    def submit(self, key: str, submission: Submission) -> str:
        told = {"program": submission.program, "shots": submission.shots, "tags": dict(submission.tags)}
        body = {"key": key, "keyed": self.idempotent, **told}
        return str(self._ask("POST", "/tasks", body)["id"])

    def find(self, keys: Sequence[str], since: float = 0.0) -> Mapping[str, str]:
        found: dict[str, str] = self._ask("POST", "/find", {"keys": list(keys)})
        return found

    def of_run(self, run: str) -> Sequence[str]:
        return list(self._ask("POST", "/run", {"run": run})["ids"])

    def tasks(self, ids: Sequence[str]) -> Mapping[str, CloudTask]:
        told = self._ask("POST", "/status", {"ids": list(ids)})
        return {identity: _task(one) for identity, one in told.items()}

    def result(self, identity: str) -> str:
        return json.dumps(self._ask("GET", f"/tasks/{identity}/result"))

    def cancel(self, identity: str) -> None:
        self._ask("POST", f"/tasks/{identity}/cancel", {})

    def link(self, identity: str) -> str:
        return f"https://vendor.example/tasks/{identity}"

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {} if self._token is None else {"authorization": self._token.read_text().strip()}
        began = time.monotonic()
        try:
            response = self._pool.request(method, self._endpoint + path, json=body, headers=headers)
        except urllib3.exceptions.NewConnectionError:
            raise CloudUnavailable("no connection to the vendor") from None
        except urllib3.exceptions.HTTPError as error:
            raise ReplyLost(f"no reply from the vendor: {type(error).__name__}") from None
        if response.status == 200:
            self._answered(time.monotonic() - began)
            return response.json()
        words = response.data.decode()
        if response.status == 429:
            after = response.headers.get("retry-after")
            raise CloudBusy(words, None if after is None else float(after))
        raise _REFUSALS.get(response.status, ReplyLost)(words)


class Keyed(Tagged):
    """A service that begins no second task for a key that it knows."""

    idempotent: ClassVar[bool] = True


class Untraceable(Tagged):
    """A service that has no call to find a task with."""

    def find(self, keys: Sequence[str], since: float = 0.0) -> Mapping[str, str]:
        raise CannotFind(f"look in the console for the tag {keys[0][:8]}")


def _task(told: dict[str, Any]) -> CloudTask:
    billed = told.pop("billed", None)
    return CloudTask(**told, billed=None if billed is None else Money(Decimal(billed[0]), billed[1]))
