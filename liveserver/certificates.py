"""A TLS certificate for the local network: phones open a camera over https only."""

import datetime as dt
import ipaddress
import os
import socket
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from liveserver.config import Settings

_DAYS = 365


def for_lan(settings: Settings, state: Path) -> Settings:
    """Return settings that serve https on every address, with a certificate kept in `state`."""
    address = _own_address()
    certificate, key = state / f"lan-{address}.pem", state / f"lan-{address}-key.pem"
    if not certificate.exists() or not key.exists():
        _make(address, certificate, key)
    http = settings.http.model_copy(
        update={
            "host": "0.0.0.0",
            "certificate": str(certificate),
            "key": str(key),
            "public_url": settings.http.public_url or f"https://{address}:{settings.http.port}",
        }
    )
    return settings.model_copy(update={"http": http})


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: asks which address would be used
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _make(address: str, certificate: Path, key: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "liveserver")])
    now = dt.datetime.now(dt.UTC)
    names: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.ip_address(address)),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.DNSName("localhost"),
    ]
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(private, hashes.SHA256())
    )
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    descriptor = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
