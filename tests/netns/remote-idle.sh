#!/usr/bin/env bash
# Memory and time of a gateway with many idle clients of remote access, each with a TLS connection, a tunnel and a DTLS association.
# Needs root, iproute2, openssl and the far ends, which are a test of ours that is told to be nothing else; no part of the tests.
# Usage: remote-idle.sh PATH_OF_LOCKGATE [CLIENTS], in a checkout with cargo
#
#   (iqg) the gateway 198.51.100.1 ── switch ── iq1, iq2: 198.51.100.11, .12, half of the clients each
set -uo pipefail
cd "$(dirname "$0")"
. ./common.sh
. ./openconnect.sh
FAR=$(cd ../.. && cargo test --release -p lockgate-anyconnect --test memory --no-run 2>&1 | sed -n 's/.*Executable.*(\(.*\))/\1/p')
[ -n "$FAR" ] || { echo "the far ends are not built: cargo test -p lockgate-anyconnect --test memory --no-run" >&2; exit 1; }
FAR=$(cd ../.. && realpath "$FAR")
begin "${1:-}" "ip openssl" "iproute2 openssl" iqg iq1 iq2
CLIENTS=${2:-5000} HALF=$(( ${2:-5000} / 2 )) USERS=400
ours() { in_ns iqg "$LOCKGATE" --socket "$WORK/a.sock" "$@"; }
switch iqg iq1 iq2
authority
gateway_certificate
# one hash for all users: their passwords are the same
printf 'secret1\n' | "$LOCKGATE" user add user0 --file "$WORK/one" >/dev/null 2>&1 || exit 1
for n in $(seq 0 $((USERS - 1))); do sed "s/^user0:/user$n:/" "$WORK/one"; done > "$WORK/users"; chmod 600 "$WORK/users"
{ begin_config; cat; } > "$WORK/a.toml" <<T
[[address-pool]]
name = "clients"
addresses = ["10.64.0.1-10.64.255.254"]
[[remote-access]]
name = "office"
address = "198.51.100.1"
certificate = "$WORK/gw.pem"
private-key = "$WORK/gw.key"
users = "$WORK/users"
pools = "clients"
zone = "remote"
dpd = "1h"
keepalive = "1h"
clients = $((CLIENTS + 100))
T
ip netns exec iqg "$LOCKGATE" run --config "$WORK/a.toml" > "$WORK/gw.log" 2>&1 & GW=$!; BACKGROUND+=($GW)
until_ok 10 ours show system || { cat "$WORK/gw.log" >&2; exit 1; }
kb() { awk -v key="$1:" '$1 == key { n += $2 } END { print n }' "/proc/$GW/smaps_rollup"; }
ticks() { awk '{ print $14 + $15 }' "/proc/$GW/stat"; }
BEFORE=$(kb Rss) FARS=()
for n in 1 2; do
  mkfifo "$WORK/stop$n"
  LOCKGATE_ANYCONNECT_FAR="198.51.100.1:443 $HALF $WORK/ca.pem $USERS" ip netns exec "iq$n" "$FAR" --exact an_idle_client_costs_little --nocapture < "$WORK/stop$n" > "$WORK/far$n" 2>&1 & FARS[$n]=$!; BACKGROUND+=($!)
  exec {fd}> "$WORK/stop$n"
done
connected() { ours show remote-access --limit 1 --json | grep -oE '"associations":[0-9]+' | grep -oE '[0-9]+'; }
START=$SECONDS
while [ "$(connected)" -lt $((HALF * 2)) ]; do
  for n in 1 2; do kill -0 "${FARS[$n]}" 2>/dev/null || { printf '\nthe far ends have ended:\n' >&2; cat "$WORK/far$n" >&2; exit 1; }; done
  printf '\r%s of %s clients after %s s ' "$(connected)" "$((HALF * 2))" "$((SECONDS - START))" >&2
  read -rt 1 <> <(:)
done
printf '\r%50s\r' '' >&2
FIRST=$(kb Rss)
# the last of them may still be about to log in: an association that was made twice counts twice
read -rt 10 <> <(:)
T=$(ticks); read -rt 20 <> <(:); SHARE=$(( ($(ticks) - T) * 100 / (20 * $(getconf CLK_TCK)) ))
AFTER=$(kb Rss)
awk -v cpu="$(awk -F: '/model name/ { print $2; exit }' /proc/cpuinfo | xargs)" -v n=$((HALF * 2)) -v b="$BEFORE" -v f="$FIRST" -v a="$AFTER" -v s="$SHARE" 'BEGIN {
  printf "%s; %d idle clients with TLS, tunnel and DTLS association\n", cpu, n
  printf "%-58s %8.1f MB\n", "resident memory of the gateway without clients", b / 1024
  printf "%-58s %8.1f MB\n", "with them, as they came", f / 1024
  printf "%-58s %8.1f MB\n", "with them, 30 s later", a / 1024
  printf "%-58s %8.1f KB\n", "for each client", (a - b) / n
  printf "%-58s %8d %%\n", "of a core meanwhile", s
}'
# Where it lies: mappings by size, those that hold most first.
awk '/^[0-9a-f]+-[0-9a-f]+ / { name = $6 } /^Size:/ { size = $2 } /^Rss:/ { key = size " KB " name; n[key]++; rss[key] += $2 } END { for (k in n) if (rss[k] > 2000) printf "%10.1f MB in %d mappings of %s\n", rss[k] / 1024, n[k], k }' "/proc/$GW/smaps" | sort -rn | head -8
