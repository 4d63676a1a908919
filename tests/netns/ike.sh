#!/usr/bin/env bash
# A gateway and strongSwan negotiate: pre-shared key, either side begins, rekeys and ends; ESP in UDP, as strongSwan's userspace
# ESP (kernel-libipsec) wants it.
# Needs root, iproute2, ping, iperf3, charon-systemd, swanctl and the kernel-libipsec plugin. Usage: ike.sh PATH_OF_LOCKGATE
#
#   host lgkh ── (lgkg) the gateway ── 198.51.100.0/24 ── lgkb strongSwan, 10.2.0.1 on its loopback
#   10.1.0.5           198.51.100.1           198.51.100.2
set -uo pipefail
cd "$(dirname "$0")"
. ./common.sh
CHARON=
begin "${1:-}" "ip ping iperf3 charon-systemd swanctl" \
  "iproute2 iputils-ping iperf3 charon-systemd strongswan-swanctl libcharon-extra-plugins libstrongswan-standard-plugins" lgkh lgkg lgkb
ours() { in_ns lgkg "$LOCKGATE" --socket "$WORK/a.sock" "$@"; }
theirs() { timeout 20 swanctl "$@" --uri "unix://$WORK/charon.vici"; }

shows() { ours show "$1" | grep -qE -- "$2"; }
tunnel_is() { shows tunnels "^net +$1"; }
# of the newest incoming SA: the one before lives on for some seconds
spi() { ours show sa net | awk '$2 == "in" { spi = $3 } END { print spi }'; }
rekeyed_since() { [ "$(spi)" != "$1" ] && tunnel_is up; }
ike_sa() { ours show ike --json | grep -o '"id":[0-9]*' | tail -1; }
ike_rekeyed_since() { [ "$(ike_sa)" != "$1" ] && tunnel_is up; }
ping_through() { in_ns lgkh ping -c 3 -i 0.2 -W 2 10.2.0.1; }

link lgkg lan lgkh eth0; link lgkg wan lgkb eth0
for dev in lan wan; do in_ns lgkg sysctl -qw "net.ipv6.conf.$dev.disable_ipv6=1"; in_ns lgkg ip link set $dev up; done
in_ns lgkh ip addr add 10.1.0.5/24 dev eth0; in_ns lgkh ip link set eth0 up; in_ns lgkh ip route add default via 10.1.0.1
in_ns lgkb ip addr add 198.51.100.2/24 dev eth0; in_ns lgkb ip link set eth0 up; in_ns lgkb ip addr add 10.2.0.1/24 dev lo

# PHASE1 and IPSEC: more keys of the peer, and of the tunnel
gateway() {
  cat > "$WORK/a.toml" <<T
hostname = "a"
[control]
socket = "$WORK/a.sock"
[[port]]
name = "lan"
[[port]]
name = "wan"
[[interface]]
name = "inside"
port = "lan"
address = "10.1.0.1/24"
[[interface]]
name = "outside"
port = "wan"
address = "198.51.100.1/24"
[[phase1]]
name = "b"
local = "198.51.100.1"
remote = "198.51.100.2"
local-id = "a.test"
remote-id = "b.test"
psk = "test-psk-0123456789"
$1
[[ipsec]]
name = "net"
phase1 = "b"
selectors = [{ local = "10.1.0.0/24", remote = "10.2.0.0/24" }]
zone = "vpn"
$2
[[policy]]
id = 1
from = ["inside", "vpn"]
to = ["inside", "vpn"]
action = "allow"
T
}
reload() { gateway "$1" "$2"; ours apply "$WORK/a.toml"; }

# CONNECTION and CHILD: more keys of each
swanctl_conf() {
  cat > "$WORK/swanctl.conf" <<T
connections { s2s { version = 2
  local_addrs = 198.51.100.2
  remote_addrs = 198.51.100.1
  proposals = aes256gcm16-prfsha384-x25519,aes256-sha256-modp2048
  $1
  local { auth = psk
          id = b.test }
  remote { auth = psk
           id = a.test }
  children { net { local_ts = ${3:-10.2.0.0/24}
                   remote_ts = 10.1.0.0/24
                   $2
                   start_action = none
                   rekey_time = 1h } } } }
secrets { ike-1 { id-a = a.test
  id-b = b.test
  secret = "test-psk-0123456789" } }
T
  theirs --load-all --noprompt --file "$WORK/swanctl.conf"
}
charon() {
  cat > "$WORK/strongswan.conf" <<T
charon-systemd {
  load = random nonce aesni openssl curve25519 kdf pem pkcs1 pkcs8 x509 pubkey revocation constraints kernel-libipsec kernel-netlink socket-default vici updown
  plugins { vici { socket = unix://$WORK/charon.vici } }
  filelog { l { path = $WORK/charon.log
                flush_line = yes
                default = 1
                ike = 2
                chd = 2 } }
  journal { default = -1 } }
T
  rm -f "$WORK/charon.vici"
  STRONGSWAN_CONF="$WORK/strongswan.conf" ip netns exec lgkb charon-systemd >/dev/null 2>&1 & CHARON=$!
  BACKGROUND+=("$CHARON")
  until_ok 10 test -S "$WORK/charon.vici"
}
PFS="esp_proposals = aes256gcm16-x25519" NO_PFS="esp_proposals = aes256gcm16"
charon
check "strongSwan takes its configuration" swanctl_conf "" "$PFS"
gateway 'start = "load"' ''
check "the gateway's configuration is valid" "$LOCKGATE" check "$WORK/a.toml"
ip netns exec lgkg "$LOCKGATE" run --config "$WORK/a.toml" >"$WORK/a.log" 2>&1 & GATEWAY=$!
BACKGROUND+=("$GATEWAY")
ip netns exec lgkb iperf3 -s -B 10.2.0.1 >/dev/null 2>&1 & BACKGROUND+=($!)

echo "== the gateway begins"
check "the tunnel comes up" until_ok 20 tunnel_is up
has "with the algorithms of both" 'aes256gcm16-prfsha384-x25519' ours show ike
has "in UDP, as the peer wants" 'NAT: ' ours show ike --detail
has "strongSwan sees it too" 'net: .*INSTALLED, TUNNEL-in-UDP' theirs --list-sas
check "ping" ping_through

echo "== rekeying under load, by either side"
ip netns exec lgkh iperf3 -c 10.2.0.1 -t 12 -J >"$WORK/iperf.json" 2>&1 & IPERF=$!
BEFORE=$(spi); check "strongSwan rekeys the child" theirs --rekey --child net
check "the gateway has another" until_ok 10 rekeyed_since "$BEFORE"
IKE=$(ike_sa); check "strongSwan rekeys the IKE SA" theirs --rekey --ike s2s
check "the gateway has another" until_ok 10 ike_rekeyed_since "$IKE"
check "the stream went through" wait $IPERF
has "both ways on the fast path" ' +hitting' ours show sa net
check "the gateway is told to rekey soon" reload '' 'hard-lifetime = { seconds = 10 }'
check "the tunnel comes up again" until_ok 20 tunnel_is up
ip netns exec lgkh iperf3 -c 10.2.0.1 -R -t 14 -J >"$WORK/iperf.json" 2>&1 & IPERF=$!
BEFORE=$(spi); check "the gateway rekeys" until_ok 15 rekeyed_since "$BEFORE"
BEFORE=$(spi); check "and again" until_ok 15 rekeyed_since "$BEFORE"
check "the stream went through" wait $IPERF
has "no SA has dropped anything" '"errors":0' ours show tunnels --json
has "no ESP packet was a replay, not authentic, or without an SA" '^0$' sh -c "ip netns exec lgkg $LOCKGATE --socket $WORK/a.sock show counters | grep -cE 'esp-(replayed|icv-failed|spi-unknown)' || true"

echo "== ended by either side"
check "back to long lifetimes" reload '' ''
check "the tunnel comes up again" until_ok 20 tunnel_is up
check "strongSwan ends it" theirs --terminate --ike s2s
check "and the gateway begins again" until_ok 20 tunnel_is up
check "ping" ping_through
check "the gateway ends it" ours clear ike b
check "and begins again" until_ok 20 tunnel_is up
check "ping" ping_through

echo "== strongSwan begins"
check "the gateway only answers" reload 'start = "wait"' ''
check "nothing is up" until_ok 10 tunnel_is idle
check "strongSwan begins" theirs --initiate --child net
check "the tunnel is up" until_ok 10 tunnel_is up
check "ping" ping_through
check "without perfect forward secrecy" swanctl_conf "" "$NO_PFS"
theirs --terminate --ike s2s >/dev/null 2>&1
check "strongSwan begins" theirs --initiate --child net
BEFORE=$(spi); check "strongSwan rekeys the child" theirs --rekey --child net
check "the gateway has another" until_ok 10 rekeyed_since "$BEFORE"
check "ping" ping_through
check "what strongSwan has is narrower" swanctl_conf "" "$PFS" 10.2.0.0/28
theirs --terminate --ike s2s >/dev/null 2>&1
check "strongSwan begins" theirs --initiate --child net
has "both have what both want" '10\.2\.0\.0/28' ours show ike --detail
check "ping" ping_through

echo "== strongSwan dies and starts anew"
kill -9 "$CHARON" 2>/dev/null; wait "$CHARON" 2>/dev/null
charon
check "strongSwan takes its configuration" swanctl_conf "" "$PFS"
BEFORE=$(spi); check "strongSwan begins" theirs --initiate --child net
check "the gateway takes the new one" until_ok 10 rekeyed_since "$BEFORE"
has "and forgets the old one" '^1$' sh -c "ip netns exec lgkg $LOCKGATE --socket $WORK/a.sock show ike --json | grep -o '\"authentication\"' | wc -l"
check "ping" ping_through

echo "== what does not meet is told"
check "another proposal" reload 'proposals = "chacha20poly1305-prfsha512-ecp521"' ''
check "fails" until_ok 20 tunnel_is down
has "and says why" 'accepts none of ours' ours explain tunnel net
kill "$GATEWAY" 2>/dev/null; wait "$GATEWAY" 2>/dev/null
gone() { ! theirs --list-sas | grep -q ESTABLISHED; }
check "a gateway that ends tells its peer" until_ok 5 gone

finish || { tail -30 "$WORK/a.log" | sed 's/^/  gateway: /'; tail -60 "$WORK/charon.log" | sed 's/^/  charon: /'; exit 1; }
