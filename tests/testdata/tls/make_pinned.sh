#!/bin/sh
# Makes the certificates that the tests pin, and the weak ones: sh tests/testdata/tls/make_pinned.sh
# They need none of those that make.sh makes.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

newkey() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }

# self NAME OPTION…: a self-signed certificate that says CA:TRUE, as `openssl req -x509` makes them
self() {
  name=$1
  shift
  newkey "$name.key"
  openssl req -x509 -new -key "$name.key" -out "$name.pem" -days 36500 "$@"
}
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
# expired NAME OPTION…: a self-signed certificate of 2020
expired() {
  name=$1
  shift
  newkey "$name.key"
  openssl req -new -key "$name.key" -out "$work/$name.csr" -subj "/CN=box.example" "$@"
  openssl ca -batch -notext -config "$work/ca.cnf" -selfsign -keyfile "$name.key" \
    -in "$work/$name.csr" -out "$name.pem" -startdate 20200101000000Z -enddate 20210101000000Z
}
# A server's: its names are others, and it has expired. The second one has no subjectAltName.
expired own -addext "subjectAltName=DNS:box.example" -addext "basicConstraints=critical,CA:TRUE"
expired old -addext "basicConstraints=critical,CA:TRUE"
# Of the same names, but another key.
self twin -subj "/CN=box.example" -addext "subjectAltName=DNS:box.example"
# A mail bridge's: a CA's in all respects, that is used by a server.
self bridge -subj "/CN=127.0.0.1" -addext "subjectAltName=IP:127.0.0.1" \
  -addext "keyUsage=digitalSignature,keyCertSign" -addext "extendedKeyUsage=serverAuth"
# Without a subjectAltName: a server's of the old kind, or a CA's.
openssl genrsa -out root.key 2048
openssl req -x509 -new -key root.key -out root.pem -days 36500 -subj "/CN=localhost"
# A CA's of too short a key.
openssl genrsa -out "$work/short.key" 1024
openssl req -x509 -new -key "$work/short.key" -out short.pem -days 36500 -subj "/CN=Short CA"

# leaf NAME CA-KEY CA EXTENSIONS OPTION…: a certificate signed by another
leaf() {
  name=$1 key=$2 ca=$3
  printf '%b' "$4" > "$work/extensions"
  shift 4
  newkey "$name.key"
  openssl req -new -key "$name.key" -out "$work/$name.csr" -subj "/CN=$name"
  openssl x509 -req -in "$work/$name.csr" -CA "$ca" -CAkey "$key" -out "$name.pem" -days 36500 \
    -extfile "$work/extensions" "$@"
}
names="subjectAltName=DNS:localhost,IP:127.0.0.1\n"
leaf forged own.key own.pem "$names"
leaf issued root.key root.pem "$names"
leaf sha1 root.key root.pem "$names" -sha1
leaf nameless root.key root.pem "basicConstraints=CA:FALSE\n"
leaf client root.key root.pem "${names}extendedKeyUsage=clientAuth\n"
leaf weak "$work/short.key" short.pem "$names"
newkey v1.key
openssl req -new -key v1.key -out "$work/v1.csr" -subj "/CN=localhost"
openssl x509 -req -in "$work/v1.csr" -signkey v1.key -out v1.pem -days 36500
