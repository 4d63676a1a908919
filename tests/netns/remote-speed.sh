#!/usr/bin/env bash
# TCP through a client of remote access, by Lockgate and by ocserv in turns: the same openconnect, the same links, the same cipher, one run.
# Needs root, iproute2, iperf3, openssl, openconnect and ocserv; no part of the tests. Usage: remote-speed.sh PATH_OF_LOCKGATE [ROUNDS] [SECONDS]
#
#   server rxs ── (rxg) the gateway ── rxc client
#   10.1.0.5       198.51.100.1        198.51.100.11
# Rates are Mb/s of IP inside the tunnel; RATIO is the median of the rounds'. CPU time is that of the processes from /proc, as percent of one core: the gateway's (all of
# ocserv's), openconnect's, the iperf3 server's. LAGS is how often, of looks every 100 ms, data from the gateway waited in the sockets of openconnect, LOST how much of it the
# kernel threw away because openconnect's socket was full: it is behind then, whatever the gateway does. CLIENT ALONE is what openconnect would carry with a core of its own
# all the time, by the CPU time that it used for each bit here; a gateway that gives it larger pieces makes that less.
set -uo pipefail
cd "$(dirname "$0")"
. ./common.sh
. ./openconnect.sh
begin "${1:-}" "ip iperf3 openssl openconnect ocserv ocpasswd" "iproute2 iperf3 openssl openconnect ocserv" rxs rxg rxc
ROUNDS=${2:-3} LENGTH=${3:-4}
link rxg lan rxs eth0; link rxg wan rxc eth0
for dev in lan wan; do in_ns rxg sysctl -qw "net.ipv6.conf.$dev.disable_ipv6=1"; in_ns rxg ip link set $dev up; done
in_ns rxg sysctl -qw net.ipv4.ip_forward=1
in_ns rxs ip addr add 10.1.0.5/24 dev eth0; in_ns rxs ip link set eth0 up; in_ns rxs ip route add default via 10.1.0.1
in_ns rxc ip addr add 198.51.100.11/24 dev eth0; in_ns rxc ip link set eth0 up
ip netns exec rxs iperf3 -s > "$WORK/server.log" 2>&1 & IPERF=$!; BACKGROUND+=($IPERF)

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
  ip netns exec rxg "$LOCKGATE" run --config "$WORK/lockgate.toml" > "$WORK/lockgate.log" 2>&1 & GATEWAY=$!; BACKGROUND+=($GATEWAY)
  until_ok 10 in_ns rxg "$LOCKGATE" --socket "$WORK/a.sock" show system
}
start_ocserv() {
  in_ns rxg ip addr add 10.1.0.1/24 dev lan; in_ns rxg ip addr add 198.51.100.1/24 dev wan
  ip netns exec rxg ocserv -f -c "$WORK/ocserv.conf" > "$WORK/ocserv.log" 2>&1 & GATEWAY=$!; BACKGROUND+=($GATEWAY)
  until_ok 10 eval 'in_ns rxc bash -c "exec 3<>/dev/tcp/198.51.100.1/443"'
}
stop() { kill "$GATEWAY" 2>/dev/null; wait "$GATEWAY" 2>/dev/null; until_ok 10 eval '[ -z "$(ip netns pids rxg)" ]'; }
dial() {
  printf 'secret1\n' | ip netns exec rxc openconnect --protocol=anyconnect --user=alice --passwd-on-stdin --non-inter --servercert="$PIN" -v \
    --interface=tun0 --script="$WORK/vpnc.sh" --gnutls-priority='NORMAL:-CIPHER-ALL:+AES-256-GCM' "$@" https://198.51.100.1/ > "$WORK/oc.log" 2>&1 & BACKGROUND+=($!)
  until_ok 15 eval 'in_ns rxc ip -4 addr show dev tun0 2>/dev/null | grep -q inet' || return 1
  case "$*" in *--no-dtls*) ;; *) until_ok 15 grep -qE 'Established DTLS|DTLS connected' "$WORK/oc.log" ;; esac
}
hangup() { local pids; pids=$(pgrep -x openconnect | while read -r p; do ip netns pids rxc | grep -x "$p"; done); [ -z "$pids" ] || kill -INT $pids; until_ok 10 eval '[ -z "$(ip netns pids rxc)" ]'; }
# From a second after it is started until it is ended, looks every 100 ms: what the tunnel has carried, the CPU time of the processes of the gateway, of openconnect
# and of iperf3's server, and the sockets of openconnect. Says what came of it between the first look and the last but three; iperf3 sends until then.
WATCH='
import os, signal, subprocess, sys, time
way, server = sys.argv[1:]
def pids(ns): return subprocess.run(["ip", "netns", "pids", ns], capture_output=True, text=True).stdout.split()
groups = pids("rxg"), subprocess.run(["pgrep", "-x", "openconnect"], capture_output=True, text=True).stdout.split(), [server]
def ticks(group):
    fields = [open("/proc/%s/stat" % p).read().rsplit(")", 1)[1].split() for p in group]
    return sum(int(f[11]) + int(f[12]) for f in fields)
def look():
    tunnel = next(line.split(":")[1].split() for line in open("/proc/net/dev") if "tun0:" in line)
    udp = [line.split() for line in open("/proc/net/snmp") if line.startswith("Udp:")]
    udp = dict(zip(*udp))
    sockets = [line.split() for path in ("/proc/net/udp", "/proc/net/tcp") for line in open(path)]
    waits = any(f[2].endswith(":01BB") and int(f[4].split(":")[1], 16) for f in sockets if len(f) > 4)
    return [time.monotonic(), int(tunnel[8 if way == "forth" else 0]), *map(ticks, groups), int(udp["InDatagrams"]), int(udp["RcvbufErrors"]), waits]
def end(*_):
    first, last = looks[0], looks[-4]
    d = [b - a for a, b in zip(first, last)]
    hertz = os.sysconf("SC_CLK_TCK")
    waits = [l[-1] for l in looks]
    print("%.0f" % (d[1] * 8e-6 / d[0]), *("%.1f" % (100 * t / hertz / d[0]) for t in d[2:5]), "%.1f" % (100 * sum(waits) / len(waits)), "%.1f" % (100 * d[6] / max(d[5] + d[6], 1)))
    sys.exit()
looks = []
signal.signal(signal.SIGTERM, end)
time.sleep(1)
while True:
    looks.append(look())
    time.sleep(0.1)
'
# BY CHANNEL WAY: megabits a second inside the tunnel, CPU of the three and what waited or was lost at the client, as a line of the results.
measure() {
  local out watch
  ip netns exec rxc python3 -c "$WATCH" "$3" "$IPERF" > "$WORK/watched" & watch=$!
  out=$(in_ns rxc iperf3 -c 10.1.0.5 -t "$LENGTH" -J ${3#forth}) || { kill "$watch"; echo "no connection by $1: $out" >&2; return 1; }
  kill "$watch"; wait "$watch" 2>/dev/null
  echo "$2 $3 $1 $(cat "$WORK/watched")" >> "$WORK/results"
}
echo "$(awk -F: '/model name/ { print $2; exit }' /proc/cpuinfo | xargs), $(nproc) cores; AES-256-GCM; $ROUNDS rounds of $LENGTH s; $(openconnect --version | head -1); $(ocserv --version 2>&1 | head -1)"
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
form = "{:<6}{:<17}{:>10}{:>8}{:>7}   {:>24}{:>7}{:>7}   {:>24}{:>7}{:>7}   {:>12}{:>8}"
print(form.format("BY", "WAY", "LOCKGATE", "ocserv", "RATIO", "CPU % gw/client/iperf3", "LAGS %", "LOST %", "ocserv/client/iperf3", "LAGS %", "LOST %", "CLIENT ALONE", "RATIO"))
for (channel, way), by in sorted(rows.items(), reverse=True):
    median = {name: [statistics.median(column) for column in zip(*lines)] for name, lines in by.items()}
    a, b = median["lockgate"], median["ocserv"]
    word = "from the client" if way == "forth" else "to the client"
    ratio = statistics.median(x[0] / y[0] for x, y in zip(by["lockgate"], by["ocserv"]))
    alone = statistics.median(x[0] * 100 / x[2] for x in by["lockgate"])
    side = lambda m: ("/".join("%.0f" % n for n in m[1:4]), "%.0f" % m[4], "%.1f" % m[5])
    print(form.format(channel, word, "%.0f" % a[0], "%.0f" % b[0], "%.2f" % ratio, *side(a), *side(b), "%.0f" % alone, "%.2f" % (alone / b[0])))
'
