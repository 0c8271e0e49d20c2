"""Sessions whose connections go through TLS and the Ingress of docs/sessions.md, on a real API server.

No ingress controller runs here: a proxy does what the object says.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.remote import certificate
from tests.integration.conftest import Lab
from tests.integration.ingress_proxy import IngressProxy
from tests.integration.test_docs import blocks
from tests.integration.test_sessions import NOTEBOOK, begun, only_job


@pytest.fixture
def ingress(served: Lab, tmp_path: Path) -> Iterator[IngressProxy]:
    """What the page says, for a backend in this namespace and a name of this machine."""
    (manifest,) = [b.text for b in blocks("text") if b.page == "sessions.md" and "kind: Ingress" in b.text]
    manifest = manifest.replace("namespace: lab", "namespace: default").replace("aer.lab.example.org", "localhost")
    certificate(tmp_path)
    # A field that the API server does not know is refused.
    served.kubectl("apply", "--validate=strict", "-f", "-", stdin=manifest)
    try:
        services = {
            (service["metadata"]["name"], port["name"]): served.url("pod-0")
            for service in served.list("service")
            for port in service["spec"]["ports"]
        }
        with IngressProxy(served.get("ingress", "aer"), tmp_path, services).serving() as proxy:
            yield proxy
    finally:
        served.kubectl("delete", "ingress", "aer")


def test_a_session_goes_through_the_ingress_of_the_documentation(
    served: Lab, ingress: IngressProxy, tmp_path: Path
) -> None:
    """All that a program asks for is below the paths that it opens."""
    script = tmp_path / "script.py"
    script.write_text(NOTEBOOK + "run(300)\nrun(200)\n")
    command = ("--url", f"https://localhost:{ingress.port}", "--", sys.executable, str(script))
    with begun(served, *command, SSL_CERT_FILE=str(tmp_path / "tls.crt")) as process:
        _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    status = only_job(served)["status"]
    assert (status["state"], status["usage"]["shots"]) == ("Complete", 500)
    assert status["session"]["service"] == "default/aer-qb"
    assert (ingress.refused, "/v1/tasks" in ingress.passed) == ([], True)


def test_an_authority_that_is_not_trusted_is_said_at_once(served: Lab, ingress: IngressProxy) -> None:
    url = f"https://localhost:{ingress.port}"
    with begun(served, "--url", url, "--", "true") as process:
        _, err = process.communicate(timeout=240)
    assert process.returncode == 1, err
    said = f"{url} has a certificate that this machine does not trust (self-signed certificate): name the file of its"
    assert f"{said} authority in SSL_CERT_FILE" in err
    assert only_job(served)["status"]["state"] == "Complete"
    assert ingress.passed == []
