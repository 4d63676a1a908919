#!/usr/bin/env bash
# Two gateways at full load for a while, with rekeys, reloads and sessions that come and go: memory stays flat, no frame is
# kept, the counters agree. Two minutes in ./test; an hour by hand.
# Needs root, iproute2, iperf3, python3. Usage: soak.sh PATH_OF_LOCKGATE [SECONDS] [PICTURE.svg]
#
#   host ska ── lan (sga) wan ── 192.0.2.0/24 ── wan (sgb) lan ── host skb
#   10.1.0.5         192.0.2.1               192.0.2.2           10.2.0.5 by IKEv2 and ESP in UDP, 10.4.0.5 by SNAT
set -uo pipefail
PICTURE=${3:+$(realpath "$3")}
cd "$(dirname "$0")"
. ./common.sh
begin "${1:-}" "ip iperf3 python3" "iproute2 iperf3 python3" ska sga sgb skb
LENGTH=${2:-120}
[ "$LENGTH" -ge 120 ] || { echo "soak.sh needs 120 s or more: tables fill in the first half minute" >&2; exit 1; }
link sga lan ska eth0; link sga wan sgb wan; link sgb lan skb eth0
for ns in sga sgb; do for dev in lan wan; do in_ns $ns sysctl -qw "net.ipv6.conf.$dev.disable_ipv6=1"; in_ns $ns ip link set $dev up; done; done
in_ns ska ip addr add 10.1.0.5/24 dev eth0; in_ns ska ip link set eth0 up; in_ns ska ip route add default via 10.1.0.1
for net in 2 4; do in_ns skb ip addr add 10.$net.0.5/24 dev eth0; done
in_ns skb ip link set eth0 up; in_ns skb ip route add default via 10.2.0.1
# sessions that come and go leave their ports behind for a minute; the hosts are to have enough
for ns in ska skb; do in_ns $ns sysctl -qw net.ipv4.tcp_tw_reuse=1 net.ipv4.ip_local_port_range="1024 65000"; done

# NAME OWN PEER OWN_NET PEER_NET LAN_ADDRESSES
gateway() {
  cat <<T
hostname = "$1"
[control]
socket = "$WORK/$1.sock"
[timeouts]
tcp-fin-wait = "5s"
tcp-time-wait = "5s"
udp = "10s"
udp-one-way = "10s"
[[port]]
name = "lan"
[[port]]
name = "wan"
[[interface]]
name = "wan"
port = "wan"
address = "$2/24"
zone = "out"
[[interface]]
name = "lan"
port = "lan"
address = [$6]
zone = "in"
[[phase1]]
name = "peer"
local = "$2"
remote = "$3"
psk = "soak-0123456789abcdef"
force-encapsulation = true
[[ipsec]]
name = "net"
phase1 = "peer"
selectors = [{ local = "$4", remote = "$5" }]
zone = "vpn"
[[policy]]
id = 1
from = "in"
to = "out"
action = "allow"
nat = "interface"
[[policy]]
id = 2
from = ["in", "vpn", "out"]
to = ["in", "vpn"]
action = "allow"
T
}
gateway a 192.0.2.1 192.0.2.2 10.1.0.0/24 10.2.0.0/24 '"10.1.0.1/24"' > "$WORK/a.toml"
printf '[[route]]\nto = "10.4.0.0/24"\nvia = "192.0.2.2"\n' >> "$WORK/a.toml"
gateway b 192.0.2.2 192.0.2.1 10.2.0.0/24 10.1.0.0/24 '"10.2.0.1/24", "10.4.0.1/24"' > "$WORK/b.toml"
gateways sg a b
tunnel_is_up() { ask "$1" show tunnels --json | grep -q '"state":"up"'; }
for name in a b; do check "the tunnel of $name is up" until_ok 20 tunnel_is_up $name; done
for port in 5201 5202; do ip netns exec skb iperf3 -s -p $port >/dev/null 2>&1 & BACKGROUND+=($!); done
ip netns exec skb python3 soak.py echo >/dev/null 2>&1 & BACKGROUND+=($!)
for port in 5201 5202 9000; do check "the server listens on $port" until_ok 5 in_ns skb python3 -c "import socket; socket.create_connection(('10.2.0.5', $port)).close()"; done

python3 soak.py run "$LOCKGATE" "$WORK" "$LENGTH" ${PICTURE:+"$PICTURE"} > "$WORK/verdicts" &
check "the run comes to its end" wait $!
while IFS=$'\t' read -r word name seen; do
  printf '%s\n' "$seen" > "$WORK/out"
  if [ "$word" = ok ]; then passed "$name: $seen"; else failed "$name"; fi
done < "$WORK/verdicts"
finish || { for name in a b; do tail -n 20 "$WORK/$name.log"; done; exit 1; }
