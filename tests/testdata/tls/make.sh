#!/bin/sh
# Makes the certificates of the tests anew: sh tests/testdata/tls/make.sh
# One CA, and leaves that are right, for another name, expired, and signed by nobody.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

newkey() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }

newkey "$work/ca.key"
openssl req -x509 -new -key "$work/ca.key" -out ca.pem -days 36500 -subj "/CN=Test CA"
touch "$work/index.txt"
cat > "$work/ca.cnf" <<CNF
[ca]
default_ca = tests
[tests]
database = $work/index.txt
new_certs_dir = $work
rand_serial = yes
default_md = sha256
policy = anything
copy_extensions = copy
unique_subject = no
[anything]
commonName = supplied
CNF

# leaf NAME SUBJECT-ALT-NAMES FROM UNTIL
leaf() {
  newkey "$1.key"
  openssl req -new -key "$1.key" -out "$work/$1.csr" -subj "/CN=$1" \
    -addext "subjectAltName=$2" -addext "basicConstraints=critical,CA:FALSE"
  openssl ca -batch -notext -config "$work/ca.cnf" -cert ca.pem -keyfile "$work/ca.key" \
    -in "$work/$1.csr" -out "$1.pem" -startdate "$3" -enddate "$4"
}
leaf localhost "DNS:localhost,IP:127.0.0.1,IP:::1" 20200101000000Z 21200101000000Z
leaf other "DNS:other.example" 20200101000000Z 21200101000000Z
leaf expired "DNS:localhost,IP:127.0.0.1" 20200101000000Z 20210101000000Z
leaf future "DNS:localhost,IP:127.0.0.1" 21000101000000Z 21200101000000Z

newkey selfsigned.key
openssl req -x509 -new -key selfsigned.key -out selfsigned.pem -days 36500 -subj "/CN=localhost" \
  -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" -addext "basicConstraints=critical,CA:FALSE"
