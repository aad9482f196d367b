#!/bin/bash
# Keys and certificates of the lab's cluster, by openssl, and the kubeconfigs that carry them.
#   certificates.sh FOLDER HEAD_ADDRESS BOX_NAME BOX_ADDRESS
set -euo pipefail
cd "$1"
head=$2 box=$3 box_address=$4

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }

# sign NAME SUBJECT [SUBJECT_ALTERNATIVE_NAMES]
sign() {
    key "$1"
    {
        printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n'
        printf 'extendedKeyUsage=clientAuth%s\n' "${3:+,serverAuth}"
        if [ -n "${3:-}" ]; then printf 'subjectAltName=%s\n' "$3"; fi
    } >"$1.ext"
    openssl req -new -key "$1.key" -subj "$2" |
        openssl x509 -req -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -sha256 \
            -extfile "$1.ext" -out "$1.crt" 2>/dev/null
}

# access NAME: a kubeconfig that carries everything
access() {
    cat >"$1.kubeconfig" <<END
apiVersion: v1
kind: Config
current-context: lab
contexts: [{name: lab, context: {cluster: lab, user: $1}}]
clusters:
  - name: lab
    cluster:
      server: https://$head:6443
      certificate-authority-data: $(base64 -w0 ca.crt)
users:
  - name: $1
    user:
      client-certificate-data: $(base64 -w0 "$1.crt")
      client-key-data: $(base64 -w0 "$1.key")
END
}

umask 077
key ca
openssl req -x509 -new -key ca.key -subj /CN=acme-lab -days 2 -sha256 -out ca.crt \
    -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature
key service-accounts
openssl ec -in service-accounts.key -pubout -out service-accounts.pub 2>/dev/null
sign apiserver /CN=kube-apiserver \
    "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:$head,IP:10.97.0.1"
sign apiserver-to-kubelet /O=system:masters/CN=kube-apiserver-kubelet-client
sign kubelet-server "/O=system:nodes/CN=system:node:$box" "DNS:$box,IP:$box_address"
sign kubelet "/O=system:nodes/CN=system:node:$box"
sign controller-manager /CN=system:kube-controller-manager
sign scheduler /CN=system:kube-scheduler
sign admin /O=system:masters/CN=acme-admin
sign tester /CN=acme-tester
for user in kubelet controller-manager scheduler admin tester; do access "$user"; done
