"""A real admission webhook that changes pods on their way in, as a careless operator's would.

It is registered with the API server for the pods of one requirement's test alone, and answers
from this process. So a promise of the scheduler or the API is broken in the real cluster, and
at the moment at which the pod is made.
"""

from __future__ import annotations

import base64
import copy
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kubernetes import client

from conformance.placement.pods import REQUIREMENT_LABEL
from fixtures.reference.addresses import plan
from fixtures.reference.certificates import Authority

Meddle = Callable[[dict[str, Any]], None]
_TIMEOUT_S = 5


@contextmanager
def meddling(
    core: client.CoreV1Api, folder: Path, requirement: str, meddle: Meddle
) -> Iterator[None]:
    """Let ``meddle`` change the document of every pod that carries the requirement's label."""
    host = plan(()).host_on_cloud
    authority = Authority(folder / "webhook")
    pair = authority.issue("webhook", "webhook", names=(host,))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)
    server = ThreadingHTTPServer((host, 0), _handler(meddle))
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, name="meddler", daemon=True)
    thread.start()
    admission = client.AdmissionregistrationV1Api(core.api_client)
    name = f"edge-conformance-meddler-{requirement}"
    try:
        admission.create_mutating_webhook_configuration(
            _configuration(
                name,
                requirement,
                f"https://{host}:{server.server_address[1]}/",
                authority.pair.certificate.read_bytes(),
            )
        )
        try:
            yield
        finally:
            admission.delete_mutating_webhook_configuration(name)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _configuration(
    name: str, requirement: str, url: str, authority: bytes
) -> client.V1MutatingWebhookConfiguration:
    return client.V1MutatingWebhookConfiguration(
        metadata=client.V1ObjectMeta(name=name),
        webhooks=[
            client.V1MutatingWebhook(
                name=f"{requirement}.meddler.edge.example",
                admission_review_versions=["v1"],
                side_effects="None",
                failure_policy="Fail",
                timeout_seconds=_TIMEOUT_S,
                client_config=client.AdmissionregistrationV1WebhookClientConfig(
                    url=url, ca_bundle=base64.b64encode(authority).decode()
                ),
                object_selector=client.V1LabelSelector(
                    match_labels={REQUIREMENT_LABEL: requirement}
                ),
                rules=[
                    client.V1RuleWithOperations(
                        api_groups=[""],
                        api_versions=["v1"],
                        operations=["CREATE"],
                        resources=["pods"],
                    )
                ],
            )
        ],
    )


def _handler(meddle: Meddle) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            request = json.loads(self.rfile.read(length))["request"]
            before = request["object"]
            after = copy.deepcopy(before)
            meddle(after)
            changes = [
                {"op": "add", "path": f"/{part}", "value": after[part]}
                for part in ("metadata", "spec")
                if after[part] != before[part]
            ]
            answer = {"uid": request["uid"], "allowed": True}
            if changes:
                answer["patchType"] = "JSONPatch"
                answer["patch"] = base64.b64encode(json.dumps(changes).encode()).decode()
            body = json.dumps(
                {
                    "apiVersion": "admission.k8s.io/v1",
                    "kind": "AdmissionReview",
                    "response": answer,
                }
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    return Handler
