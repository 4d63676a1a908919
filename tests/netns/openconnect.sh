# Sourced after common.sh by what tests remote access: clients beside the gateway, its certificate, openconnect's script.
#
#   switch GATEWAY CLIENT...        the gateway's port `wan` and clients on a bridge in its namespace; the Nth client is 198.51.100.1N
#   authority                       a CA in $WORK: ca.pem, ca.key
#   issue NAME SUBJECT EXTENSIONS   NAME.pem and NAME.key by it
#   gateway_certificate             gw.pem for gw.test and 198.51.100.1
#   pin NAME                        what openconnect takes for the certificate NAME.pem
#   client_script                   writes $WORK/vpnc.sh: address and a route to 10.1.0.0/24, no DNS
#   begin_config [lan]              the beginning of a configuration: control socket, `wan` at 198.51.100.1, `lan` at 10.1.0.1 if asked for
switch() {
  local gw=$1 n=0 client dev; shift
  in_ns "$gw" ip link add wan type veth peer name wanbr
  in_ns "$gw" ip link add name sw type bridge; in_ns "$gw" ip link set sw up; in_ns "$gw" ip link set wanbr master sw up
  for client in "$@"; do
    n=$((n + 1))
    link "$gw" "c$n" "$client" eth0
    in_ns "$gw" ip link set "c$n" master sw up
    in_ns "$client" ip addr add "198.51.100.1$n/24" dev eth0; in_ns "$client" ip link set eth0 up
  done
  for dev in wan wanbr sw; do in_ns "$gw" sysctl -qw "net.ipv6.conf.$dev.disable_ipv6=1"; in_ns "$gw" ip link set $dev up; done
}
authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$WORK/ca.key" -out "$WORK/ca.pem" -days 30 -subj "/CN=Test CA" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign,cRLSign 2>/dev/null
}
issue() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$WORK/$1.key" -out "$WORK/$1.csr" -subj "$2" 2>/dev/null
  printf '%b' "$3" > "$WORK/$1.ext"
  openssl x509 -req -in "$WORK/$1.csr" -CA "$WORK/ca.pem" -CAkey "$WORK/ca.key" -CAcreateserial -days 30 -extfile "$WORK/$1.ext" -out "$WORK/$1.pem" 2>/dev/null
}
gateway_certificate() { issue gw /CN=gw.test 'subjectAltName=DNS:gw.test,IP:198.51.100.1\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth\n'; }
pin() { printf 'pin-sha256:'; openssl x509 -in "$WORK/$1.pem" -pubkey -noout | openssl pkey -pubin -outform der 2>/dev/null | openssl dgst -sha256 -binary | base64; }
client_script() {
  cat > "$WORK/vpnc.sh" <<'T'
#!/bin/sh
case "$reason" in connect|reconnect)
  ip link set dev "$TUNDEV" up mtu "${INTERNAL_IP4_MTU:-1400}"
  ip addr replace "$INTERNAL_IP4_ADDRESS/32" dev "$TUNDEV"
  ip route replace 10.1.0.0/24 dev "$TUNDEV" ;; esac
T
  chmod +x "$WORK/vpnc.sh"
}
begin_config() {
  printf 'hostname = "a"\n[control]\nsocket = "%s/a.sock"\n' "$WORK"
  printf '[[port]]\nname = "wan"\n[[interface]]\nname = "outside"\nport = "wan"\naddress = "198.51.100.1/24"\n'
  [ "${1:-}" != lan ] || printf '[[port]]\nname = "lan"\n[[interface]]\nname = "inside"\nport = "lan"\naddress = "10.1.0.1/24"\n'
}
