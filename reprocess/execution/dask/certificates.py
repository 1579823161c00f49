"""Certificates of one run: an authority that signs three and is forgotten.

Scheduler, worker and client prove to each other that they belong to the run, and nobody else can take part: Dask
accepts whatever the run's authority has signed. Its key is never written and never leaves this function, so no
certificate can be added later. Dask does not compare names, so a scheduler that comes back under another address
keeps its certificate.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import ssl
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from reprocess import errors

ROLES = ("scheduler", "worker", "client")
AUTHORITY = "ca.pem"
DAYS = 60
"""How long certificates are valid: longer than any campaign."""
SKEW = timedelta(hours=1)
"""How far the clocks of two machines may be apart."""


def issue(names: Iterable[str], *, days: int = DAYS) -> dict[str, bytes]:
    """Make the certificates of a run.

    Parameters
    ----------
    names : iterable of str
        Host names and addresses of the scheduler.
    days : int
        For which they are valid.

    Returns
    -------
    dict of file name to bytes
        ``ca.pem``, and ``<role>.pem`` and ``<role>.key`` for scheduler, worker and client, all PEM. Keys are not
        encrypted: keep them where only the run can read them.

    Raises
    ------
    UsageError
        The validity is not at least one day.
    """
    if days < 1:
        raise errors.UsageError(f"Certificates cannot be valid for {days} days; give one day at least.")
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key, days)
    files = {AUTHORITY: _pem(authority)}
    for role in ROLES:
        key = ec.generate_private_key(ec.SECP256R1())
        known_as = list(names) if role == "scheduler" else []
        files[f"{role}.pem"] = _pem(_signed(role, known_as, key, authority, authority_key))
        files[f"{role}.key"] = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    return files


def write(files: Mapping[str, bytes], directory: Path) -> None:
    """Write files that only their owner can read, into a directory that only their owner can open.

    Raises
    ------
    UsageError
        The directory cannot be written.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in files.items():
            path = directory / name
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
    except OSError as error:
        raise errors.UsageError(
            f"The certificates of the run cannot be written to {directory}: {error}. Give a directory of your own."
        ) from error


def options(directory: Path, *roles: str) -> dict[str, Any]:
    """Return what `distributed.Security` takes to be these roles, encrypted and by TLS 1.3 only.

    Parameters
    ----------
    directory : Path
        Which has ``ca.pem``, and certificate and key of each role.
    *roles : str
        Of `ROLES`.

    Raises
    ------
    UsageError
        A file is not there.
    """
    wanted = {"tls_ca_file": directory / AUTHORITY}
    for role in roles:
        wanted |= {f"tls_{role}_cert": directory / f"{role}.pem", f"tls_{role}_key": directory / f"{role}.key"}
    missing = [path for path in wanted.values() if not path.is_file()]
    if missing:
        raise errors.UsageError(
            f"{missing[0]} is missing: processes of a run prove by it who they are. Mount the run's Secret there."
        )
    return {
        "require_encryption": True,
        "tls_min_version": ssl.TLSVersion.TLSv1_3,
        **{name: str(path) for name, path in wanted.items()},
    }


def _authority(key: ec.EllipticCurvePrivateKey, days: int) -> x509.Certificate:
    name = _name("authority")
    begin = datetime.now(UTC) - SKEW
    usage = _usage(key_cert_sign=True)
    return (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days) + SKEW)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _signed(
    role: str,
    known_as: list[str],
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    """Return a certificate for both ends of a connection: each process of Dask is client and server."""
    both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    builder = (
        x509.CertificateBuilder(authority.subject, _name(role), key.public_key(), x509.random_serial_number())
        .not_valid_before(authority.not_valid_before_utc)
        .not_valid_after(authority.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(both, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
    )
    if known_as:
        builder = builder.add_extension(x509.SubjectAlternativeName(map(_general, known_as)), critical=False)
    return builder.sign(authority_key, hashes.SHA256())


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(role: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "reprocess"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"reprocess {role}"),
        ]
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
