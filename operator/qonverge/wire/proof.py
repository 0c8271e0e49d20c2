"""What a backend's pods show and know again by the key that they share.

The operator derives a key for each backend from its own signing key and gives it to the backend's pods in a Secret.
Before anything is sent to a pod, the operator sends a random challenge; the pod answers with an HMAC (RFC 2104) of the
challenge and its own name. A pod that only bears the backend's labels, or has the address of one that is gone, cannot.

A pod also seals the ids of a vendor's tasks that it tells a program. The program's client sends them back to the pod
that follows, which believes those that a pod of its backend sealed.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

MOST_CHALLENGE = 128
"""Characters of a challenge at most."""


def backend_key(signing_key: bytes, backend: str) -> str:
    """Return the key of a backend's pods, in hex; ``backend`` is its namespace and name."""
    return hmac.new(signing_key, b"qonverge.io backend key\0" + backend.encode(), hashlib.sha256).hexdigest()


def challenge() -> str:
    """Return a new challenge."""
    return secrets.token_hex(16)


def prove(key: str, sent: str, instance: str) -> str:
    """Return a pod's answer to a challenge, in hex; ``instance`` is the pod's uid."""
    return hmac.new(key.encode(), f"{sent}\0{instance}".encode(), hashlib.sha256).hexdigest()


def is_proof(given: object, key: str, sent: str, instance: str) -> bool:
    """Return whether this is the answer of a pod that has the key, and this uid."""
    return isinstance(given, str) and hmac.compare_digest(given.encode(), prove(key, sent, instance).encode())


def seal(key: str, name: str, identity: str) -> str:
    """Return a pod's word, in hex, that the vendor's task with this key (``VendorTask.key``) has this id."""
    # By a key of its own: anybody gets proofs of challenges, which must be no seals.
    own = hmac.new(key.encode(), b"qonverge.io vendor tasks", hashlib.sha256).digest()
    return hmac.new(own, f"{name}\0{identity}".encode(), hashlib.sha256).hexdigest()


def is_seal(given: str, key: str, name: str, identity: str) -> bool:
    """Return whether this is the word of a pod that has the key."""
    return given.isascii() and hmac.compare_digest(given, seal(key, name, identity))
