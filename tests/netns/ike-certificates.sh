#!/usr/bin/env bash
# Who is who, between a gateway and strongSwan: certificates of all kinds and in fragments, postquantum pre-shared keys, and
# addresses that either gives to the other. In both roles.
# Needs root, openssl and what ike.sh needs. Usage: ike-certificates.sh PATH_OF_LOCKGATE. Who stands where is in strongswan.sh.
set -uo pipefail
cd "$(dirname "$0")"
. ./common.sh
. ./strongswan.sh
HOST=pech GW=pecg PEER=pecb
begin "${1:-}" "$STRONGSWAN_TOOLS openssl" "$STRONGSWAN_PACKAGES openssl" $HOST $GW $PEER
sites direct
PROPOSALS=aes256gcm16-prfsha384-x25519

# An authority, and certificates of each kind for both ends, where strongSwan looks for them.
KINDS="ecdsa rsa ed25519"
authority() { # NAME
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$WORK/$1.key" -out "$WORK/x509ca/$1.pem" -days 365 -subj "/O=Test/CN=$1" \
    -addext keyUsage=critical,keyCertSign,cRLSign 2>&1
}
certificate() { # END KIND AUTHORITY
  local algorithm=$2
  case $2 in ecdsa) algorithm="ec -pkeyopt ec_paramgen_curve:P-256" ;; rsa) algorithm=rsa:3072 ;; esac
  # shellcheck disable=SC2086
  openssl req -newkey $algorithm -nodes -keyout "$WORK/private/$1-$2.pem" -out "$WORK/request" -subj "/O=Test/CN=$1.test" 2>&1 &&
    openssl x509 -req -in "$WORK/request" -CA "$WORK/x509ca/$3.pem" -CAkey "$WORK/$3.key" -days 30 -out "$WORK/x509/$1-$2.pem" \
      -extfile <(printf 'subjectAltName=DNS:%s.test\nkeyUsage=digitalSignature' "$1") 2>&1
}
refused_for() { ! theirs --initiate --child net && ours explain tunnel net | grep -qE -- "verdict.*($1)"; }
certified_by() { { [ -e "$WORK/$1.key" ] || authority "$1"; } && certificate b ecdsa "$1"; }
all_certificates() {
  local kind
  mkdir -p "$WORK"/{x509,x509ca,private}
  authority ca && for kind in $KINDS; do certificate a "$kind" ca && certificate b "$kind" ca || return 1; done
}
ours_is() { # KIND [MORE]
  OUR_AUTH="local-id = \"a.test\"
remote-id = \"b.test\"
ca = \"$WORK/x509ca/ca.pem\"
certificate = \"$WORK/x509/a-$1.pem\"
private-key = \"$WORK/private/a-$1.pem\"
${2:-}"
  US_AUTH='auth = pubkey
           cacerts = ca.pem
           id = a.test'
}
theirs_is() { # KIND
  PEER_AUTH="auth = pubkey
          certs = b-$1.pem
          id = b.test"
}
proved() { log_has "authentication of 'a.test' with $1 successful" && log_has "authentication of 'b.test' \(myself\) with $2"; }

check "certificates are made" all_certificates
charon
swanctl_conf "" "$PFS" >/dev/null
gateway 'start = "wait"' ''
start_gateway
check "the gateway answers on its socket" until_ok 10 tunnel_is idle

for who in us them; do
  echo "== certificates, $who first"
  ours_is ecdsa; theirs_is ecdsa
  negotiate "ECDSA" $who '' '' "" "$PFS"
  check "  by both" proved ECDSA_WITH_SHA256_DER ECDSA_WITH_SHA256_DER
  ours_is rsa; theirs_is rsa
  negotiate "RSA" $who '' '' "" "$PFS"
  check "  by both" proved RSA_EMSA_PKCS1_SHA2_256 RSA_EMSA_PKCS1_SHA2_256
  check "  our message does not fit into one datagram" log_has 'received fragment #[0-9] of [2-9], reassembled'
  check "  nor does strongSwan's" log_has 'splitting IKE message .* into [2-9] fragments'
  BEFORE=$(ike_sa); check "  the IKE SA is rekeyed" ours rekey ike b; check "  there is another" until_ok 10 ike_rekeyed_since "$BEFORE"
  ours_is ed25519; theirs_is rsa
  negotiate "Ed25519 and RSA" $who '' '' "" "$PFS"
  check "  each its own" proved ED25519 RSA_EMSA_PKCS1_SHA2_256
  OUR_AUTH="local-id = \"a.test\"
remote-id = \"b.test\"
auth = \"psk\"
psk = \"test-psk-0123456789\"
remote-auth = \"certificate\"
ca = \"$WORK/x509ca/ca.pem\""
  US_AUTH='auth = psk
           id = a.test'
  theirs_is ecdsa
  negotiate "a pre-shared key and ECDSA" $who '' '' "" "$PFS"
  check "  each its own" proved 'pre-shared key' ECDSA_WITH_SHA256_DER
done
echo "== RSA with PSS, and into small datagrams"
end_charon; charon 'rsa_pss = yes
  fragment_size = 576'
for who in us them; do
  ours_is rsa 'rsa-padding = "pss"'; theirs_is rsa
  negotiate "RSA" $who '' '' "" "$PFS"
  check "  by both" proved RSA_EMSA_PSS_SHA2_256_SALT_32 RSA_EMSA_PSS_SHA2_256_SALT_32
  check "  strongSwan's message comes in many fragments" log_has 'splitting IKE message .* into [3-9] fragments'
done
echo "== an authority that we do not trust"
check "a certificate of another" certified_by other
theirs_is ecdsa
ours clear ike b >/dev/null; until_ok 10 ike_sas_are 0
swanctl_conf "" "$PFS" >/dev/null
# one made just now may not be valid yet
check "strongSwan begins, and we say why not" until_ok 5 refused_for 'authority|issuer'
certified_by ca >/dev/null

echo "== postquantum pre-shared keys"
OUR_AUTH='local-id = "a.test"
remote-id = "b.test"
psk = "test-psk-0123456789"'
PEER_AUTH='auth = psk
          id = b.test' US_AUTH='auth = psk
           id = a.test'
SECRETS="$SECRETS
  ppk-1 { id-1 = one
  secret = 0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f }"
PPK='ppk-id = "one"
ppk = "0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"'
for who in us them; do
  negotiate "the same at both ends" $who "$PPK" '' 'ppk_id = one
  ppk_required = yes' "$PFS"
  has "  it is in use" 'aes256gcm16-prfsha384-x25519, PPK' ours show ike --detail
  check "  strongSwan says so too" log_has 'using PPK for PPK_ID .one.'
  BEFORE=$(ike_sa); check "  strongSwan rekeys the IKE SA" theirs --rekey --ike s2s; check "  there is another" until_ok 10 ike_rekeyed_since "$BEFORE"
  BEFORE=$(spi); check "  we rekey the child" ours rekey tunnel net; check "  there is another" until_ok 10 rekeyed_since "$BEFORE"
  check "  ping" ping_through
  negotiate "only we have one, and do not insist" $who "$PPK
ppk-required = false" '' "" "$PFS"
done
reload 'start = "wait"' '' >/dev/null; until_ok 10 ike_sas_are 0
reload "start = \"wait\"
$PPK" '' >/dev/null
refuse "only we have one, and insist" theirs --initiate --child net
has "and say so" 'PPK is required' ours explain tunnel net

echo "== an address that strongSwan gives us"
OUR_SELECTORS='selectors = [{ local = "0.0.0.0/0", remote = "10.2.0.0/24" }]' OUR_TS=dynamic POLICY='nat = "interface"'
MORE_SECTIONS='pools { staff { addrs = 10.9.0.0/24 } }'
negotiate "we ask" us 'request-address = "ipv4"' '' 'pools = staff' "$PFS"
has "  strongSwan has given one" 'staff +10\.9\.0\.0 +1 / ' theirs --list-pools
has "  we have it" '10\.9\.0\.1' ours show ike --detail
has "  strongSwan knows nothing of the network behind us" '10\.9\.0\.1/32$' theirs --list-sas
BEFORE=$(ike_sa); check "  the IKE SA is rekeyed" theirs --rekey --ike s2s; check "  there is another" until_ok 10 ike_rekeyed_since "$BEFORE"
check "  ping, with that address" ping_through
echo "== an address that we give strongSwan"
OUR_SELECTORS='selectors = [{ local = "10.1.0.0/24", remote = "10.9.0.0/24" }]' OUR_TS=10.1.0.0/24 THEIR_TS=dynamic POLICY='' MORE_SECTIONS=''
MORE_TUNNELS='[[address-pool]]
name = "staff"
addresses = "10.9.0.7-10.9.0.9"'
FAR=10.9.0.7
negotiate "strongSwan asks" them 'address-pool = "staff"' '' 'vips = 0.0.0.0' "$PFS"
has "  and has got one" 'local  10\.9\.0\.7/32' theirs --list-sas
BEFORE=$(ike_sa); check "  the IKE SA is rekeyed" ours rekey ike b; check "  there is another" until_ok 10 ike_rekeyed_since "$BEFORE"
check "  ping to that address" ping_through
check "  strongSwan begins anew" theirs --terminate --ike s2s
check "  strongSwan begins" theirs --initiate --child net
has "  and gets the same" 'local  10\.9\.0\.7/32' theirs --list-sas
refuse "no ESP packet was a replay, not authentic, or without an SA" drops
finish || { logs; exit 1; }
