#!/usr/bin/env bash
# The gateway between two hosts in network namespaces, on veth pairs: by AF_PACKET with their default offloads, or by AF_XDP
# (`xdp`), which has none, so that the hosts finish their checksums.
# Needs root, iproute2, ping, traceroute, curl, iperf3, python3, ethtool. Usage: run.sh PATH_OF_LOCKGATE [packet|xdp]
#
#   host lgc ── lan (lgg) gateway (lgg) wan ── host lgs
#   10.1.0.5                 10.1.0.1 203.0.113.1              203.0.113.9
#   2001:db8:1::5        2001:db8:1::1 2001:db8:2::1        2001:db8:2::9
set -uo pipefail
cd "$(dirname "$0")"
. ./common.sh
SOCKET=$WORK/ctl.sock
KIND=${2:-packet}
begin "${1:-}" "ip ping traceroute curl iperf3 python3 ethtool" "iproute2 iputils-ping traceroute curl iperf3 python3 ethtool" lgc lgg lgs

in_c() { ip netns exec lgc "$@"; }
in_g() { ip netns exec lgg "$@"; }
in_s() { ip netns exec lgs "$@"; }
lg() { in_g "$LOCKGATE" --socket "$SOCKET" "$@"; }

ip link add lan netns lgg type veth peer name eth0 netns lgc
ip link add wan netns lgg type veth peer name eth0 netns lgs
# The gateway's kernel must stay out of it: no addresses, no forwarding.
for dev in lan wan; do in_g sysctl -qw net.ipv6.conf.$dev.disable_ipv6=1; in_g ip link set $dev up; done
in_c ip addr add 10.1.0.5/24 dev eth0; in_c ip addr add 2001:db8:1::5/64 dev eth0 nodad; in_c ip link set eth0 up
in_s ip addr add 203.0.113.9/24 dev eth0; in_s ip addr add 2001:db8:2::9/64 dev eth0 nodad; in_s ip link set eth0 up
in_c ip route add default via 10.1.0.1; in_c ip -6 route add default via 2001:db8:1::1
in_s ip route add 198.51.100.0/24 via 203.0.113.1; in_s ip -6 route add 2001:db8:1::/64 via 2001:db8:2::1

sed "s#@SOCKET@#$SOCKET#; s#^\[\[port\]\]#&\nkind = \"$KIND\"#" gateway.toml > "$WORK/gateway.toml"
[ "$KIND" != xdp ] || for ns in lgc lgs; do in_ns $ns ethtool -K eth0 tx off > /dev/null; done
cp "$WORK/gateway.toml" "$WORK/started.toml"
check "configuration is valid" "$LOCKGATE" check "$WORK/gateway.toml"
ip netns exec lgg "$LOCKGATE" run --config "$WORK/gateway.toml" >"$WORK/daemon.log" 2>&1 &
DAEMON=$!; BACKGROUND+=($DAEMON)
check "daemon answers on its socket" until_ok 20 lg show system
[ -z "${WORKERS:-}" ] || has "there are $WORKERS workers" "[^0-9]$WORKERS workers" lg show engines

ip netns exec lgs python3 -m http.server --bind :: 8080 --directory "$WORK" >/dev/null 2>&1 & BACKGROUND+=($!)
ip netns exec lgs python3 -m http.server --bind :: 8081 --directory "$WORK" >/dev/null 2>&1 & BACKGROUND+=($!)
ip netns exec lgc python3 -m http.server --bind :: 80 --directory "$WORK" >/dev/null 2>&1 & BACKGROUND+=($!)
ip netns exec lgs iperf3 -s >/dev/null 2>&1 & BACKGROUND+=($!)
head -c 3000000 /dev/urandom > "$WORK/blob"
sum() { md5sum < "$1" | cut -d' ' -f1; }
fetch() { local where=$1 url=$2; "$where" curl -gsS -m 10 -o "$WORK/got.$$" "$url" && [ "$(sum "$WORK/got.$$")" = "$(sum "$WORK/blob")" ]; }
until_ok 5 in_s curl -gsS -m 1 -o /dev/null 'http://[::1]:8080/blob'
until_ok 5 in_c curl -gsS -m 1 -o /dev/null 'http://[::1]:80/blob'

echo "== the gateway itself"
check "ping the gateway, IPv4" in_c ping -c 2 -W 2 10.1.0.1
check "ping the gateway, IPv6" in_c ping -c 2 -W 2 2001:db8:1::1

echo "== through the gateway"
check "ping, IPv4 through SNAT" in_c ping -c 3 -i 0.2 -W 2 203.0.113.9
check "ping, IPv6" in_c ping -c 3 -i 0.2 -W 2 2001:db8:2::9
check "ping with 4000 bytes (fragments)" in_c ping -c 2 -s 4000 -W 2 203.0.113.9
check "ping with 4000 bytes (fragments), IPv6" in_c ping -c 2 -s 4000 -W 2 2001:db8:2::9
check "curl, IPv4 through SNAT, checksummed" fetch in_c http://203.0.113.9:8080/blob
check "curl, IPv6, checksummed" fetch in_c 'http://[2001:db8:2::9]:8080/blob'
check "curl, VIP with port forward, checksummed" fetch in_s http://198.51.100.10:8088/blob
refuse "curl to the denied port" in_c curl -gsS -m 2 http://203.0.113.9:8081/blob
refuse "curl to the denied port, IPv6" in_c curl -gsS -m 2 'http://[2001:db8:2::9]:8081/blob'
has "traceroute shows the gateway, IPv4" '10\.1\.0\.1' in_c traceroute -n -q 1 -w 2 -m 4 203.0.113.9
has "traceroute arrives, IPv4" '203\.0\.113\.9 .*ms' in_c traceroute -n -q 1 -w 2 -m 4 203.0.113.9
has "traceroute shows the gateway, IPv6" '2001:db8:1::1' in_c traceroute -6 -n -q 1 -w 2 -m 4 2001:db8:2::9

echo "== iperf3, with trace and explain on the running flows"
iperf() { in_c iperf3 -J -t 3 "$@" > "$WORK/iperf.json" 2>&1; }
for options in "-c 203.0.113.9" "-R -c 203.0.113.9" "-c 2001:db8:2::9" "-R -c 2001:db8:2::9"; do
  # shellcheck disable=SC2086
  check "iperf3 $options" iperf $options
  printf '        %s\n' "$(gbps 2>/dev/null)"
done
ip netns exec lgc iperf3 -t 6 -c 203.0.113.9 >"$WORK/iperf.log" 2>&1 & IPERF=$!
hitting() { lg show sessions --offload --json 'tcp and dst port 5201' | grep -q '"status":"hitting"'; }
check "the flow becomes hitting" until_ok 4 hitting
has "explain session names policy and tier" 'lan-out' lg explain session 'tcp and dst port 5201'
has "trace of a fast flow" 'fast-path' timeout 10 "$(command -v ip)" netns exec lgg "$LOCKGATE" --socket "$SOCKET" trace --count 3 'tcp and dst port 5201'
echo "== reload while iperf3 runs"
sed -i 's/^# marker.*/# marker changed\n[[policy]]\nid = 7\nname = "extra"\nfrom = "inside"\nto = "outside"\nservice = "tcp\/9999"\naction = "deny"/' "$WORK/gateway.toml"
check "reload" lg reload
wait $IPERF; STATUS=$?
check "iperf3 survived the reload" [ $STATUS = 0 ]
has "the change shows as a demotion" 'policy-changed' lg show offload reasons
echo "policy = nonsense" >> "$WORK/gateway.toml"
refuse "a broken configuration is refused" lg reload
check "and the old one still runs" in_c ping -c 1 -W 2 203.0.113.9

echo "== what the gateway says"
has "deny is counted" 'policy-deny' lg show counters
has "SNAT shows in sessions" '203\.0\.113\.10[01]' lg show sessions 'icmp or tcp'
has "simulate ends with the offload verdict" 'offload' lg trace --simulate 'tcp 10.1.0.5:40000 -> 203.0.113.9:443 in lan'
has "simulate of the denied port names the policy" 'no-telnet' lg trace --simulate 'tcp 10.1.0.5:40000 -> 203.0.113.9:8081 in lan'
has "policy lookup" 'lan-out' lg policy lookup 'tcp 10.1.0.5:40000 -> 203.0.113.9:443 in lan'
for what in ports interfaces sessions policies routes neighbours 'nat vip' 'nat pools' engines 'offload reasons' counters system; do
  # shellcheck disable=SC2086
  check "show $what" lg show $what
  # shellcheck disable=SC2086
  has "show $what --json" '"schema":1' lg show $what --json
done
has "the ports are of kind $KIND" "lan +$KIND .* up" lg show ports
if [ "$KIND" = xdp ]; then
  echo "== the device goes, the process dies"
  redirected() { in_g ip -d link show dev "$1" | grep -q prog/xdp; }
  check "a program is at the device" redirected lan
  in_g ip link del lan
  check "a lost device is seen" until_ok 5 eval 'lg show ports | grep -qE "lan +xdp .* gone"'
  ip link add lan netns lgg type veth peer name eth0 netns lgc
  in_g sysctl -qw net.ipv6.conf.lan.disable_ipv6=1; in_g ip link set lan up
  in_c ip addr add 10.1.0.5/24 dev eth0; in_c ip link set eth0 up; in_c ip route add default via 10.1.0.1; in_c ethtool -K eth0 tx off > /dev/null
  check "its like is taken instead" until_ok 10 in_c ping -c 1 -W 1 203.0.113.9
  check "a program is at it" redirected lan
  kill -9 "$DAEMON"; wait "$DAEMON" 2>/dev/null
  refuse "none is left when the process is killed" redirected lan
  ip netns exec lgg "$LOCKGATE" run --config "$WORK/started.toml" >"$WORK/daemon.log" 2>&1 & DAEMON=$!; BACKGROUND+=($DAEMON)
  check "the next one finds its ports" until_ok 20 in_c ping -c 1 -W 1 203.0.113.9
fi
check "clear sessions" lg clear sessions 'icmp'
check "events" lg events
gone() { ! kill -0 "$DAEMON" 2>/dev/null; }
kill -TERM "$DAEMON"
check "daemon stops cleanly on SIGTERM" until_ok 5 gone
has "an unreachable daemon has its own message" 'lockgate run|not running|unreachable|no daemon' lg show ports

if [ $FAILED != 0 ]; then echo; echo "daemon log:"; tail -20 "$WORK/daemon.log"; fi
finish
