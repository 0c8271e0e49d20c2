"""Programs' tokens: how long they are good, what they open, and what becomes of programs whose backend is lost.

No kubelet runs here: the tests take the tokens from the programs' Secrets and use them as a program does, or a thief.
"""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jwt
import pytest

from qonverge.api.backend import OFFERS_LABEL
from qonverge.client.transport.connection import Connection
from qonverge.wire.tokens import generate_private_key
from tests.integration.conftest import BELL, NAMESPACE, SLOW, TWO_WORKERS, Lab, backend, eventually, job


def program(name: str, namespace: str = "default", **spec: Any) -> dict[str, Any]:
    made = job(name, program={"python": {"source": "pass"}}, **spec)
    del made["spec"]["shots"]
    return {**made, "metadata": {"name": name, "namespace": namespace}}


@dataclass
class Program:
    """A program that was started, as its pod or a thief of its token is."""

    lab: Lab
    name: str
    namespace: str = "default"

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.lab.get("hj", self.name, self.namespace).get("status", {})
        return status

    def placed(self, attempt: int = 1) -> dict[str, Any]:
        """Wait until an attempt has its place, and return the job's status."""

        def there() -> dict[str, Any] | None:
            status = self.status()
            return status if status.get("state") == "Placed" and status["attempts"] == attempt else None

        found: dict[str, Any] = eventually(there, f"attempt {attempt} at {self.name}")
        return found

    def object(self, attempt: int = 1) -> str:
        """Return the name of an attempt's batch Job and Secret."""
        return f"{self.name}-{self.lab.get('hj', self.name, self.namespace)['metadata']['uid'][:5]}-{attempt}"

    def token(self, attempt: int = 1) -> str:
        secret = self.lab.get("secret", self.object(attempt), self.namespace)
        return base64.b64decode(secret["data"]["token"]).decode()

    def end(self) -> None:
        """Do what the Job controller does when the program's pod has ended well."""
        now = self.lab.get("job", self.object())["metadata"]["creationTimestamp"]
        kinds = ("SuccessCriteriaMet", "Complete")
        conditions = [{"type": kind, "status": "True", "lastTransitionTime": now, "reason": "x"} for kind in kinds]
        status = {"startTime": now, "completionTime": now, "succeeded": 1, "conditions": conditions}
        patch = json.dumps({"status": status})
        self.lab.kubectl("patch", "job", self.object(), "--subresource=status", "--type=merge", "-p", patch)


def ask(port: int, token: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    """Send a request and return its status and answer."""
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            status, text = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read().decode()
    return status, json.loads(text) if text.startswith("{") else {"message": text}


def send(port: int, token: str, identity: str, text: str = BELL, wait: int = 30) -> tuple[int, dict[str, Any]]:
    return ask(port, token, f"/v1/tasks?wait={wait}", {"id": identity, "pubs": [{"openqasm": text, "shots": 10}]})


def code(answer: tuple[int, dict[str, Any]]) -> str:
    """Return how a task stands, or why there is none."""
    said = answer[1]
    return str(said["error"]["code"] if said.get("error") else said["state"])


def refused(port: int, token: str) -> bool:
    return code(send(port, token, "late")) == "AccessEnded"


@pytest.fixture
def size() -> dict[str, Any]:
    """A program's task runs beside another's, and there are more programs than workers."""
    return {**TWO_WORKERS, "capacity": {**TWO_WORKERS["capacity"], "programs": 3}}


def test_a_token_ends_with_its_job(served: Lab) -> None:
    """After its end and after its deletion, on every pod, and with what it has running; other programs go on."""
    programs = {name: Program(served, name) for name in ("ends", "deleted", "stays")}
    served.apply(*(program(name) for name in programs))
    for each in programs.values():
        each.placed()
    port, tokens = served.port("pod-0"), {name: each.token() for name, each in programs.items()}
    for name, token in tokens.items():
        assert code(send(port, token, f"bell-{name}")) == "Completed"
    # Of three tasks that take long two run on the two workers.
    for name, token in tokens.items():
        assert send(port, token, f"slow-{name}", SLOW, wait=0)[0] == 202
    programs["ends"].end()
    served.kubectl("delete", "hj", "deleted", "--wait=false")
    for name in ("ends", "deleted"):
        token = tokens[name]
        eventually(partial(refused, port, token), f"the end of {name}'s token")
        for path in ("/v1/tasks", f"/v1/tasks/slow-{name}", "/v1/backend"):
            assert code(ask(port, token, path)) == "AccessEnded"
    assert served.ended("ends")["state"] == "Complete"
    # Both workers are free for the one that stays, and its task runs.
    assert code(send(port, tokens["stays"], "bell-again")) == "Completed"
    (left,) = ask(port, tokens["stays"], "/v1/tasks")[1]["tasks"]
    assert (left["id"], left["state"]) == ("slow-stays", "Running")
    # A server that began anew knows nobody until the operator has named them, and then not the others.
    served.pods.pop("pod-0").kill()
    served.start_server("pod-0")
    eventually(lambda: code(send(port, tokens["stays"], "bell-after")) == "Completed", "the program that stays")
    for name in ("ends", "deleted"):
        assert code(send(port, tokens[name], "later")) in ("GrantPending", "AccessEnded")
        status, answer = ask(served.reports, tokens[name], f"/v1/jobs/default/{name}/report", {"progress": 0.5})
        assert status in (401, 403, 404), answer
    # A changed specification leaves the program its token: only its text is another program.
    served.kubectl("patch", "hj", "stays", "--type=merge", "-p", '{"spec":{"budget":{"amount":"9"}}}')
    eventually(lambda: served.get("hj", "stays")["metadata"]["generation"] == 2, "the change")
    served.apply(job("round-trip"))
    served.ended("round-trip")
    assert ask(served.reports, tokens["stays"], "/v1/jobs/default/stays/report", {"progress": 0.5})[0] == 204
    assert code(send(port, tokens["stays"], "bell-changed")) == "Completed"


@pytest.fixture
def tenant(lab: Lab) -> Iterator[str]:
    """Another namespace."""
    name = f"tenant-{uuid.uuid4().hex[:5]}"
    lab.kubectl("create", "namespace", name)
    lab.kubectl("create", "serviceaccount", "default", "-n", name)
    try:
        yield name
    finally:
        for kind in ("hybridjobs", "jobs", "secrets"):
            lab.kubectl("delete", kind, "--all", "-n", name, "--wait=false")
        lab.kubectl("delete", "namespace", name, "--wait=false")
        lab.kubectl("label", "namespace", "default", f"{OFFERS_LABEL}-")


def test_a_program_that_loses_its_backend_tries_another(lab: Lab, tenant: str) -> None:
    """Since its namespace is no more admitted, or the backend is deleted: the status says so, and its token ends."""
    lab.kubectl("label", "namespace", "default", f"{OFFERS_LABEL}=true", "--overwrite")
    access = {"namespaces": {"from": "All"}}
    small = {"capacity": {"concurrency": 1}, "template": {"resources": {"limits": {"memory": "900Mi"}}}}
    pods = {name: f"{name}-0" for name in ("one", "two")}
    lab.apply(*(backend(name, access=access, **small) for name in pods))
    lab.start_operator()
    lab.ready()
    for name, pod in pods.items():
        lab.serve(name, pod)
    lab.apply(program("guest", tenant, retryPolicy={"maxInterruptions": 1}))
    guest = Program(lab, "guest", tenant)
    first = guest.placed()["backend"].rpartition("/")[2]
    token, port = guest.token(), lab.port(pods[first])
    assert send(port, token, "slow", SLOW, wait=0)[0] == 202
    lab.kubectl("patch", "qb", first, "--type=merge", "-p", '{"spec":{"access":{"namespaces":{"from":"Same"}}}}')
    eventually(partial(refused, port, token), "the end of the first attempt's token")
    second = guest.placed(2)["backend"].rpartition("/")[2]
    assert second != first
    assert not lab.get("job", guest.object(1), tenant), "the first attempt's pod is ended"

    def warned(reason: str) -> Any:
        return [event["message"] for event in lab.list("events", tenant) if event["reason"] == reason]

    (message,) = warned("AccessWithdrawn")
    assert message == f"attempt 1: the backend default/{first} does not admit jobs of namespace {tenant} any more"
    token, port = guest.token(2), lab.port(pods[second])
    assert code(send(port, token, "bell")) == "Completed"
    # The second is the last attempt that the job allows.
    lab.kubectl("delete", "qb", second, "--wait=false")
    failed = eventually(lambda: (s := guest.status()).get("state") == "Failed" and s, "the end of the job")
    said = f"the backend default/{second} was deleted"
    message = f"after 2 interruptions, and retryPolicy.maxInterruptions is 1: {said}"
    assert (failed["reason"], failed["message"]) == ("BackendLost", message)
    eventually(lambda: warned("BackendLost") == [message], "the event of it")


def test_tokens_are_short_and_renewed_and_follow_the_signing_key(lab: Lab) -> None:
    lab.apply(backend("aer", capacity={"concurrency": 1}))
    lab.start_operator(QONVERGE_PROGRAM_TOKEN_SECONDS="6")
    lab.ready()
    lab.serve("aer")
    lab.apply(program("long"))
    long = Program(lab, "long")
    long.placed()
    first, port = long.token(), lab.port("pod-0")
    claims = jwt.decode(first, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 6
    assert code(send(port, first, "bell-1")) == "Completed"
    eventually(lambda: code(send(port, first, "expired")) == "TokenExpired", "the end of the first token")
    assert code(send(port, long.token(), "bell-2")) == "Completed"
    # Another key: pods that have the former one go on with circuits, new ones get the new one.
    before = lab.get("deployment", "aer-qb")["metadata"]["generation"]
    patch = {"data": {"key.pem": base64.b64encode(generate_private_key()).decode()}}
    lab.kubectl("patch", "secret", "qonverge-signing-key", "-n", NAMESPACE, "--type=merge", "-p", json.dumps(patch))
    eventually(lambda: lab.get("deployment", "aer-qb")["metadata"]["generation"] > before, "the new public key")
    lab.apply(job("meanwhile"))
    assert lab.ended("meanwhile")["state"] == "Complete"
    lab.serve("aer", "pod-1")
    lab.kill_pod("pod-0")
    lab.apply(job("after"))
    assert lab.ended("after")["state"] == "Complete"
    # The program finds the new pod with the new token, as its client does with the file.
    client = Connection(f"http://127.0.0.1:{lab.port('pod-1')}", long.token, renewal=60)
    eventually(lambda: code(send(lab.port("pod-1"), long.token(), "bell-3")) == "Completed", "the new key's token")
    assert client.info().unnamed == 0
    reasons = [event["reason"] for event in lab.list("events", NAMESPACE)]
    assert reasons.count("SigningKeyChanged") == 1
