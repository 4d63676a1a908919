#!/usr/bin/env bash
# A gateway and strongSwan 6, which has native ESP (IP protocol 50) in user space (kernel-libipsec with raw_esp): both roles,
# streams both ways, rekeys by either side, on the fast path.
# Needs root and what ike.sh needs, tcpdump and debootstrap. Usage: strongswan6.sh PATH_OF_LOCKGATE [DIRECTORY]
#
# strongSwan 6 comes from Debian trixie, in a directory that is made once (target/trixie) and never installed. Where that is not possible the
# script says so and ends with status 77: it was skipped, and nothing is said to have passed.
set -uo pipefail
cd "$(dirname "$0")"
. ./common.sh
. ./strongswan.sh
HOST=pexh GW=pexg PEER=pexb
begin "${1:-}" "$STRONGSWAN_TOOLS tcpdump" "$STRONGSWAN_PACKAGES tcpdump" $HOST $GW $PEER
PEER_ROOT=$(realpath -m "${2:-../../target/trixie}")
skipped() { printf 'SKIPPED: native ESP of strongSwan 6 was not tested: %s\n' "$1"; exit 77; }
trap 'cleanup; [ "$PEER_WORK" = "$WORK" ] || rm -rf "$PEER_WORK"' EXIT
if [ ! -x "$PEER_ROOT/usr/sbin/charon-systemd" ]; then
  command -v debootstrap >/dev/null || skipped "debootstrap is not installed"
  rm -rf "$PEER_ROOT.new"; mkdir -p "$PEER_ROOT.new"
  echo "== Debian trixie into $PEER_ROOT"
  debootstrap --variant=minbase --include=charon-systemd,strongswan-swanctl,libcharon-extra-plugins,libstrongswan-extra-plugins,libstrongswan-standard-plugins,iproute2 \
    trixie "$PEER_ROOT.new" >"$WORK/debootstrap.log" 2>&1 ||
    { tail -3 "$WORK/debootstrap.log"; rm -rf "$PEER_ROOT.new"; skipped "trixie cannot be unpacked into $PEER_ROOT"; }
  rm -rf "$PEER_ROOT.new/dev/net" "$PEER_ROOT"; mkdir -p "$PEER_ROOT.new/dev/net"
  mknod "$PEER_ROOT.new/dev/net/tun" c 10 200 && mv "$PEER_ROOT.new" "$PEER_ROOT" || skipped "$PEER_ROOT cannot have devices"
fi
PEER_WORK=$(mktemp -d "$PEER_ROOT/tmp/lockgate.XXXXXX")
sites direct

on_the_wire() { tcpdump -nr "$WORK/wire.pcap" "$1" 2>/dev/null | grep -c .; }
streams() { # -R or nothing
  check "a stream $2" in_ns $HOST iperf3 -c 10.2.0.1 -t 3 $1
  check "on the fast path both ways" newest_hitting
}
rekeys() { # COMMAND... : another child under a stream
  ip netns exec $HOST iperf3 -c 10.2.0.1 -t 5 -b 20M --bidir >"$WORK/iperf" 2>&1 & local stream=$! before
  until_ok 5 newest_hitting
  before=$(spi); check "a rekey: $*" "$@"
  check "  there is another" until_ok 10 rekeyed_since "$before"
  check "  on the fast path both ways" until_ok 10 newest_hitting
  check "  the stream goes through" wait $stream
}

charon
has "strongSwan is a 6" 'strongSwan 6' theirs --version --daemon
swanctl_conf "" "$PFS" >/dev/null
gateway 'start = "wait"' ''
start_gateway
check "the gateway answers on its socket" until_ok 10 tunnel_is idle
ip netns exec $PEER iperf3 -s -B 10.2.0.1 >/dev/null 2>&1 & BACKGROUND+=($!)
ip netns exec $PEER tcpdump -i eth0 -s 64 -U -w "$WORK/wire.pcap" not arp >/dev/null 2>&1 & BACKGROUND+=($!)
until_ok 5 test -s "$WORK/wire.pcap"
for who in us them; do
  echo "== begun by $who"
  negotiate "a tunnel" $who '' '' "" "$PFS"
  has "  in native ESP" 'net: .*INSTALLED, TUNNEL, ' theirs --list-sas
  has "  as we see it too" '^b +up' ours show ike
  streams "" "to strongSwan"; streams -R "from strongSwan"
  rekeys theirs --rekey --child net
  rekeys ours rekey tunnel net
  rekeys theirs --rekey --child net
  IKE=$(ike_sa); check "strongSwan rekeys the IKE SA" theirs --rekey --ike s2s; check "  there is another" until_ok 10 ike_rekeyed_since "$IKE"
  IKE=$(ike_sa); check "we rekey the IKE SA" ours rekey ike b; check "  there is another" until_ok 10 ike_rekeyed_since "$IKE"
  check "ping" ping_through
done
echo "== other algorithms"
for algorithm in chacha20poly1305 aes128gcm16 aes256-sha256; do
  negotiate "$algorithm" us '' "proposals = \"$algorithm\"" "" "esp_proposals = $algorithm"
  has "  both have it" "$algorithm" ours show sa net
done
has "ESP went over the wire" '[0-9]{4}' on_the_wire 'ip proto 50'
has "and never in UDP" '^0$' on_the_wire 'udp port 4500 and udp[8:4] != 0 and udp[4:2] != 9'
has "no SA has dropped anything" '"errors":0' ours show tunnels --json
refuse "no ESP packet was a replay, not authentic, or without an SA" drops
finish || { logs; exit 1; }
