"""A relay that lends its identity to whoever comes: the classic hole in front of a closed door.

Only the standard library, as it also runs on a node: ``python lending_proxy.py '{...}'``, with the
fields of ``Lending`` as JSON. It ends by itself after ``lifetime_s``.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass

MARK = 0x5EC
_CHUNK = 65536


@dataclass(frozen=True)
class Lending:
    """From where to where, and what is lent.

    With ``certificate`` and ``key`` it speaks TLS on both sides, to the upstream as
    ``upstream_certificate``; ``authorization`` is put into every request; ``old_tls`` speaks
    nothing newer than TLS 1.1 to the client.
    """

    listen: str
    port: int
    upstream: str
    upstream_port: int
    lifetime_s: float
    certificate: str = ""
    key: str = ""
    upstream_certificate: str = ""
    upstream_key: str = ""
    authorization: str = ""
    old_tls: bool = False


def serve(lending: Lending) -> None:
    """Relay until the lifetime is over."""
    end = threading.Timer(lending.lifetime_s, lambda: _end(server))
    end.daemon = True
    server = socket.create_server((lending.listen, lending.port))
    end.start()
    print("listening", flush=True)
    with server:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=_relay, args=(lending, client), daemon=True).start()


def _end(server: socket.socket) -> None:
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def _relay(lending: Lending, raw: socket.socket) -> None:
    # A client that is refused or goes away is the client's affair.
    with suppress(OSError), raw:
        client = _server_side(lending, raw)
        with _upstream(lending) as upstream:
            back = threading.Thread(target=_copy, args=(upstream, client), daemon=True)
            back.start()
            _copy(client, upstream, lending.authorization)
            back.join()


def _server_side(lending: Lending, raw: socket.socket) -> socket.socket:
    if not lending.certificate:
        return raw
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(lending.certificate, lending.key)
    if lending.old_tls:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context.wrap_socket(raw, server_side=True)


def _upstream(lending: Lending) -> socket.socket:
    made = socket.socket()
    # By this mark the node's redirection leaves our own connections alone.
    with suppress(PermissionError):
        made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
    made.settimeout(10)
    made.connect((lending.upstream, lending.upstream_port))
    made.settimeout(None)
    if not lending.certificate:
        return made
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if lending.upstream_certificate:
        context.load_cert_chain(lending.upstream_certificate, lending.upstream_key)
    return context.wrap_socket(made)


def _copy(source: socket.socket, target: socket.socket, authorization: str = "") -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(_authorized(data, authorization) if authorization else data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def _authorized(data: bytes, authorization: str) -> bytes:
    line = f"Authorization: {authorization}\r\n".encode()
    without = re.sub(rb"(?i)authorization:[^\r\n]*\r\n", b"", data)
    return re.sub(rb"(HTTP/1\.1\r\n)", lambda found: found.group(1) + line, without, count=1)


if __name__ == "__main__":
    serve(Lending(**json.loads(sys.argv[1])))
