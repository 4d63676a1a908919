#!/usr/bin/env bash
# ESP tunnel mode with AES-256-GCM, one tunnel, one core: Lockgate against DPDK's example gateway ipsec-secgw, in turns in one run, in two shapes:
#   memory  packets come out of memory and end there: secgw by its pcap driver (which copies each), Lockgate by `lockgate bench`
#   memif   packets come from testpmd on the other core over shared memory and end at the gateway's next port: a null device for secgw,
#           for Lockgate a second memif that nobody empties
# Frames of 60 and 1414 bytes (IP packets of 46 and 1400). The example is built from the source of the installed DPDK (22.11 in Debian 12):
#   apt-get source --download-only dpdk && tar xf dpdk_*.orig.tar.xz && cd dpdk-*/examples/ipsec-secgw
#   sed -i 's/\.offloads = RTE_ETH_RX_OFFLOAD_CHECKSUM,/.offloads = 0,/' ipsec-secgw.c && make shared
# Needs root, two cores, 1.5 GB for huge pages, python3, dpdk, libdpdk-dev, libipsec-mb-dev. Usage: dpdk.sh PATH_OF_LOCKGATE PATH_OF_SECGW [ROUNDS] [SECONDS]
set -uo pipefail
cd "$(dirname "$0")"
. ../../tests/netns/common.sh
begin "${1:-}" "python3 dpdk-testpmd" "python3 dpdk"
SECGW=$(realpath "${2:?usage: dpdk.sh PATH_OF_LOCKGATE PATH_OF_SECGW [ROUNDS] [SECONDS]}") ROUNDS=${3:-5} LENGTH=${4:-5}
[ "$(nproc)" -ge 2 ] || { echo "dpdk.sh needs two cores: one makes the packets" >&2; exit 1; }
PAGES_BEFORE=$(sysctl -n vm.nr_hugepages)
sysctl -qw vm.nr_hugepages=768
[ "$(sysctl -n vm.nr_hugepages)" = 768 ] || { echo "dpdk.sh needs 768 free huge pages of 2 MB" >&2; exit 1; }
mkdir -p "$WORK/huge" && mount -t hugetlbfs nodev "$WORK/huge"
trap 'cleanup_pages' EXIT
cleanup_pages() { local pid; for pid in "${BACKGROUND[@]}"; do kill -9 "$pid" 2>/dev/null; done; wait 2>/dev/null; umount "$WORK/huge"; sysctl -qw "vm.nr_hugepages=$PAGES_BEFORE"; cleanup; }
EAL="--no-pci --huge-dir $WORK/huge"

# Frames of 1024 UDP flows of one length, for secgw.
python3 - "$WORK" <<'P'
import struct, sys
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
for length in (60, 1414):
    with open(f"{sys.argv[1]}/clear-{length}.pcap", "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for flow in range(1024):
            ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, length - 14, flow, 0, 64, 17, 0, bytes([192, 168, 105, flow % 200]), bytes([192, 168, 115, flow % 200]))
            ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
            frame = bytes.fromhex("020000000001 020000000002 0800") + ip + struct.pack("!HHHH", 1024 + flow, 5000, length - 34, 0)
            frame = frame.ljust(length, b"\0")
            out.write(struct.pack("<IIII", 0, flow, length, length) + frame)
P
KEY=$(printf 'de%.0s' $(seq 36))
cat > "$WORK/secgw.cfg" <<T
sp ipv4 out esp protect 5 pri 1 dst 192.168.115.0/24 sport 0:65535 dport 0:65535
sp ipv4 in esp protect 5 pri 1 dst 192.168.115.0/24 sport 0:65535 dport 0:65535
sa out 5 aead_algo aes-256-gcm aead_key $(sed 's/../&:/g; s/:$//' <<<"$KEY") mode ipv4-tunnel src 172.16.1.5 dst 172.16.2.5
sa in 5 aead_algo aes-256-gcm aead_key $(sed 's/../&:/g; s/:$//' <<<"$KEY") mode ipv4-tunnel src 172.16.1.5 dst 172.16.2.5
rt ipv4 dst 172.16.2.5/32 port 0
rt ipv4 dst 192.168.115.0/24 port 1
neigh port 0 02:00:00:00:00:aa
neigh port 1 02:00:00:00:00:bb
T
cat > "$WORK/gateway.toml" <<T
hostname = "gateway"
[control]
socket = "$WORK/gateway.sock"
[[port]]
name = "in"
kind = "memif"
socket = "$WORK/in.sock"
role = "client"
ring-size = 2048
mac = "02:00:00:00:00:01"
[[port]]
name = "out"
kind = "memif"
socket = "$WORK/out.sock"
role = "client"
mac = "02:00:00:00:00:03"
[[interface]]
name = "in"
port = "in"
address = "192.168.105.254/24"
zone = "in"
[[interface]]
name = "out"
port = "out"
address = "172.16.1.5/24"
zone = "out"
mtu = 9000
[[interface]]
name = "vpn"
tunnel = "net"
zone = "vpn"
mtu = 1500
[[neighbour]]
interface = "out"
address = "172.16.1.1"
mac = "02:00:00:00:00:aa"
[[route]]
to = "172.16.2.0/24"
via = "172.16.1.1"
[[route]]
to = "192.168.115.0/24"
interface = "vpn"
[[ipsec]]
name = "net"
local = "172.16.1.5"
remote = "172.16.2.5"
out = { spi = 1005, algorithm = "aes256gcm16", key = "$KEY" }
in = { spi = 1006, algorithm = "aes256gcm16", key = "${KEY//de/df}" }
[[policy]]
id = 1
from = "in"
to = "vpn"
action = "allow"
T

secgw() { # OPTIONS OF EAL... : packets a second, the median of samples of one second
  timeout -s INT "$((LENGTH + 5))" "$SECGW" -l 1 $EAL --file-prefix=secgw "$@" --vdev crypto_aesni_gcm0 -- -p 0x3 -P -u 0x1 --config '(0,0,1),(1,0,1)' -l -t 1 \
    -f "$WORK/secgw.cfg" 2> "$WORK/secgw.err" | python3 -c '
import re, statistics, sys
sent = [int(found) for found in re.findall(r"Packets sent:?\s+(\d+)", sys.stdin.read())]
rates = [b - a for a, b in zip(sent, sent[1:]) if b > a]
print(statistics.median(rates[1:-1]) if len(rates) > 3 else "none")'
}
memory_secgw() { # LENGTH DIRECTION
  if [ "$2" = encrypt ]; then
    secgw -m 1024 --vdev "net_pcap0,rx_pcap=$WORK/clear-60.pcap" --vdev "net_pcap1,rx_pcap=$WORK/clear-$1.pcap,infinite_rx=1"
  else
    [ -f "$WORK/esp-$1.pcap" ] || LENGTH=1 secgw -m 1024 --vdev "net_pcap0,rx_pcap=$WORK/clear-60.pcap,tx_pcap=$WORK/esp-$1.pcap" --vdev "net_pcap1,rx_pcap=$WORK/clear-$1.pcap" > /dev/null
    secgw -m 1024 --vdev "net_pcap0,rx_pcap=$WORK/esp-$1.pcap,infinite_rx=1" --vdev "net_pcap1,rx_pcap=$WORK/clear-60.pcap"
  fi
}
memory_lockgate() {
  taskset -c 1 "$LOCKGATE" bench "esp-$2" --size $(($1 - 14)) --tunnels 1 --json 2> "$WORK/out" | python3 -c '
import json, sys
print([f["value"] for f in json.load(sys.stdin)["figures"] if f["what"].endswith("fast tier, 1 tunnel")][0])'
}
generator() { # LENGTH SOCKET...
  local length=$1 number=0 devices=(); shift
  for socket; do rm -f "$socket"; devices+=(--vdev "net_memif$number,role=server,id=0,socket=$socket,socket-abstract=no,bsize=2048,rsize=11"); number=$((number + 1)); done
  mkfifo "$WORK/silence" 2>/dev/null; exec 9<> "$WORK/silence"
  dpdk-testpmd -l 0,1 --main-lcore 1 -m 256 $EAL --file-prefix=generator "${devices[@]}" -- --nb-cores=1 --portlist=0 --forward-mode=txonly "--txpkts=$length" \
    --tx-ip=192.168.105.1,192.168.115.1 --eth-peer=0,02:00:00:00:00:01 --total-num-mbufs=16384 --auto-start -i <&9 > "$WORK/generator.log" 2>&1 & GENERATOR=$!
  BACKGROUND+=("$GENERATOR")
  until_ok 20 grep -q 'testpmd>' "$WORK/generator.log" || { cat "$WORK/generator.log" >&2; exit 1; }
}
end() { { kill -9 "$1"; wait "$1"; } 2>/dev/null; } # testpmd crashes on its own when its peer goes
memif_secgw() {
  generator "$1" "$WORK/m.sock"
  secgw -m 512 --vdev net_null0,no-rx=1 --vdev "net_memif1,role=client,id=0,socket=$WORK/m.sock,socket-abstract=no,bsize=2048,rsize=11"
  end "$GENERATOR"
}
out_port() { "$LOCKGATE" --socket "$WORK/gateway.sock" --json show ports | python3 -c '
import json, sys, time
out = [port for port in json.load(sys.stdin)["ports"] if port["name"] == "out"][0]
assert out["link"] == "up"
print(time.monotonic(), out["tx"]["packets"] + out["tx"]["dropped"])'; }
sends() { out_port | awk '{ exit $2 < 1000000 }'; }
memif_lockgate() {
  local gateway before
  generator "$1" "$WORK/in.sock" "$WORK/out.sock"
  taskset -c 1 "$LOCKGATE" run --config "$WORK/gateway.toml" > "$WORK/gateway.log" 2>&1 & gateway=$!; BACKGROUND+=("$gateway")
  until_ok 20 sends || { echo "nothing passes Lockgate" >&2; cat "$WORK/gateway.log" >&2; exit 1; }
  before=$(out_port); sleep "$LENGTH"
  echo "$before $(out_port)" | awk '{ print ($4 - $2) / ($3 - $1) }'
  "$LOCKGATE" --socket "$WORK/gateway.sock" --json show sessions > "$WORK/sessions.json"
  grep -q '"fast":{"packets":[1-9][0-9]\{6\}' "$WORK/sessions.json" || { echo "the session is not on the fast tier:" >&2; cat "$WORK/sessions.json" >&2; exit 1; }
  kill "$gateway"; wait "$gateway" 2>/dev/null
  end "$GENERATOR"
}
echo "$(awk -F: '/model name/ { print $2; exit }' /proc/cpuinfo | xargs), Linux $(uname -r), DPDK $(dpkg-query -W -f '${Version}' dpdk); AES-256-GCM, one tunnel, one core; $ROUNDS rounds of $LENGTH s"
for round in $(seq "$ROUNDS"); do
  for shape in "memory encrypt" "memory decrypt" "memif encrypt"; do
    for length in 60 1414; do
      for by in lockgate secgw; do
        printf '\rround %s of %s: %s %s by %-12s' "$round" "$ROUNDS" "$shape" "$length" "$by" >&2
        "${shape% *}_$by" "$length" "${shape#* }" > "$WORK/rate" # in this shell, so that it ends what was started
        rate=$(< "$WORK/rate")
        case $rate in [0-9]*) ;; *) echo "no figure by $by: $rate" >&2; cat "$WORK/secgw.err" "$WORK/out" 2>/dev/null | tail -n 5 >&2; exit 1;; esac
        echo "$shape $length $by $rate" >> "$WORK/results"
      done
    done
  done
done
printf '\r%60s\r' '' >&2
python3 - "$WORK/results" <<'P'
import statistics, sys
rows = {}
for line in open(sys.argv[1]):
    shape, way, length, by, rate = line.split()
    rows.setdefault((shape, way, int(length)), {}).setdefault(by, []).append(float(rate))
form = "{:<8}{:<9}{:>6}{:>16}{:>14}{:>8}"
print(form.format("SHAPE", "", "FRAME", "LOCKGATE Mpps", "SECGW Mpps", "RATIO"))
for (shape, way, length), by in rows.items():
    mine, theirs = (statistics.median(by[name]) for name in ("lockgate", "secgw"))
    ratio = statistics.median(a / b for a, b in zip(by["lockgate"], by["secgw"]))
    print(form.format(shape, way, length, "%.2f" % (mine / 1e6), "%.2f" % (theirs / 1e6), "%.2f" % ratio))
P
