#!/usr/bin/env bash
# Remote access with openconnect: passwords and certificates, DTLS and CSTP, UDP that is blocked, rekeys, a lost link, policies by group.
# Needs root, iproute2, ping, iperf3, openssl, nftables and openconnect. Usage: remote.sh PATH_OF_LOCKGATE
#
#   server regs ── (regw) the gateway ── 198.51.100.0/24 ── rec1, rec2 clients with openconnect
#   10.1.0.5               198.51.100.1          198.51.100.11, .12
# Names of the namespaces begin with "re".
set -uo pipefail
cd "$(dirname "$0")"
. ./common.sh
. ./openconnect.sh
begin "${1:-}" "ip ping iperf3 openssl openconnect nft" "iproute2 iputils-ping iperf3 openssl openconnect nftables" regs regw rec1 rec2
ours() { in_ns regw "$LOCKGATE" --socket "$WORK/a.sock" "$@"; }

# the network: both clients on a bridge in the gateway's own namespace
link regw lan regs eth0
switch regw rec1 rec2
in_ns regw sysctl -qw net.ipv6.conf.lan.disable_ipv6=1; in_ns regw ip link set lan up
in_ns regs ip addr add 10.1.0.5/24 dev eth0; in_ns regs ip link set eth0 up; in_ns regs ip route add default via 10.1.0.1

# an authority, the gateway's certificate, alice's
authority
gateway_certificate
issue alice /CN=alice 'keyUsage=digitalSignature\nextendedKeyUsage=clientAuth\n'

# users by our own tool
add() { printf '%s\n' "$2" | "$LOCKGATE" user add "$1" --file "$WORK/users" "${@:3}"; }
check "users are added" eval 'add alice secret1 --group staff && add bob secret2 --group guests'
has "and listed" '^alice +staff' "$LOCKGATE" user list --file "$WORK/users"

# ACCESS: more keys of the remote access
gateway() {
  { begin_config lan; cat; } > "$WORK/a.toml" <<T
[[address-pool]]
name = "clients"
addresses = ["10.9.0.10-10.9.0.20"]
[[remote-access]]
name = "office"
address = "198.51.100.1"
certificate = "$WORK/gw.pem"
private-key = "$WORK/gw.key"
users = "$WORK/users"
pools = "clients"
split-include = "10.1.0.0/24"
zone = "remote"
dpd = "5s"
${1:-}
[[policy]]
id = 1
name = "staff-in"
from = "remote"
to = "inside"
groups = "staff"
action = "allow"
[[policy]]
id = 2
name = "out"
from = "inside"
to = "remote"
action = "allow"
T
}
reload() { gateway "${1:-}"; ours apply "$WORK/a.toml"; }
gateway
check "the configuration is in order" "$LOCKGATE" check "$WORK/a.toml"
ip netns exec regw "$LOCKGATE" run --config "$WORK/a.toml" > "$WORK/gw.log" 2>&1 & BACKGROUND+=($!)
check "the gateway runs" until_ok 10 ours show system

client_script
PIN=$(pin gw)

# NUMBER USER PASSWORD OPTIONS...: openconnect in namespace rec$NUMBER
declare -A CLIENT=()
dial() {
  local n=$1 user=$2 password=$3; shift 3
  printf '%s\n' "$password" | ip netns exec "rec$n" openconnect --protocol=anyconnect --user="$user" --passwd-on-stdin --non-inter \
    --servercert="$PIN" -v --timestamp --interface=tun0 --script="$WORK/vpnc.sh" --reconnect-timeout 60 "$@" https://198.51.100.1/ > "$WORK/oc$n.log" 2>&1 &
  CLIENT[$n]=$!; BACKGROUND+=($!)
}
hangup() { local pids; pids=$(ip netns pids "rec$1"); [ -z "$pids" ] || kill -INT $pids 2>/dev/null; until_ok 10 gone "$1"; }
gone() { [ -z "$(ip netns pids "rec$1")" ]; }
client_is() { ours show remote-access --json | grep -qE "$1"; }
by() { ours show remote-access | grep -qE "^$1 .*$2"; }
pings() { in_ns "rec$1" ping -c 3 -i 0.2 -W 2 "${2:-10.1.0.5}"; }
has_address() { in_ns "rec$1" ip -4 addr show dev tun0 | grep -q inet; }
address() { in_ns "rec$1" ip -4 -o addr show dev tun0 | awk '{ sub("/.*", "", $4); print $4 }'; }
bench() { in_ns "rec$1" iperf3 -c 10.1.0.5 -t 2 "${@:2}"; }

echo "password, DTLS"
dial 1 alice secret1
check "alice has a tunnel, and DTLS" until_ok 15 by alice DTLS
check "and an address" until_ok 15 has_address 1
has "openconnect says so too" 'Established DTLS connection.*AES-256-GCM|DTLS connected' cat "$WORK/oc1.log"
check "she reaches the server" pings 1
check "and the server her" eval 'in_ns regs ping -c 2 -i 0.2 -W 2 "$(address 1)"'
has "she is behind her address" 'alice +staff +10\.9\.0\.1' ours show users
in_ns regs iperf3 -s -D --pidfile "$WORK/iperf.pid" >/dev/null; until_ok 5 test -s "$WORK/iperf.pid" && BACKGROUND+=("$(tr -d '\0' < "$WORK/iperf.pid")")
check "TCP towards the server" bench 1
check "and from it" bench 1 -R
hitting() { ours show sessions --offload user alice | grep -qE 'tcp .*hitting.* hitting'; }
ip netns exec rec1 iperf3 -c 10.1.0.5 -t 6 >"$WORK/iperf.out" 2>&1 & IPERF=$!
check "on the fast path, both ways" until_ok 5 hitting
check "the stream went through" wait $IPERF
fast() { ours show dtls --json | grep -oE '"fast":\{"packets":[0-9]+' | grep -oE '[0-9]+$' | awk '$1 < 100 { few = 1 } END { exit few || NR != 2 }'; }
check "the association has counted that, each way" fast
# Packets and bytes that the client's kernel has given to its tun device and got from it; those we count, by client and by records; once nothing is on its way any
# more. What goes to a client under load may be lost in its own buffers, so that is compared by what is added while there is room.
client_counts() { in_ns rec1 cat /sys/class/net/tun0/statistics/"$1"_{packets,bytes} | xargs; }
our_counts() { ours show remote-access alice --json | grep -oE "\"$1\":\{\"packets\":[0-9]+,\"bytes\":[0-9]+" | grep -oE '[0-9]+' | xargs; }
records() { ours show dtls alice --json | grep -oE "\"$1\":\{\"traffic\":\{\"packets\":[0-9]+,\"bytes\":[0-9]+" | grep -oE '[0-9]+' | xargs; }
agree() { [ -n "$(our_counts received)" ] && [ "$(our_counts received)" = "$(client_counts tx)" ] && [ "$(records inbound)" = "$(client_counts tx)" ]; }
check "client and gateway count the same packets and bytes from the client" until_ok 10 agree
added() { paste -d' ' <(echo "$1" | xargs -n1) <(echo "$2" | xargs -n1) | awk '{ print $2 - $1 }' | xargs; }
read -r CLIENT_WAS OURS_WAS RECORDS_WAS < <(printf '%s %s %s\n' "$(client_counts rx | tr ' ' ,)" "$(our_counts sent | tr ' ' ,)" "$(records outbound | tr ' ' ,)")
pings 1 >/dev/null; in_ns regs ping -c 20 -i 0.02 -s 1000 -W 2 "$(address 1)" >/dev/null
to_client() {
  local client ours records
  client=$(added "${CLIENT_WAS/,/ }" "$(client_counts rx)") ours=$(added "${OURS_WAS/,/ }" "$(our_counts sent)") records=$(added "${RECORDS_WAS/,/ }" "$(records outbound)")
  echo "to the client: $client by it, $ours by us, $records in records"
  [ "${ours% *}" -ge 23 ] && [ "$client" = "$ours" ] && [ "$records" = "$ours" ]
}
check "and to the client" until_ok 10 to_client
has "her sessions name her" ' alice ' ours show sessions user alice
has "the association is shown" 'alice .*AES' ours show dtls
both() { [ "$(ours explain dtls alice | grep -cE '^    hitting +yes')" = 2 ]; }
check "and explained: the engine serves both directions" both

echo "policies by group"
dial 2 bob secret2
check "bob has a tunnel" until_ok 15 by bob DTLS
check "and an address" until_ok 15 has_address 2
refuse "bob does not reach the server" pings 2
has "because nothing is for guests" 'fails: user' ours policy lookup tcp "$(address 2)" 10.1.0.5:80
check "alice still does" pings 1

echo "captures and traces"
# Only what is alice's, though bob sends as much: the records on the wire and the packets inside, each way.
ours capture --dtls --user alice --seconds 3 > "$WORK/captured" 2>/dev/null & CAPTURE=$!
until_ok 5 eval 'ours events | grep -q "DTLS of alice"'
pings 1 >/dev/null; pings 2 >/dev/null
check "a capture of alice's DTLS ends" wait $CAPTURE
seen() { grep -cE " $1 .* dtls alice tunnel office" "$WORK/captured"; }
of_hers() {
  local point
  for point in rx tx decap encap; do printf '%s %s\n' "$point" "$(seen $point)"; done
  for point in rx tx decap encap; do [ "$(seen $point)" -ge 3 ] || return 1; done
}
check "it has records and packets, three at least at each point" of_hers
refuse "and nothing else" grep -qvE ' dtls alice tunnel office' "$WORK/captured"
# The next packet to a client, phase by phase: pings go on until one is caught.
traced() {
  local pid found=1
  ours trace -c 1 src 10.1.0.5 dst "$(address 1)" > "$WORK/traced" 2>&1 & pid=$!
  for _ in $(seq 20); do pings 1 >/dev/null; if grep -q Action "$WORK/traced"; then found=0; break; fi; done
  kill -INT $pid 2>/dev/null; wait $pid; cat "$WORK/traced"; return $found
}
has "a trace of a packet to her says that DTLS carries it" 'encap .*DTLS' traced

echo "addresses"
foreign() { ours show counters | awk '$1 == "remote-source-foreign" { n += $2 } END { print n + 0 }'; }
BEFORE=$(foreign)
in_ns rec2 ip addr add 10.9.0.19/32 dev tun0
refuse "an address that is not bob's goes nowhere" in_ns rec2 ping -c 2 -i 0.2 -W 1 -I 10.9.0.19 10.1.0.5
check "and is counted" eval '[ "$(foreign)" -ge $((BEFORE + 2)) ]'
hangup 2
check "bob is gone" until_ok 10 eval '! client_is bob'

echo "UDP is blocked, and allowed again"
block() {
  in_ns regw nft -f - <<'T'
table bridge re {
  chain f {
    type filter hook forward priority 0
    udp dport 443 drop
    udp sport 443 drop
  }
}
T
}
allow() { in_ns regw nft delete table bridge re; }
block
check "alice goes on by CSTP" until_ok 40 by alice CSTP
has "a trace of a packet to her says that CSTP carries it" 'encap .*CSTP' traced
has "and why is explained" 'against +remote-access-not-offloaded ' ours explain dtls alice
check "and reaches the server" pings 1
allow
check "and comes back to DTLS" until_ok 90 by alice DTLS
check "with the server in reach" pings 1

echo "a lost link"
BEFORE=$(address 1)
in_ns rec1 ip link set eth0 down
check "the gateway finds out" until_ok 60 client_is '"state":"away"'
in_ns rec1 ip link set eth0 up
check "alice comes again" until_ok 90 client_is '"state":"connected"'
check "with the same address" eval '[ "$(address 1)" = "$BEFORE" ]'
check "and reaches the server" until_ok 20 pings 1
hangup 1
check "alice is gone" until_ok 10 eval '! client_is alice'
has "and behind no address" 'nobody is known' ours show users

echo "CSTP only"
dial 1 alice secret1 --no-dtls
check "alice has a tunnel" until_ok 15 by alice CSTP
check "and an address" until_ok 15 has_address 1
check "TCP towards the server" bench 1
check "and from it" bench 1 -R
hangup 1

echo "the other way to DTLS: a master secret of the client's"
dial 1 alice secret1 --dtls-ciphers=NONE --dtls12-ciphers=AES256-GCM-SHA384
check "alice has DTLS" until_ok 15 by alice DTLS
check "and an address" until_ok 15 has_address 1
check "and reaches the server" pings 1
hangup 1

echo "every cipher"
for cipher in AES-128-GCM:PSK-AES128-GCM-SHA256 AES-256-GCM:PSK-AES256-GCM-SHA384 CHACHA20-POLY1305:PSK-CHACHA20-POLY1305; do
  dial 1 alice secret1 --gnutls-priority="NORMAL:-CIPHER-ALL:+${cipher%:*}"
  check "${cipher%:*}: alice has DTLS" until_ok 15 by alice DTLS
  has "of that suite" "alice .*${cipher#*:}" ours show dtls alice
  check "and an address" until_ok 15 has_address 1
  check "and reaches the server" pings 1
  hangup 1
done

echo "rekeys"
check "every four seconds, from now on" reload 'rekey = "4s"'
dial 1 alice secret1
check "alice has DTLS" until_ok 15 by alice DTLS
check "and an address" until_ok 15 has_address 1
# Of each rekey one answer may be lost on the side of openconnect, which replaces its association while it is on the way; here nothing may be. Messages of
# the client are no packets, and what the client's kernel sends from link-local addresses has no business here.
lost_here() { ours show counters | awk '$1 ~ /^(remote|dtls)-/ && $1 !~ /-control$|-source-foreign$|-client-slow$/ { n += $2 } END { print n + 0 }'; }
pings_on() { in_ns rec1 ping -c 75 -i 0.2 -W 2 10.1.0.5; }
BEFORE=$(lost_here)
has "15 s of ping go through" '75 packets transmitted, 7[2-5] received' pings_on
check "and the gateway drops none" eval '[ "$(lost_here)" = "$BEFORE" ]'
rekeys() { [ "$(ours events | grep -c remote-again)" -ge 3 ]; }
check "over three rekeys" rekeys
# TCP over rekeys, both ways: connections that live through all of them, nothing dropped here, and the engine has each new association. After each rekey
# packets go by CSTP until there is DTLS again, where a sender that knows of no slower way yet fills the queue: that is congestion, as on any link.
again() { ours events | grep -c remote-again; }
for way in "" -R; do
  BEFORE=$(lost_here) AGAIN=$(again)
  check "iperf3 $way goes on over rekeys" in_ns rec1 iperf3 -c 10.1.0.5 -t 14 $way
  check "of which there were three" eval '[ "$(again)" -ge $((AGAIN + 3)) ]'
  check "and the gateway drops nothing" eval '[ "$(lost_here)" = "$BEFORE" ] || { ours show counters | grep -E "^(remote|dtls)-"; false; }'
  check "and has the association on the engine" until_ok 5 both
done
hangup 1

echo "who may not"
dial 1 alice wrong
check "a wrong password is told of" until_ok 10 eval 'ours events | grep -q "remote-login-failed.*alice"'
check "and openconnect ends" until_ok 10 gone 1
refuse "nobody got in" client_is alice

echo "certificates"
check "from now on" reload "$(printf 'login = "certificate"\nca = "%s/ca.pem"' "$WORK")"
dial 1 alice "" --certificate="$WORK/alice.pem" --sslkey="$WORK/alice.key"
check "alice has a tunnel" until_ok 15 by alice DTLS
check "and an address" until_ok 15 has_address 1
check "and reaches the server" pings 1

echo "the end"
check "the administrator ends it" ours clear remote-access --user alice
check "openconnect hears of it" until_ok 20 eval '! client_is connected'
hangup 1
finish || { tail -30 "$WORK/gw.log" | sed 's/^/  gateway: /'; tail -30 "$WORK"/oc*.log | sed 's/^/  openconnect: /'; exit 1; }
