"""What the ranks of a program with a Dask scheduler find in their environment, with and without a cluster."""

from __future__ import annotations

import datetime

# As Dask itself reads its configuration from the environment.
_TLS = "DASK_DISTRIBUTED__COMM__TLS__"
TLS_VARIABLES = (
    f"{_TLS}CA_FILE",
    *(f"{_TLS}{role}__{part}" for role in ("SCHEDULER", "WORKER", "CLIENT") for part in ("CERT", "KEY")),
)
"""Which have the job's certificate and key: whoever has them may use its scheduler."""
_LIFETIME = datetime.timedelta(days=3650)
# For clocks that differ.
_BEFORE = datetime.timedelta(days=1)


def world(size: int, host: str, port: int) -> dict[str, str]:
    """Return the variables that all ranks have alike, but for the certificate.

    Args:
        size: how many ranks there are, each with a worker.
        host: of rank 0, as the others reach it.
        port: where the scheduler listens there.
    """
    return {
        "QONVERGE_FRAMEWORK": "Dask",
        "QONVERGE_WORLD_SIZE": str(size),
        "DASK_SCHEDULER_ADDRESS": f"tls://{host}:{port}",
        "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True",
    }


def certificate() -> str:
    """Return a new key and a certificate that it signed itself, in PEM.

    Scheduler, workers and clients of a job share it: a connection is taken from whoever has the key, whatever the host.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "qonverge-dask")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + made.public_bytes(serialization.Encoding.PEM)
    return text.decode()
