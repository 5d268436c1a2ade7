#!/bin/sh
# Makes the certificates of the tests anew: an authority and a server at localhost, good for 100 years.
set -eu
cd "$(dirname "$0")"
key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256; }
key >ca.key
openssl req -x509 -new -key ca.key -days 36500 -subj '/CN=Skiff test authority' -out ca.pem
key >server.key
openssl req -new -key server.key -subj '/CN=localhost' | openssl x509 -req -CA ca.pem -CAkey ca.key \
    -days 36500 -out server.pem -extfile /dev/fd/3 3<<'EOF'
subjectAltName = DNS:localhost, DNS:*.skiff.test, IP:127.0.0.1
extendedKeyUsage = serverAuth
basicConstraints = critical, CA:false
EOF
rm ca.key
