#!/usr/bin/env bash
# The Linux kernel's own ESP as the peer: Debian's user-mode-linux boots a kernel 6.1 as a process, with one
# pair of SAs for each algorithm, mode and IP version; the gateway has the other end of each.
# Needs root, user-mode-linux, busybox-static, cpio, gcc, iproute2, ethtool, curl. Usage: run.sh PATH_OF_LOCKGATE
#
#   host luh ── lan (lug) gateway (lug) wan ── guest
#   10.1.0.5     10.1.0.1      203.0.113.1     203.0.113.22, 10.2.N.1 and 2001:db8:N::1 for case N
set -uo pipefail
cd "$(dirname "$0")"
LOCKGATE=$(realpath "${1:?usage: run.sh PATH_OF_LOCKGATE}" 2>/dev/null || realpath "../../$1")
WORK=$(mktemp -d)
PASSED=0 FAILED=0 BACKGROUND=()
. ./cases.sh

if [ "$(id -u)" != 0 ]; then echo "run.sh needs root for network namespaces" >&2; exit 1; fi
for tool in ip linux.uml busybox cpio gcc ethtool curl depmod; do
  command -v "$tool" >/dev/null || { echo "run.sh needs $tool: apt-get install iproute2 user-mode-linux busybox-static cpio gcc libc6-dev ethtool curl kmod" >&2; exit 1; }
done
cleanup() {
  for pid in "${BACKGROUND[@]}"; do kill "$pid" 2>/dev/null; done
  pkill -f "umid=lockgate-test" 2>/dev/null
  wait 2>/dev/null
  for ns in luh lug; do ip netns del $ns 2>/dev/null; done
  rm -rf "$WORK"
}
trap cleanup EXIT
for ns in luh lug; do ip netns del $ns 2>/dev/null; done
in_h() { ip netns exec luh "$@"; }
in_g() { ip netns exec lug "$@"; }
lg() { in_g "$LOCKGATE" --socket "$WORK/ctl.sock" "$@"; }
check() {
  local name=$1; shift
  if "$@" >"$WORK/out" 2>&1; then PASSED=$((PASSED + 1)); printf '  ok    %s\n' "$name"
  else FAILED=$((FAILED + 1)); printf '  FAIL  %s\n' "$name"; sed 's/^/        /' "$WORK/out" | tail -15; fi
}
until_ok() { local end=$((SECONDS + $1)); shift; until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || return 1; read -rt 0.1 <> <(:); done; return 0; }

# -- the guest's file system: busybox, ip, the modules, the init script
R=$WORK/root
mkdir -p "$R"/{bin,sbin,proc,sys,dev,mod}
cp "$(command -v busybox)" "$R/bin/busybox"
for a in $(busybox --list); do [ "$a" = busybox ] || ln -sf busybox "$R/bin/$a"; done
IP=$(command -v ip); cp -L "$IP" "$R/bin/ipr2"
for l in $(ldd "$IP" | grep -oE '/[^ ]+'); do mkdir -p "$R$(dirname "$l")"; cp -L "$l" "$R$l"; done
MODULES=$(echo /usr/lib/uml/modules/*); VERSION=$(basename "$MODULES")
mkdir -p "$WORK/k/lib/modules"; cp -r "$MODULES" "$WORK/k/lib/modules/"
depmod -b "$WORK/k" "$VERSION" 2>/dev/null
for m in sha3_generic ctr hmac sha1_generic sha256_generic sha512_generic jitterentropy_rng drbg ghash-generic \
  echainiv seqiv gcm crypto_null authenc authencesn cbc chacha20poly1305 xfrm_user esp4 esp6; do
  modprobe -d "$WORK/k" -S "$VERSION" --show-depends "$m" 2>/dev/null | awk '/^insmod/{print $2}'
done | awk '!s[$0]++' | while read -r f; do cp "$f" "$R/mod/"; basename "$f" >> "$R/mod/order"; done
gcc -static -O1 -o "$R/natt" natt.c
cp init "$R/init"; cp cases.sh "$R/cases.sh"; chmod +x "$R/init"
(cd "$R" && find . | cpio -o -H newc --quiet | gzip -1 > "$WORK/root.cpio.gz")

# -- the network
ip netns add luh; ip netns add lug
ip link add lan netns lug type veth peer name eth0 netns luh
ip link add wan netns lug type veth peer name guest0 netns lug
for dev in lan wan guest0; do in_g sysctl -qw net.ipv6.conf.$dev.disable_ipv6=1; in_g ip link set $dev up; done
in_g ethtool -K guest0 tx off rx off gro off tso off gso off >/dev/null 2>&1
in_g ethtool -K wan tx off rx off gro off tso off gso off >/dev/null 2>&1
in_h ip link set lo up; in_h ip addr add 10.1.0.5/24 dev eth0; in_h ip addr add 2001:db8:1::5/64 dev eth0 nodad
in_h ip link set eth0 up; in_h ip route add default via 10.1.0.1; in_h ip -6 route add default via 2001:db8:1::1

# -- the gateway
{
  sed "s#@SOCKET@#$WORK/ctl.sock#" gateway.toml
  echo "$CASES" | while read -r n suite len options; do
    [ -n "$n" ] || continue
    case ,$options, in *,v6out,*) local=2001:db8:f::1 remote=2001:db8:f::22 ;; *) local=203.0.113.1 remote=203.0.113.22 ;; esac
    selectors="selectors = [{ local = \"10.1.0.0/24\", remote = \"10.2.$n.1/32\" }, { local = \"2001:db8:1::/64\", remote = \"2001:db8:$n::1/128\" }]"
    mode=tunnel
    case ,$options, in
      *,transport,*)
        mode=transport selectors=
        case ,$options, in *,v6out,*) local=2001:db8:1::5 remote=2001:db8:$n::1 ;; *) local=10.1.0.5 remote=10.2.$n.1 ;; esac ;;
    esac
    printf '\n[[ipsec]]\nname = "case-%s"\nlocal = "%s"\nremote = "%s"\nmode = "%s"\nzone = "vpn"\n%s\n' "$n" $local $remote $mode "$selectors"
    printf 'out = { spi = %s, algorithm = "%s", key = "%s" }\n' $((8192 + n)) "$suite" "$(key $((n + 100)) "$len")"
    printf 'in = { spi = %s, algorithm = "%s", key = "%s" }\n' $((4096 + n)) "$suite" "$(key "$n" "$len")"
    case ,$options, in *,esn,*) echo "esn = true" ;; esac
    case ,$options, in *,udp,*) echo "udp-encapsulation = true" ;; esac
    case $suite in null-*) echo "allow-null = true" ;; esac
  done
} > "$WORK/gateway.toml"
check "configuration is valid" "$LOCKGATE" check "$WORK/gateway.toml"
in_g "$LOCKGATE" run --config "$WORK/gateway.toml" >"$WORK/daemon.log" 2>&1 & BACKGROUND+=($!)
check "daemon answers on its socket" until_ok 20 lg show system

in_g linux.uml umid=lockgate-test initrd="$WORK/root.cpio.gz" mem=256M con=null con0=null,fd:1 ssl=null quiet panic=-1 \
  vec0:transport=raw,ifname=guest0,depth=128,gro=0 >"$WORK/guest.log" 2>&1 & BACKGROUND+=($!)
check "the guest's kernel is up" until_ok 60 grep -q READY "$WORK/guest.log"
check "the guest's kernel took every SA" sh -c "! grep REFUSED $WORK/guest.log"

fetch() { # URL of the guest
  in_h curl -gsS -m 8 -o "$WORK/blob" "$1/blob" && in_h curl -gsS -m 5 -o "$WORK/sum" "$1/sum" &&
    [ "$(md5sum < "$WORK/blob" | cut -d' ' -f1)" = "$(cat "$WORK/sum")" ]
}
while read -r n suite _ options; do
  [ -n "$n" ] || continue
  echo "== case $n: $suite ${options:-}"
  case ,$options, in
    *,transport,*v6out*) targets="2001:db8:$n::1" ;;
    *,transport,*) targets="10.2.$n.1" ;;
    *) targets="10.2.$n.1 2001:db8:$n::1" ;;
  esac
  for to in $targets; do
    check "ping $to" in_h ping -c 3 -i 0.2 -W 2 "$to"
    check "ping $to, 1300 bytes" in_h ping -c 2 -i 0.2 -W 2 -s 1300 "$to"
    case $to in *:*) url="http://[$to]" ;; *) url="http://$to" ;; esac
    check "a checksummed transfer from $to" fetch "$url"
  done
  # What is wrong for one case is seldom right for the next: look at it now.
  [ $FAILED = 0 ] || break
done <<< "$CASES"
echo "== what the gateway says"
lg show sa | cat
lg show sa --json > "$WORK/sas.json"
check "every SA has carried packets, and none dropped one" python3 - "$WORK/sas.json" <<'P'
import json, sys
sas = json.load(open(sys.argv[1]))["sas"]
bad = [(s["tunnel"], s["direction"], s["fast"], s["slow"], s["errors"]) for s in sas
       if s["fast"]["packets"] + s["slow"]["packets"] == 0 or s["errors"]]
print(len(sas), "SAs;", "not right:", bad)
sys.exit(bool(bad) or len(sas) == 0)
P
check "every SA was served by the engine" python3 - "$WORK/sas.json" <<'P'
import json, sys
sas = json.load(open(sys.argv[1]))["sas"]
bad = [(s["tunnel"], s["direction"], s["status"]) for s in sas if s["fast"]["packets"] == 0]
print("not served:", bad)
sys.exit(bool(bad))
P
if [ $FAILED != 0 ]; then echo; echo "daemon log:"; tail -20 "$WORK/daemon.log"; echo "guest log:"; tail -20 "$WORK/guest.log"; lg show counters; lg show neighbours; lg show tunnels; fi
echo
echo "$PASSED passed, $FAILED failed"
[ $FAILED = 0 ]
