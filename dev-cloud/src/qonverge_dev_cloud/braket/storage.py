"""S3, where results go, and STS, which the SDK asks for its account: moto's server on loopback."""

from __future__ import annotations

import socket
import threading
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

ACCOUNT = "123456789012"
KEY_ID, SECRET = "DEVCLOUDNOTAREALKEY1", "dev-cloud-not-a-real-secret"


class _Handler(MotoRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """Say nothing of requests."""


class Storage:
    """Buckets, as clients reach them too."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._socket = socket.socket()
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None
        self.url = ""
        self._client: Any = None

    def start(self) -> None:
        """Open the port.

        Raises:
            OSError: it is taken.
        """
        # Bound here: with a port that is taken moto's own server waits for ever, and werkzeug ends the process.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((self._host, self._port))
        except OSError:
            self._socket.close()
            raise
        self._socket.listen(128)
        self.url = "http://{}:{}".format(*self._socket.getsockname())
        self._server = make_server(
            self._host,
            self._port,
            DomainDispatcherApplication(create_backend_app),
            threaded=True,
            request_handler=_Handler,
            fd=self._socket.fileno(),
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="s3", daemon=True)
        self._thread.start()
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
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
        self._socket.close()

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
