#!/usr/bin/env bash
# Plain forwarding between two devices by AF_XDP: Lockgate (with its sessions and policies, which testpmd has none of) against DPDK's testpmd
# with net_af_xdp, in turns in one run. UDP of one flow between two hosts on veth pairs; the sender is testpmd with net_af_packet on the other core,
# what arrives is counted by the kernel of the receiving host. Forwarders have a core of their own and the same native copy mode.
# Needs root, two cores, iproute2, ethtool, python3, dpdk. Usage: xdp.sh PATH_OF_LOCKGATE [ROUNDS] [SECONDS]
#
#   testpmd sends (xps) eth0 ── lan (xpg) wan ── eth0 (xpd) counts
#   10.1.0.5                    10.1.0.1 10.2.0.1        10.2.0.5
set -uo pipefail
cd "$(dirname "$0")"
. ../../tests/netns/common.sh
begin "${1:-}" "ip ethtool python3 dpdk-testpmd" "iproute2 ethtool python3 dpdk" xps xpg xpd
ROUNDS=${2:-5} LENGTH=${3:-4}
[ "$(nproc)" -ge 2 ] || { echo "xdp.sh needs two cores: one makes the packets" >&2; exit 1; }
link xpg lan xps eth0; link xpg wan xpd eth0
for ns in xps xpg xpd; do in_ns $ns sysctl -qw net.ipv6.conf.all.disable_ipv6=1; done
for dev in lan wan; do in_ns xpg ip link set $dev up; done
in_ns xps ip link set eth0 up
# The receiving host has no address, so that its kernel drops what comes and answers nothing.
in_ns xpd ip link set eth0 address 02:00:00:00:00:05; in_ns xpd ip link set eth0 up
mac() { in_ns "$1" cat "/sys/class/net/$2/address"; }
LAN=$(mac xpg lan)
cat > "$WORK/gateway.toml" <<T
hostname = "gateway"
[control]
socket = "$WORK/gateway.sock"
[[port]]
name = "lan"
kind = "xdp"
[[port]]
name = "wan"
kind = "xdp"
[[interface]]
name = "lan"
port = "lan"
address = "10.1.0.1/24"
zone = "in"
[[interface]]
name = "wan"
port = "wan"
address = "10.2.0.1/24"
zone = "out"
[[neighbour]]
interface = "wan"
address = "10.2.0.5"
mac = "02:00:00:00:00:05"
[[policy]]
id = 1
from = "in"
to = "out"
action = "allow"
T
mkfifo "$WORK/silence"; exec 9<> "$WORK/silence"
testpmd() { # NAMESPACE CORES NAME OPTIONS... : its process is in PEER
  local ns=$1 cores=$2 name=$3; shift 3
  ip netns exec "$ns" dpdk-testpmd -l "$cores" --main-lcore "${cores%,*}" --no-huge -m 256 --no-pci "--file-prefix=$name-$$" "$@" -i <&9 > "$WORK/$name.log" 2>&1 & PEER=$!
  BACKGROUND+=("$PEER")
  until_ok 20 grep -q 'testpmd>' "$WORK/$name.log" || { cat "$WORK/$name.log" >&2; exit 1; }
}
received() { in_ns xpd cat /sys/class/net/eth0/statistics/rx_packets; }
end() { { kill "$1"; wait "$1"; } 2>/dev/null; }
arrives() { local before; before=$(received); read -rt 0.3 <> <(:); [ "$(received)" -gt $((before + 1000)) ]; }
start_lockgate() { ip netns exec xpg taskset -c 1 "$LOCKGATE" run --config "$WORK/gateway.toml" > "$WORK/gateway.log" 2>&1 & FORWARDER=$!; BACKGROUND+=("$FORWARDER"); }
start_testpmd() { # it has to name the next hop, which it does without looking anything up
  testpmd xpg 0,1 forwarder --vdev net_af_xdp0,iface=lan --vdev net_af_xdp1,iface=wan -- --nb-cores=1 --forward-mode=mac --eth-peer=1,02:00:00:00:00:05 --total-num-mbufs=16384 --auto-start
  FORWARDER=$PEER
}
echo "$(awk -F: '/model name/ { print $2; exit }' /proc/cpuinfo | xargs), $(nproc) cores, Linux $(uname -r), DPDK $(dpkg-query -W -f '${Version}' dpdk); $ROUNDS rounds of $LENGTH s"
for round in $(seq "$ROUNDS"); do
  for length in 60 1414; do
    for by in lockgate testpmd; do
      printf '\rround %s of %s: %s bytes by %-10s' "$round" "$ROUNDS" "$length" "$by" >&2
      "start_$by"
      testpmd xps 1,0 sender --vdev net_af_packet0,iface=eth0,framesz=2048,blocksz=65536 -- --nb-cores=1 --forward-mode=txonly "--txpkts=$length" --tx-ip=10.1.0.5,10.2.0.5 "--eth-peer=0,$LAN" --total-num-mbufs=4096 --auto-start
      SENDER=$PEER
      until_ok 20 arrives || { echo "nothing passes $by" >&2; tail -n 20 "$WORK/gateway.log" "$WORK/forwarder.log" >&2; exit 1; }
      before=$(received) start=$(date +%s.%N); sleep "$LENGTH"
      echo "$length $by $before $(received) $start $(date +%s.%N)" | awk '{ print $1, $2, ($4 - $3) / ($6 - $5) }' >> "$WORK/results"
      end "$SENDER"; end "$FORWARDER"
    done
  done
done
printf '\r%50s\r' '' >&2
python3 - "$WORK/results" <<'P'
import statistics, sys
rows = {}
for line in open(sys.argv[1]):
    length, by, rate = line.split()
    rows.setdefault(int(length), {}).setdefault(by, []).append(float(rate))
form = "{:>6}{:>17}{:>16}{:>8}"
print(form.format("FRAME", "LOCKGATE kpps", "TESTPMD kpps", "RATIO"))
for length, by in rows.items():
    mine, theirs = (statistics.median(by[name]) for name in ("lockgate", "testpmd"))
    ratio = statistics.median(a / b for a, b in zip(by["lockgate"], by["testpmd"]))
    print(form.format(length, "%.0f" % (mine / 1e3), "%.0f" % (theirs / 1e3), "%.2f" % ratio))
P
