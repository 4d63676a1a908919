# Sourced after common.sh by what tests a gateway against strongSwan: who stands where, both configurations, and
# conditions to wait for. ESP goes in UDP, as strongSwan's userspace ESP (kernel-libipsec) wants it.
#
#   host $HOST ── ($GW) the gateway ── [$ROUTER] ── $PEER strongSwan, 10.2.0.1 on its loopback
#   10.1.0.5       $US                                $THEM
#
#   sites direct|routed     makes the links; `routed` puts 192.0.2.0/24 and a router before the gateway
#   gateway PHASE1 IPSEC    writes the gateway's configuration, with more keys of the peer and of the tunnel
#   start_gateway, reload PHASE1 IPSEC
#   charon [SETTINGS]       starts strongSwan with more of strongswan.conf
#   swanctl_conf CONNECTION CHILD    gives it its connection, with more keys of each
#   negotiate NAME us|them PHASE1 IPSEC CONNECTION CHILD    a tunnel made anew
#   ours WORD..., theirs WORD...     the command line of either
# Variables may be changed between them: OUR_TS and THEIR_TS (what strongSwan takes for our side and its own), OUR_SELECTORS, OUR_AUTH,
# PEER_AUTH and US_AUTH (sections `local` and `remote` of strongSwan), SECRETS, PROPOSALS, REMOTE (the peer as we see it), SEEN (us as the peer sees us),
# FAR (whom `ping_through` asks), POLICY (more of the policy), MORE_TUNNELS, MORE_CHILDREN, MORE_SECTIONS.
STRONGSWAN_TOOLS="ip ping iperf3 charon-systemd swanctl"
STRONGSWAN_PACKAGES="iproute2 iputils-ping iperf3 charon-systemd strongswan-swanctl libcharon-extra-plugins libstrongswan-standard-plugins"
FAR=10.2.0.1 POLICY='' MORE_TUNNELS='' MORE_CHILDREN='' MORE_SECTIONS=''
CHARON='' GATEWAY='' ROUTER='' PEER_ROOT='' PEER_WORK=$WORK
US=198.51.100.1 THEM=198.51.100.2 SEEN='' REMOTE=''
OUR_TS=10.1.0.0/24 THEIR_TS=10.2.0.0/24 PROPOSALS=aes256gcm16-prfsha384-x25519,aes256-sha256-modp2048
OUR_SELECTORS='selectors = [{ local = "10.1.0.0/24", remote = "10.2.0.0/24" }]'
OUR_AUTH='local-id = "a.test"
remote-id = "b.test"
psk = "test-psk-0123456789"'
PEER_AUTH='auth = psk
          id = b.test'
US_AUTH='auth = psk
           id = a.test'
SECRETS='ike-1 { id-a = a.test
  id-b = b.test
  secret = "test-psk-0123456789" }'
PFS="esp_proposals = aes256gcm16-x25519" NO_PFS="esp_proposals = aes256gcm16"

ours() { in_ns "$GW" "$LOCKGATE" --socket "$WORK/a.sock" "$@"; }
theirs() { timeout 20 swanctl "$@" --uri "unix://$PEER_WORK/charon.vici"; }

sites() {
  [ "$1" = direct ] || US=192.0.2.2
  SEEN=$US REMOTE=$THEM
  link "$GW" lan "$HOST" eth0
  if [ "$1" = direct ]; then link "$GW" wan "$PEER" eth0; else link "$GW" wan "$ROUTER" to-us; link "$ROUTER" to-them "$PEER" eth0; fi
  for dev in lan wan; do in_ns "$GW" sysctl -qw "net.ipv6.conf.$dev.disable_ipv6=1"; in_ns "$GW" ip link set $dev up; done
  in_ns "$HOST" ip addr add 10.1.0.5/24 dev eth0; in_ns "$HOST" ip link set eth0 up; in_ns "$HOST" ip route add default via 10.1.0.1
  in_ns "$PEER" ip addr add $THEM/24 dev eth0; in_ns "$PEER" ip link set eth0 up; in_ns "$PEER" ip addr add 10.2.0.1/24 dev lo
  [ "$1" = direct ] && return
  in_ns "$ROUTER" ip addr add 192.0.2.1/24 dev to-us; in_ns "$ROUTER" ip addr add 198.51.100.1/24 dev to-them
  in_ns "$ROUTER" ip link set to-us up; in_ns "$ROUTER" ip link set to-them up; in_ns "$ROUTER" sysctl -qw net.ipv4.ip_forward=1
  in_ns "$PEER" ip route add default via 198.51.100.1
}

gateway() {
  cat > "$WORK/a.toml" <<T
hostname = "a"
[control]
socket = "$WORK/a.sock"
[debug]
export-keys = true
[[port]]
name = "lan"
[[port]]
name = "wan"
[[interface]]
name = "inside"
port = "lan"
address = "10.1.0.1/24"
[[interface]]
name = "outside"
port = "wan"
address = "$US/24"
$([ -z "$ROUTER" ] || printf '[[route]]\nto = "0.0.0.0/0"\nvia = "192.0.2.1"')
[[phase1]]
name = "b"
local = "$US"
remote = "$REMOTE"
$OUR_AUTH
$1
[[ipsec]]
name = "net"
phase1 = "b"
$OUR_SELECTORS
zone = "vpn"
$2
$MORE_TUNNELS
[[policy]]
id = 1
from = ["inside", "vpn"]
to = ["inside", "vpn"]
action = "allow"
$POLICY
T
}
start_gateway() { ip netns exec "$GW" "$LOCKGATE" run --config "$WORK/a.toml" >>"$WORK/a.log" 2>&1 & GATEWAY=$!; BACKGROUND+=("$GATEWAY"); }
reload() { gateway "$1" "$2"; ours apply "$WORK/a.toml"; }

swanctl_conf() {
  mkdir -p "$PEER_WORK"/{x509,x509ca,x509ocsp,x509aa,x509ac,x509crl,pubkey,private,rsa,ecdsa,bliss,pkcs8,pkcs12}
  cat > "$PEER_WORK/swanctl.conf" <<T
connections { s2s { version = 2
  local_addrs = $THEM
  remote_addrs = $SEEN
  proposals = $PROPOSALS
  $1
  local { $PEER_AUTH }
  remote { $US_AUTH }
  children { net { local_ts = $THEIR_TS
                   remote_ts = $OUR_TS
                   $2
                   start_action = none
                   rekey_time = 1h }
             $MORE_CHILDREN } } }
$MORE_SECTIONS
secrets { $SECRETS }
T
  theirs --load-all --noprompt --file "$PEER_WORK/swanctl.conf"
}
charon() {
  local inside=${PEER_WORK#"$PEER_ROOT"}
  cat > "$PEER_WORK/strongswan.conf" <<T
charon-systemd {
  load = random nonce aesni openssl curve25519 kdf pem pkcs1 pkcs8 x509 pubkey revocation constraints kernel-libipsec kernel-netlink socket-default vici updown
  ${1:-}
  plugins { vici { socket = unix://$inside/charon.vici }
            kernel-libipsec { raw_esp = $([ -z "$PEER_ROOT" ] && echo no || echo yes) } }
  filelog { l { path = $inside/charon.log
                flush_line = yes
                default = 1
                ike = ${CHARON_LOG:-2}
                chd = ${CHARON_LOG:-2} } }
  journal { default = -1 } }
T
  rm -f "$PEER_WORK/charon.vici"
  # mounts made in there are gone with it
  # shellcheck disable=SC2016
  ip netns exec "$PEER" sh -c '
    root=$1; shift
    if [ -n "$root" ]; then mount --bind /proc "$root/proc" && exec chroot "$root" env "$@"; else exec env "$@"; fi
  ' sh "$PEER_ROOT" "STRONGSWAN_CONF=$inside/strongswan.conf" charon-systemd >/dev/null 2>&1 & CHARON=$!
  BACKGROUND+=("$CHARON")
  until_ok 10 test -S "$PEER_WORK/charon.vici"
}
end_charon() { theirs --terminate --ike s2s >/dev/null 2>&1; kill "$CHARON" 2>/dev/null; wait "$CHARON" 2>/dev/null; }
kill_charon() { kill -9 "$CHARON" 2>/dev/null; wait "$CHARON" 2>/dev/null; }

# NAME us|them PHASE1 IPSEC CONNECTION CHILD: a tunnel made anew, begun by us or by them, with these keys at either end
negotiate() {
  # a reload keeps an IKE SA whose certificates alone have changed
  reload 'start = "wait"' '' >/dev/null; ours clear ike b >/dev/null; until_ok 10 established 0; until_ok 15 ike_sas_are 0
  swanctl_conf "$5" "$6" >/dev/null; mark
  if [ "$2" = us ]; then check "$1, we begin" reload "$3" "$4"
  else check "$1" reload "start = \"wait\"
$3" "$4"; check "  strongSwan begins" theirs --initiate --child net; fi
  check "  the tunnel is up" until_ok 20 tunnel_is up
  check "  ping" ping_through
}

# What strongSwan's log has gained since `mark`.
mark() { MARK=$(wc -c < "$PEER_WORK/charon.log"); }
logged() { tail -c +$((MARK + 1)) "$PEER_WORK/charon.log"; }
# not by a pipe: grep stops at the first match, and who writes into the pipe fails by that
log_has() { grep -qE -- "$1" <(logged); }

shows() { ours show "$1" | grep -qE -- "$2"; }
tunnel_is() { shows tunnels "^${2:-net} +$1"; }
# TUNNEL: of the newest incoming SA; the one before lives on for some seconds
spi() { ours show sa "${1:-net}" | awk '$2 == "in" { spi = $3 } END { print spi }'; }
rekeyed_since() { local now; now=$(spi "${2:-net}"); [ -n "$now" ] && [ "$now" != "$1" ] && tunnel_is up "${2:-net}"; }
ike_sa() { ours show ike --json | grep -o '"id":[0-9]*' | tail -1; }
ike_rekeyed_since() { local now; now=$(ike_sa); [ -n "$now" ] && [ "$now" != "$1" ] && tunnel_is up; }
newest_hitting() { ours show sa "${1:-net}" | awk '{ of[$2] = $NF } END { exit !(of["in"] == "hitting" && of["out"] == "hitting") }'; }
ping_through() { in_ns "$HOST" ping -c 3 -i 0.2 -W 2 $FAR; }
established() { [ "$(theirs --list-sas | grep -c ESTABLISHED)" = "$1" ]; }
ike_sas_are() { [ "$(ours show ike --json | grep -o '"authentication"' | wc -l)" = "$1" ]; }
# ESP that our end could not take
drops() { ours show counters | grep -E 'esp-(replayed|too-old|icv-failed|spi-unknown)'; }

logs() { tail -30 "$WORK/a.log" | sed 's/^/  gateway: /'; tail -80 "$PEER_WORK/charon.log" | sed 's/^/  strongSwan: /'; }
