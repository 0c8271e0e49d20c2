"""Certificates and keys of a cluster, and the kubeconfig files made of them. Nothing here touches a disk."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = timedelta(days=365)
_SKEW = timedelta(hours=1)


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True)
class Authority(KeyPair):
    """A certificate authority that signs what a cluster needs."""

    @classmethod
    def create(cls, name: str, now: datetime) -> Authority:
        """Return a new authority, valid for a year from ``now``."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(name, (), key.public_key(), now)
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(ca=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return cls(_pem(builder.sign(key, hashes.SHA256())), private_pem(key))

    def issue(
        self, name: str, now: datetime, *, organizations: Sequence[str] = (), hosts: Sequence[str] = ()
    ) -> KeyPair:
        """Return a certificate for ``name``, good for clients and, where ``hosts`` are given, for a server of them."""
        issuer = x509.load_pem_x509_certificate(self.certificate)
        issuer_key = serialization.load_pem_private_key(self.key, None)
        assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = _builder(name, organizations, key.public_key(), now).issuer_name(issuer.subject)
        if hosts:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        # Python's ssl module refuses a chain without the issuer's key identifier from 3.13 on.
        issuer_identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
        builder = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(issuer_identifier, critical=False)
        )
        return KeyPair(_pem(builder.sign(issuer_key, hashes.SHA256())), private_pem(key))


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a key for signing service account tokens."""
    return ec.generate_private_key(ec.SECP256R1())


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the key as unencrypted PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the public half as PEM."""
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def kubeconfig(server: str, authority: bytes, client: KeyPair) -> dict[str, Any]:
    """Return a kubeconfig that needs no other file."""
    cluster = {"server": server, "certificate-authority-data": _base64(authority)}
    user = {
        "client-certificate-data": _base64(client.certificate),
        "client-key-data": _base64(client.key),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "qonverge",
        "contexts": [{"name": "qonverge", "context": {"cluster": "qonverge", "user": "qonverge"}}],
        "clusters": [{"name": "qonverge", "cluster": cluster}],
        "users": [{"name": "qonverge", "user": user}],
    }


def _builder(
    name: str, organizations: Sequence[str], key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization) for organization in organizations]
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _LIFETIME)
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
