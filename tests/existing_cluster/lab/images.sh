#!/bin/bash
# Carries images to the box, as on a memory stick: there is no registry in the lab.
#   images.sh NAME IMAGE=FOLDER...   FOLDER: an OCI layout
set -euo pipefail
box=$1-box-1
shift
podman exec "$box" timeout 60 sh -c 'until ctr version >/dev/null 2>&1; do sleep 0.2; done'
for image in "$@"; do
    tar -C "${image#*=}" -cf - . |
        podman exec --interactive "$box" \
            ctr --namespace k8s.io images import --index-name "${image%%=*}" - >/dev/null
done
