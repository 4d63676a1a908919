#!/usr/bin/env bash
# Twenty rekeys in one run of iperf3, against strongSwan: begun by either side in turn, with and without perfect
# forward secrecy, IKE SAs among them. No connection is lost, none stands still, and each new SA is on the fast path.
# Needs root and what ike.sh needs. Usage: ike-rekey.sh PATH_OF_LOCKGATE. Who stands where is in strongswan.sh.
set -uo pipefail
cd "$(dirname "$0")"
. ./common.sh
. ./strongswan.sh
HOST=perh GW=perg PEER=perb
begin "${1:-}" "$STRONGSWAN_TOOLS python3" "$STRONGSWAN_PACKAGES python3" $HOST $GW $PEER
sites direct
MORE_TUNNELS='
[[ipsec]]
name = "plain"
phase1 = "b"
selectors = [{ local = "10.1.0.0/24", remote = "10.3.0.0/24" }]
proposals = "aes256gcm16"
zone = "vpn"'
MORE_CHILDREN='plain { local_ts = 10.3.0.0/24
                   remote_ts = 10.1.0.0/24
                   esp_proposals = aes256gcm16
                   rekey_time = 1h }'
in_ns $PEER ip addr add 10.3.0.1/24 dev lo

# Both ways at once, slow enough for two cores, until `stop_load`.
start_load() { # ADDRESS NAME
  ip netns exec $PEER iperf3 -s -B "$1" >/dev/null 2>&1 & BACKGROUND+=($!)
  until_ok 5 listens "$1"
  ip netns exec $HOST iperf3 -c "$1" -t 600 --bidir -b 15M -i 1 -J >"$WORK/$2.json" 2>&1 & LOAD+=($!); BACKGROUND+=($!)
}
listens() { in_ns $PEER ss -ltn | grep -q "$1:5201"; }
LOAD=()
alive() { kill -0 "${LOAD[@]}"; }
stop_load() { kill -INT "${LOAD[@]}"; wait "${LOAD[@]}"; }
load_was_whole() {
  python3 - "$WORK/$1.json" <<'P'
import json, sys
report = json.load(open(sys.argv[1]))
rates = {s["socket"]: [] for s in report["start"]["connected"]}
for interval in report["intervals"]:
    for stream in interval["streams"]:
        rates[stream["socket"]].append(stream["bytes"])
print({s: (len(r), min(r, default=0)) for s, r in rates.items()}, report.get("error"))
assert len(rates) == 2 and len(report["intervals"]) > 10, "two streams for a while"
assert all(len(r) == len(report["intervals"]) for r in rates.values()), "a stream ended before"
# the last interval is not a whole second
assert all(b > 0 for r in rates.values() for b in r[:-1]), "a second without a byte"
assert report.get("error", "").startswith("interrupt"), report.get("error")
P
}
# The newest SA of each direction is on the fast path and has carried a second's worth of packets there.
carries() {
  ours show sa "$1" --json | python3 -c '
import json, sys
newest = {sa["direction"]: sa for sa in json.load(sys.stdin)["sas"]}
sys.exit(not all(sa["status"] == "hitting" and sa["fast"]["packets"] >= 1000 for sa in newest.values()))'
}
one_ike_sa() { ike_sas_are 1 && established 1; }

child() { # SIDE TUNNEL
  local before
  before=$(spi "$2")
  if [ "$1" = theirs ]; then check "$2: strongSwan rekeys" theirs --rekey --child "$2"
  else has "$2: the gateway rekeys" '1 pair of SAs' ours rekey tunnel "$2"; fi
  check "  there is another" until_ok 10 rekeyed_since "$before" "$2"
  check "  which carries, on the fast path both ways" until_ok 15 carries "$2"
  REKEYS=$((REKEYS + 1))
}
ike() { # SIDE
  local before
  before=$(ike_sa)
  if [ "$1" = theirs ]; then check "IKE: strongSwan rekeys" theirs --rekey --ike s2s
  else has "IKE: the gateway rekeys" '1 IKE SA' ours rekey ike b; fi
  check "  there is another" until_ok 10 ike_rekeyed_since "$before"
  check "  and no other at either end" until_ok 10 one_ike_sa
  check "  the streams live" alive
  REKEYS=$((REKEYS + 1))
}
REKEYS=0
# what strongSwan agreed on, by its log: with a key exchange and without
agreed() { grep -c "selected proposal: ESP:AES_GCM_16_256/$1NO_EXT_SEQ" "$WORK/charon.log"; }

charon
swanctl_conf "" "$PFS" >/dev/null
gateway 'start = "wait"' 'proposals = "aes256gcm16-x25519"'
start_gateway
check "the gateway answers on its socket" until_ok 10 tunnel_is idle
for tunnel in net plain; do
  check "strongSwan begins" theirs --initiate --child $tunnel
  check "the tunnel is up" until_ok 10 tunnel_is up $tunnel
done
start_load 10.2.0.1 net; start_load 10.3.0.1 plain
for tunnel in net plain; do check "the streams are on the fast path" until_ok 10 newest_hitting $tunnel; done
for side in theirs ours theirs ours; do
  echo "== children of both kinds by either side, and the IKE SA by one"
  child theirs net; child ours net; child theirs plain; child ours plain; ike $side
done
check "twenty rekeys" [ $REKEYS = 20 ]
has "eight of them of children, with a key exchange" '^8$' agreed CURVE_25519/
echo "== both at the same time"
for tunnel in net plain; do
  BEFORE=$(spi $tunnel)
  theirs --rekey --child $tunnel >/dev/null 2>&1 & ours rekey tunnel $tunnel >/dev/null; wait $!
  check "there is another" until_ok 10 rekeyed_since "$BEFORE" $tunnel
  check "which carries, on the fast path both ways" until_ok 15 carries $tunnel
done
BEFORE=$(ike_sa)
theirs --rekey --ike s2s >/dev/null 2>&1 & ours rekey ike b >/dev/null; wait $!
check "there is another IKE SA" until_ok 10 ike_rekeyed_since "$BEFORE"
check "and only one" until_ok 15 one_ike_sa
check "the streams live" alive
stop_load
for stream in net plain; do check "no stream stood still for a second" load_was_whole $stream; done
has "no SA has dropped anything" '"errors":0' ours show tunnels --json
refuse "no ESP packet was a replay, not authentic, or without an SA" drops
check "ping" ping_through
finish || { logs; exit 1; }
