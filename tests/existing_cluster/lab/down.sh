#!/bin/bash
# Removes a lab: its machines and disk, by label.
#   down.sh NAME
set -euo pipefail
mapfile -t machines < <(podman ps --all --quiet --filter "label=edge-conformance.run=$1")
[ "${#machines[@]}" = 0 ] || podman rm --force --volumes "${machines[@]}" >/dev/null
mapfile -t disks < <(podman volume ls --quiet --filter "label=edge-conformance.run=$1")
[ "${#disks[@]}" = 0 ] || podman volume rm --force "${disks[@]}" >/dev/null
