# Sourced by the scripts beside it: the program, namespaces that end with the script, checks that count.
#
#   begin PATH_OF_LOCKGATE "TOOL..." "PACKAGE..." NAMESPACE...
#   check NAME COMMAND...          the command must succeed
#   refuse NAME COMMAND...         the command must fail
#   has NAME PATTERN COMMAND...    the output must match
#   until_ok SECONDS COMMAND...    polls for a condition
#   gateways PREFIX NAME...        runs each by NAME.toml of WORK in the namespace PREFIXNAME, until it answers
#   ask NAME COMMAND...            asks one of them
#   gbps                           the rate in iperf.json of WORK
#   finish                         prints the count; false when something failed
# With WORKERS=N in the environment every gateway has N workers, with PORTS=xdp its ports are AF_XDP's.
# Processes in BACKGROUND are ended with the script; files in WORK go with it.
WORK=$(mktemp -d)
PASSED=0 FAILED=0 BACKGROUND=() SPACES=()

begin() {
  local script tool ns
  script=$(basename "$0")
  LOCKGATE=$(realpath "${1:?usage: $script PATH_OF_LOCKGATE}" 2>/dev/null || realpath "../../$1")
  [ -z "${WORKERS:-}${PORTS:-}" ] || with_settings
  if [ "$(id -u)" != 0 ]; then echo "$script needs root for network namespaces" >&2; exit 1; fi
  for tool in $2; do
    command -v "$tool" >/dev/null || { echo "$script needs $tool: apt-get install $3" >&2; exit 1; }
  done
  SPACES=("${@:4}")
  trap cleanup EXIT
  for ns in "${SPACES[@]}"; do ip netns del "$ns" 2>/dev/null; ip netns add "$ns"; in_ns "$ns" ip link set lo up; done
}
# From here on LOCKGATE adds to the configurations in WORK what they lack, before it reads one.
with_settings() {
  cat > "$WORK/lockgate" <<T
#!/bin/sh
case " \$* " in
  *' run '*|*' check '*|*' reload '*|*' apply '*|*' plan '*)
    # what it names, as others may still be being written
    files=; for file; do case \$file in "$WORK"/*.toml) files="\$files \$file" ;; esac; done
    for file in \${files:-"$WORK"/*.toml}; do
      [ -z "${WORKERS:-}" ] || grep -q '^workers = ' "\$file" || printf "\n[limits]\nworkers = ${WORKERS:-}\n" >> "\$file"
      [ -z "${PORTS:-}" ] || sed -i '/^\[\[port\]\]/{n;/^kind = /!s/^/kind = "${PORTS:-}"\n/}' "\$file"
    done ;;
esac
exec "$LOCKGATE" "\$@"
T
  chmod +x "$WORK/lockgate"
  LOCKGATE=$WORK/lockgate
}
cleanup() {
  local pid ns
  for pid in "${BACKGROUND[@]}"; do kill "$pid" 2>/dev/null; done
  wait 2>/dev/null
  for ns in "${SPACES[@]}"; do ip netns del "$ns" 2>/dev/null; done
  rm -rf "$WORK"
}
in_ns() { ip netns exec "$@"; }
passed() { PASSED=$((PASSED + 1)); printf '  ok    %s\n' "$1"; }
failed() { FAILED=$((FAILED + 1)); printf '  FAIL  %s\n' "$1"; sed 's/^/        /' "$WORK/out" | tail -60; }
check() {
  local name=$1; shift
  if "$@" >"$WORK/out" 2>&1; then passed "$name"; else failed "$name"; fi
}
refuse() {
  local name=$1; shift
  if "$@" >"$WORK/out" 2>&1; then failed "$name (it worked)"; else passed "$name"; fi
}
has() {
  local name=$1 pattern=$2; shift 2
  "$@" >"$WORK/out" 2>&1
  if grep -qE -- "$pattern" "$WORK/out"; then passed "$name"; else failed "$name (no match for $pattern)"; fi
}
until_ok() { local end=$((SECONDS + $1)); shift; until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || return 1; read -rt 0.1 <> <(:); done; return 0; }
link() {
  ip link add "$2" netns "$1" type veth peer name "$4" netns "$3"
  # a device of AF_XDP takes no frame whose checksum is still to be made
  [ "${PORTS:-}" != xdp ] || { in_ns "$1" ethtool -K "$2" tx off; in_ns "$3" ethtool -K "$4" tx off; } > /dev/null
}
gateways() {
  local name
  GATEWAYS=$1; shift
  for name; do
    check "the configuration of $name is valid" "$LOCKGATE" check "$WORK/$name.toml"
    ip netns exec "$GATEWAYS$name" "$LOCKGATE" run --config "$WORK/$name.toml" >"$WORK/$name.log" 2>&1 & BACKGROUND+=($!)
  done
  for name; do check "$name answers on its socket" until_ok 20 ask "$name" show system; done
}
ask() { local name=$1; shift; in_ns "$GATEWAYS$name" "$LOCKGATE" --socket "$WORK/$name.sock" "$@"; }
gbps() { python3 -c 'import json,sys; e=json.load(open(sys.argv[1]))["end"]; print("%.2f Gbit/s" % (e["sum_received"]["bits_per_second"]/1e9))' "$WORK/iperf.json"; }
finish() { printf '\n%s passed, %s failed\n' "$PASSED" "$FAILED"; [ "$FAILED" = 0 ]; }
