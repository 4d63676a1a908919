#!/usr/bin/env bash
# IKEv2 between a gateway and strongSwan on networks that change: a NAT before either, a mapping that is lost, a link that is cut, a
# peer that dies.
# Needs root, nftables, python3 and what ike.sh needs. Usage: ike-network.sh PATH_OF_LOCKGATE. Who stands where is in strongswan.sh.
set -uo pipefail
cd "$(dirname "$0")"
. ./common.sh
. ./strongswan.sh
HOST=penh GW=peng ROUTER=penr PEER=penb
begin "${1:-}" "$STRONGSWAN_TOOLS nft python3" "$STRONGSWAN_PACKAGES nftables python3" $HOST $GW $ROUTER $PEER
sites routed

# What is translated on the router: `us` or `them` is hidden behind its address, to which the other speaks. Nothing gets past
# it: what an end still says to the other's own address would be let back untranslated.
nat() { # us|them [PORTS]: with PORTS it has others than those of IKE, and lets in only what is an answer
  local to inside outside far open
  case $1 in
    us) to=to-us inside=$US outside=198.51.100.1 far=to-them; SEEN=$outside REMOTE=$THEM ;;
    them) to=to-them inside=$THEM outside=192.0.2.1 far=to-us; SEEN=$US REMOTE=$outside ;;
  esac
  open="iifname \"$far\" ip daddr $outside udp dport { 500, 4500 } dnat to $inside"
  [ -z "${2:-}" ] || open=''
  in_ns $ROUTER nft -f - <<N
flush ruleset
table ip nat {
  chain in {
    type nat hook prerouting priority -100
    $open
  }
  chain out {
    type nat hook postrouting priority 100
    iifname "$to" oifname "$far" ip protocol udp masquerade ${2:-}
  }
  chain through {
    type filter hook forward priority 0
    iifname "$far" ct status dnat accept
    iifname "$far" ct state new drop
  }
}
N
  forget_mappings
}
# The NAT forgets what it knows (IPCTNL_MSG_CT_DELETE without attributes).
forget_mappings() {
  in_ns $ROUTER python3 - <<'P'
import socket, struct
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
s.send(struct.pack("=IHHII", 20, 0x102, 5, 1, 0) + bytes(4))
length, kind, _, _, _, error = struct.unpack("=IHHIIi", s.recv(4096)[:20])
assert (kind, error) == (2, 0), (kind, error)
P
}
is_moved() { grep -q ike-moved <(ours events); }
sees_nat() { ours show ike | grep -qE "^b +up .* $1 "; }
# us as strongSwan sees us
peer_port_is() { grep -qE "remote 'a.test' @ [0-9.]+\[$1\]" <(theirs --list-sas); }
no_sa() { ! ours show sa net | grep -q net; }
working() { established 1 && tunnel_is up; }
rekey_both() { # by either side, both kinds
  local before
  before=$(spi); check "  we rekey the child" ours rekey tunnel net; check "  there is another" until_ok 10 rekeyed_since "$before"
  before=$(spi); check "  strongSwan rekeys the child" theirs --rekey --child net; check "  there is another" until_ok 10 rekeyed_since "$before"
  before=$(ike_sa); check "  we rekey the IKE SA" ours rekey ike b; check "  there is another" until_ok 10 ike_rekeyed_since "$before"
  before=$(ike_sa); check "  strongSwan rekeys the IKE SA" theirs --rekey --ike s2s; check "  there is another" until_ok 10 ike_rekeyed_since "$before"
}

charon 'retransmit_timeout = 1.0
  retransmit_tries = 2'
nat us
swanctl_conf "" "$PFS" >/dev/null
gateway 'start = "wait"' ''
start_gateway
check "the gateway answers on its socket" until_ok 10 tunnel_is idle

echo "== we are behind a NAT"
for who in us them; do
  negotiate "a tunnel" $who 'dpd = "1s"' '' 'dpd_delay = 1s' "$PFS"
  # strongSwan's userspace ESP always says that it is behind one too
  check "  each end is said to be behind one" sees_nat both
  rekey_both
  check "  ping" ping_through
done
echo "== the NAT forgets us, and gives us another port"
mark
nat us 'to :20000-20999 random'
check "strongSwan follows" until_ok 10 peer_port_is '20[0-9]{3}'
# its ESP sends to the old port until it has rekeyed the child, which waits for the exchange that is on its way
check "ping, once it has rekeyed" until_ok 10 ping_through
rekey_both
check "ping" ping_through
echo "== the peer is behind a NAT"
nat them
for who in us them; do
  negotiate "a tunnel" $who 'dpd = "1s"' '' 'dpd_delay = 1s' "$PFS"
  check "  it is said to be behind one" sees_nat remote
  rekey_both
  check "  ping" ping_through
done
echo "== the NAT forgets the peer, and gives it another port"
BEFORE=$(spi)
nat them 'to :20000-20999 random'
check "we follow" until_ok 10 is_moved
has "to the new port" '192\.0\.2\.1:20[0-9]{3}' ours show ike
check "with the same SAs" [ "$(spi)" = "$BEFORE" ]
check "ping" ping_through
check "both ways on the fast path" until_ok 10 newest_hitting
rekey_both
check "ping" ping_through
in_ns $ROUTER nft flush ruleset; forget_mappings
SEEN=$US REMOTE=$THEM

echo "== one child ends, the IKE SA stays"
negotiate "a tunnel" us 'dpd = "1s"
tries = 3' '' 'dpd_delay = 1s' "$PFS"
BEFORE=$(spi) IKE=$(ike_sa)
check "strongSwan ends the child" theirs --terminate --child net
check "and we ask for another" until_ok 10 rekeyed_since "$BEFORE"
check "under the same IKE SA" [ "$(ike_sa)" = "$IKE" ]
check "ping" ping_through

echo "== the link is cut"
in_ns $ROUTER ip link set to-them down
check "we say soon that the peer does not answer" until_ok 12 tunnel_is no-answer
has "what it does not answer" 'no answer to INFORMATIONAL after 3 tries' ours show tunnels
check "and then that the tunnel is not there" until_ok 20 no_sa
check "strongSwan has found out too" until_ok 20 established 0
in_ns $ROUTER ip link set to-them up
check "the link is back, and so is the tunnel" until_ok 30 tunnel_is up
check "ping" ping_through

echo "== the peer is killed"
kill_charon
check "we say soon that it does not answer" until_ok 12 tunnel_is no-answer
charon 'retransmit_timeout = 1.0
  retransmit_tries = 2'
check "strongSwan is back and knows nothing" swanctl_conf 'dpd_delay = 1s' "$PFS"
check "we find out and begin anew" until_ok 40 working
check "ping" ping_through
echo "== the peer is killed, and we are told to end what we have"
kill_charon
charon
check "strongSwan is back and knows nothing" swanctl_conf "" "$PFS"
check "we end it" ours clear ike b
check "and do not wait for long until we begin anew" until_ok 15 working
check "ping" ping_through
echo "== the peer is killed, and comes back before we notice"
BEFORE=$(spi)
kill_charon; charon
check "strongSwan is back and knows nothing" swanctl_conf "" "$PFS"
check "strongSwan begins" theirs --initiate --child net
check "we take the new one" until_ok 10 rekeyed_since "$BEFORE"
check "and forget the old one" until_ok 10 ike_sas_are 1
check "ping" ping_through
refuse "no ESP packet was a replay, not authentic, or without an SA" drops
finish || { logs; exit 1; }
