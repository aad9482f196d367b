"""TLS and HTTPS as a stranger speaks them: any version, any certificate, and no trust at all."""

from __future__ import annotations

import datetime
import http.client
import socket
import ssl
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Connect = Callable[[], socket.socket]
_BODY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request: an HTTP status, or None and the reason why there is none."""

    status: int | None
    refusal: str
    body: bytes = b""

    @property
    def granted(self) -> bool:
        """Whether the request was fulfilled."""
        return self.status is not None and 200 <= self.status < 300

    def __str__(self) -> str:
        """For evidence and failures."""
        return self.refusal if self.status is None else f"HTTP {self.status}"


@dataclass(frozen=True, slots=True)
class Ask:
    """One HTTP request."""

    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


def stranger(
    certificate: ClientCertificate | None = None, version: ssl.TLSVersion | None = None
) -> ssl.SSLContext:
    """A client that trusts whomever it meets, as one who tries doors does.

    ``version`` offers this version alone, also one that OpenSSL has long switched off.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version is not None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            # That the old versions are deprecated is why they are offered.
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = version
            context.maximum_version = version
    if certificate is not None:
        context.load_cert_chain(certificate.certificate, certificate.key)
    return context


def ask(connect: Connect, context: ssl.SSLContext | None, request: Ask) -> Answer:
    """Send one request over a connection of its own; ``context`` None means plain HTTP.

    A refusal at any level (TCP, TLS, no answer) is a result.
    """
    try:
        with connect() as raw:
            if context is None:
                return _exchange(raw, request)
            with context.wrap_socket(raw) as secured:
                return _exchange(secured, request)
    except (OSError, http.client.HTTPException) as error:
        return Answer(None, f"refused ({type(error).__name__}: {error})")


def handshake(connect: Connect, context: ssl.SSLContext) -> str | None:
    """The TLS version that was agreed on, or None where the server refuses."""
    try:
        with connect() as raw, context.wrap_socket(raw) as secured:
            return secured.version()
    except (ssl.SSLError, ConnectionError):
        return None


def _exchange(connected: socket.socket, request: Ask) -> Answer:
    connection = http.client.HTTPConnection("edge-conformance.invalid")
    connection.sock = connected
    connection.request(request.method, request.path, request.body, dict(request.headers))
    answer = connection.getresponse()
    return Answer(answer.status, "", answer.read(_BODY_BYTES))


def self_signed(folder: Path, common_name: str, organization: str) -> ClientCertificate:
    """A certificate with the right names that nobody but itself has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    now = datetime.datetime.now(datetime.UTC)
    hour = datetime.timedelta(hours=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - hour)
        .not_valid_after(now + hour)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pair = ClientCertificate(folder / "stranger.crt", folder / "stranger.key")
    pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pair.key.touch(mode=0o600)
    pair.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pair


def signing_request(common_name: str, organization: str) -> bytes:
    """A certificate signing request (DER) of a key that is thrown away at once."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
