"""Credentials that lie on a node: kubeconfigs and certificates, and what they stand for."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID

from conformance.security.agent import as_root
from conformance.security.disk import AGENT_FOLDERS, holding
from fixtures.target import EdgeNode, JsonValue

_KUBECONFIG = ("client-certificate", "client-key-data:", "current-context:")
_CERTIFICATE = ("BEGIN CERTIFICATE",)
# Where people leave what they once needed.
_HOMES = ("/root", "/home", "/etc", "/opt", "/srv", "/tmp")
_ADMIN_GROUP = "system:masters"


@dataclass(frozen=True, slots=True)
class Credential:
    """A client certificate, where it lies, and its key if it lies beside it (both PEM)."""

    where: str
    certificate: bytes
    key: bytes | None

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that the API server would take from it."""
        subject = x509.load_pem_x509_certificate(self.certificate).subject
        names = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        return tuple(str(name.value) for name in names)

    @property
    def is_administrator(self) -> bool:
        """Whether no rule of the cluster binds its holder."""
        return _ADMIN_GROUP in self.groups


def credentials_on(edge: EdgeNode, more: Sequence[str]) -> tuple[Credential, ...]:
    """Client certificates in kubeconfigs of the node, and in the agent's own folders."""
    found: list[Credential] = []
    folders = [*AGENT_FOLDERS, *more]
    for path in holding(edge, _KUBECONFIG, [*_HOMES, *folders]):
        found += in_kubeconfig(path, as_root(edge, 'cat "$1"', path))
    for path in holding(edge, _CERTIFICATE, ["/root", "/home", *folders]):
        # The first certificate of a file is the holder's own.
        data = as_root(edge, 'cat "$1"', path).encode(errors="replace")
        start = data.find(b"-----BEGIN CERTIFICATE-----")
        try:
            x509.load_pem_x509_certificate(data[start:])
        except ValueError:
            # A database or a text with such a line in it: no certificate that a client can use.
            continue
        found.append(Credential(path, data[start:], None))
    return tuple(found)


def in_kubeconfig(path: str, text: str) -> Iterator[Credential]:
    """Client certificates that a kubeconfig has in itself; nothing where it is none."""
    try:
        document: JsonValue = yaml.safe_load(text)
    except yaml.YAMLError:
        return
    if not isinstance(document, Mapping) or document.get("kind") != "Config":
        return
    users = document.get("users")
    for entry in users if isinstance(users, Sequence) else ():
        user = cast("Mapping[str, JsonValue]", entry).get("user") if entry else None
        if not isinstance(user, Mapping):
            continue
        certificate, key = user.get("client-certificate-data"), user.get("client-key-data")
        if isinstance(certificate, str):
            yield Credential(
                path,
                base64.b64decode(certificate),
                base64.b64decode(key) if isinstance(key, str) else None,
            )
