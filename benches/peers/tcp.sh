#!/usr/bin/env bash
# TCP of one flow through two gateways one behind the other, over kernel ports, by Lockgate and by what it is measured against, in turns in one run:
#   NAT   the first gateway translates the source: Lockgate, and the kernel's own forwarding with masquerading
#   ESP   both have a tunnel of ESP in UDP, AES-256-GCM: Lockgate, and strongSwan with ESP in user space (kernel-libipsec)
# Everything runs on this machine, hosts and gateways; CPU is that of the gateways' processes, in percent of one core, without what the kernel does in interrupts.
# Needs root, iproute2, iperf3, nftables, python3, charon-systemd, swanctl. Usage: tcp.sh PATH_OF_LOCKGATE [ROUNDS] [SECONDS]
#
#   host ptc ── lan (pta) wan ── 192.0.2.0/24 ── wan (ptb) lan ── host pts
#   10.1.0.5          192.0.2.1                 192.0.2.2          10.2.0.5
set -uo pipefail
cd "$(dirname "$0")"
. ../../tests/netns/common.sh
. ../../tests/netns/strongswan.sh
begin "${1:-}" "$STRONGSWAN_TOOLS nft python3" "$STRONGSWAN_PACKAGES nftables python3" ptc pta ptb pts
ROUNDS=${2:-5} LENGTH=${3:-3}
link pta lan ptc eth0; link pta wan ptb wan; link ptb lan pts eth0
for ns in pta ptb; do for dev in lan wan; do in_ns $ns sysctl -qw "net.ipv6.conf.$dev.disable_ipv6=1"; in_ns $ns ip link set $dev up; done; done
in_ns ptc ip addr add 10.1.0.5/24 dev eth0; in_ns ptc ip link set eth0 up; in_ns ptc ip route add default via 10.1.0.1
in_ns pts ip addr add 10.2.0.5/24 dev eth0; in_ns pts ip link set eth0 up; in_ns pts ip route add default via 10.2.0.1
ip netns exec pts iperf3 -s >/dev/null 2>&1 & BACKGROUND+=($!)
PROPOSALS=aes256gcm16-prfsha384-x25519 CHARON_LOG=1
other() { [ "$1" = a ] && echo b || echo a; }

# NAME OWN PEER LAN NET FAR: what both kinds of run have in common, and the rest.
lockgate_config() {
  printf 'hostname = "%s"\n[control]\nsocket = "%s"\n[[port]]\nname = "lan"\n[[port]]\nname = "wan"\n' "$1" "$WORK/$1.sock"
  printf '[[interface]]\nname = "wan"\nport = "wan"\naddress = "%s/24"\nzone = "out"\n[[interface]]\nname = "lan"\nport = "lan"\naddress = "%s/24"\nzone = "in"\n' "$2" "$4"
  if [ "$KIND" = ESP ]; then
    printf '[[phase1]]\nname = "peer"\nlocal = "%s"\nremote = "%s"\nlocal-id = "%s.test"\nremote-id = "%s.test"\npsk = "%s"\nforce-encapsulation = true\nstart = "%s"\n' \
      "$2" "$3" "$1" "$(other "$1")" test-psk-0123456789 "$([ "$1" = a ] && echo load || echo wait)"
    printf '[[ipsec]]\nname = "net"\nphase1 = "peer"\nselectors = [{ local = "%s", remote = "%s" }]\nproposals = "aes256gcm16"\nzone = "vpn"\n' "$5" "$6"
  else
    printf '[[route]]\nto = "%s"\nvia = "%s"\n' "$6" "$3"
  fi
  printf '[[policy]]\nid = 1\nfrom = "any"\nto = "any"\naction = "allow"\n'
  if [ "$KIND" = NAT ] && [ "$1" = a ]; then printf 'nat = "interface"\n'; fi
}
GATEWAYS=()
start_lockgate() {
  local name
  lockgate_config a 192.0.2.1 192.0.2.2 10.1.0.1 10.1.0.0/24 10.2.0.0/24 > "$WORK/a.toml"
  lockgate_config b 192.0.2.2 192.0.2.1 10.2.0.1 10.2.0.0/24 10.1.0.0/24 > "$WORK/b.toml"
  for name in b a; do
    ip netns exec pt$name "$LOCKGATE" run --config "$WORK/$name.toml" > "$WORK/$name.log" 2>&1 & GATEWAYS+=($!); BACKGROUND+=($!)
    until_ok 10 in_ns pt$name "$LOCKGATE" --socket "$WORK/$name.sock" show system || return 1
  done
}
# The kernel's forwarding, which strongSwan's packets need too.
start_kernel() {
  in_ns pta ip addr add 10.1.0.1/24 dev lan; in_ns pta ip addr add 192.0.2.1/24 dev wan
  in_ns ptb ip addr add 10.2.0.1/24 dev lan; in_ns ptb ip addr add 192.0.2.2/24 dev wan
  for ns in pta ptb; do in_ns $ns sysctl -qw net.ipv4.ip_forward=1; done
  [ "$KIND" = ESP ] && return
  in_ns pta ip route add 10.2.0.0/24 via 192.0.2.2
  in_ns pta nft 'table ip nat { chain out { type nat hook postrouting priority 100; oifname "wan" masquerade; }; }'
}
start_strongswan() { # two of them, each the far end of the other
  local name
  start_kernel
  for name in b a; do
    PEER=pt$name PEER_WORK=$WORK/$name
    mkdir -p "$PEER_WORK"
    if [ $name = a ]; then THEM=192.0.2.1 SEEN=192.0.2.2 THEIR_TS=10.1.0.0/24 OUR_TS=10.2.0.0/24
    else THEM=192.0.2.2 SEEN=192.0.2.1 THEIR_TS=10.2.0.0/24 OUR_TS=10.1.0.0/24; fi
    PEER_AUTH="auth = psk
          id = $name.test" US_AUTH="auth = psk
           id = $(other $name).test"
    charon || return 1
    GATEWAYS+=("$CHARON")
    swanctl_conf '' "$NO_PFS" > "$WORK/out" 2>&1 || return 1
  done
  theirs --initiate --child net > "$WORK/out" 2>&1
}
stop() {
  local ns
  if [ ${#GATEWAYS[@]} -gt 0 ]; then kill "${GATEWAYS[@]}" 2>/dev/null; wait "${GATEWAYS[@]}" 2>/dev/null; fi
  GATEWAYS=()
  for ns in pta ptb; do
    until_ok 10 eval "[ -z \"\$(ip netns pids $ns)\" ]"
    for dev in lan wan; do in_ns $ns ip addr flush dev $dev; done
    in_ns $ns ip route flush table main; in_ns $ns sysctl -qw net.ipv4.ip_forward=0; in_ns $ns nft flush ruleset
  done
}
ticks() { local pid sum=0; for pid in "${GATEWAYS[@]}"; do sum=$((sum + $(awk '{ print $14 + $15 }' "/proc/$pid/stat"))); done; echo "$sum"; }
measure() { # BY WAY
  local before start mbit
  before=$(ticks) start=$(date +%s.%N)
  in_ns ptc iperf3 -c 10.2.0.5 -t "$LENGTH" -J ${2#forth} > "$WORK/iperf.json" 2>&1 || { echo "no TCP by $1: $(tail -3 "$WORK/iperf.json")" >&2; return 1; }
  mbit=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["end"]["sum_received"]["bits_per_second"] / 1e6)' "$WORK/iperf.json")
  awk -v line="$KIND $2 $1 $mbit" -v used=$(($(ticks) - before)) -v s="$start" -v e="$(date +%s.%N)" -v hz="$(getconf CLK_TCK)" 'BEGIN { print line, 100 * used / hz / (e - s) }' >> "$WORK/results"
}
echo "$(awk -F: '/model name/ { print $2; exit }' /proc/cpuinfo | xargs), $(nproc) cores, Linux $(uname -r); one TCP flow, $(sysctl -n net.ipv4.tcp_congestion_control); $ROUNDS rounds of $LENGTH s"
for round in $(seq "$ROUNDS"); do
  for turn in "NAT lockgate" "NAT kernel" "ESP lockgate" "ESP strongswan"; do
    KIND=${turn% *} by=${turn#* }
    printf '\rround %s of %s: %s by %-12s' "$round" "$ROUNDS" "$KIND" "$by" >&2
    "start_$by" || { echo "$by does not start" >&2; cat "$WORK/out" "$WORK"/[ab].log "$WORK"/[ab]/charon.log 2>/dev/null | tail -20 >&2; exit 1; }
    until_ok 15 in_ns ptc ping -c 1 -W 1 10.2.0.5 || { echo "nothing passes $by" >&2; cat "$WORK"/[ab].log 2>/dev/null | tail -20 >&2; exit 1; }
    for way in forth -R; do measure "$by" "$way" || exit 1; done
    stop
  done
done
printf '\r%50s\r' '' >&2
python3 - "$WORK/results" <<'P'
import statistics, sys
rows = {}
for line in open(sys.argv[1]):
    kind, way, by, mbit, cpu = line.split()
    rows.setdefault((kind, way), {}).setdefault(by, []).append((float(mbit), float(cpu)))
form = "{:<5}{:<17}{:<12}{:>14}{:>8}{:>14}{:>8}{:>8}"
print(form.format("", "WAY", "AGAINST", "LOCKGATE Mb/s", "CPU %", "AGAINST Mb/s", "CPU %", "RATIO"))
for (kind, way), by in sorted(rows.items(), reverse=True):
    peer = next(name for name in by if name != "lockgate")
    mbit, cpu = ({name: statistics.median(m[i] for m in of) for name, of in by.items()} for i in (0, 1))
    ratio = statistics.median(a[0] / b[0] for a, b in zip(by["lockgate"], by[peer]))
    shares = "%.0f" % cpu["lockgate"], "in kernel" if peer == "kernel" else "%.0f" % cpu[peer]
    print(form.format(kind, "from the client" if way == "forth" else "to the client", peer, "%.0f" % mbit["lockgate"], shares[0], "%.0f" % mbit[peer], shares[1], "%.2f" % ratio))
P
