"""What makes Google's client trust this machine: a certificate, and the key of a service account that nobody has."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

_VALID = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that stands for itself, and its key, in PEM."""

    key: bytes
    certificate: bytes


@cache
def certificate(host: str) -> Certificate:
    """Return a certificate for a host, the same one in all of this process: gRPC reads once which ones it trusts."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dev-cloud")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Certificate(_pem(key), made.public_bytes(serialization.Encoding.PEM))


def service_account(project: str, universe: str) -> str:
    """Return a file as Google gives out for a service account, which its libraries sign tokens with.

    Args:
        project: that it is of.
        universe: the domain whose services it is for.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return json.dumps(
        {
            "type": "service_account",
            "project_id": project,
            "private_key_id": "dev-cloud",
            "private_key": _pem(key).decode(),
            "client_email": f"dev-cloud@{project}.iam.gserviceaccount.com",
            # Tokens are signed with the key itself, and asked for nowhere.
            "token_uri": f"https://oauth2.{universe}/token",
            "universe_domain": universe,
        }
    )


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
