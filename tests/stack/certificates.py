"""A certificate authority of one run, and what it vouches for: clients check as they would in production."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM


def make(folder: Path, *names: str) -> tuple[Path, Path, Path]:
    """(authority, certificate, key): files in `folder`; the certificate is for all the names, on loopback too."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _signed("Medilink's drill", authority_key.public_key(), "Medilink's drill", authority_key, is_ca=True)
    other = [*(x509.DNSName(name) for name in names), x509.IPAddress(ip_address("127.0.0.1"))]
    own = _signed(names[0], key.public_key(), "Medilink's drill", authority_key, other=other)
    files = folder / "authority.pem", folder / "site.pem", folder / "site.key"
    contents = (
        authority.public_bytes(PEM),
        own.public_bytes(PEM),
        key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
        file.chmod(0o600)
    return files


def _signed(name, public_key, by, by_key, *, is_ca=False, other=()):
    now = datetime.now(UTC)
    one = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, by)]))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by_key.public_key()), critical=False)
    )
    if other:
        one = one.add_extension(x509.SubjectAlternativeName(other), critical=False)
    return one.sign(by_key, hashes.SHA256())
