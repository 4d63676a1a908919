#!/usr/bin/env bash
# Two gateways, keyed by hand, over a network with a NAT and a narrow link in between.
# Needs root, iproute2, nftables, ethtool, ping, curl, iperf3, python3, tcpdump, tshark. Usage: ipsec.sh PATH_OF_LOCKGATE
#
#   host lia ── (lga) paris ── 192.0.2.0/24 ── router lnr ── 203.0.113.0/24, MTU 1400 ── (lgb) oslo ── host lib
#   10.1.0.5           192.0.2.2          NAT for UDP 4500                        203.0.113.3           10.2.0.5
#   10.11.0.5, 2001:db8:1::5                                                            10.12.0.5, 2001:db8:2::5
#
# Tunnel `plain` is ESP, tunnel `natt` is ESP in UDP through the NAT.
set -uo pipefail
cd "$(dirname "$0")"
. ./common.sh
begin "${1:-}" "ip nft ethtool ping curl iperf3 python3 tcpdump tshark" \
  "iproute2 nftables ethtool iputils-ping curl iperf3 python3 tcpdump tshark" lia lga lnr lgb lib
paris() { in_ns lga "$LOCKGATE" --socket "$WORK/a.sock" "$@"; }
oslo() { in_ns lgb "$LOCKGATE" --socket "$WORK/b.sock" "$@"; }

link lga lan lia eth0; link lga wan lnr to-a; link lgb wan lnr to-b; link lgb lan lib eth0
for where in "lga lan" "lga wan" "lgb lan" "lgb wan"; do
  # shellcheck disable=SC2086
  set -- $where
  in_ns "$1" sysctl -qw "net.ipv6.conf.$2.disable_ipv6=1"; in_ns "$1" ip link set "$2" up
done
for site in 1 2; do
  ns=$([ $site = 1 ] && echo lia || echo lib)
  in_ns $ns ip addr add 10.$site.0.5/24 dev eth0; in_ns $ns ip addr add 10.1$site.0.5/24 dev eth0
  in_ns $ns ip addr add 2001:db8:$site::5/64 dev eth0 nodad; in_ns $ns ip link set eth0 up
  in_ns $ns ip route add 10.$((3 - site)).0.0/24 via 10.$site.0.1
  in_ns $ns ip route add 10.1$((3 - site)).0.0/24 via 10.1$site.0.1 src 10.1$site.0.5
  in_ns $ns ip -6 route add 2001:db8:$((3 - site))::/64 via 2001:db8:$site::1
done
in_ns lnr ip addr add 192.0.2.1/24 dev to-a; in_ns lnr ip addr add 203.0.113.1/24 dev to-b
in_ns lnr ip link set to-a up; in_ns lnr ip link set to-b mtu 1400 up; in_ns lgb ip link set wan mtu 1400
in_ns lnr sysctl -qw net.ipv4.ip_forward=1
# Not Ethernet's business here: the router must judge sizes packet by packet.
in_ns lnr ethtool -K to-a gro off tx off gso off tso off >/dev/null 2>&1
in_ns lnr ethtool -K to-b gro off tx off gso off tso off >/dev/null 2>&1
in_ns lnr nft -f - <<'N'
table ip nat {
  chain out {
    type nat hook postrouting priority 100
    oifname "to-b" udp dport 4500 masquerade
  }
}
N

gateway() { # SITE LOCAL NEXT MTU SOCKET NATT-REMOTE PLAIN-REMOTE
  local site=$1 other=$((3 - $1)) first key1 key2
  sa() { printf '{ spi = %s, algorithm = "aes256gcm16", key = "%s" }' "$1" "$2"; }
  sed -e "s#@SOCKET@#$5#; s#@SITE@#$site#g; s#@OTHER@#$other#g; s#@LOCAL@#$2#; s#@NEXT@#$3#; s#@MTU@#$4#" ipsec.toml
  for tunnel in "plain 1000 $7" "natt 2000 $6"; do
    # shellcheck disable=SC2086
    set -- $tunnel
    local out in
    # each direction of each tunnel has a key of its own
    first=$((($2 / 1000 - 1) * 40 + 1))
    key1=$(printf '%02x' $(seq $first $((first + 35)))) key2=$(printf '%02x' $(seq $((first + 100)) $((first + 135))))
    if [ "$site" = 1 ]; then out=$(sa $(($2 + 1)) "$key1") in=$(sa $(($2 + 2)) "$key2")
    else out=$(sa $(($2 + 2)) "$key2") in=$(sa $(($2 + 1)) "$key1"); fi
    printf '\n[[ipsec]]\nname = "%s"\nlocal = "%s"\nremote = "%s"\nout = %s\nin = %s\n' "$1" "${LOCAL[$site]}" "$3" "$out" "$in"
    [ "$1" = natt ] && echo 'udp-encapsulation = true'
  done
}
LOCAL=("" 192.0.2.2 203.0.113.3)
gateway 1 192.0.2.2 192.0.2.1 1500 "$WORK/a.sock" 203.0.113.3 203.0.113.3 > "$WORK/a.toml"
gateway 2 203.0.113.3 203.0.113.1 1400 "$WORK/b.sock" 203.0.113.1 192.0.2.2 > "$WORK/b.toml"
check "paris' configuration is valid" "$LOCKGATE" check "$WORK/a.toml"
check "oslo's configuration is valid" "$LOCKGATE" check "$WORK/b.toml"
ip netns exec lga "$LOCKGATE" run --config "$WORK/a.toml" >"$WORK/a.log" 2>&1 & BACKGROUND+=($!)
ip netns exec lgb "$LOCKGATE" run --config "$WORK/b.toml" >"$WORK/b.log" 2>&1 & BACKGROUND+=($!)
check "paris answers on its socket" until_ok 20 paris show system
check "oslo answers on its socket" until_ok 20 oslo show system
ip netns exec lib python3 -m http.server --bind :: 8080 --directory "$WORK" >/dev/null 2>&1 & BACKGROUND+=($!)
ip netns exec lib iperf3 -s >/dev/null 2>&1 & BACKGROUND+=($!)
head -c 3000000 /dev/urandom > "$WORK/blob"
sum() { md5sum < "$1" | cut -d' ' -f1; }
fetch() { in_ns lia curl -gsS -m 20 -o "$WORK/got" "$1" && [ "$(sum "$WORK/got")" = "$(sum "$WORK/blob")" ]; }
until_ok 5 in_ns lib curl -gsS -m 1 -o /dev/null 'http://[::1]:8080/blob'
ip netns exec lnr tcpdump -i to-b -w "$WORK/wire.pcap" -U -s 200 not arp >/dev/null 2>&1 & BACKGROUND+=($!)
until_ok 5 test -s "$WORK/wire.pcap"

for tunnel in plain natt; do
  case $tunnel in
    plain) to="10.2.0.5 2001:db8:2::5" ;;
    natt) to="10.12.0.5" ;;
  esac
  for host in $to; do
    echo "== $tunnel to $host"
    case $host in *:*) url="http://[$host]:8080/blob" ;; *) url="http://$host:8080/blob" ;; esac
    check "ping" in_ns lia ping -c 3 -i 0.2 -W 2 "$host"
    check "ping with 4000 bytes (fragments)" in_ns lia ping -c 2 -i 0.2 -s 4000 -W 2 "$host"
    check "a checksummed transfer over the narrow link" fetch "$url"
  done
  # What is wrong for one tunnel is seldom right for the next: look at it now.
  [ $FAILED = 0 ] || break
done
echo "== a path narrower than the interface below"
has "a packet too big for the path is told to its sender" 'Frag needed|Packet too big|too long|mtu' in_ns lia ping -c 3 -i 0.3 -W 1 -M do -s 1372 10.2.0.5
has "the path's MTU was learnt" '"path_mtu":1400' paris show tunnels --json

echo "== iperf3"
iperf() { in_ns lia iperf3 -J -t 3 "$@" > "$WORK/iperf.json" 2>&1; }
for options in "-c 10.2.0.5" "-R -c 10.2.0.5" "-c 10.12.0.5 -B 10.11.0.5" "-R -c 10.12.0.5 -B 10.11.0.5" "-c 2001:db8:2::5"; do
  # shellcheck disable=SC2086
  check "iperf3 $options" iperf $options
  printf '        %s\n' "$(gbps 2>/dev/null)"
done

echo "== capture"
export_keys() { paris show sa --export-keys wireshark -o "$WORK/keys" "$@"; }
has "keys are not exported unless the configuration says so" 'export-keys = true' export_keys
printf '\n[debug]\nexport-keys = true\n' >> "$WORK/a.toml"
check "the configuration says so" paris reload
chmod 711 "$WORK"; chmod 666 "$WORK/a.sock"
nobody() {
  in_ns lga python3 - "$WORK/a.sock" <<'P'
import os, socket, sys
os.setuid(65534)
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
body = b'{"format":"wireshark"}'
client.sendall(b"POST /v1/export-keys HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
while answer := client.recv(65536):
    print(answer.decode())
P
}
has "nobody but root gets them" 'only root may have keys, not uid 65534' nobody
chmod 660 "$WORK/a.sock"; chmod 700 "$WORK"
has "root does" 'holds the keys of' export_keys plain
has "the file is root's alone" '^600$' stat -c %a "$WORK/keys/esp_sa"
has "an event says who" 'keys-exported.*uid 0 .*plain out 0x000003e9' paris events
has "and the log" 'keys exported to uid 0' cat "$WORK/a.log"
sniff() { exec ip netns exec lga "$LOCKGATE" --socket "$WORK/a.sock" capture "$@"; }
sniff --spi 1001 -o "$WORK/out.pcapng" 2>"$WORK/out.err" & OUT=$!
sniff --spi 1002 -o "$WORK/in.pcapng" 2>"$WORK/in.err" & IN=$!
until_ok 5 grep -q begun "$WORK/out.err"; until_ok 5 grep -q begun "$WORK/in.err"
# Less than a capture keeps until it is fetched, even if all of it comes at once.
head -c 1000000 "$WORK/blob" > "$WORK/part"
traffic() { in_ns lia ping -c 3 -i 0.1 -s 300 10.2.0.5 && in_ns lia curl -gsS -m 20 -o /dev/null --limit-rate 2M http://10.2.0.5:8080/part; }
check "traffic while two captures run" traffic
kill $OUT $IN; wait $OUT $IN
has "a capture that is ended says what it has and what it lost" '[1-9].* packets captured, 0 lost' cat "$WORK/out.err"
has "so does the other" '[1-9].* packets captured, 0 lost' cat "$WORK/in.err"
check "tshark opens what was sent, as it was before it was sealed" python3 capture.py "$WORK/out.pcapng" "$WORK/keys" out
sed -n 1p "$WORK/out" | sed 's/^/        /'
check "tshark opens what was received, as it was after it was opened" python3 capture.py "$WORK/in.pcapng" "$WORK/keys" in
sed -n 1p "$WORK/out" | sed 's/^/        /'
sniff --reason esp-icv-failed --seconds 20 --count 2 >"$WORK/drops" 2>"$WORK/drops.err" & DROPS=$!
until_ok 5 grep -q begun "$WORK/drops.err"
damage() {
  in_ns lnr python3 - <<'P'
import socket, struct
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
for _ in range(2):
    esp = struct.pack("!II", 1002, 1 << 31) + bytes(64)
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, 50, 0, socket.inet_aton("203.0.113.3"), socket.inet_aton("192.0.2.2"))
    raw.sendto(head + esp, ("192.0.2.2", 0))
P
}
check "forged ESP packets arrive" damage
wait $DROPS
has "and are captured as they came, with the reason" 'drop +wan .*esp 203.0.113.3 -> 192.0.2.2 .*dropped esp-icv-failed spi 0x000003ea tunnel plain' cat "$WORK/drops"
sniff --point encap --count 5 -o - 2>"$WORK/pipe.err" | tshark -r - >"$WORK/pipe" 2>/dev/null & PIPE=$!
until_ok 5 grep -q begun "$WORK/pipe.err"
check "more traffic" in_ns lia ping -c 6 -i 0.1 10.2.0.5
wait $PIPE
has "a pipe takes a capture too" '^5$' grep -c 'ICMP' "$WORK/pipe"

echo "== what the gateways say"
for who in paris oslo; do
  $who show tunnels | cat
  $who show sa --offload | cat
  $who show sa --json > "$WORK/sas.json"
  check "$who: every SA is hitting and dropped nothing but what was forged" python3 - "$WORK/sas.json" <<'P'
import json, sys
sas = json.load(open(sys.argv[1]))["sas"]
forged = lambda e: e["reason"]["name"] == "esp-icv-failed" and e["count"] == 2
wrong = lambda s: s["status"] != "hitting" or not all(map(forged, s["errors"]))
bad = [(s["tunnel"], s["direction"], s["status"], s["errors"]) for s in sas if wrong(s)]
print(len(sas), "SAs; not right:", bad)
sys.exit(bool(bad) or len(sas) != 4)
P
done
has "a trace shows what was opened" 'decap' paris trace --simulate 'udp 10.1.0.5:4000 -> 10.2.0.5:53 in lan'
has "a simulated packet names the tunnel" 'plain' paris trace --simulate 'udp 10.1.0.5:4000 -> 10.2.0.5:53 in lan'
has "no key is shown" '^0$' sh -c "$(printf '%q ' ip netns exec lga "$LOCKGATE" --socket "$WORK/a.sock" show sa --detail) | grep -c 0102030405"
inside() { [ "$(tcpdump -nr "$WORK/wire.pcap" 'net 10.0.0.0/8 or net 2001:db8:1::/64 or net 2001:db8:2::/64' 2>/dev/null | wc -l)" = 0 ]; }
check "nothing crossed the network in clear" inside
has "ESP crossed it" 'ESP' tcpdump -nr "$WORK/wire.pcap" -c 3 esp
has "and ESP in UDP, behind the NAT's address" '203.0.113.1\.[0-9]+ > 203.0.113.3.4500: UDP-encap: ESP' tcpdump -nr "$WORK/wire.pcap" -c 3 'udp port 4500 and dst 203.0.113.3'

if [ $FAILED != 0 ]; then
  for f in a b; do echo; echo "log of $f:"; tail -5 "$WORK/$f.log"; done
  paris show counters; oslo show counters; paris show sa --detail
fi
finish
