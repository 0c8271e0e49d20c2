"""The provider of IonQ, for a service on this machine: what was sent there is listed at once."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from qonverge.backend.clouds.ionq.cloud import IonqCloud
from qonverge.backend.clouds.ionq.descriptor import IONQ
from qonverge.backend.clouds.protocol import Rates

NEAR = replace(IONQ, name="IonqNear", cloud="tests.clouds.ionq:NearCloud")


class NearCloud(IonqCloud):
    """IonQ's cloud without the waits for what may still be on its way."""

    rates: ClassVar[Rates] = Rates(submit=200, read=200, batch=25)
    settle_seconds: ClassVar[float] = 0.3
