#!/usr/bin/env bash
# What a gateway adds to the way there and back: pings between two hosts on veth pairs, with nothing in between but a bridge of the kernel, through
# the kernel's forwarding with masquerading, and through Lockgate with source NAT by AF_PACKET and by AF_XDP, each asleep between two pings and with
# `busy-poll`, in turns in one run. Added is what a percentile is above that of the bridge in the same round.
# Needs root, iproute2, iputils-ping, nftables, ethtool, python3. Usage: latency.sh PATH_OF_LOCKGATE [ROUNDS] [PINGS]
#
#   host plc ── lan (plg) wan ── host pls
#   10.1.0.5                     10.2.0.5, and 10.1.0.6 for the bridge
set -uo pipefail
cd "$(dirname "$0")"
. ../../tests/netns/common.sh
begin "${1:-}" "ip ping nft ethtool python3" "iproute2 iputils-ping nftables ethtool python3" plc plg pls
ROUNDS=${2:-5} PINGS=${3:-3000}
link plg lan plc eth0; link plg wan pls eth0
for ns in plc plg pls; do in_ns $ns sysctl -qw net.ipv6.conf.all.disable_ipv6=1; done
for dev in lan wan; do in_ns plg ip link set $dev up; done
in_ns plc ip addr add 10.1.0.5/24 dev eth0; in_ns plc ip link set eth0 up; in_ns plc ip route add default via 10.1.0.1
in_ns pls ip addr add 10.2.0.5/24 dev eth0; in_ns pls ip addr add 10.1.0.6/32 dev eth0; in_ns pls ip link set eth0 up
in_ns pls ip route add 10.1.0.0/24 dev eth0
for ns in plc pls; do in_ns $ns ethtool -K eth0 tx off > /dev/null; done
config() {
  printf 'hostname = "gateway"\n[control]\nsocket = "%s"\n' "$WORK/gateway.sock"
  for port in lan wan; do printf '[[port]]\nname = "%s"\nkind = "%s"\n' $port "$1"; done
  printf '[[interface]]\nname = "lan"\nport = "lan"\naddress = "10.1.0.1/24"\nzone = "in"\n[[interface]]\nname = "wan"\nport = "wan"\naddress = "10.2.0.1/24"\nzone = "out"\n'
  printf '[[policy]]\nid = 1\nfrom = "in"\nto = "out"\naction = "allow"\nnat = "interface"\n'
  printf '[limits]\nbusy-poll = %s\n' "$2"
}
lockgate() {
  config "$1" "$2" > "$WORK/gateway.toml"
  ip netns exec plg "$LOCKGATE" run --config "$WORK/gateway.toml" > "$WORK/gateway.log" 2>&1 & GATEWAY=$!; BACKGROUND+=("$GATEWAY")
}
stop_lockgate() { kill "$GATEWAY"; wait "$GATEWAY" 2>/dev/null; }
start_packet() { lockgate packet 0; }
start_xdp() { lockgate xdp 0; }
start_packet-polling() { lockgate packet 10000; }
start_xdp-polling() { lockgate xdp 10000; }
for by in packet xdp packet-polling xdp-polling; do eval "stop_$by() { stop_lockgate; }"; done
start_kernel() {
  in_ns plg ip addr add 10.1.0.1/24 dev lan; in_ns plg ip addr add 10.2.0.1/24 dev wan; in_ns plg sysctl -qw net.ipv4.ip_forward=1
  in_ns plg nft 'table ip nat { chain out { type nat hook postrouting priority 100; oifname "wan" masquerade; }; }'
}
stop_kernel() { in_ns plg nft flush ruleset; in_ns plg sysctl -qw net.ipv4.ip_forward=0; for dev in lan wan; do in_ns plg ip addr flush dev $dev; done; }
start_bridge() { in_ns plg ip link add name middle type bridge; for dev in lan wan; do in_ns plg ip link set $dev master middle; done; in_ns plg ip link set middle up; }
stop_bridge() { in_ns plg ip link del middle; }
echo "$(awk -F: '/model name/ { print $2; exit }' /proc/cpuinfo | xargs), $(nproc) cores, Linux $(uname -r); $ROUNDS rounds of $PINGS pings of 56 bytes, one every 2 ms"
for round in $(seq "$ROUNDS"); do
  for by in bridge kernel packet packet-polling xdp xdp-polling; do
    printf '\rround %s of %s: %-15s' "$round" "$ROUNDS" "$by" >&2
    [ $by = bridge ] && target=10.1.0.6 || target=10.2.0.5
    start_$by
    in_ns plc ip neigh flush all; in_ns pls ip neigh flush all
    until_ok 15 in_ns plc ping -c 1 -W 1 $target || { echo "no ping by $by" >&2; cat "$WORK/gateway.log" >&2; exit 1; }
    in_ns plc ping -i 0.002 -c "$PINGS" $target > "$WORK/pings"
    sed -n "s/.*time=\([0-9.]*\) ms.*/$round $by \1/p" "$WORK/pings" >> "$WORK/results"
    stop_$by
  done
done
printf '\r%40s\r' '' >&2
python3 - "$WORK/results" <<'P'
import statistics, sys
rounds = {}
for line in open(sys.argv[1]):
    number, by, time = line.split()
    rounds.setdefault(by, {}).setdefault(number, []).append(float(time) * 1000)
cuts = {by: {number: statistics.quantiles(times, n=100) for number, times in of.items()} for by, of in rounds.items()}
form = "{:<16}{:>12}{:>12}{:>16}{:>16}"
print(form.format("", "p50 µs", "p99 µs", "added p50 µs", "added p99 µs"))
for by, of in cuts.items():
    there = [statistics.median(cut[at] for cut in of.values()) for at in (49, 98)]
    added = [statistics.median(cut[at] - cuts["bridge"][number][at] for number, cut in of.items()) for at in (49, 98)]
    print(form.format(by, *("%.0f" % value for value in there + added)))
P
