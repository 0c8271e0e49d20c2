"""What a kubelet does for programs' pods, where none runs: it takes them, says how they are, and gives their logs."""

from __future__ import annotations

import json
import ssl
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from e2e.cluster.credentials import write_server
from tests.integration.conftest import Lab, eventually


class Kubelet:
    """One of a node. What programs print is what the test says that they printed."""

    def __init__(self, lab: Lab, node: str) -> None:
        self._lab, self.node = lab, node
        self.logs: dict[str, str] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        layout = lab.plane.layout
        write_server(layout, node, node, datetime.now(UTC), [node, "127.0.0.1"])
        context.load_cert_chain(layout.certificate(node), layout.key(node))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, name=f"kubelet {node}")

    def __enter__(self) -> Self:
        self._thread.start()
        lab = self._lab
        lab.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.node}})
        port = {"kubeletEndpoint": {"Port": self._server.server_address[1]}}
        address = [{"type": "InternalIP", "address": "127.0.0.1"}]
        lab.patch("node", self.node, {"status": {"addresses": address, "daemonEndpoints": port}}, "status")
        return self

    def __exit__(self, *_: object) -> None:
        self._lab.api.delete("node", self.node, "")
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def start(self, batch: str) -> str:
        """Run the pod that the Job controller makes for a batch Job, and return its name."""

        def made() -> str | None:
            labels = {pod["metadata"]["name"]: pod["metadata"].get("labels", {}) for pod in self._lab.list("pods")}
            return next((name for name, each in labels.items() if each.get("job-name") == batch), None)

        pod: str = eventually(made, f"a pod of {batch}")
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}}
        binding["target"] = {"apiVersion": "v1", "kind": "Node", "name": self.node}
        path = f"/api/v1/namespaces/default/pods/{pod}/binding"
        self._lab.kubectl("create", f"--raw={path}", "-f", "-", stdin=json.dumps(binding))
        self._say(pod, "Running", {"running": {"startedAt": _now()}})
        return pod

    def end(
        self,
        pod: str,
        code: int,
        *,
        reason: str = "Error",
        message: str = "",
        log: str = "",
        pod_says: tuple[str, str] | None = None,
        **more: Any,
    ) -> None:
        """Let a pod's program end.

        ``reason`` and ``message`` are the container's, ``pod_says`` both of the pod, and ``more`` is what the pod's
        status has beside them.
        """
        self.logs[pod] = log
        ended = {"exitCode": code, "reason": reason, "message": message, "startedAt": _now(), "finishedAt": _now()}
        said = {} if pod_says is None else dict(zip(("reason", "message"), pod_says, strict=True))
        self._say(pod, "Succeeded" if code == 0 else "Failed", {"terminated": ended}, **said, **more)

    def evict(self, pod: str, log: str) -> None:
        """Evict a pod through the API, and do what follows on its node: it is asked to end, and is gone."""
        self.logs[pod] = log
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": "default"}}
        path = f"/api/v1/namespaces/default/pods/{pod}/eviction"
        self._lab.kubectl("create", f"--raw={path}", "-f", "-", stdin=json.dumps(eviction))
        self.end(pod, 143, log=log)
        self._lab.api.delete("pod", pod, "default")

    def let_go(self, pod: str) -> None:
        """End a running pod that somebody deletes, as is done on its node."""

        def going() -> bool:
            found = self._lab.get("pod", pod)
            return not found or "deletionTimestamp" in found["metadata"]

        eventually(going, f"the deletion of {pod}")
        if self._lab.get("pod", pod):
            self._lab.api.delete("pod", pod, "default")

    def _say(self, pod: str, phase: str, state: dict[str, Any], **more: Any) -> None:
        own = {"name": "program", "image": "x", "imageID": "x", "ready": False, "restartCount": 0, "state": state}
        status = {"phase": phase, "containerStatuses": [own], **more}
        self._lab.patch("pod", pod, {"status": status}, "status")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        logs = self.logs

        class Logs(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                """Answer ``/containerLogs/NAMESPACE/POD/CONTAINER``."""
                text = logs.get(self.path.split("/")[3])
                self.send_response(404 if text is None else 200)
                self.end_headers()
                self.wfile.write((text or "").encode())

            def log_message(self, *_: object) -> None:
                """Write nothing."""

        return Logs


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
