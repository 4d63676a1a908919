#!/usr/bin/env bash
# Two servers that talk in ESP transport mode, each behind a gateway that does it for them. The SAs and policies are the `ip xfrm`
# commands that the servers would have run themselves, taken by `lockgate sa import`.
# Needs root, iproute2, ping, curl, iperf3, python3, tcpdump. Usage: transport.sh PATH_OF_LOCKGATE
#
#   192.168.1.64 (lts64) ── (ltg64) gateway ══ 203.0.113.0/24 ══ gateway (ltg65) ── (lts65) 192.168.1.65
set -uo pipefail
cd "$(dirname "$0")"
. ./common.sh
begin "${1:-}" "ip ping curl iperf3 python3 tcpdump" "iproute2 iputils-ping curl iperf3 python3 tcpdump" lts64 ltg64 ltg65 lts65

there() { # OWN COMMAND...: asks the gateway of that server
  in_ns "ltg$1" "$LOCKGATE" --socket "$WORK/$1.sock" "${@:2}"
}
key() { printf '0x'; printf '%02x' $(seq "$1" $(($1 + 35))); }
state() { # FROM TO DIRECTION
  echo "ip xfrm state add src 192.168.1.$1/24 dst 192.168.1.$2/24 proto esp spi 0x1000$1 reqid 0x1000$1 mode transport \
    aead 'rfc4106(gcm(aes))' $(key "$1") 128 offload dev eth0 dir $3 sel src 192.168.1.$1 dst 192.168.1.$2"
}
policy() { # FROM TO DIRECTION
  echo "ip xfrm policy add src 192.168.1.$1 dst 192.168.1.$2 dir $3 tmpl src 192.168.1.$1/24 dst 192.168.1.$2/24 proto esp reqid 0x1000$1 mode transport"
}
configuration() { # OWN OTHER
  cat <<T
hostname = "gateway-$1"
[control]
socket = "$WORK/$1.sock"
[[port]]
name = "server"
[[port]]
name = "wire"
[[interface]]
name = "server"
port = "server"
address = "10.$1.0.1/30"
zone = "server"
[[interface]]
name = "wire"
port = "wire"
address = "203.0.113.$1/24"
zone = "wire"
[[route]]
to = "192.168.1.$1/32"
interface = "server"
[[route]]
to = "192.168.1.$2/32"
via = "203.0.113.$2"
[[policy]]
id = 1
from = "server"
to = "to-192.168.1.$2"
action = "allow"
[[policy]]
id = 2
from = "to-192.168.1.$2"
to = "server"
action = "allow"
T
  { state "$1" "$2" out; state "$2" "$1" in; policy "$1" "$2" out; policy "$2" "$1" in; policy "$2" "$1" fwd; } > "$WORK/$1.xfrm"
  "$LOCKGATE" sa import "$WORK/$1.xfrm" 2>/dev/null
}

link ltg64 wire ltg65 wire
for own in 64 65; do
  link ltg$own server lts$own eth0
  for dev in server wire; do in_ns ltg$own sysctl -qw "net.ipv6.conf.$dev.disable_ipv6=1"; in_ns ltg$own ip link set $dev up; done
  in_ns lts$own ip addr add 192.168.1.$own/32 dev eth0; in_ns lts$own ip link set eth0 up
  in_ns lts$own ip addr add 10.$own.0.2/30 dev eth0
  in_ns lts$own ip route add 192.168.1.$((129 - own)) via 10.$own.0.1 src 192.168.1.$own
done
for own in 64 65; do
  configuration $own $((129 - own)) > "$WORK/$own.toml"
  check "the configuration of $own is valid" "$LOCKGATE" check "$WORK/$own.toml"
  ip netns exec ltg$own "$LOCKGATE" run --config "$WORK/$own.toml" >"$WORK/$own.log" 2>&1 & BACKGROUND+=($!)
done
for own in 64 65; do check "the gateway of $own answers" until_ok 20 there $own show system; done
both_up() { there 64 show ports --json | grep -q '"up".*"up"' && there 65 show ports --json | grep -q '"up".*"up"'; }
check "all links are up" until_ok 10 both_up
ip netns exec lts65 python3 -m http.server --directory "$WORK" 8080 >/dev/null 2>&1 & BACKGROUND+=($!)
ip netns exec lts65 iperf3 -s >/dev/null 2>&1 & BACKGROUND+=($!)
ip netns exec ltg65 tcpdump -i wire -w "$WORK/wire.pcap" -U -s 100 not arp >/dev/null 2>&1 & BACKGROUND+=($!)
until_ok 5 test -s "$WORK/wire.pcap"
until_ok 5 in_ns lts65 curl -sS -m 1 -o /dev/null http://127.0.0.1:8080/
head -c 3000000 /dev/urandom > "$WORK/blob"
fetch() { in_ns lts64 curl -sS -m 20 -o "$WORK/got" http://192.168.1.65:8080/blob && cmp "$WORK/got" "$WORK/blob"; }

check "ping" in_ns lts64 ping -c 3 -i 0.2 -W 2 192.168.1.65
check "ping with 4000 bytes (fragments)" in_ns lts64 ping -c 2 -i 0.2 -s 4000 -W 2 192.168.1.65
check "a checksummed transfer" fetch
check "iperf3" in_ns lts64 iperf3 -c 192.168.1.65 -t 2
check "iperf3, the other way" in_ns lts64 iperf3 -c 192.168.1.65 -t 2 -R
for own in 64 65; do
  has "$own: the tunnel is in transport mode and all of it is offloaded" 'transport.* full' there $own show tunnels
  has "$own: SAs have opened packets on the fast path" '"direction":"in".*"status":"hitting"' there $own show sa --json
  has "$own: what is too large is cut after it was sealed" 'after sealing; cut before 0 into 0, after [1-9]' there $own show sa --detail
  refuse "$own: no SA dropped anything" grep -q '"errors":\[{' <(there $own show sa --json)
done
on_the_wire() { tcpdump -nr "$WORK/wire.pcap" "$1" 2>/dev/null; }
has "ESP between the servers' own addresses crossed the wire" 'IP 192.168.1.64 > 192.168.1.65: ESP' on_the_wire esp
refuse "nothing else did" grep -q . <(on_the_wire "not esp")
finish || { tail -n 5 "$WORK"/*.log; there 64 show tunnels; there 64 show sa --detail; there 64 show counters; exit 1; }
