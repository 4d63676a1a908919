#!/usr/bin/env bash
# TCP through a client of remote access, by Lockgate and by ocserv in turns: the same openconnect, the same links, the same cipher, one run.
# Needs root, iproute2, iperf3, openssl, openconnect and ocserv; no part of the tests. Usage: remote-speed.sh PATH_OF_LOCKGATE [ROUNDS] [SECONDS]; CONGESTION names another TCP,
# APART=1 gives openconnect the last core for itself and all else the others, as if the client were another machine; SOCKET is how many bytes sockets hold
# whose owner does not say: openconnect's, and on this host everybody's until the script ends, ocserv's among them.
#
#   server rxs ── (rxg) the gateway ── rxc client
#   10.1.0.5       198.51.100.1        198.51.100.11
# Rates are Mb/s of IP inside the tunnel; RATIO is the median of the rounds'. CPU is how long the threads of each were on a core, as percent of one, what the kernel did there
# in their stead (softirq) included, as /proc does not: the gateway's (all of ocserv's), openconnect's, the iperf3 server's. BACK is how many packets went through the tunnel
# the other way for each that carried data, LOST how much of what came for the client the kernel threw away because openconnect's socket was full, WAITS the median of how many
# kilobytes lay in that socket, IDLE how much of all cores nobody used, READY how long openconnect was on a core or waited for one. CLIENT ALONE is what openconnect
# would carry with a core of its own all the time, by the time that it used for each bit here.
set -uo pipefail
cd "$(dirname "$0")"
. ./common.sh
. ./openconnect.sh
begin "${1:-}" "ip iperf3 openssl openconnect ocserv ocpasswd perf" "iproute2 iperf3 openssl openconnect ocserv linux-perf" rxs rxg rxc
CLIENT="" OTHERS=""
if [ -n "${APART:-}" ]; then
  [ "$(nproc)" -ge 2 ] || { echo "APART needs two cores" >&2; exit 1; }
  CLIENT="taskset -c $(($(nproc) - 1))" OTHERS="taskset -c 0-$(($(nproc) - 2))"
fi
SOCKET_WAS=$(cat /proc/sys/net/core/rmem_default)
if [ -n "${SOCKET:=}" ]; then
  trap 'sysctl -qw net.core.rmem_default="$SOCKET_WAS"; cleanup' EXIT
  sysctl -qw net.core.rmem_default="$SOCKET" || exit 1
fi
ROUNDS=${2:-3} LENGTH=${3:-4} CONGESTION=${CONGESTION:-$(cat /proc/sys/net/ipv4/tcp_congestion_control)}
for ns in rxs rxg rxc; do in_ns $ns sysctl -qw net.ipv4.tcp_congestion_control="$CONGESTION" || { echo "add $CONGESTION to net.ipv4.tcp_allowed_congestion_control" >&2; exit 1; }; done
link rxg lan rxs eth0; link rxg wan rxc eth0
for dev in lan wan; do in_ns rxg sysctl -qw "net.ipv6.conf.$dev.disable_ipv6=1"; in_ns rxg ip link set $dev up; done
in_ns rxg sysctl -qw net.ipv4.ip_forward=1
in_ns rxs ip addr add 10.1.0.5/24 dev eth0; in_ns rxs ip link set eth0 up; in_ns rxs ip route add default via 10.1.0.1
in_ns rxc ip addr add 198.51.100.11/24 dev eth0; in_ns rxc ip link set eth0 up
ip netns exec rxs $OTHERS iperf3 -s > "$WORK/server.log" 2>&1 & IPERF=$!; BACKGROUND+=($IPERF)

authority
gateway_certificate
PIN=$(pin gw)
printf 'secret1\n' | "$LOCKGATE" user add alice --file "$WORK/users" --group staff >/dev/null || exit 1
printf 'secret1\nsecret1\n' | ocpasswd -c "$WORK/passwd" alice
client_script
{ begin_config lan; cat; } > "$WORK/lockgate.toml" <<T
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
[[policy]]
id = 1
from = "any"
to = "any"
action = "allow"
T
cat > "$WORK/ocserv.conf" <<T
auth = "plain[passwd=$WORK/passwd]"
tcp-port = 443
udp-port = 443
run-as-user = root
run-as-group = root
socket-file = $WORK/ocserv.sock
server-cert = $WORK/gw.pem
server-key = $WORK/gw.key
isolate-workers = false
device = vpns
ipv4-network = 10.9.0.0
ipv4-netmask = 255.255.255.0
route = 10.1.0.0/24
cisco-client-compat = true
dtls-legacy = true
dtls-psk = true
dpd = 90
keepalive = 32400
pid-file = $WORK/ocserv.pid
use-occtl = false
max-clients = 16
tls-priorities = "NORMAL:%SERVER_PRECEDENCE"
T

GATEWAY=""
start_lockgate() {
  in_ns rxg ip addr flush dev lan; in_ns rxg ip addr flush dev wan
  ip netns exec rxg $OTHERS "$LOCKGATE" run --config "$WORK/lockgate.toml" > "$WORK/lockgate.log" 2>&1 & GATEWAY=$!; BACKGROUND+=($GATEWAY)
  until_ok 10 in_ns rxg "$LOCKGATE" --socket "$WORK/a.sock" show system
}
start_ocserv() {
  in_ns rxg ip addr add 10.1.0.1/24 dev lan; in_ns rxg ip addr add 198.51.100.1/24 dev wan
  ip netns exec rxg $OTHERS ocserv -f -c "$WORK/ocserv.conf" > "$WORK/ocserv.log" 2>&1 & GATEWAY=$!; BACKGROUND+=($GATEWAY)
  until_ok 10 eval 'in_ns rxc bash -c "exec 3<>/dev/tcp/198.51.100.1/443"'
}
stop() { kill "$GATEWAY" 2>/dev/null; wait "$GATEWAY" 2>/dev/null; until_ok 10 eval '[ -z "$(ip netns pids rxg)" ]'; }
dial() {
  printf 'secret1\n' | ip netns exec rxc $CLIENT openconnect --protocol=anyconnect --user=alice --passwd-on-stdin --non-inter --servercert="$PIN" -v \
    --interface=tun0 --script="$WORK/vpnc.sh" --gnutls-priority='NORMAL:-CIPHER-ALL:+AES-256-GCM' "$@" https://198.51.100.1/ > "$WORK/oc.log" 2>&1 & BACKGROUND+=($!)
  until_ok 15 eval 'in_ns rxc ip -4 addr show dev tun0 2>/dev/null | grep -q inet' || return 1
  case "$*" in *--no-dtls*) ;; *) until_ok 15 grep -qE 'Established DTLS|DTLS connected' "$WORK/oc.log" ;; esac
}
hangup() { local pids; pids=$(pgrep -x openconnect | while read -r p; do ip netns pids rxc | grep -x "$p"; done); [ -z "$pids" ] || kill -INT $pids; until_ok 10 eval '[ -z "$(ip netns pids rxc)" ]'; }
# From a second after it is started until half a second before iperf3 ends: what the tunnel has carried and how long each of the three was on a core.
WATCH='
import signal, statistics, subprocess, sys, time
way, server, length = sys.argv[1], sys.argv[2], float(sys.argv[3])
def pids(ns): return subprocess.run(["ip", "netns", "pids", ns], capture_output=True, text=True).stdout.split()
here = pids("rxc")
clients = subprocess.run(["pgrep", "-x", "openconnect"], capture_output=True, text=True).stdout.split()
groups = pids("rxg"), [p for p in clients if p in here], [server]
def waiting():
    # what the far end at port 443 has sent and openconnect has not read
    queues = [line.split() for kind in ("tcp", "udp") for line in open("/proc/net/" + kind) if ":01BB " in line]
    return sum(int(fields[4].split(":")[1], 16) for fields in queues if fields[2].endswith(":01BB"))
def unused():
    times = [int(n) for n in open("/proc/stat").readline().split()[1:]]
    return times[3] + times[4], sum(times)
def ready():
    # nanoseconds on a core and in front of one
    return sum(int(n) for pid in groups[1] for n in open("/proc/%s/schedstat" % pid).read().split()[:2])
def look():
    tunnel = [int(n) for line in open("/proc/net/dev") if "tun0:" in line for n in line.split(":")[1].split()]
    udp = dict(zip(*[line.split() for line in open("/proc/net/snmp") if line.startswith("Udp:")]))
    along, against = (8, 1) if way == "forth" else (0, 9)
    return [time.monotonic(), tunnel[along], tunnel[along + 1], tunnel[against], int(udp["InDatagrams"]), int(udp["RcvbufErrors"])]
time.sleep(1)
clocks = [subprocess.Popen(["perf", "stat", "-x", ",", "-e", "task-clock", "-p", ",".join(g)], stderr=subprocess.PIPE, text=True) for g in groups]
time.sleep(0.2)
first, before, begun = look(), unused(), ready()
waits = []
while time.monotonic() < first[0] + length - 1.7:
    time.sleep(0.02)
    waits.append(waiting())
last, after, ended = look(), unused(), ready()
for c in clocks: c.send_signal(signal.SIGINT)
took, size, packets, back, received, lost = [b - a for a, b in zip(first, last)]
shares = [100 * float(c.communicate()[1].split(",")[5]) for c in clocks]
print("%.0f" % (size * 8e-6 / took), *("%.1f" % s for s in shares), "%.1f" % (100 * back / packets), "%.1f" % (100 * lost / max(received + lost, 1)),
    "%.0f" % (statistics.median(waits) / 1000), "%.0f" % (100 * (after[0] - before[0]) / (after[1] - before[1])), "%.0f" % ((ended - begun) / took / 1e7))
'
# BY CHANNEL WAY: megabits a second inside the tunnel, CPU of the three and what waited or was lost at the client, as a line of the results.
measure() {
  local out watch
  ip netns exec rxc $OTHERS python3 -c "$WATCH" "$3" "$IPERF" "$LENGTH" > "$WORK/watched" & watch=$!
  out=$(in_ns rxc $OTHERS iperf3 -c 10.1.0.5 -t "$LENGTH" -J ${3#forth}) || { kill "$watch"; echo "no connection by $1: $out" >&2; return 1; }
  wait "$watch" || return 1
  echo "$2 $3 $1 $(cat "$WORK/watched")" >> "$WORK/results"
}
echo "$(awk -F: '/model name/ { print $2; exit }' /proc/cpuinfo | xargs), $(nproc) cores; AES-256-GCM; TCP by $CONGESTION; ${APART:+openconnect has core $(($(nproc) - 1)) for itself; }sockets of ${SOCKET:-$SOCKET_WAS} bytes; $ROUNDS rounds of $LENGTH s; $(openconnect --version | head -1); $(ocserv --version 2>&1 | head -1)"
for round in $(seq "$ROUNDS"); do
  for by in lockgate ocserv; do
    "start_$by" || { echo "$by does not start" >&2; tail -5 "$WORK/$by.log" >&2; exit 1; }
    for channel in DTLS CSTP; do
      printf '\rround %s of %s: %-8s %s ' "$round" "$ROUNDS" "$by" "$channel" >&2
      dial $([ $channel = CSTP ] && echo --no-dtls) || { echo "no $channel by $by" >&2; tail -20 "$WORK/oc.log" >&2; exit 1; }
      for way in forth -R; do measure "$by" "$channel" "$way" || exit 1; done
      hangup
    done
    stop
  done
done
printf '\r%40s\r' '' >&2
sort "$WORK/results" | python3 -c '
import statistics, sys
rows = {}
for line in sys.stdin:
    channel, way, by, *numbers = line.split()
    rows.setdefault((channel, way), {}).setdefault(by, []).append([float(n) for n in numbers])
side = "   {:>24}{:>8}{:>8}{:>10}{:>8}{:>9}"
form = "{:<6}{:<17}{:>10}{:>8}{:>7}" + 2 * side + "   {:>12}{:>8}"
more = ["BACK %", "LOST %", "WAITS kB", "IDLE %", "READY %"]
print(form.format("BY", "WAY", "LOCKGATE", "ocserv", "RATIO", "CPU % gw/client/iperf3", *more, "ocserv/client/iperf3", *more, "CLIENT ALONE", "RATIO"))
for (channel, way), by in sorted(rows.items(), reverse=True):
    median = {name: [statistics.median(column) for column in zip(*lines)] for name, lines in by.items()}
    a, b = median["lockgate"], median["ocserv"]
    word = "from the client" if way == "forth" else "to the client"
    ratio = statistics.median(x[0] / y[0] for x, y in zip(by["lockgate"], by["ocserv"]))
    alone = statistics.median(x[0] * 100 / x[2] for x in by["lockgate"])
    of = lambda m: ("/".join("%.0f" % n for n in m[1:4]), "%.1f" % m[4], "%.1f" % m[5], *("%.0f" % n for n in m[6:9]))
    print(form.format(channel, word, "%.0f" % a[0], "%.0f" % b[0], "%.2f" % ratio, *of(a), *of(b), "%.0f" % alone, "%.2f" % (alone / b[0])))
'
