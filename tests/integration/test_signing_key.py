"""The signing key's Secret under a real API server: made once, restored, and followed where it is replaced."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from kubernetes.aio import client, config

from e2e.cluster import ControlPlane
from qonverge.controller.kube import signing_key
from qonverge.controller.kube.client import Kube
from qonverge.wire.tokens import generate_private_key
from tests.integration.conftest import NAMESPACE


@pytest_asyncio.fixture
async def kube(plane: ControlPlane) -> AsyncIterator[Kube]:
    configuration = client.Configuration()
    await config.load_kube_config(config_file=str(plane.kubeconfig), client_configuration=configuration)
    kube = Kube(configuration)
    try:
        yield kube
    finally:
        await kube.close()


def in_secret(plane: ControlPlane) -> bytes:
    text = plane.kubectl("get", "secret", signing_key.SECRET, "-n", NAMESPACE, "-o", "json")
    return base64.b64decode(json.loads(text)["data"]["key.pem"])


def put(plane: ControlPlane, key: bytes) -> None:
    patch = json.dumps({"data": {"key.pem": base64.b64encode(key).decode()}})
    plane.kubectl("patch", "secret", signing_key.SECRET, "-n", NAMESPACE, "--type=merge", "-p", patch)


async def test_all_replicas_have_one_key_whatever_becomes_of_its_secret(plane: ControlPlane, kube: Kube) -> None:
    leader, standby = [await signing_key.load(kube, NAMESPACE) for _ in range(2)]
    made = leader.signer.private_key
    assert standby.signer.private_key == made == in_secret(plane)
    for key in (leader, standby):
        assert await signing_key.keep(key, kube, NAMESPACE, restores=True) is None
    # It is gone.
    plane.kubectl("delete", "secret", signing_key.SECRET, "-n", NAMESPACE)
    assert await signing_key.keep(standby, kube, NAMESPACE, restores=False) is None
    change = await signing_key.keep(leader, kube, NAMESPACE, restores=True)
    assert change is not None
    assert change.message == "the Secret of the signing key was gone: the key in force is restored"
    assert in_secret(plane) == made
    # It holds something else than a key.
    put(plane, b"no key")
    assert await signing_key.keep(standby, kube, NAMESPACE, restores=False) is None
    change = await signing_key.keep(leader, kube, NAMESPACE, restores=True)
    assert change is not None
    assert "no Ed25519 key in PEM" in change.message
    assert in_secret(plane) == made
    # It is another key.
    put(plane, other := generate_private_key())
    for key, restores in ((standby, False), (leader, True)):
        change = await signing_key.keep(key, kube, NAMESPACE, restores=restores)
        assert change is not None
        assert "was replaced" in change.message
        assert change.secret["metadata"]["uid"]
        assert key.signer.private_key == other
        assert await signing_key.keep(key, kube, NAMESPACE, restores=restores) is None


async def test_a_secret_without_a_key_is_a_sentence_at_the_start(plane: ControlPlane, kube: Kube) -> None:
    await signing_key.load(kube, NAMESPACE)
    put(plane, b"no key")
    try:
        with pytest.raises(ValueError, match=r"key.pem of the Secret qonverge-signing-key is no Ed25519 key in PEM"):
            await signing_key.load(kube, NAMESPACE)
    finally:
        plane.kubectl("delete", "secret", signing_key.SECRET, "-n", NAMESPACE)
