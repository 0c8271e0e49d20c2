"""All of Braket: its ports, its state, and the environment of programs that use it."""

from __future__ import annotations

from qonverge_dev_cloud.braket.http import BraketHttp
from qonverge_dev_cloud.braket.service import BraketService
from qonverge_dev_cloud.braket.storage import KEY_ID, SECRET, Storage
from qonverge_dev_cloud.clock import Clock
from qonverge_dev_cloud.gateway import Gateway
from qonverge_dev_cloud.scenario import Scenario
from qonverge_dev_cloud.served import ServedCloud
from qonverge_dev_cloud.worker import Worker

BUCKET = "amazon-braket-dev-cloud"


class BraketCloud(ServedCloud):
    """Amazon Braket on loopback."""

    name = "braket"

    def __init__(self, scenario: Scenario, clock: Clock, gateway: Gateway, *, host: str, storage_port: int) -> None:
        self._storage = Storage(host, storage_port)
        service = BraketService(scenario, clock, self._storage)
        worker = Worker(service, clock, self.name)
        super().__init__(service, worker, BraketHttp(service, worker, gateway))

    def start(self) -> None:
        """Start what is beside the API.

        Raises:
            OSError: the port for storage is taken.
        """
        self._storage.start()
        self._storage.make_bucket(BUCKET)
        super().start()

    def stop(self) -> None:
        """End what ``start`` started."""
        super().stop()
        self._storage.stop()

    def environment(self, url: str) -> dict[str, str]:
        """Return the variables that make programs of the AWS SDK use it.

        Args:
            url: of the API.
        """
        return {
            "AWS_ENDPOINT_URL_BRAKET": url,
            "AWS_ENDPOINT_URL_S3": self._storage.url,
            "AWS_ENDPOINT_URL_STS": self._storage.url,
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AMZN_BRAKET_OUT_S3_BUCKET": BUCKET,
        }
