#!/bin/sh
# Makes what the first start of compose.yaml needs: an authority of this site, and a certificate for the
# broker, the box, a listener and an operator. What is there already stays.
#
#   sudo ./certificates.sh BOX [FOLDER]
#
# BOX is `device.id` of edge.yaml. FOLDER is ./certificates unless it is given. Keep FOLDER/ca.key
# elsewhere afterwards: whoever has it can make a box.
set -eu
umask 077

fail() { echo "certificates.sh: $1" >&2; exit 2; }

case $# in 1 | 2) ;; *) fail "expected the box's device.id, and perhaps a folder" ;; esac
box=$1
folder=${2:-$(dirname "$0")/certificates}
case $box in
    listener | operator | homeassistant | mosquitto | box | ca)
        fail "$box: expected the name of a box, found one that has another meaning" ;;
    "" | [!A-Za-z0-9]* | *[!A-Za-z0-9_.-]*)
        fail "$box: expected letters, digits, _ . and -, as in device.id" ;;
esac
[ ${#box} -le 64 ] || fail "$box: expected at most 64 letters"
command -v openssl >/dev/null || fail "expected openssl; install it with: apt-get install openssl"

# The users of the two images; only root can give files to them.
broker_user=1883 box_user=980
give() { if [ "$(id -u)" = 0 ]; then chown -R "$1" "$2"; fi; }

days=3650
mkdir -p "$folder/mosquitto" "$folder/edge" "$folder/clients"
chmod 755 "$folder"

if [ -e "$folder/ca.crt" ] && [ ! -e "$folder/ca.key" ]; then
    fail "$folder: expected ca.key beside ca.crt, found none; bring it back for this run"
fi
if [ ! -e "$folder/ca.crt" ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -sha256 -days $days \
        -subj "/CN=authority of this site" -keyout "$folder/ca.key" -out "$folder/ca.crt.new" \
        -addext "basicConstraints=critical,CA:TRUE,pathlen:0" \
        -addext "keyUsage=critical,keyCertSign,cRLSign" 2>/dev/null
    mv "$folder/ca.crt.new" "$folder/ca.crt"
fi

# certificate NAME PATH PURPOSE SAN: PATH.key and PATH.crt
certificate() {
    if [ -e "$2.crt" ]; then return; fi
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -sha256 -subj "/CN=$1" \
        -keyout "$2.key" -out "$2.csr" 2>/dev/null
    printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=%s\n%s' \
        "$3" "$4" >"$2.ext"
    openssl x509 -req -in "$2.csr" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" -CAcreateserial \
        -CAserial "$folder/ca.serial" -sha256 -days $days -extfile "$2.ext" -out "$2.crt.new" 2>/dev/null
    rm "$2.csr" "$2.ext"
    mv "$2.crt.new" "$2.crt"
}

certificate mosquitto "$folder/mosquitto/server" serverAuth "subjectAltName=DNS:mosquitto,DNS:localhost,IP:127.0.0.1"
certificate "$box" "$folder/edge/$box" clientAuth ""
certificate listener "$folder/clients/listener" clientAuth ""
certificate operator "$folder/clients/operator" clientAuth ""
for part in mosquitto edge clients; do cp "$folder/ca.crt" "$folder/$part/ca.crt"; done
# The box of compose.yaml is the first one.
[ -e "$folder/edge/box.crt" ] || ln -sn "$box.crt" "$folder/edge/box.crt"
[ -e "$folder/edge/box.key" ] || ln -sn "$box.key" "$folder/edge/box.key"
give "$broker_user:$broker_user" "$folder/mosquitto"
give "$box_user:$box_user" "$folder/edge"

echo "$folder: certificates of the broker, of $box, and of the clients listener and operator"
[ "$(id -u)" = 0 ] || echo "not root: give $folder/mosquitto to user $broker_user and $folder/edge to user $box_user"
