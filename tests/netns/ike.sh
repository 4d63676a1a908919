#!/usr/bin/env bash
# A gateway and strongSwan negotiate: pre-shared key, either side begins, rekeys and ends; ESP in UDP, as strongSwan's userspace
# ESP (kernel-libipsec) wants it.
# Needs root, iproute2, ping, iperf3, charon-systemd, swanctl and the kernel-libipsec plugin. Usage: ike.sh PATH_OF_LOCKGATE
#
# Who stands where is in strongswan.sh.
set -uo pipefail
cd "$(dirname "$0")"
. ./common.sh
. ./strongswan.sh
HOST=pekh GW=pekg PEER=pekb
begin "${1:-}" "$STRONGSWAN_TOOLS" "$STRONGSWAN_PACKAGES" $HOST $GW $PEER
sites direct
charon
check "strongSwan takes its configuration" swanctl_conf "" "$PFS"
gateway 'start = "load"' ''
check "the gateway's configuration is valid" "$LOCKGATE" check "$WORK/a.toml"
start_gateway
ip netns exec $PEER iperf3 -s -B 10.2.0.1 >/dev/null 2>&1 & BACKGROUND+=($!)

echo "== the gateway begins"
check "the tunnel comes up" until_ok 20 tunnel_is up
has "with the algorithms of both" 'aes256gcm16-prfsha384-x25519' ours show ike
has "in UDP, as the peer wants" 'NAT: ' ours show ike --detail
has "strongSwan sees it too" 'net: .*INSTALLED, TUNNEL-in-UDP' theirs --list-sas
check "ping" ping_through

echo "== rekeying under load, by either side"
ip netns exec $HOST iperf3 -c 10.2.0.1 -t 12 -J >"$WORK/iperf.json" 2>&1 & IPERF=$!
BEFORE=$(spi); check "strongSwan rekeys the child" theirs --rekey --child net
check "the gateway has another" until_ok 10 rekeyed_since "$BEFORE"
IKE=$(ike_sa); check "strongSwan rekeys the IKE SA" theirs --rekey --ike s2s
check "the gateway has another" until_ok 10 ike_rekeyed_since "$IKE"
check "the stream went through" wait $IPERF
has "both ways on the fast path" ' +hitting' ours show sa net
check "the gateway is told to rekey soon" reload '' 'hard-lifetime = { seconds = 10 }'
check "the tunnel comes up again" until_ok 20 tunnel_is up
ip netns exec $HOST iperf3 -c 10.2.0.1 -R -t 14 -J >"$WORK/iperf.json" 2>&1 & IPERF=$!
BEFORE=$(spi); check "the gateway rekeys" until_ok 15 rekeyed_since "$BEFORE"
BEFORE=$(spi); check "and again" until_ok 15 rekeyed_since "$BEFORE"
check "the stream went through" wait $IPERF
has "no SA has dropped anything" '"errors":0' ours show tunnels --json
refuse "no ESP packet was a replay, not authentic, or without an SA" drops

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
check "what is up stays up" tunnel_is up
check "it is ended" ours clear ike b
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
THEIR_TS=10.2.0.0/28
check "what strongSwan has is narrower" swanctl_conf "" "$PFS"
theirs --terminate --ike s2s >/dev/null 2>&1
check "strongSwan begins" theirs --initiate --child net
has "both have what both want" '10\.2\.0\.0/28' ours show ike --detail
check "ping" ping_through

echo "== strongSwan dies and starts anew"
kill_charon
charon
THEIR_TS=10.2.0.0/24
check "strongSwan takes its configuration" swanctl_conf "" "$PFS"
BEFORE=$(spi); check "strongSwan begins" theirs --initiate --child net
check "the gateway takes the new one" until_ok 10 rekeyed_since "$BEFORE"
check "and forgets the old one" ike_sas_are 1
check "ping" ping_through

echo "== what does not meet is told"
check "another proposal" reload 'proposals = "chacha20poly1305-prfsha512-ecp521"' ''
check "fails" until_ok 20 tunnel_is down
has "and says why" 'accepts none of ours' ours explain tunnel net
kill "$GATEWAY" 2>/dev/null; wait "$GATEWAY" 2>/dev/null
check "a gateway that ends tells its peer" until_ok 5 established 0

finish || { logs; exit 1; }
