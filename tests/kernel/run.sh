#!/usr/bin/env bash
# The Linux kernel's own ESP, GRE and VXLAN as the peer: QEMU boots Debian's kernel without hardware virtualisation (TCG,
# so it runs in any machine or container), with one pair of SAs for each algorithm, mode and IP version; the
# gateway has the other end of each.
#
# GRE and VXLAN cases have a tunnel device each in the guest, and 10.3.N.0/24 between the ends.
#
#   host lgkh ── lan (lgkg) gateway (lgkg) wan, a TAP device ── QEMU, guest
#   10.1.0.5        10.1.0.1      203.0.113.1                   203.0.113.22, 10.2.N.1 and 2001:db8:N::1 for case N
#
# Needs root, /dev/net/tun, x86-64, Debian and the packages of NEEDED. The kernel package is downloaded once to
# target/kernel and unpacked there, never installed; LOCKGATE_TEST_KERNEL names another linux-image .deb.
# Usage: run.sh PATH_OF_LOCKGATE [CASE...]
set -uo pipefail
NEEDED="qemu-system-x86 busybox-static cpio kmod gcc libc6-dev iproute2 iputils-ping ethtool curl python3"
fail() { echo "tests/kernel/run.sh: $*" >&2; exit 1; }

LOCKGATE=$(realpath -e "${1:?usage: run.sh PATH_OF_LOCKGATE [CASE...]}") || exit 1
shift
ONLY=" $* "
cd "$(dirname "$0")"
CACHE=$(realpath ../..)/target/kernel
. ./cases.sh

[ "$(id -u)" = 0 ] || fail "needs root for network namespaces"
[ "$(uname -m)" = x86_64 ] || fail "needs x86-64: the guest runs this machine's busybox and ip"
[ -c /dev/net/tun ] || fail "needs /dev/net/tun (modprobe tun)"
for tool in qemu-system-x86_64 busybox cpio modprobe depmod gcc ip ping ethtool curl python3; do
  command -v "$tool" >/dev/null || fail "needs $tool: apt-get install --no-install-recommends $NEEDED"
done
ldd "$(command -v busybox)" >/dev/null 2>&1 && fail "needs a static busybox: apt-get install busybox-static"

WORK=$(mktemp -d)
PASSED=0 FAILED=0 BACKGROUND=()
HOST=lgkh$$ GATE=lgkg$$
cleanup() {
  for pid in "${BACKGROUND[@]}"; do kill "$pid" 2>/dev/null; done
  wait 2>/dev/null
  for ns in $HOST $GATE; do ip netns del $ns 2>/dev/null; done
  rm -rf "$WORK"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

in_h() { ip netns exec $HOST "$@"; }
in_g() { ip netns exec $GATE "$@"; }
lg() { in_g "$LOCKGATE" --socket "$WORK/ctl.sock" "$@"; }
# check NAME COMMAND...: the command must succeed
check() {
  local name=$1; shift
  if "$@" >"$WORK/out" 2>&1; then PASSED=$((PASSED + 1)); printf '  ok    %s\n' "$name"
  else FAILED=$((FAILED + 1)); printf '  FAIL  %s\n' "$name"; sed 's/^/        /' "$WORK/out" | tail -15; fi
}
# until_ok SECONDS COMMAND...: polls for a condition
until_ok() { local end=$((SECONDS + $1)); shift; until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || return 1; read -rt 0.1 <> <(:); done; return 0; }

# -- the guest's kernel: the package behind linux-image-amd64, unpacked and not installed
DEB=${LOCKGATE_TEST_KERNEL:-}
if [ -z "$DEB" ]; then
  DEB=$(find "$CACHE" -maxdepth 1 -name 'linux-image-*.deb' 2>/dev/null | sort -V | tail -1)
fi
if [ -z "$DEB" ]; then
  PACKAGE=$(apt-cache depends linux-image-amd64 2>/dev/null | awk '/Depends: linux-image-/{print $2; exit}')
  [ -n "$PACKAGE" ] || fail "apt knows no package linux-image-amd64: apt-get update, or LOCKGATE_TEST_KERNEL=path of a linux-image .deb"
  mkdir -p "$WORK/deb" "$CACHE"
  (cd "$WORK/deb" && apt-get download -qq -o APT::Sandbox::User=root "$PACKAGE") ||
    fail "cannot download the kernel: apt-get download $PACKAGE, or LOCKGATE_TEST_KERNEL=path of a linux-image .deb"
  mv "$WORK/deb"/*.deb "$CACHE/"
  DEB=$(find "$CACHE" -maxdepth 1 -name 'linux-image-*.deb' | sort -V | tail -1)
fi
dpkg -x "$DEB" "$WORK/k" || fail "cannot unpack $DEB: remove it, or LOCKGATE_TEST_KERNEL=path of a linux-image .deb"
VERSION=$(ls "$WORK/k/lib/modules" 2>/dev/null)
[ -e "$WORK/k/boot/vmlinuz-$VERSION" ] || fail "$DEB holds no kernel with modules"
# The ELF kernel inside the bzImage boots by PVH without unpacking itself, which takes TCG longer than the rest.
./vmlinux.py "$WORK/k/boot/vmlinuz-$VERSION" "$WORK/vmlinux" || fail "cannot take the kernel out of $DEB"

# -- the guest's file system: busybox, ip, the modules in the order of their dependencies, the init script
R=$WORK/root
mkdir -p "$R"/{bin,sbin,proc,sys,dev,mod,www/cgi-bin}
cp "$(command -v busybox)" "$R/bin/busybox"
for a in $(busybox --list); do [ "$a" = busybox ] || ln -sf busybox "$R/bin/$a"; done
IP=$(command -v ip); cp -L "$IP" "$R/bin/ipr2"
for l in $(ldd "$IP" | grep -oE '/[^ ]+'); do mkdir -p "$R$(dirname "$l")"; cp -L "$l" "$R$l"; done
depmod -b "$WORK/k" "$VERSION"
for m in virtio_pci virtio_net ipv6 sha3_generic aes_generic ctr hmac sha1_generic sha256_generic sha512_generic jitterentropy_rng drbg \
  ghash-generic echainiv seqiv gcm crypto_null authenc authencesn cbc chacha_generic poly1305_generic chacha20poly1305 \
  xfrm_user esp4 esp6 ip_gre ip6_gre vxlan; do
  modprobe -d "$WORK/k" -S "$VERSION" --show-depends "$m" | awk '/^insmod/{print $2}' # nothing for what is built in
done | awk '!s[$0]++' | while read -r f; do cp "$f" "$R/mod/"; basename "$f" >> "$R/mod/order"; done
gcc -static -O1 -o "$R/natt" natt.c || fail "cannot compile natt.c"
cp init "$R/init"; each_case guest_commands > "$R/batch"; each_overlay guest_overlay > "$R/overlays"; cp www/* "$R/www/cgi-bin/"
(cd "$R" && find . | cpio -o -H newc --quiet | gzip -1 > "$WORK/root.cpio.gz")

# -- the network
ip netns add $HOST; ip netns add $GATE
ip link add lan netns $GATE type veth peer name eth0 netns $HOST
in_g ip tuntap add wan mode tap || fail "cannot make a TAP device"
# The gateway's kernel must stay out of it: no addresses, no forwarding.
for dev in lan wan; do in_g sysctl -qw net.ipv6.conf.$dev.disable_ipv6=1; in_g ip link set $dev up; done
# The two sides of a TAP device do not share their checksum state as those of a veth pair do.
in_g ethtool -K wan tx off rx off gro off tso off gso off >/dev/null 2>&1
in_h ip link set lo up; in_h ip addr add 10.1.0.5/24 dev eth0; in_h ip addr add 2001:db8:1::5/64 dev eth0 nodad
in_h ip link set eth0 up; in_h ip route add default via 10.1.0.1; in_h ip -6 route add default via 2001:db8:1::1

# -- the guest, which boots while the gateway starts
# (Not by in_g: a function in the background is a shell of its own, and to end that would leave QEMU running.)
ip netns exec $GATE qemu-system-x86_64 -accel tcg -cpu max -smp 1 -m 512 -nodefaults -no-user-config -no-reboot -display none -serial stdio \
  -netdev tap,id=n0,ifname=wan,script=no,downscript=no,vnet_hdr=off -device virtio-net-pci,netdev=n0,mac=02:00:00:00:00:22,romfile= \
  -kernel "$WORK/vmlinux" -initrd "$WORK/root.cpio.gz" -append "console=ttyS0 quiet panic=-1 mitigations=off net.ifnames=0 random.trust_cpu=on" \
  >"$WORK/guest.log" 2>&1 </dev/null & GUEST=$!; BACKGROUND+=($GUEST)

# -- the gateway
{
  sed "s#@SOCKET@#$WORK/ctl.sock#" gateway.toml
  each_case gateway_tunnel
  each_overlay gateway_overlay
} > "$WORK/gateway.toml"
check "configuration is valid" "$LOCKGATE" check "$WORK/gateway.toml"
ip netns exec $GATE "$LOCKGATE" run --config "$WORK/gateway.toml" >"$WORK/daemon.log" 2>&1 & BACKGROUND+=($!)
check "daemon answers on its socket" until_ok 30 lg show system

ready_or_gone() { grep -q READY "$WORK/guest.log" || ! kill -0 "$GUEST"; }
until_ok 180 ready_or_gone
check "the guest with Linux $VERSION is up" grep READY "$WORK/guest.log"
took_all() { cat "$WORK/guest.log"; ! grep -q REFUSED "$WORK/guest.log"; }
check "the guest's kernel took every module, SA and tunnel" took_all

# ping_all TARGET OPTIONS...: every packet must be answered
ping_all() { local to=$1; shift; in_h ping -c 3 -i 0.2 -W 10 "$@" "$to" | tee "$WORK/ping" | tail -5; grep -q ' 0% packet loss' "$WORK/ping"; }
sum() { md5sum < "$1" | cut -d' ' -f1; }
fetch() { # URL of the guest
  in_h curl -gsS -m 60 -o "$WORK/got" "$1/blob" && in_h curl -gsS -m 20 -o "$WORK/sum" "$1/sum" && [ "$(sum "$WORK/got")" = "$(cat "$WORK/sum")" ]
}
send() { # URL of the guest
  in_h curl -gsS -m 60 -H Expect: --data-binary "@$WORK/blob" -o "$WORK/sum" "$1/cgi-bin/sum" && [ "$(sum "$WORK/blob")" = "$(cat "$WORK/sum")" ]
}
head -c 300000 /dev/urandom > "$WORK/blob"
no_errors() { # URL of the guest
  in_h curl -gsS -m 20 -o "$WORK/stat" "$1/cgi-bin/errors" && cat "$WORK/stat" && grep -q '^XfrmInError' "$WORK/stat" &&
    ! grep -qvE '[[:space:]]0$' "$WORK/stat"
}
# reach ADDRESS...: everything works with each address of the guest
reach() {
  local to
  for to in "$@"; do
    [ $FAILED = 0 ] || break
    case $to in *:*) url="http://[$to]" ;; *) url="http://$to" ;; esac
    check "ping $to" ping_all "$to"
    check "ping $to, 1300 bytes" ping_all "$to" -s 1300
    check "a checksummed transfer from $to" fetch "$url"
    check "a checksummed transfer to $to" send "$url"
  done
}
wanted() { [ "$ONLY" = "  " ] || case $ONLY in *" $1 "*) ;; *) return 1 ;; esac; }
TESTED= OVERLAYS_TESTED= PROTECTED= url=http://10.2.11.1
while read -r n suite _ options; do
  [ -n "$n" ] && [ $FAILED = 0 ] || continue # what is wrong for one case is seldom right for the next: look at it now
  wanted "$n" || continue
  TESTED="$TESTED case-$n"
  echo "== case $n: $suite ${options:-}"
  case ,$options, in
    *,transport,*v6out*) targets="2001:db8:$n::1" ;;
    *,transport,*) targets="10.2.$n.1" ;;
    *) targets="10.2.$n.1 2001:db8:$n::1" ;;
  esac
  # shellcheck disable=SC2086
  reach $targets
done <<< "$CASES"
while read -r n kind options; do
  [ -n "$n" ] && [ $FAILED = 0 ] && wanted "$n" || continue
  OVERLAYS_TESTED="$OVERLAYS_TESTED over-$n"
  case ,$options, in *,esp,*) PROTECTED="$PROTECTED case-$n" ;; esac
  echo "== case $n: $kind ${options:-}"
  reach "10.2.$n.1" "2001:db8:$n::1"
done <<< "$OVERLAYS"

echo "== what both ends say"
check "the guest's kernel counted no error of ESP" no_errors "$url"
lg show sa --json > "$WORK/sas.json"
lg show tunnels --json > "$WORK/tunnels.json"
# shellcheck disable=SC2086
[ -z "$OVERLAYS_TESTED" ] || check "every GRE and VXLAN tunnel has carried packets, and dropped none" ./tunnels.py "$WORK/tunnels.json" $OVERLAYS_TESTED
# shellcheck disable=SC2086
[ -z "$PROTECTED" ] || check "the SAs around them have carried packets, and dropped none" ./sas.py "$WORK/sas.json" carried $PROTECTED
for what in carried engine; do
  [ -n "$TESTED" ] || break
  [ $what = carried ] && name="every SA has carried packets, and none dropped one" || name="every SA was served by the engine"
  # shellcheck disable=SC2086
  check "$name" ./sas.py "$WORK/sas.json" $what $TESTED
done
if [ $FAILED != 0 ]; then
  echo; echo "daemon log:"; tail -20 "$WORK/daemon.log"; echo "guest log:"; tail -20 "$WORK/guest.log"
  lg show sa; lg show counters; lg show neighbours; lg show tunnels
fi
echo
echo "$PASSED passed, $FAILED failed"
[ $FAILED = 0 ]
