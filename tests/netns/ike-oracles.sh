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

# The keys there are now are compared, and kept for tshark.
same_keys() {
  rm -rf "$WORK/keys"; mkdir "$WORK/keys"
  ours show sa --export-keys wireshark -o "$WORK/keys" >/dev/null && ours show ike --export-keys wireshark -o "$WORK/keys" >/dev/null || return 1
  for table in esp_sa ikev2_decryption_table; do
    cat "$WORK/keys/$table" >> "$WORK/wireshark/$table"; sort -uo "$WORK/wireshark/$table" "$WORK/wireshark/$table"
  done
  python3 charon_keys.py "$WORK/charon.log" "$WORK/keys" | tee "$WORK/compared"
}
start_capture() {
  rm -rf "$WORK/wireshark"; mkdir "$WORK/wireshark"
  ip netns exec $PEER tcpdump -i eth0 --immediate-mode -U -w "$WORK/wire.pcap" udp >"$WORK/tcpdump" 2>&1 & TCPDUMP=$!
  until_ok 5 grep -q listening "$WORK/tcpdump"
}
# 12 packets of 6 pings, and what IKE said before
stop_capture() { until_ok 5 esp_captured 12; kill "$TCPDUMP"; wait "$TCPDUMP"; }
esp_captured() { [ "$(tcpdump -nr "$WORK/wire.pcap" 'udp port 4500 and udp[8:4] != 0 and udp[4:2] > 40' 2>/dev/null | grep -c .)" = "$1" ]; }
shark() { WIRESHARK_CONFIG_DIR="$WORK/wireshark" tshark -r "$WORK/wire.pcap" -o esp.enable_encryption_decode:TRUE -o esp.enable_authentication_check:TRUE "$@" 2>/dev/null; }
# Every ping is seen inside of ESP, and every ICV is right.
esp_opened() {
  shark -Y esp -T fields -e esp.icv_good -e icmp.type | sort | uniq -c | awk '{ print $1, $2, $3 }' | tee "$WORK/opened"
  [ "$(paste -sd, "$WORK/opened")" = "6 1 0,6 1 8" ]
}
# Every message of the IKE SA after the first two is opened and its ICV is right: what is in it is dissected.
ike_opened() {
  local messages opened spi
  spi=$(grep -v '^#' "$WORK/keys/ikev2_decryption_table" | cut -d, -f1 | sed 's/../&:/g; s/:$//')
  shark -Y "isakmp.ispi == $spi && isakmp.typepayload == 46" -V > "$WORK/ike"
  messages=$(grep -c 'Payload: Encrypted and Authenticated (46)' "$WORK/ike") opened=$(grep -c 'Decrypted Data' "$WORK/ike")
  echo "$messages messages, $opened opened"; grep -E 'Integrity Checksum Data|Expert|incorrect' "$WORK/ike" | sort | uniq -c
  [ "$messages" -ge 4 ] && [ "$opened" = "$messages" ] && ! grep -q incorrect "$WORK/ike"
}

charon
swanctl_conf "" "$PFS" >/dev/null
gateway 'start = "wait"' ''
start_gateway
check "the gateway answers on its socket" until_ok 10 tunnel_is idle
for esp in aes256gcm16-x25519 aes128gcm16 aes256-sha256-ecp256; do
  case $esp in
    aes256-sha256*) ike=aes256-sha256-prfsha256-ecp256 ;;
    *) ike=aes256gcm16-prfsha384-x25519 ;;
  esac
  for who in us them; do
    start_capture
    negotiate "$esp under $ike" $who "proposals = \"$ike\"" "proposals = \"$esp\"" "" "esp_proposals = $esp"
    has "  the keys are strongSwan's" '^([2-9]|[1-9][0-9]+) keys of ESP' same_keys
    has "  those of IKE too" '^1 sets of keys of IKE' cat "$WORK/compared"
    BEFORE=$(spi)
    if [ $who = us ]; then theirs --rekey --child net >/dev/null; else ours rekey tunnel net >/dev/null; fi
    check "  rekeyed from the other side" until_ok 10 rekeyed_since "$BEFORE"
    has "  and again they are" '^([2-9]|[1-9][0-9]+) keys of ESP' same_keys
    check "  ping" ping_through
    stop_capture
    check "  tshark opens ESP in both directions, and finds no ICV wrong" esp_opened
    check "  and what IKE said" ike_opened
  done
done
BEFORE=$(ike_sa); check "the IKE SA is rekeyed by us" ours rekey ike b; check "  there is another" until_ok 10 ike_rekeyed_since "$BEFORE"
has "  its keys are strongSwan's" '^1 sets of keys of IKE' same_keys
BEFORE=$(ike_sa); check "the IKE SA is rekeyed by strongSwan" theirs --rekey --ike s2s; check "  there is another" until_ok 10 ike_rekeyed_since "$BEFORE"
has "  its keys are strongSwan's" '^1 sets of keys of IKE' same_keys
finish || { tail -30 "$WORK/a.log" | sed 's/^/  gateway: /'; exit 1; }
