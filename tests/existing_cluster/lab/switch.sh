#!/bin/bash
# The hooks of the lab's profile. Each may be run again and again.
#   switch.sh LAB power-off|power-on|cut-link|heal-link
set -euo pipefail
box=$(basename "$1")-box-1
router() { nsenter --target "$(cat "$lab/bench.pid")" --mount --net "$@"; }
lab=$1
case ${2:-nothing} in
power-off)
    # SIGKILL to the first process takes everything in the machine with it, as a power cut does.
    if [ "$(podman inspect --format '{{.State.Running}}' "$box")" = true ]; then
        podman kill --signal KILL "$box" >/dev/null
        podman wait "$box" >/dev/null
    fi
    ;;
power-on) podman start "$box" >/dev/null ;;
cut-link)
    router iptables-restore --noflush --wait <<END
*filter
-F uplink
-A uplink -j DROP
COMMIT
END
    ;;
heal-link) router iptables --wait --flush uplink ;;
*)
    echo "switch.sh: found ${2:-nothing}, expected power-off, power-on, cut-link or heal-link" >&2
    exit 2
    ;;
esac
