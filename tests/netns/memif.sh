#!/usr/bin/env bash
# Shared memory (memif) with DPDK's testpmd as peer, in both roles, and with another gateway: frames both ways, peers that are
# killed and come back, gateways that are killed and come back, peers that do not fit.
# Needs root, iproute2, iputils-ping, curl, iperf3, python3, dpdk. Usage: memif.sh PATH_OF_LOCKGATE
#
#   host mfh ── lan (gateway a) ── m.sock, served by a ── testpmd 10.1.0.9, answers pings
#   10.0.0.5     10.0.0.1       ── n.sock, served by it ── testpmd 10.2.0.9, answers pings
#                               ── b.sock, served by a ── (gateway b) lan ── host mfs 10.4.0.5
set -uo pipefail
cd "$(dirname "$0")"
. ./common.sh
begin "${1:-}" "ip ping curl iperf3 python3 dpdk-testpmd" "iproute2 iputils-ping curl iperf3 python3 dpdk" mfh mfa mfb mfs
link mfa lan mfh eth0; link mfb lan mfs eth0
for ns in mfa mfb; do in_ns $ns sysctl -qw net.ipv6.conf.lan.disable_ipv6=1; in_ns $ns ip link set lan up; done
in_ns mfh ip addr add 10.0.0.5/24 dev eth0; in_ns mfh ip link set eth0 up; in_ns mfh ip route add default via 10.0.0.1
in_ns mfs ip addr add 10.4.0.5/24 dev eth0; in_ns mfs ip link set eth0 up; in_ns mfs ip route add default via 10.4.0.1

cat > "$WORK/a.toml" <<T
hostname = "a"
[control]
socket = "$WORK/a.sock"
[[port]]
name = "lan"
[[port]]
name = "served"
kind = "memif"
socket = "$WORK/m.sock"
[[port]]
name = "asked"
kind = "memif"
socket = "$WORK/n.sock"
role = "client"
id = 7
ring-size = 256
[[port]]
name = "between"
kind = "memif"
socket = "$WORK/b-a.sock"
[[interface]]
name = "lan"
port = "lan"
address = "10.0.0.1/24"
zone = "in"
[[interface]]
name = "served"
port = "served"
address = "10.1.0.1/24"
zone = "out"
[[interface]]
name = "asked"
port = "asked"
address = "10.2.0.1/24"
zone = "out"
[[interface]]
name = "between"
port = "between"
address = "10.3.0.1/24"
zone = "out"
mtu = 9000
[[route]]
to = "10.4.0.0/24"
via = "10.3.0.2"
[[policy]]
id = 1
from = "in"
to = "out"
action = "allow"
T
cat > "$WORK/b.toml" <<T
hostname = "b"
[control]
socket = "$WORK/b.sock"
[[port]]
name = "lan"
[[port]]
name = "between"
kind = "memif"
socket = "$WORK/b-a.sock"
role = "client"
ring-size = 2048
[[interface]]
name = "lan"
port = "lan"
address = "10.4.0.1/24"
zone = "in"
[[interface]]
name = "between"
port = "between"
address = "10.3.0.2/24"
zone = "out"
mtu = 9000
[[route]]
to = "10.0.0.0/24"
via = "10.3.0.1"
[[policy]]
id = 1
from = "out"
to = "in"
action = "allow"
T
mkfifo "$WORK/silence"; exec 9<> "$WORK/silence"
# NAME OPTIONS: a testpmd that answers ARP and pings on one memif; its process is in PEER.
testpmd() {
  # Its input stays open and empty: it runs until it is killed.
  dpdk-testpmd -l 0,1 --main-lcore 0 --no-huge -m 256 --no-pci "--file-prefix=$1-$$" --vdev "net_memif0,socket-abstract=no,$2" -- \
    --nb-cores=1 --forward-mode=icmpecho --total-num-mbufs=4096 --auto-start -i <&9 > "$WORK/$1.log" 2>&1 & PEER=$!
  BACKGROUND+=("$PEER")
}
link_of() { ask a --json show ports | python3 -c 'import json,sys; print([p["link"] for p in json.load(sys.stdin)["ports"] if p["name"] == sys.argv[1]][0])' "$1"; }
is() { [ "$(link_of "$1")" = "$2" ]; }
# Pings one after the other, none may be missing.
pings() { in_ns mfh ping -q -i 0.005 -W 2 "$@" | tee "$WORK/pings" | grep -q ' 0% packet loss'; }
counted() { ask a --json show ports | python3 -c 'import json,sys; p=[p for p in json.load(sys.stdin)["ports"] if p["name"] == sys.argv[1]][0]; print(p["rx"], p["tx"]); sys.exit(not all(p[w]["packets"] > 500 and p[w]["errors"] == 0 for w in ("rx", "tx")))' "$1"; }
restart() { kill -9 "$1"; wait "$1" 2>/dev/null; }

gateways mf a
GATEWAY_A=${BACKGROUND[0]}
echo "== a peer that connects"
check "without a peer the port is down" is served down
has "the log names a peer to start" 'served: no peer is connected; dpdk-testpmd .*role=client,id=0,socket=.*m.sock' cat "$WORK/a.log"
testpmd client "role=client,id=0,socket=$WORK/m.sock"; CLIENT=$PEER
check "testpmd connects" until_ok 30 is served up
check "pings pass both ways" until_ok 10 pings -c 1 10.1.0.9
check "500 of 500 come back" pings -c 500 10.1.0.9
check "so do 200 of 1472 bytes" pings -c 200 -s 1472 10.1.0.9
check "both ways are counted without errors" counted served
echo "== a peer that is connected to"
testpmd server "role=server,id=7,socket=$WORK/n.sock"; SERVER=$PEER
check "the gateway connects to testpmd" until_ok 30 is asked up
check "pings pass both ways" until_ok 10 pings -c 1 10.2.0.9
check "500 of 500 come back" pings -c 500 10.2.0.9
check "so do 200 of 1472 bytes" pings -c 200 -s 1472 10.2.0.9
check "both ways are counted without errors" counted asked
echo "== killed and back"
restart "$CLIENT"
check "a killed client is seen within seconds" until_ok 5 is served down
check "the other peer is untouched" pings -c 100 10.2.0.9
testpmd client "role=client,id=0,socket=$WORK/m.sock"; CLIENT=$PEER
check "a new one connects" until_ok 30 is served up
check "pings pass again" until_ok 10 pings -c 1 10.1.0.9
check "500 of 500 come back" pings -c 500 10.1.0.9
restart "$SERVER"
check "a killed server is seen within seconds" until_ok 5 is asked down
rm -f "$WORK/n.sock" # DPDK does not replace what it left
testpmd server "role=server,id=7,socket=$WORK/n.sock"; SERVER=$PEER
check "the gateway connects to a new one" until_ok 30 is asked up
check "pings pass again" until_ok 10 pings -c 1 10.2.0.9
restart "$GATEWAY_A"
gateways mf a
GATEWAY_A=${BACKGROUND[-1]}
check "a gateway after a killed one finds its server" until_ok 30 is asked up
check "pings pass by it" until_ok 10 pings -c 1 10.2.0.9
restart "$CLIENT" # as a client, testpmd asks but once
testpmd client "role=client,id=0,socket=$WORK/m.sock"; CLIENT=$PEER
check "and takes the place of the killed one at its socket" until_ok 30 is served up
check "pings pass by it" until_ok 10 pings -c 1 10.1.0.9
echo "== peers that do not fit"
cat > "$WORK/liar.py" <<'P'
# One message to the server at argv[1], hexadecimal in argv[2]; prints the words it ends with.
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(5)
s.connect(sys.argv[1])
hello = s.recv(256)
assert hello[:2] == b"\x02\x00" or hello[:2] == b"\x08\x00", hello
if sys.argv[2]:
    s.send(bytes.fromhex(sys.argv[2]).ljust(128, b"\0"))
while hello and hello[:2] != b"\x08\x00":
    hello = s.recv(256)
print(hello[6:].split(b"\0")[0].decode())
P
has "a second peer is told that another is there" 'another peer is connected' python3 "$WORK/liar.py" "$WORK/m.sock" ""
has "a wrong number is named" 'no interface of that id here' python3 "$WORK/liar.py" "$WORK/b-a.sock" 0300000209000000
has "a wrong version is named" 'memif 2.0' python3 "$WORK/liar.py" "$WORK/b-a.sock" 0300000300000000
has "nonsense is named" 'unknown type' python3 "$WORK/liar.py" "$WORK/b-a.sock" ffff
has "what was wrong is counted against nobody else" ' 0% packet loss' in_ns mfh ping -q -i 0.01 -c 50 10.1.0.9
restart "$CLIENT"; restart "$SERVER" # they take a whole core
echo "== two gateways"
gateways mf b
check "the gateways connect" until_ok 10 is between up
check "a ping goes through both" until_ok 10 in_ns mfh ping -c 1 -W 1 10.4.0.5
head -c 200000000 /dev/urandom > "$WORK/file"
SUM=$(sha256sum < "$WORK/file")
ip netns exec mfs python3 -m http.server --directory "$WORK" 8000 > /dev/null 2>&1 & BACKGROUND+=($!)
check "a web server listens" until_ok 10 in_ns mfh curl -sI http://10.4.0.5:8000/file
fetch() { [ "$(in_ns mfh curl -s http://10.4.0.5:8000/file | sha256sum)" = "$SUM" ]; }
check "200 MB arrive as they were sent" fetch
ip netns exec mfs iperf3 -s > /dev/null 2>&1 & BACKGROUND+=($!)
check "iperf3 listens" until_ok 10 in_ns mfh iperf3 -c 10.4.0.5 -n 1
check "TCP there" in_ns mfh iperf3 -J -t 2 -c 10.4.0.5 --logfile "$WORK/iperf.json"; gbps; rm "$WORK/iperf.json"
check "TCP back" in_ns mfh iperf3 -J -t 2 -R -c 10.4.0.5 --logfile "$WORK/iperf.json"; gbps; rm "$WORK/iperf.json"
sleeps() { ask "$1" --json show system | python3 -c 'import json,sys; b=json.load(sys.stdin)["busy"]; print(b); sys.exit(max(b) >= 0.02)'; }
check "an idle gateway with memif ports takes under 2 % of a core" until_ok 20 sleeps b
check "frames are all back" test "$(ask a --json show system | python3 -c 'import json,sys; print([t["used"] for t in json.load(sys.stdin)["tables"] if t["name"] == "frames"][0])')" = 0
finish
