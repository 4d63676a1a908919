#!/usr/bin/env bash
# What a gateway and strongSwan agree on when they do not want the same, and first messages on difficult ground: groups that one
# has to ask for, narrowed selectors, fragments, cookies. In both roles.
# Needs root, python3 and what ike.sh needs. Usage: ike-agree.sh PATH_OF_LOCKGATE. Who stands where is in strongswan.sh.
set -uo pipefail
cd "$(dirname "$0")"
. ./common.sh
. ./strongswan.sh
HOST=peah GW=peag ROUTER=pear PEER=peab
begin "${1:-}" "$STRONGSWAN_TOOLS python3" "$STRONGSWAN_PACKAGES python3" $HOST $GW $ROUTER $PEER
sites routed
charon
swanctl_conf "" "$PFS" >/dev/null
gateway 'start = "wait"' ''
start_gateway
check "the gateway answers on its socket" until_ok 10 tunnel_is idle
narrowed() { grep -qF -- "$1" <(ours show ike --detail) && grep -qF -- "$2" <(theirs --list-sas); }

echo "== the first group is not the other's"
PROPOSALS=aes256gcm16-prfsha384-ecp256
ASK='proposals = "aes256gcm16-prfsha384-x25519-ecp256"'
negotiate "strongSwan asks for another group" us "$ASK" 'proposals = "aes256gcm16-x25519-ecp256"' "" "esp_proposals = aes256gcm16-ecp256"
check "  with INVALID_KE_PAYLOAD" log_has 'IKE_SA_INIT response 0 \[ N\(INVAL_KE\)'
mark; BEFORE=$(spi)
has "  we rekey the child" '1 pair of SAs' ours rekey tunnel net
check "  there is another" until_ok 10 rekeyed_since "$BEFORE"
check "  strongSwan asked for another group again" log_has 'CREATE_CHILD_SA response [0-9]+ \[ N\(INVAL_KE\)'
check "  ping" ping_through
mark; IKE=$(ike_sa)
PROPOSALS=aes256gcm16-prfsha384-x25519-ecp256
negotiate "we ask for another group" them 'proposals = "aes256gcm16-prfsha384-ecp256"' 'proposals = "aes256gcm16-ecp256"' "" "esp_proposals = aes256gcm16-x25519-ecp256"
check "  with INVALID_KE_PAYLOAD" log_has 'IKE_SA_INIT response 0 \[ N\(INVAL_KE\)'
mark; BEFORE=$(spi)
check "  strongSwan rekeys the child" theirs --rekey --child net
check "  there is another" until_ok 10 rekeyed_since "$BEFORE"
check "  we asked for another group again" log_has 'CREATE_CHILD_SA response [0-9]+ \[ N\(INVAL_KE\)'
check "  ping" ping_through
PROPOSALS=aes256gcm16-prfsha384-x25519

echo "== selectors that one has wider than the other"
OUR_SELECTORS='selectors = [{ local = "10.1.0.0/16", remote = "10.2.0.0/16" }]'
negotiate "strongSwan narrows" us '' '' "" "$PFS"
check "  both have what both want" narrowed 10.2.0.0/24 10.1.0.0/24
negotiate "strongSwan has narrower ones" them '' '' "" "$PFS"
check "  both have what both want" narrowed 10.2.0.0/24 10.1.0.0/24
OUR_SELECTORS='selectors = [{ local = "10.1.0.0/24", remote = "10.2.0.0/24" }]' OUR_TS=10.1.0.0/16 THEIR_TS=10.2.0.0/16
negotiate "we narrow" them '' '' "" "$PFS"
check "  both have what both want" narrowed 10.2.0.0/24 10.1.0.0/24
negotiate "we have narrower ones" us '' '' "" "$PFS"
check "  both have what both want" narrowed 10.2.0.0/24 10.1.0.0/24

echo "== what does not fit into one datagram"
end_charon; charon 'fragment_size = 576'
OUR_SELECTORS="selectors = [$(for i in $(seq 80); do printf '{ local = "10.1.0.%s/32", remote = "10.2.0.0/24" }, ' "$i"; done)]"
OUR_TS=$(for i in $(seq 80); do printf '10.1.0.%s/32,' "$i"; done); OUR_TS=${OUR_TS%,} THEIR_TS=10.2.0.0/24
for who in us them; do
  negotiate "eighty selectors" $who '' '' "" "$PFS"
  check "  strongSwan's message comes in fragments" log_has 'splitting IKE message .* into [3-9] fragments'
  check "  and so does ours" log_has 'received fragment #[0-9] of [2-9], reassembled'
  mark; BEFORE=$(spi)
  if [ $who = us ]; then ours rekey tunnel net >/dev/null; else theirs --rekey --child net >/dev/null; fi
  check "  rekeyed, by the same" until_ok 10 rekeyed_since "$BEFORE"
  check "  in fragments" log_has 'received fragment #[0-9] of [2-9], reassembled'
  check "  ping" ping_through
done
OUR_SELECTORS='selectors = [{ local = "10.1.0.0/24", remote = "10.2.0.0/24" }]' OUR_TS=10.1.0.0/24

echo "== cookies, while many have begun and not gone on"
end_charon; charon 'cookie_threshold_ip = 1'
# in our name: one that strongSwan keeps makes it careful
half_open() { in_ns $ROUTER python3 half-open.py "$@"; }
their_half_open() { theirs --stats | grep -qE "IKE_SAs: [0-9]+ total, $1 half-open"; }
check "somebody begins at strongSwan in our name" half_open $US $THEM 1
swanctl_conf "" "$PFS" >/dev/null
half_open $US $THEM 1
check "strongSwan keeps it" until_ok 5 their_half_open 1
negotiate "strongSwan wants a cookie" us '' '' "" "$PFS"
check "  and got one" log_has 'parsed IKE_SA_INIT request 0 \[ N\(COOKIE\)'
end_charon; charon
reload 'start = "wait"' '' >/dev/null
check "somebody begins with us in strongSwan's name, forty times" half_open $THEM $US 40
negotiate "we want a cookie" them '' '' "" "$PFS"
check "  and got one" log_has 'generating IKE_SA_INIT request 0 \[ N\(COOKIE\)'
refuse "no ESP packet was a replay, not authentic, or without an SA" drops
finish || { logs; exit 1; }
