//! The faults of IPsec tunnels, their keys and their peers.

/// The code that is expected, and what is written below [`BASE`](super::BASE).
pub const CASES: &[(&str, &str)] = &[
    (
        "impossible-offload",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "198.51.100.7"
offload = "require"
egress-optimisation = false
out = { spi = 0x2001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
in = { spi = 0x1001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]"##,
    ),
    (
        "null-cipher",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "198.51.100.7"
out = { spi = 0x2001, algorithm = "null-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff" }
in = { spi = 0x1001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]"##,
    ),
    (
        "mixed-versions",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "2001:db8::7"
out = { spi = 0x2001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
in = { spi = 0x1001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]"##,
    ),
    (
        "mixed-versions",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "198.51.100.7"
out = { spi = 0x2001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
in = { spi = 0x1001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
selectors = [{ local = "10.0.0.0/24", remote = "2001:db8::/32" }]"##,
    ),
    (
        "out-of-range",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "198.51.100.7"
out = { spi = 0x2001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
in = { spi = 0x1001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]
replay-window = 16"##,
    ),
    (
        "out-of-range",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "198.51.100.7"
out = { spi = 0x2001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
in = { spi = 0x1001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]
dscp = 64"##,
    ),
    (
        "unfitting-key",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "198.51.100.7"
out = { spi = 0x2001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
in = { spi = 0x1001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]
local-port = 4500"##,
    ),
    (
        "unknown-name",
        r##"[[interface]]
name = "v"
tunnel = "paris""##,
    ),
    (
        "unfitting-key",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "198.51.100.7"
out = { spi = 0x2001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
in = { spi = 0x1001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
[[interface]]
name = "v"
tunnel = "t"
vlan = 5"##,
    ),
    (
        "duplicate-tunnel",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "198.51.100.7"
out = { spi = 0x2001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
in = { spi = 0x1001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
[[interface]]
name = "v"
tunnel = "t"
[[interface]]
name = "w"
tunnel = "t""##,
    ),
    (
        "duplicate-spi",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "198.51.100.7"
out = { spi = 0x2001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
in = { spi = 0x1001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]
[[ipsec]]
name = "u"
local = "203.0.113.2"
remote = "198.51.100.7"
out = { spi = 0x2001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
in = { spi = 0x1001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
selectors = [{ local = "10.0.0.0/24", remote = "10.8.0.0/16" }]"##,
    ),
    (
        "duplicate-key",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "198.51.100.7"
out = { spi = 0x2001, algorithm = "aes256gcm16", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff01020304" }
in = { spi = 0x1001, algorithm = "aes256gcm16", key = "0x00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff01020304" }
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]"##,
    ),
    (
        "overlapping-selectors",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "198.51.100.7"
out = { spi = 0x2001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
in = { spi = 0x1001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]
[[ipsec]]
name = "u"
local = "203.0.113.2"
remote = "198.51.100.7"
out = { spi = 0x2001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
in = { spi = 0x1002, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
selectors = [{ local = "10.0.0.0/25", remote = "10.9.9.0/24" }]"##,
    ),
    (
        "compression",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "198.51.100.7"
out = { spi = 0x2001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
in = { spi = 0x1001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]
compression = true"##,
    ),
    (
        "missing-key",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7""##,
    ),
    (
        "missing-key",
        r##"[[phase1]]
name = "p"
remote = "198.51.100.7"
psk = "a secret of sixteen""##,
    ),
    (
        "missing-key",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "any"
psk = "a secret of sixteen""##,
    ),
    (
        "ikev1",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
version = 1"##,
    ),
    (
        "out-of-range",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
version = 3"##,
    ),
    (
        "mixed-versions",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "2001:db8::7"
psk = "a secret of sixteen""##,
    ),
    (
        "bad-value",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "paris.example.com"
psk = "a secret of sixteen""##,
    ),
    (
        "bad-value",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
local-id = "not an identity""##,
    ),
    (
        "bad-value",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
proposals = "aes256gcm16-x25519""##,
    ),
    (
        "bad-value",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
proposals = "aes256gcm16-prfsha384""##,
    ),
    (
        "bad-value",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
proposals = "prfsha384-x25519""##,
    ),
    (
        "bad-value",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
proposals = "aes256-prfsha384-x25519""##,
    ),
    (
        "bad-value",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
proposals = "aes256-aes256gcm16-sha256-x25519""##,
    ),
    (
        "bad-value",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
proposals = ["aes256gcm16-prfsha384-x25519", "3des-sha1-modp1024"]"##,
    ),
    (
        "bad-value",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
proposals = "aes256-sha1-modp2048""##,
    ),
    (
        "bad-value",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
proposals = "aes265gcm16-prfsha384-x25519""##,
    ),
    (
        "unknown-word",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
allow-weak = "md5""##,
    ),
    (
        "bad-value",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "0xabc""##,
    ),
    (
        "bad-value",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = """##,
    ),
    (
        "bad-value",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk-file = "psk""##,
    ),
    (
        "bad-value",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk-file = "/nowhere/psk""##,
    ),
    (
        "unfitting-key",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
psk-file = "/etc/psk""##,
    ),
    (
        "unfitting-key",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "any"
psk = "a secret of sixteen"
remote-id = "a.test"
start = "load""##,
    ),
    (
        "out-of-range",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
dpd = "2h""##,
    ),
    (
        "unknown-word",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
dpd-action = "hold""##,
    ),
    (
        "indistinct-peers",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
[[phase1]]
name = "q"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen""##,
    ),
    (
        "unknown-name",
        r##"[[ipsec]]
name = "t"
phase1 = "p"
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]"##,
    ),
    (
        "unfitting-key",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
[[ipsec]]
name = "t"
phase1 = "p"
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]
remote = "198.51.100.7""##,
    ),
    (
        "unfitting-key",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
[[ipsec]]
name = "t"
phase1 = "p"
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]
udp-encapsulation = true"##,
    ),
    (
        "unfitting-key",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
[[ipsec]]
name = "t"
phase1 = "p"
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]
out = { spi = 0x2001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }"##,
    ),
    (
        "bad-value",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
[[ipsec]]
name = "t"
phase1 = "p"
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]
proposals = "aes256gcm16-sha256""##,
    ),
    (
        "bad-value",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
[[ipsec]]
name = "t"
phase1 = "p"
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]
proposals = "aes256-sha1""##,
    ),
    (
        "null-cipher",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
[[ipsec]]
name = "t"
phase1 = "p"
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]
proposals = "null-sha256""##,
    ),
    (
        "soft-beyond-hard",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
[[ipsec]]
name = "t"
phase1 = "p"
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]
soft-lifetime = { seconds = 600 }
hard-lifetime = { seconds = 600 }"##,
    ),
    (
        "mixed-routers",
        r##"[[virtual-router]]
name = "guest"
[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
[[phase1]]
name = "q"
virtual-router = "guest"
local = "203.0.113.2"
remote = "198.51.100.8"
psk = "a secret of sixteen""##,
    ),
    (
        "indistinct-children",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
[[ipsec]]
name = "t"
phase1 = "p"
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]
[[ipsec.phase2]]
name = "a"
[[ipsec.phase2]]
name = "b"
selectors = [{ local = "10.0.0.0/25", remote = "10.9.1.0/24" }]"##,
    ),
    (
        "duplicate-name",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
[[ipsec]]
name = "t"
phase1 = "p"
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]
[[ipsec.phase2]]
name = "a"
[[ipsec.phase2]]
name = "a"
selectors = [{ local = "10.0.1.0/25", remote = "10.9.1.0/24" }]"##,
    ),
    (
        "missing-key",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
[[ipsec]]
name = "t"
proposals = "aes256gcm16"
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]"##,
    ),
    (
        "missing-key",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
ppk = "0x00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff""##,
    ),
    (
        "missing-key",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
ppk-id = "site""##,
    ),
    (
        "bad-value",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
ppk-id = ""
ppk = "0x00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff""##,
    ),
    (
        "unknown-word",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
request-address = "v4""##,
    ),
    (
        "unfitting-key",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "any"
psk = "a secret of sixteen"
remote-id = "*"
request-address = "ipv4""##,
    ),
    (
        "unfitting-key",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
request-address = "ipv4"
address-pool = "staff"
[[address-pool]]
name = "staff"
addresses = "10.9.0.0/24""##,
    ),
    (
        "unknown-name",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
address-pool = "stuff"
[[address-pool]]
name = "staff"
addresses = "10.9.0.0/24""##,
    ),
    (
        "pool-outside-selectors",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
address-pool = "staff"
[[ipsec]]
name = "t"
phase1 = "p"
selectors = [{ local = "10.0.0.0/24", remote = "10.8.0.0/16" }]
[[address-pool]]
name = "staff"
addresses = "10.9.0.0/24""##,
    ),
    (
        "unfitting-key",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
address-pool = "staff"
[[ipsec]]
name = "t"
phase1 = "p"
mode = "transport"
[[address-pool]]
name = "staff"
addresses = "10.9.0.0/24""##,
    ),
    (
        "two-tunnels-one-address",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
request-address = "ipv4"
[[ipsec]]
name = "t"
phase1 = "p"
selectors = [{ local = "10.0.0.0/24", remote = "10.8.0.0/16" }]
[[ipsec]]
name = "u"
phase1 = "p"
selectors = [{ local = "10.0.0.0/24", remote = "10.7.0.0/16" }]"##,
    ),
];
