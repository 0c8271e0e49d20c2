"""Tokens: the operator signs (Ed25519), backends verify. RFC 7519 with EdDSA (RFC 8037)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qonverge.wire.errors import TokenExpired, Unauthorized
from qonverge.wire.proof import backend_key

OPERATOR_SUBJECT = "system:operator"
LOCAL_SUBJECT = "local"
"""Everybody, at a server without tokens, which is for one machine."""
ISSUER = "qonverge.io"
PROGRAM_TOKEN_SECONDS = 600.0
"""Life of a program's token at most. It is renewed at half of it: a kubelet shows the new one within two minutes."""
_REMEMBERED = 4096


def generate_private_key() -> bytes:
    """Return a new Ed25519 private key, PEM."""
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_key(private_pem: bytes) -> bytes:
    """Return the public key, PEM."""
    key = serialization.load_pem_private_key(private_pem, None)
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def instance_audience(backend: str, instance: str) -> str:
    """Return the audience of the operator's tokens for one pod of a backend: worthless at any other place.

    Args:
        backend: namespace and name, the audience of programs' tokens.
        instance: the pod's uid; empty for a server that is no pod.
    """
    return f"{backend}#{instance}" if instance else backend


def run_of(account: str, attempt: int) -> str:
    """Return what an attempt at a job's program is called wherever its tasks are; it begins with the job's uid."""
    return f"{account}.{attempt}"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request, as a token says."""

    subject: str
    """The operator, or a job as ``namespace/name``."""
    account: str = ""
    """Under which is counted what a program uses, which is nothing before the operator names it; empty: not counted."""
    attempt: int = 0
    """Which attempt at a job's program it is."""

    @property
    def run(self) -> str:
        """The attempt at a job's program, apart from all others; empty for whoever is none."""
        return run_of(self.account, self.attempt) if self.account else ""


class Signer:
    """Signs tokens."""

    def __init__(self, private_pem: bytes) -> None:
        """Take the private key, PEM.

        Raises:
            ValueError: the text holds no Ed25519 key.
        """
        key = serialization.load_pem_private_key(private_pem, None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(f"the key is a {type(key).__name__}; expected one for Ed25519")
        self._private = private_pem
        self._key = key

    @property
    def public_key(self) -> bytes:
        """The key that verifies what this signs, PEM."""
        return public_key(self._private)

    @property
    def private_key(self) -> bytes:
        """The key itself, PEM."""
        return self._private

    def backend_key(self, backend: str) -> str:
        """Return the key with which a backend's pods prove themselves; ``backend`` is its namespace and name."""
        return backend_key(self._private, backend)

    def sign(
        self,
        *,
        audience: str,
        subject: str,
        now: float,
        ttl: float,
        account: str = "",
        attempt: int = 0,
    ) -> str:
        """Return a token for the caller, good for ``ttl`` seconds at the audience only."""
        claims = {"iss": ISSUER, "aud": audience, "sub": subject, "iat": int(now), "exp": int(now + ttl)}
        if account:
            claims |= {"account": account, "attempt": attempt}
        return jwt.encode(claims, self._key, algorithm="EdDSA")


class Verifier:
    """Verifies tokens, each once while it is good."""

    def __init__(self, public_pem: bytes, audience: str, clock: Callable[[], float], instance: str = "") -> None:
        """Take what tokens must name.

        Args:
            public_pem: the operator's public key, PEM.
            audience: of programs' tokens.
            clock: gives Unix seconds.
            instance: the pod's uid, which the operator's own tokens must name too.

        Raises:
            ValueError: the text holds no public key.
        """
        self._key = serialization.load_pem_public_key(public_pem)
        self._audience = audience
        self._operator_audience = instance_audience(audience, instance)
        self._clock = clock
        self._good: OrderedDict[str, tuple[Caller, float]] = OrderedDict()

    def verify(self, token: str | None) -> Caller:
        """Return who the token is for.

        Raises:
            TokenExpired: it was good once.
            Unauthorized: it is missing, forged or for another audience.
        """
        if not token:
            raise Unauthorized("a bearer token is needed: send it in the Authorization header")
        known = self._good.get(token)
        if known is not None and known[1] > self._clock():
            return known[0]
        self._good.pop(token, None)
        try:
            claims = jwt.decode(
                token,
                self._key,  # type: ignore[arg-type]  # another kind of key verifies nothing
                algorithms=["EdDSA"],
                audience=[self._audience, self._operator_audience],
                issuer=ISSUER,
                # Times are judged by the injected clock below.
                options={"require": ["exp", "sub", "aud", "iss"], "verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidAudienceError:
            raise Unauthorized(f"the token is for another service than {self._audience}") from None
        except jwt.PyJWTError as error:
            raise Unauthorized(f"the token is not valid: {error}") from None
        due = self._operator_audience if claims["sub"] == OPERATOR_SUBJECT else self._audience
        if claims["aud"] != due:
            raise Unauthorized(f"the token is for another service than {due}")
        if claims["exp"] <= self._clock():
            raise TokenExpired("the token has expired: read it again, or ask for a new one")
        caller = Caller(str(claims["sub"]), str(claims.get("account", "")), claims.get("attempt", 0))
        self._good[token] = (caller, float(claims["exp"]))
        if len(self._good) > _REMEMBERED:
            self._good.popitem(last=False)
        return caller
