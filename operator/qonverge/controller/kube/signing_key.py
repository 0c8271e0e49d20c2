"""The key that all replicas sign tokens with: it lives in a Secret, which may vanish or be replaced under them."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from dataclasses import dataclass
from typing import Any

from qonverge.controller.kube.client import Kube, KubeError
from qonverge.wire.tokens import Signer, generate_private_key

logger = logging.getLogger(__name__)

SECRET = "qonverge-signing-key"  # noqa: S105 - the name of the Secret, not its value
_ENTRY = "key.pem"


@dataclass(slots=True)
class SigningKey:
    """The key in force. Whoever signs asks for it each time."""

    signer: Signer


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to the key."""

    secret: dict[str, Any]
    message: str


async def load(kube: Kube, namespace: str) -> SigningKey:
    """Return the key that all replicas sign with, made by the first; waits for an API server that does not answer.

    Raises:
        KubeError: the API server refuses.
        ValueError: the Secret holds no key.
    """
    while True:
        try:
            found = await kube.get("Secret", namespace, SECRET)
            if found is not None:
                return SigningKey(_read(found))
            await kube.create(_secret(namespace, generate_private_key()))
        except KubeError as error:
            # 409: another replica was faster, and its key is read next.
            if error.status not in (0, 409, 503):
                raise
            logger.warning("waiting for the signing key: %s", error)
            await asyncio.sleep(1.0)


async def keep(key: SigningKey, kube: Kube, namespace: str, *, restores: bool) -> Change | None:
    """Look at the Secret: restore the key where it is gone, and adopt another; None where all is well.

    ``restores`` is for the replica that leads, so that replicas with different keys do not write in turns.

    Raises:
        KubeError: the API server refuses, or does not answer.
    """
    found = await kube.get("Secret", namespace, SECRET)
    try:
        signer = None if found is None else _read(found)
        trouble = "was gone"
    except ValueError as error:
        signer, trouble = None, f"held none ({error})"
    if signer is None:
        if not restores:
            return None
        restored = await kube.apply(_secret(namespace, key.signer.private_key))
        return Change(restored, f"the Secret of the signing key {trouble}: the key in force is restored")
    if signer.private_key == key.signer.private_key:
        return None
    assert found is not None
    key.signer = signer
    sentence = "the signing key was replaced: backends' pods are replaced one by one, and programs get new tokens"
    return Change({"apiVersion": "v1", "kind": "Secret", **found}, sentence)


def _read(secret: dict[str, Any]) -> Signer:
    """Return the key of a Secret.

    Raises:
        ValueError: it holds none.
    """
    text = (secret.get("data") or {}).get(_ENTRY)
    if text is None:
        raise ValueError(f"the Secret {SECRET} has no {_ENTRY}")
    try:
        return Signer(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, TypeError) as error:
        raise ValueError(f"{_ENTRY} of the Secret {SECRET} is no Ed25519 key in PEM: {error}") from None


def _secret(namespace: str, private: bytes) -> dict[str, Any]:
    data = {_ENTRY: base64.b64encode(private).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET, "namespace": namespace}, "data": data}
