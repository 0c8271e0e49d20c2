"""How a backend pod shows that the operator made it, before anything is sent to it.

The operator derives a key for each backend from its own signing key and gives it to the backend's pods in a Secret. It
sends a random challenge; the pod answers with an HMAC (RFC 2104) of the challenge and its own name. A pod that only
bears the backend's labels, or has the address of one that is gone, cannot.
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
