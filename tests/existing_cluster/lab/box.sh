#!/bin/sh
# First process of the edge node: containerd, the ordinary kubelet, and sshd on the LAN.
# NODE_NAME, WAN_ADDRESS and LAN_ADDRESS are its own; keys are in /etc/acme.
set -eu
pki=/etc/acme
# shellcheck source=service.sh
. /opt/lab/service.sh

mount --make-rshared /
# Its interfaces outlive a power cut here: those of pods of the last boot are in the way.
for device in $(ip -oneline link show type veth | sed 's/^[0-9]*: \([^@:]*\).*/\1/'); do
    case "$device" in wan0 | lan0) ;; *) ip link delete "$device" ;; esac
done
rm -rf /var/lib/cni/networks /etc/sv/*/supervise /etc/sv/*/log/supervise
sysctl -qw net.ipv4.ip_forward=1

mkdir -p /etc/cni/net.d /run/sshd
cat >/etc/cni/net.d/10-lab.conflist <<END
{"cniVersion": "0.4.0", "name": "lab", "plugins": [
  {"type": "ptp", "ipMasq": true, "ipam": {"type": "host-local",
   "ranges": [[{"subnet": "198.19.80.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
END
cat >/etc/containerd/config.toml <<END
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "acme.example/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
END
cat >/etc/kubelet.yaml <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $pki/kubelet-server.crt
tlsPrivateKeyFile: $pki/kubelet-server.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
failSwapOn: false
failCgroupV1: false
nodeStatusUpdateFrequency: 5s
nodeLeaseDurationSeconds: 20
registerWithTaints: [{key: acme.example/inference-only, value: "yes", effect: NoSchedule}]
# The disk is the host's: how full it is, is not the lab's doing.
evictionHard: {memory.available: 100Mi, nodefs.available: 1%}
imageGCHighThresholdPercent: 100
END
cat >/etc/ssh/sshd_config <<END
ListenAddress $LAN_ADDRESS
HostKey $pki/box-host
AuthorizedKeysFile $pki/tester-login.pub
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
END
wait='until ip -4 address show dev lan0 2>/dev/null | grep -q inet; do sleep 0.1; done'
service sshd /usr/sbin/sshd -D -e
service containerd containerd
wait='until [ -S /run/containerd/containerd.sock ]; do sleep 0.1; done'
service kubelet kubelet --config=/etc/kubelet.yaml --kubeconfig=$pki/kubelet.kubeconfig \
    --hostname-override="$NODE_NAME" --node-ip="$WAN_ADDRESS" \
    --node-labels=acme.example/hall=7
run_services
