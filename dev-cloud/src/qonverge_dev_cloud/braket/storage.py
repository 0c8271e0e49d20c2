"""S3, where results go, and STS, which the SDK asks for its account: moto's server on loopback."""

from __future__ import annotations

import logging
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

ACCOUNT = "123456789012"
KEY_ID, SECRET = "DEVCLOUDNOTAREALKEY1", "dev-cloud-not-a-real-secret"


class Storage:
    """Buckets, as clients reach them too."""

    def __init__(self, host: str, port: int) -> None:
        self._server = ThreadedMotoServer(ip_address=host, port=port, verbose=False)
        self.url = ""
        self._client: Any = None

    def start(self) -> None:
        """Open the port.

        Raises:
            OSError: it is taken.
        """
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.url = f"http://{host}:{port}"
        self._client = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    def stop(self) -> None:
        """Close the port."""
        if self._client is not None:
            self._client.close()
        self._server.stop()

    def make_bucket(self, bucket: str) -> None:
        """Make a bucket, unless it is there."""
        if not self.has_bucket(bucket):
            self._client.create_bucket(Bucket=bucket)

    def has_bucket(self, bucket: str) -> bool:
        """Say whether there is a bucket."""
        try:
            self._client.head_bucket(Bucket=bucket)
        except ClientError:
            return False
        return True

    def put(self, bucket: str, key: str, body: bytes) -> None:
        """Store an object.

        Raises:
            ClientError: its bucket is gone.
        """
        self._client.put_object(Bucket=bucket, Key=key, Body=body)
