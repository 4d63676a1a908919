#!/usr/bin/env bash
# What others make of a gateway's IKEv2 and ESP: its keys are those in strongSwan's own log, and tshark opens its packets with them.
# Needs root, tshark, tcpdump, python3 and what ike.sh needs. Usage: ike-oracles.sh PATH_OF_LOCKGATE. Who stands where is in strongswan.sh.
set -uo pipefail
cd "$(dirname "$0")"
. ./common.sh
. ./strongswan.sh
HOST=peoh GW=peog PEER=peob
begin "${1:-}" "$STRONGSWAN_TOOLS tcpdump tshark python3" "$STRONGSWAN_PACKAGES tcpdump tshark python3" $HOST $GW $PEER
sites direct
CHARON_LOG=4 PROPOSALS=aes256gcm16-prfsha384-x25519,aes256-sha256-prfsha256-ecp256

export_keys() { rm -rf "$WORK/keys"; mkdir "$WORK/keys"; ours show sa --export-keys wireshark -o "$WORK/keys"; }
same_keys() { export_keys >/dev/null && python3 charon_keys.py "$WORK/charon.log" "$WORK/keys"; }
captured() { [ "$(tcpdump -nr "$WORK/wire.pcap" 2>/dev/null | grep -c .)" = "$1" ]; }
# Every ping in the capture is seen inside of ESP, and every ICV is right.
opened() {
  until_ok 5 captured 6
  kill "$TCPDUMP"; wait "$TCPDUMP"
  cp -r "$WORK/keys/." "$WORK/wireshark"
  WIRESHARK_CONFIG_DIR="$WORK/wireshark" tshark -r "$WORK/wire.pcap" -o esp.enable_encryption_decode:TRUE -o esp.enable_authentication_check:TRUE \
    -Y "esp" -T fields -e esp.icv_good -e icmp.type 2>"$WORK/tshark.err" | sort | uniq -c > "$WORK/opened"
  cat "$WORK/opened" "$WORK/tshark.err"
  [ "$(awk '{ print $1, $2, $3 }' "$WORK/opened" | paste -sd,)" = "3 1 0,3 1 8" ]
}

charon
swanctl_conf "" "$PFS" >/dev/null
gateway 'start = "wait"' ''
start_gateway
mkdir "$WORK/wireshark"
check "the gateway answers on its socket" until_ok 10 tunnel_is idle
for esp in aes256gcm16-x25519 aes128gcm16 aes256-sha256-ecp256; do
  for who in us them; do
    negotiate "$esp" $who "proposals = \"$([ $esp = aes256-sha256-ecp256 ] && echo aes256-sha256-prfsha256-ecp256 || echo aes256gcm16-prfsha384-x25519)\"" \
      "proposals = \"$esp\"" "" "esp_proposals = $esp"
    has "  the keys are strongSwan's" '^2 keys of ESP' same_keys
    BEFORE=$(spi)
    if [ $who = us ]; then theirs --rekey --child net >/dev/null; else ours rekey tunnel net >/dev/null; fi
    check "  rekeyed from the other side" until_ok 10 rekeyed_since "$BEFORE"
    has "  and again they are" '^[24] keys of ESP' same_keys
    ip netns exec $PEER tcpdump -i eth0 --immediate-mode -U -w "$WORK/wire.pcap" udp port 4500 and 'udp[4:2] > 40' >"$WORK/tcpdump" 2>&1 & TCPDUMP=$!
    until_ok 5 grep -q listening
    check "  ping" ping_through
    check "  tshark opens both directions, and finds no ICV wrong" opened
  done
done
finish || { tail -30 "$WORK/a.log" | sed 's/^/  gateway: /'; exit 1; }
