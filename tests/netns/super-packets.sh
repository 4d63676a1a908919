#!/usr/bin/env bash
# The same bytes with super-packets and without, both ways, over ESP, ESP in UDP and NAT; changed while the gateways run.
# Needs root, iproute2, curl, iperf3, python3. Usage: super-packets.sh PATH_OF_LOCKGATE
#
#   host spc ── lan (spa) wan ── 192.0.2.0/24 ── wan (spb) lan ── host sps
#   10.1.0.5, 10.1.0.130   192.0.2.1        192.0.2.2         10.2.0.5 by ESP, 10.3.0.5 by ESP in UDP, 10.4.0.5 by SNAT
set -uo pipefail
cd "$(dirname "$0")"
. ./common.sh
begin "${1:-}" "ip curl iperf3 python3" "iproute2 curl iperf3 python3" spc spa spb sps
link spa lan spc eth0; link spa wan spb wan; link spb lan sps eth0
for ns in spa spb; do for dev in lan wan; do in_ns $ns sysctl -qw "net.ipv6.conf.$dev.disable_ipv6=1"; in_ns $ns ip link set $dev up; done; done
in_ns spc ip addr add 10.1.0.5/24 dev eth0; in_ns spc ip addr add 10.1.0.130/24 dev eth0; in_ns spc ip link set eth0 up
in_ns spc ip route add default via 10.1.0.1; in_ns spc ip route add 10.3.0.0/24 via 10.1.0.1 src 10.1.0.130
for net in 2 3 4; do in_ns sps ip addr add 10.$net.0.5/24 dev eth0; done
in_ns sps ip link set eth0 up; in_ns sps ip route add default via 10.2.0.1

# NAME ADDRESS PEER: ports, wan and both tunnels, each direction of each with a key of its own.
gateway() {
  local name=$1 own=$2 peer=$3 tunnel out in
  sa() { printf '{ spi = %s, algorithm = "aes256gcm16", key = "%s" }' $((1000 + $1)) "$(printf '%02x' $(seq "$1" $(($1 + 35))))"; }
  printf 'hostname = "%s"\n[control]\nsocket = "%s"\n[[port]]\nname = "lan"\n[[port]]\nname = "wan"\n' "$name" "$WORK/$name.sock"
  printf '[[interface]]\nname = "wan"\nport = "wan"\naddress = "%s/24"\nzone = "out"\n' "$own"
  for tunnel in esp udp; do
    [ $tunnel = esp ] && { out=1; in=41; } || { out=81; in=121; }
    [ "$name" = b ] && { local swap=$out; out=$in; in=$swap; }
    printf '[[interface]]\nname = "vpn-%s"\ntunnel = "%s"\nzone = "vpn"\n' $tunnel $tunnel
    printf '[[ipsec]]\nname = "%s"\nlocal = "%s"\nremote = "%s"\nout = %s\nin = %s\n' $tunnel "$own" "$peer" "$(sa $out)" "$(sa $in)"
    [ $tunnel = udp ] && printf 'udp-encapsulation = true\n'
  done
}
{ gateway a 192.0.2.1 192.0.2.2; cat; } > "$WORK/a.toml" <<'T'
[[interface]]
name = "lan"
port = "lan"
address = "10.1.0.1/24"
zone = "in"
[[route]]
to = "10.2.0.0/24"
interface = "vpn-esp"
[[route]]
to = "10.3.0.0/24"
interface = "vpn-udp"
[[route]]
to = "10.4.0.0/24"
via = "192.0.2.2"
[[policy]]
id = 1
from = "in"
to = "out"
action = "allow"
nat = "interface"
[[policy]]
id = 2
from = "in"
to = "vpn"
action = "allow"
T
{ gateway b 192.0.2.2 192.0.2.1; cat; } > "$WORK/b.toml" <<'T'
[[interface]]
name = "lan"
port = "lan"
address = ["10.2.0.1/24", "10.3.0.1/24", "10.4.0.1/24"]
zone = "in"
[[route]]
to = "10.1.0.0/25"
interface = "vpn-esp"
[[route]]
to = "10.1.0.128/25"
interface = "vpn-udp"
[[policy]]
id = 1
from = ["out", "vpn"]
to = "in"
action = "allow"
T
gateways sp a b

mkdir "$WORK/there"; head -c 20000000 /dev/urandom > "$WORK/there/blob"
ip netns exec sps python3 -m http.server --bind 0.0.0.0 8080 --directory "$WORK/there" >/dev/null 2>&1 & BACKGROUND+=($!)
# Takes what is put, and answers with its digest.
ip netns exec sps python3 - >/dev/null 2>&1 <<'P' & BACKGROUND+=($!)
import hashlib, http.server
class Taker(http.server.BaseHTTPRequestHandler):
    def do_PUT(self):
        digest = hashlib.sha256(self.rfile.read(int(self.headers["content-length"]))).hexdigest().encode()
        self.send_response(200)
        self.send_header("content-length", str(len(digest)))
        self.end_headers()
        self.wfile.write(digest)
http.server.ThreadingHTTPServer(("0.0.0.0", 8081), Taker).serve_forever()
P
for port in 8080 8081; do until_ok 5 in_ns sps python3 -c "import socket; socket.create_connection(('127.0.0.1', $port))"; done
ip netns exec sps iperf3 -s >/dev/null 2>&1 & BACKGROUND+=($!)
iperf() { in_ns spc iperf3 -J -t 2 "$@" > "$WORK/iperf.json" 2>&1; }
DIGEST=$(sha256sum < "$WORK/there/blob" | cut -d' ' -f1)
get() { in_ns spc curl -gsS -m 30 -o "$WORK/got" "http://$1:8080/blob" && [ "$(sha256sum < "$WORK/got" | cut -d' ' -f1)" = "$DIGEST" ]; }
put() { [ "$(in_ns spc curl -gsS -m 30 -H Expect: -T "$WORK/there/blob" "http://$1:8081/blob")" = "$DIGEST" ]; }
# NAME PORT DIRECTION: how many super-packets it has had.
joined() { ask "$1" show ports --json | python3 -c 'import json,sys; print(next(p for p in json.load(sys.stdin)["ports"] if p["name"] == sys.argv[1])[sys.argv[2]]["super_packets"])' "$2" "$3"; }
sent() { local name port sum=0; for name in a b; do for port in lan wan; do sum=$((sum + $(joined $name $port tx))); done; done; echo $sum; }

for state in on off "on again"; do
  echo "== super-packets $state"
  value=$([ "$state" = off ] && echo false || echo true)
  if [ "$state" != on ]; then
    for name in a b; do
      sed -i -e '/^super-packets/d' -e "s/^\[\[port\]\]$/[[port]]\nsuper-packets = $value/" "$WORK/$name.toml"
      check "$name takes it in" ask $name reload
    done
  fi
  before=$(sent) came=$(joined a lan rx)
  for way in "ESP 10.2.0.5" "ESP-in-UDP 10.3.0.5" "SNAT 10.4.0.5"; do
    # shellcheck disable=SC2086
    set -- $way
    check "20 MB to the client over $1 are what was sent" get "$2"
    check "20 MB from the client over $1 are what was sent" put "$2"
    for options in "-c $2" "-R -c $2"; do
      # shellcheck disable=SC2086
      check "iperf3 $options" iperf $options
      printf '        %s\n' "$(gbps 2>/dev/null)"
    done
  done
  if [ "$state" = off ]; then
    check "nothing joined was sent" [ "$(sent)" = "$before" ]
    check "the client's kernel sent joined packets all the same" [ "$(joined a lan rx)" -gt "$came" ]
    refuse "show ports names neither TSO nor USO" sh -c "ip netns exec spa '$LOCKGATE' --socket '$WORK/a.sock' show ports | grep -E 'tso|uso'"
  else
    check "joined packets were sent" [ "$(sent)" -gt "$before" ]
    has "show ports names TSO and USO" 'tso4,tso6,uso' ask a show ports
  fi
done
# What it dropped, by reason, of that what joining and cutting can cause.
lost() { ask "$1" show counters --json | python3 -c '
import json, sys
drops = {row["reason"]["name"]: row["count"] for row in json.load(sys.stdin)["drops"]}
print({name: drops[name] for name in ("super-packet-invalid", "buffers-exhausted", "tcp-checksum-invalid") if name in drops} or "none")'; }
for name in a b; do has "$name has dropped none for being joined or cut" '^none$' lost $name; done
finish
