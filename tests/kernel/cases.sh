# The cases and what each end makes of them; sourced by run.sh. ESP, a line: number, suite, key bytes, options.
# SPI and key of the SA towards the gateway begin at 4096 + number and number, of the one towards the guest at
# 8192 + number and number + 100.
#   mode=transport   transport mode between the guest and the host behind the gateway
#   v6out            IPv6 outside
#   udp              ESP in UDP, ports 4500
#   esn              extended sequence numbers
CASES="
11 aes128gcm16      20
12 aes256gcm16      36
13 chacha20poly1305 36
14 aes128gmac       20
15 aes256gmac       36
16 aes128-sha256    48
17 aes256-sha256    64
18 aes256-sha384    80
19 aes256-sha512    96
20 aes128-sha1      36
21 null-sha256      32
22 aes256gcm16      36 esn
23 aes256-sha256    64 esn
24 aes128gcm16      20 udp
25 aes256-sha512    96 udp,esn
26 aes256gcm16      36 v6out
27 aes256-sha256    64 v6out,esn
28 chacha20poly1305 36 v6out
31 aes256gcm16      36 transport
32 aes256-sha256    64 transport
33 chacha20poly1305 36 transport,esn
34 aes128gcm16      20 transport,v6out
35 aes256-sha512    96 transport,v6out
"

# GRE and VXLAN: number, kind, options.
#   key              a GRE key, which is the number
#   checks           GRE checksums and sequence numbers
#   v6out            IPv6 outside
#   esp              ESP in transport mode around it; the guest has 203.0.113.N for that
OVERLAYS="
41 gre
42 gre   key
43 gre   key,checks
44 gre   key,v6out
45 vxlan
46 vxlan v6out
47 gre   esp
48 vxlan esp
"

# each_case FUNCTION: calls it with number, suite, key bytes, options and the outer addresses of gateway and guest
each_case() {
  local n suite len options ours theirs
  while read -r n suite len options; do
    [ -n "$n" ] || continue
    case ,$options, in
      *,transport,v6out,*) ours=2001:db8:1::5 theirs=2001:db8:$n::1 ;;
      *,transport,*) ours=10.1.0.5 theirs=10.2.$n.1 ;;
      *,v6out,*) ours=2001:db8:f::1 theirs=2001:db8:f::22 ;;
      *) ours=203.0.113.1 theirs=203.0.113.22 ;;
    esac
    "$1" "$n" "$suite" "$len" ",$options," $ours $theirs
  done <<< "$CASES"
}

# each_overlay FUNCTION: calls it with number, kind, options and the outer addresses of gateway and guest
each_overlay() {
  local n kind options ours theirs
  while read -r n kind options; do
    [ -n "$n" ] || continue
    case ,$options, in
      *,v6out,*) ours=2001:db8:f::1 theirs=2001:db8:f::22 ;;
      *,esp,*) ours=203.0.113.1 theirs=203.0.113.$n ;;
      *) ours=203.0.113.1 theirs=203.0.113.22 ;;
    esac
    "$1" "$n" "$kind" ",$options," $ours $theirs
  done <<< "$OVERLAYS"
}

# gateway_overlay NUMBER KIND OPTIONS OURS THEIRS: its part of the gateway's configuration
gateway_overlay() {
  local n=$1
  case $3 in *,esp,*) gateway_tunnel "$n" aes256-sha256 64 ,transport, "$4" "$5" ;; esac
  printf '\n[[%s]]\nname = "over-%s"\nlocal = "%s"\nremote = "%s"\n' "$2" "$n" "$4" "$5"
  [ "$2" = gre ] || echo "vni = $n"
  case $3 in *,key,*) echo "key = $n" ;; esac
  case $3 in *,checks,*) printf 'checksum = true\nsequence = true\n' ;; esac
  printf '[[interface]]\nname = "over-%s"\ntunnel = "over-%s"\nzone = "vpn"\naddress = ["10.3.%s.1/24", "2001:db8:10%s::1/64"]\n' "$n" "$n" "$n" "$n"
  printf '[[route]]\nto = "10.2.%s.1/32"\nvia = "10.3.%s.2"\n[[route]]\nto = "2001:db8:%s::1/128"\nvia = "2001:db8:10%s::2"\n' "$n" "$n" "$n" "$n"
}

# guest_overlay NUMBER KIND OPTIONS OURS THEIRS: its lines for the guest's ip. What the guest answers goes back into
# the tunnel by a rule, since its default is the way without.
guest_overlay() {
  local n=$1 type=$2 more=""
  case $3 in *,esp,*)
    echo "addr add $5/24 dev eth0"
    guest_commands "$n" aes256-sha256 64 ,transport, "$4" "$5" | grep ^xfrm ;;
  esac
  case $type$3 in gre*,v6out,*) type=ip6gre ;; esac
  [ "$2" = gre ] || more="id $n dstport 4789"
  case $3 in *,key,*) more="key $n" ;; esac
  case $3 in *,checks,*) more="$more csum seq" ;; esac
  echo "link add over$n type $type local $5 remote $4 $more"
  echo "link set over$n up"
  echo "addr add 10.3.$n.2/24 dev over$n"
  echo "addr add 2001:db8:10$n::2/64 dev over$n nodad"
  echo "addr add 10.2.$n.1/32 dev lo"
  echo "addr add 2001:db8:$n::1/128 dev lo nodad"
  echo "rule add from 10.2.$n.1 lookup $n"
  echo "-6 rule add from 2001:db8:$n::1 lookup $n"
  echo "route add 10.1.0.0/24 via 10.3.$n.1 dev over$n table $n"
  echo "-6 route add 2001:db8:1::/64 via 2001:db8:10$n::1 dev over$n table $n"
}

# key FIRST LENGTH: bytes that count up from FIRST, in hexadecimal
key() { local i; for ((i = 0; i < $2; i++)); do printf %02x $((($1 + i) % 256)); done; }

# gateway_tunnel NUMBER SUITE LENGTH OPTIONS OURS THEIRS: its part of the gateway's configuration
gateway_tunnel() {
  local n=$1 mode=tunnel
  case $4 in *,transport,*) mode=transport ;; esac
  printf '\n[[ipsec]]\nname = "case-%s"\nlocal = "%s"\nremote = "%s"\nmode = "%s"\nzone = "vpn"\n' "$n" "$5" "$6" $mode
  [ $mode = transport ] || printf 'selectors = [{ local = "10.1.0.0/24", remote = "10.2.%s.1/32" }, { local = "2001:db8:1::/64", remote = "2001:db8:%s::1/128" }]\n' "$n" "$n"
  printf 'out = { spi = %s, algorithm = "%s", key = "%s" }\n' $((8192 + n)) "$2" "$(key $((n + 100)) "$3")"
  printf 'in = { spi = %s, algorithm = "%s", key = "%s" }\n' $((4096 + n)) "$2" "$(key "$n" "$3")"
  case $4 in *,esn,*) echo "esn = true" ;; esac
  case $4 in *,udp,*) echo "udp-encapsulation = true" ;; esac
  case $2 in null-*) echo "allow-null = true" ;; esac
}

# guest_commands NUMBER SUITE LENGTH OPTIONS OURS THEIRS: its lines of the batch for the guest's ip
guest_commands() {
  local n=$1 mode=tunnel flags="flag af-unspec" encap="" # af-unspec: either IP version inside
  case $4 in *,transport,*) mode=transport flags="" ;; esac
  case $4 in *,esn,*) flags="${flags:-flag} esn" ;; esac
  case $4 in *,udp,*) encap="encap espinudp 4500 4500 0.0.0.0" ;; esac
  echo "addr add 10.2.$n.1/32 dev lo"
  echo "addr add 2001:db8:$n::1/128 dev lo nodad"
  echo "xfrm state add src $6 dst $5 proto esp spi $((4096 + n)) reqid $n mode $mode replay-window 64 $flags $(kernel_algorithm "$2" "$(key "$n" "$3")") $encap"
  echo "xfrm state add src $5 dst $6 proto esp spi $((8192 + n)) reqid $n mode $mode replay-window 64 $flags $(kernel_algorithm "$2" "$(key $((n + 100)) "$3")") $encap"
  policy() { # INNER_GUEST INNER_HOST GUEST GATEWAY
    echo "xfrm policy add src $1 dst $2 dir out tmpl src $3 dst $4 proto esp reqid $n mode $mode"
    echo "xfrm policy add src $2 dst $1 dir in tmpl src $4 dst $3 proto esp reqid $n mode $mode"
  }
  if [ $mode = transport ]; then policy "$6" "$5" "$6" "$5"
  else
    policy "10.2.$n.1/32" 10.1.0.0/24 "$6" "$5"
    policy "2001:db8:$n::1/128" 2001:db8:1::/64 "$6" "$5"
  fi
}

# kernel_algorithm SUITE KEY: the suite as ip xfrm wants it
kernel_algorithm() {
  local cipher hash bytes bits
  case $1 in
    aes*gcm16) echo "aead rfc4106(gcm(aes)) 0x$2 128"; return ;;
    aes*gmac) echo "aead rfc4543(gcm(aes)) 0x$2 128"; return ;;
    chacha20poly1305) echo "aead rfc7539esp(chacha20,poly1305) 0x$2 128"; return ;;
    aes128-*) cipher=16 ;; aes256-*) cipher=32 ;; null-*) cipher=0 ;;
  esac
  case $1 in
    *-sha1) hash=1 bytes=20 bits=96 ;; *-sha256) hash=256 bytes=32 bits=128 ;;
    *-sha384) hash=384 bytes=48 bits=192 ;; *-sha512) hash=512 bytes=64 bits=256 ;;
  esac
  # Lockgate's key is the cipher's and then the hash's; two hexadecimal digits make a byte.
  if [ $cipher = 0 ]; then printf 'enc ecb(cipher_null) ""'
  else printf 'enc cbc(aes) 0x%s' "${2:0:2*cipher}"; fi
  echo " auth-trunc hmac(sha$hash) 0x${2:2*cipher:2*bytes} $bits"
}
