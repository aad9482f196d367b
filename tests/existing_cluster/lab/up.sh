#!/bin/bash
# Brings an ordinary Kubernetes cluster up by hand, in a lab of three machines:
#
#   head ──cloud── bench ──wan── box-1    head: the control plane; box-1: the edge node;
#                        ──lan──          bench: the tester's machine, and the router between
#
# All of it is in namespaces of containers: the host gets no interface, address, route or rule.
#   up.sh LAB IMAGE PROGRAM...
# LAB is an empty folder, for keys, and its last part names the lab; IMAGE a Debian; PROGRAM the
# file of each program of Kubernetes. The labels are those by which `python -m fixtures down`
# would remove it as well.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
lab=$1 image=$2
shift 2
name=$(basename "$lab")
head=198.19.64.2 wan=198.19.65.2 lan=198.19.66.2
labels=(--label edge-conformance.deployment=lab --label "edge-conformance.run=$name")

programs=()
for program in "$@"; do
    programs+=(--volume "$program:/usr/local/bin/$(basename "$program"):ro")
done

"$here/certificates.sh" "$lab" "$head" acme-box-1 "$wan"
ssh-keygen -q -t ed25519 -N '' -C '' -f "$lab/box-host"
ssh-keygen -q -t ed25519 -N '' -C '' -f "$lab/tester-login"
echo "$lan $(cat "$lab/box-host.pub")" >"$lab/known_hosts"
cat >"$lab/ssh_config" <<END
Host $lan
    IdentityFile $lab/tester-login
    IdentitiesOnly yes
    UserKnownHostsFile $lab/known_hosts
END

pid() { podman inspect --format '{{.State.Pid}}' "$name-$1"; }
inside() { # inside MACHINE COMMAND...: in its network
    nsenter --net="/proc/$(pid "$1")/ns/net" "${@:2}"
}
machine() { # machine NAME SCRIPT NETWORK OPTION...
    podman run --detach --name "$name-$1" "${labels[@]}" --privileged --cgroupns=private \
        --network "$3" --hostname "acme-$1" --tmpfs /run --volume "$lab:/etc/acme:ro" \
        --volume "$here:/opt/lab:ro" "${programs[@]}" "${@:4}" --entrypoint "/opt/lab/$2" \
        "$image" >/dev/null
}

# The bench, and what keeps the box's sockets and cables while its power is off.
for each in bench box-sockets; do
    podman run --detach --name "$name-$each" "${labels[@]}" --privileged --network none \
        --entrypoint '["catatonit", "-P"]' "$image" >/dev/null
done
pid bench >"$lab/bench.pid"
podman volume create "${labels[@]}" "$name-disk" >/dev/null
machine head head.sh none --env "ADDRESS=$head"
machine box-1 box.sh "ns:/proc/$(pid box-sockets)/ns/net" --volume "$name-disk:/var/lib" \
    --env NODE_NAME=acme-box-1 --env "WAN_ADDRESS=$wan" --env "LAN_ADDRESS=$lan"

inside bench ip -batch - <<END
link set lo up
link add cloud type veth peer name eth0 netns $(pid head)
link add wan type veth peer name wan0 netns $(pid box-sockets)
link add lan type veth peer name lan0 netns $(pid box-sockets)
address add 198.19.64.1/24 dev cloud
address add 198.19.65.1/24 dev wan
address add 198.19.66.1/24 dev lan
link set cloud up
link set wan up
link set lan up
END
inside head ip -batch - <<END
link set lo up
link set eth0 up
address add $head/24 dev eth0
route add default via 198.19.64.1
END
inside box-sockets ip -batch - <<END
link set lo up
link set wan0 up
link set lan0 up
address add $wan/24 dev wan0
address add $lan/24 dev lan0
route add default via 198.19.65.1
END
inside bench sysctl -qw net.ipv4.ip_forward=1
# What the hooks of the link switch: everything on the uplink, and nothing on the LAN.
inside bench iptables-restore <<END
*filter
:INPUT ACCEPT
:FORWARD ACCEPT
:OUTPUT ACCEPT
:uplink -
-A INPUT -i wan -j uplink
-A OUTPUT -o wan -j uplink
-A FORWARD -i wan -j uplink
-A FORWARD -o wan -j uplink
COMMIT
END
