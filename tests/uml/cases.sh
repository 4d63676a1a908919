# The cases: number, name, suite, key bytes, options. Sourced by run.sh and, in the guest, by init.
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

# key FIRST LENGTH: bytes that count up from FIRST, in hexadecimal
key() {
  i=0 out=
  while [ $i -lt "$2" ]; do out=$out$(printf %02x $((($1 + i) % 256))); i=$((i + 1)); done
  echo "$out"
}
