#!/bin/sh
# First process of the control plane's machine; ADDRESS is its own. Keys are in /etc/acme.
set -eu
pki=/etc/acme
# shellcheck source=service.sh
. /opt/lab/service.sh

mkdir -p /var/lib/kine
wait='until ip -4 address show dev eth0 2>/dev/null | grep -q inet; do sleep 0.1; done'
service kine kine --listen-address=unix:///run/kine.sock --metrics-bind-address=0 \
    "'--endpoint=sqlite:///var/lib/kine/state.db?_journal=WAL&_busy_timeout=30000'"
wait='until [ -S /run/kine.sock ]; do sleep 0.1; done'
service kube-apiserver kube-apiserver --etcd-servers=unix:///run/kine.sock \
    --advertise-address="$ADDRESS" --secure-port=6443 --service-cluster-ip-range=10.97.0.0/16 \
    --client-ca-file=$pki/ca.crt \
    --tls-cert-file=$pki/apiserver.crt --tls-private-key-file=$pki/apiserver.key \
    --kubelet-certificate-authority=$pki/ca.crt \
    --kubelet-client-certificate=$pki/apiserver-to-kubelet.crt \
    --kubelet-client-key=$pki/apiserver-to-kubelet.key \
    --service-account-issuer=https://kubernetes.default.svc \
    --service-account-key-file=$pki/service-accounts.pub \
    --service-account-signing-key-file=$pki/service-accounts.key \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
    --anonymous-auth=false
wait="until ss -Hltn | grep -q ':6443 '; do sleep 0.1; done"
# A node is given up after 20 s rather than 50, so that AUT-005 need not wait so long.
service kube-controller-manager kube-controller-manager \
    --kubeconfig=$pki/controller-manager.kubeconfig \
    --authentication-kubeconfig=$pki/controller-manager.kubeconfig \
    --authorization-kubeconfig=$pki/controller-manager.kubeconfig \
    --root-ca-file=$pki/ca.crt --service-account-private-key-file=$pki/service-accounts.key \
    --use-service-account-credentials --node-monitor-grace-period=20s --leader-elect=false
service kube-scheduler kube-scheduler --kubeconfig=$pki/scheduler.kubeconfig \
    --authentication-kubeconfig=$pki/scheduler.kubeconfig \
    --authorization-kubeconfig=$pki/scheduler.kubeconfig --leader-elect=false
run_services
