"""CloudCore's join tokens: JSON web tokens that it signs with the key of its authority."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

from kubernetes import client

from conformance.workloads import REQUEST_TIMEOUT_S
from fixtures.target import Cluster

# KubeEdge's own names, the same in every cluster.
_NAMESPACE = "kubeedge"
_AUTHORITY_SECRET = "casecret"
_KEY_ENTRY = "cakeydata"


def authority_key(cluster: Cluster) -> bytes:
    """The key of CloudCore's authority, which only an administrator can read."""
    core = client.CoreV1Api(cluster.api_client)
    secret = core.read_namespaced_secret(
        _AUTHORITY_SECRET, _NAMESPACE, _request_timeout=REQUEST_TIMEOUT_S
    )
    return base64.b64decode((secret.data or {})[_KEY_ENTRY])


def token(key: bytes, expires_s: int) -> str:
    """A token signed with ``key`` (HS256) that ends at a time in seconds since the epoch."""
    parts = [_encoded({"alg": "HS256", "typ": "JWT"}), _encoded({"exp": expires_s})]
    signature = hmac.new(key, ".".join(parts).encode(), hashlib.sha256).digest()
    return ".".join([*parts, _base64(signature)])


def _encoded(value: dict[str, str | int] | dict[str, str] | dict[str, int]) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
