//! Golden messages: each fault is found on its line and comes with the fix.

mod tunnels;

use std::fmt::Write;

use lockgate_config::{Severity, parse};

/// Two interfaces that the cases build on.
const BASE: &str = r#"[[port]]
name = "eth0"
[[port]]
name = "eth1"
[[interface]]
name = "wan"
port = "eth0"
address = ["203.0.113.2/24", "2001:db8:f::2/64"]
[[interface]]
name = "lan"
port = "eth1"
zone = "inside"
address = "10.0.0.1/24"
"#;

/// The code that is expected, and what is written below [`BASE`].
const CASES: &[(&str, &str)] = &[
    ("syntax", "[limits\nsessions = 1000"),
    ("syntax", "hostname = branch"),
    ("duplicate-key", "[limits]\nevents = 100\nevents = 200"),
    ("unknown-key", "[limits]\nsesions = 1000"),
    ("unknown-key", "[limits]\nmode = \"auto\""),
    ("unknown-key", "[[polcy]]\nid = 1"),
    ("unknown-key", "[[route]]\nto = \"0.0.0.0/0\"\ngateway = \"203.0.113.1\""),
    ("wrong-type", "[[route]]\nto = 5\nvia = \"203.0.113.1\""),
    ("bad-value", "[timeouts]\nudp = 120"),
    ("wrong-type", "[policy]\nid = 1"),
    ("wrong-type", "[[limits]]\nevents = 100"),
    ("wrong-type", "[offload]\nweaken = [3]"),
    ("missing-key", "[[policy]]\nid = 7"),
    ("missing-key", "[[policy]]\nid = 7\naction = \"allow\"\n[[policy]]\naction = \"deny\""),
    ("missing-key", "[[route]]\nto = \"10.0.0.0/8\""),
    ("missing-key", "[[interface]]\nname = \"dmz\""),
    ("missing-key", "[[route]]\nto = \"::/0\"\nvia = \"fe80::1\""),
    ("missing-key", "[anomaly]\nsyn = { action = \"block\" }"),
    ("out-of-range", "[[interface]]\nname = \"v\"\nport = \"eth1\"\nvlan = 4095"),
    ("out-of-range", "[timeouts]\ntcp-established = \"5s\""),
    ("out-of-range", "[limits]\nreassembly-memory = \"4GiB\""),
    ("out-of-range", "[limits]\nsessions = 1000\nhalf-open = 2000"),
    ("out-of-range", "[[vip]]\nname = \"v\"\nexternal = \"10.0.0.0/8\"\nmapped = \"10.0.0.2\""),
    ("bad-value", "[timeouts]\nudp = \"120\""),
    ("unknown-word", "[engine]\nprofile = \"np5\""),
    ("bad-value", "[[interface]]\nname = \"v\"\nport = \"eth1\"\nvlan = 5\naddress = \"10.5.0.1\""),
    (
        "bad-value",
        "[[interface]]\nname = \"v\"\nport = \"eth1\"\nvlan = 5\naddress = \"10.5.0.0/24\"",
    ),
    (
        "bad-value",
        "[[interface]]\nname = \"v\"\nport = \"eth1\"\nvlan = 5\naddress = \"10.5.0.255/24\"",
    ),
    ("bad-value", "[[route]]\nto = \"10.9.8.7/16\"\nvia = \"203.0.113.1\""),
    ("bad-value", "[objects.address]\nx = \"10.0.0.9-10.0.0.3\""),
    ("bad-value", "[objects.service]\nx = \"tpc/80\""),
    ("bad-value", "[objects.service]\nx = \"icmp/ecko\""),
    (
        "bad-value",
        "[[neighbour]]\ninterface = \"lan\"\naddress = \"10.0.0.9\"\nmac = \"02-00-5E-00-00-01\"",
    ),
    ("bad-value", "[[port]]\nname = \"much-too-long-for-linux\""),
    ("bad-value", "[[policy]]\nid = 1\naction = \"allow\"\nusers = \"alice bob\""),
    ("bad-value", "[[policy]]\nid = 1\naction = \"allow\"\ngroups = [\"staff\", \"any\"]"),
    ("bad-value", "[[local-in]]\nname = \"let me in\"\naction = \"allow\""),
    ("bad-value", "[control]\nmetrics = \"9342\""),
    ("bad-value", "[[policy]]\nid = 1\naction = \"allow\"\nsource = [\"any\", \"10.0.0.5\"]"),
    ("unknown-word", "[[policy]]\nid = 1\naction = \"permit\""),
    ("unknown-word", "[[policy]]\nid = 1\naction = \"alow\""),
    ("unknown-word", "[[port]]\nname = \"p\"\nkind = \"dpdk\""),
    ("unknown-word", "[offload]\nweaken = \"tcp-windows\""),
    ("unknown-name", "[[policy]]\nid = 1\naction = \"allow\"\nfrom = \"insde\""),
    ("unknown-name", "[[policy]]\nid = 1\naction = \"allow\"\nfrom = \"lan\""),
    ("unknown-name", "[[policy]]\nid = 1\naction = \"allow\"\nsource = \"servers\""),
    ("unknown-name", "[[policy]]\nid = 1\naction = \"allow\"\nservice = \"htpps\""),
    ("unknown-name", "[[policy]]\nid = 1\naction = \"allow\"\nschedule = \"nights\""),
    ("unknown-name", "[[policy]]\nid = 1\naction = \"allow\"\nnat = \"interfaces\""),
    ("unknown-name", "[[route]]\nto = \"10.0.0.0/8\"\ninterface = \"wam\""),
    ("unknown-name", "[limits.punt]\nflow-mis = 1000"),
    ("unknown-name", "[objects.address]\nall-servers = [\"web\", \"10.0.0.4\"]"),
    ("duplicate-name", "[[interface]]\nname = \"lan\"\nport = \"eth1\"\nvlan = 5"),
    (
        "duplicate-id",
        "[[policy]]\nid = 4\naction = \"deny\"\nfrom = \"wan\"\n[[policy]]\nid = 4\naction = \"allow\"",
    ),
    ("duplicate-vlan", "[[interface]]\nname = \"dmz\"\nport = \"eth1\""),
    ("duplicate-device", "[[port]]\nname = \"other\"\ndevice = \"eth1\""),
    (
        "duplicate-socket",
        "[[port]]\nname = \"m\"\nkind = \"memif\"\nsocket = \"/run/m.sock\"\n[[port]]\nname = \"n\"\nkind = \"memif\"\nsocket = \"/run/m.sock\"",
    ),
    ("missing-key", "[[port]]\nname = \"m\"\nkind = \"memif\""),
    ("bad-value", "[[port]]\nname = \"m\"\nkind = \"memif\"\nsocket = \"m.sock\""),
    (
        "bad-value",
        "[[port]]\nname = \"m\"\nkind = \"memif\"\nsocket = \"/run/m.sock\"\nrole = \"client\"\nring-size = 1000",
    ),
    (
        "unfitting-key",
        "[[port]]\nname = \"m\"\nkind = \"memif\"\nsocket = \"/run/m.sock\"\nring-size = 512",
    ),
    (
        "unfitting-key",
        "[[port]]\nname = \"m\"\nkind = \"memif\"\nsocket = \"/run/m.sock\"\ndevice = \"eth7\"",
    ),
    (
        "duplicate-route",
        "[[route]]\nto = \"::/0\"\nvia = \"2001:db8:f::1\"\n[[route]]\nto = \"::/0\"\nvia = \"2001:db8:f::1\"",
    ),
    (
        "duplicate-neighbour",
        "[[neighbour]]\ninterface = \"lan\"\naddress = \"10.0.0.9\"\nmac = \"02:00:00:00:00:01\"\n[[neighbour]]\ninterface = \"lan\"\naddress = \"10.0.0.9\"\nmac = \"02:00:00:00:00:02\"",
    ),
    ("reserved-name", "[[pool]]\nname = \"interface\"\naddresses = \"203.0.113.9\""),
    ("reserved-name", "[objects.service]\ntcp = \"tcp/80\""),
    ("empty-list", "[[policy]]\nid = 1\naction = \"allow\"\nsource = []"),
    (
        "unfitting-key",
        "[[pool]]\nname = \"p\"\nkind = \"one-to-one\"\naddresses = \"203.0.113.9\"\nports = \"1024-2047\"",
    ),
    ("unfitting-key", "[[route]]\nto = \"10.0.0.0/8\"\nblackhole = true\nvia = \"203.0.113.1\""),
    (
        "overlapping-subnets",
        "[[interface]]\nname = \"v\"\nport = \"eth1\"\nvlan = 5\naddress = \"10.0.0.129/25\"",
    ),
    (
        "mtu-below-ipv6",
        "[[interface]]\nname = \"v\"\nport = \"eth1\"\nvlan = 5\nmtu = 1000\naddress = \"2001:db8:5::1/64\"",
    ),
    ("family-mix", "[[route]]\nto = \"0.0.0.0/0\"\nvia = \"2001:db8:f::1\""),
    ("family-mix", "[[vip]]\nname = \"v\"\nexternal = \"203.0.113.5\"\nmapped = \"2001:db8::5\""),
    (
        "family-mix",
        "[[policy]]\nid = 1\naction = \"allow\"\nsource = \"10.0.0.0/24\"\ndestination = \"2001:db8::/32\"",
    ),
    ("gateway-not-connected", "[[route]]\nto = \"0.0.0.0/0\"\nvia = \"203.0.112.1\""),
    (
        "gateway-not-connected",
        "[[route]]\nto = \"0.0.0.0/0\"\nvia = \"203.0.113.1\"\ninterface = \"lan\"",
    ),
    ("gateway-is-self", "[[route]]\nto = \"0.0.0.0/0\"\nvia = \"203.0.113.2\""),
    (
        "wrong-virtual-router",
        "[[virtual-router]]\nname = \"guest\"\n[[route]]\nto = \"10.8.0.0/16\"\nvia = \"203.0.113.1\"\ninterface = \"wan\"\nvirtual-router = \"guest\"",
    ),
    (
        "bad-neighbour",
        "[[neighbour]]\ninterface = \"lan\"\naddress = \"10.1.0.9\"\nmac = \"02:00:00:00:00:01\"",
    ),
    ("object-cycle", "[objects.address]\na = [\"b\"]\nb = [\"c\"]\nc = [\"10.0.0.5\", \"a\"]"),
    ("bad-schedule", "[objects.schedule.s]\nfrom = \"08:00\"\nto = \"08:00\""),
    (
        "bad-schedule",
        "[objects.schedule.s]\nfrom = 2026-05-02T08:00:00Z\nto = 2026-05-01T08:00:00Z",
    ),
    ("bad-schedule", "[objects.schedule.s]\nfrom = \"08:00\"\nto = 2026-05-01T08:00:00Z"),
    ("bad-value", "[objects.schedule.s]\ndays = \"mon-fry\""),
    ("matches-nothing", "[[policy]]\nid = 1\naction = \"allow\"\nsource-negate = true"),
    (
        "overlapping-vips",
        "[[vip]]\nname = \"a\"\nexternal = \"203.0.113.5\"\nmapped = \"10.0.0.5\"\n[[vip]]\nname = \"b\"\nexternal = \"203.0.113.4-203.0.113.6\"\nmapped = \"10.0.0.9\"\nforward = { external-port = 80 }",
    ),
    (
        "range-length",
        "[[vip]]\nname = \"a\"\nexternal = \"203.0.113.5-203.0.113.9\"\nmapped = \"10.0.0.5-10.0.0.7\"",
    ),
    (
        "range-length",
        "[[vip]]\nname = \"a\"\nexternal = \"203.0.113.5\"\nmapped = \"10.0.0.5\"\nforward = { external-port = \"8000-8010\", mapped-port = \"80-85\" }",
    ),
    (
        "overlapping-pools",
        "[[pool]]\nname = \"a\"\naddresses = \"203.0.113.20-203.0.113.29\"\n[[pool]]\nname = \"b\"\naddresses = \"203.0.113.28/30\"",
    ),
    (
        "vip-overlaps-pool",
        "[[pool]]\nname = \"a\"\naddresses = \"203.0.113.20\"\n[[vip]]\nname = \"v\"\nexternal = \"203.0.113.20\"\nmapped = \"10.0.0.5\"",
    ),
    (
        "pool-takes-own-address",
        "[[pool]]\nname = \"a\"\nkind = \"one-to-one\"\naddresses = \"203.0.113.0/29\"",
    ),
    (
        "pool-family",
        "[[pool]]\nname = \"a\"\naddresses = \"203.0.113.20\"\n[[policy]]\nid = 1\naction = \"allow\"\nsource = \"2001:db8:9::/64\"\nnat = \"a\"",
    ),
    (
        "unknown-name",
        "[[address-pool]]\nname = \"staff\"\naddresses = \"10.9.0.0/24\"\n[[policy]]\nid = 1\naction = \"allow\"\nnat = \"staff\"",
    ),
    ("missing-key", "[[address-pool]]\nname = \"a\""),
    ("bad-value", "[[address-pool]]\nname = \"a\"\naddresses = \"10.9.0.1/24\""),
    ("bad-value", "[[address-pool]]\nname = \"a\"\naddresses = \"224.0.0.0/24\""),
    (
        "bad-value",
        "[[address-pool]]\nname = \"a\"\naddresses = \"10.9.0.0/24\"\ndns = \"ns.example.com\"",
    ),
    (
        "overlapping-address-pools",
        "[[address-pool]]\nname = \"a\"\naddresses = [\"10.9.0.0/24\", \"10.9.0.9\"]",
    ),
    (
        "overlapping-address-pools",
        "[[address-pool]]\nname = \"a\"\naddresses = \"2001:db8:9::/64\"\n[[address-pool]]\nname = \"b\"\naddresses = \"2001:db8:9::5-2001:db8:9::9\"",
    ),
    (
        "address-pool-takes",
        "[[address-pool]]\nname = \"a\"\naddresses = \"203.0.113.1-203.0.113.9\"",
    ),
    (
        "address-pool-takes",
        "[[pool]]\nname = \"out\"\naddresses = \"203.0.113.20\"\n[[address-pool]]\nname = \"a\"\naddresses = \"203.0.113.16-203.0.113.20\"",
    ),
    (
        "nat-beside-central",
        "[[central-snat]]\nname = \"c\"\nnat = \"interface\"\n[[policy]]\nid = 1\naction = \"allow\"\nnat = \"interface\"",
    ),
    (
        "foreign-local",
        r##"[[gre]]
name = "g"
local = "203.0.113.3"
remote = "198.51.100.7"
"##,
    ),
    (
        "mixed-versions",
        r##"[[gre]]
name = "g"
local = "203.0.113.2"
remote = "2001:db8::7"
"##,
    ),
    (
        "bad-remote",
        r##"[[vxlan]]
name = "v"
vni = 7
local = "203.0.113.2"
remote = "239.1.1.1"
"##,
    ),
    (
        "bad-remote",
        r##"[[gre]]
name = "g"
local = "203.0.113.2"
remote = "10.0.0.1"
"##,
    ),
    (
        "missing-key",
        r##"[[vxlan]]
name = "v"
local = "203.0.113.2"
remote = "198.51.100.7"
"##,
    ),
    (
        "out-of-range",
        r##"[[vxlan]]
name = "v"
vni = 16777216
local = "203.0.113.2"
remote = "198.51.100.7"
"##,
    ),
    (
        "out-of-range",
        r##"[[gre]]
name = "g"
ttl = 0
local = "203.0.113.2"
remote = "198.51.100.7"
"##,
    ),
    (
        "duplicate-ends",
        r##"[[gre]]
name = "a"
local = "203.0.113.2"
remote = "198.51.100.7"
[[gre]]
name = "b"
local = "203.0.113.2"
remote = "198.51.100.7"
"##,
    ),
    (
        "duplicate-ends",
        r##"[[gre]]
name = "a"
key = 7
local = "203.0.113.2"
remote = "198.51.100.7"
[[gre]]
name = "b"
key = 7
local = "203.0.113.2"
remote = "198.51.100.7"
"##,
    ),
    (
        "duplicate-ends",
        r##"[[vxlan]]
name = "a"
vni = 7
local = "203.0.113.2"
remote = "198.51.100.7"
[[vxlan]]
name = "b"
vni = 7
local = "203.0.113.2"
remote = "198.51.100.7"
"##,
    ),
    (
        "duplicate-name",
        r##"[[gre]]
name = "a"
local = "203.0.113.2"
remote = "198.51.100.7"
[[vxlan]]
name = "a"
vni = 7
local = "203.0.113.2"
remote = "198.51.100.7"
"##,
    ),
    (
        "bad-neighbour",
        r##"[[gre]]
name = "a"
local = "203.0.113.2"
remote = "198.51.100.7"
[[interface]]
name = "g"
tunnel = "a"
address = "10.3.0.1/30"
[[neighbour]]
interface = "g"
address = "10.3.0.2"
mac = "02:00:00:00:00:09"
"##,
    ),
    (
        "missing-key",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "198.51.100.7"
out = { spi = 0x2001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
in = { spi = 0x1001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
"##,
    ),
    (
        "missing-key",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "198.51.100.7"
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]"##,
    ),
    (
        "out-of-range",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "198.51.100.7"
out = { spi = 255, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
in = { spi = 0x1001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]"##,
    ),
    (
        "bad-value",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "198.51.100.7"
out = { spi = 0x2001, algorithm = "aes256gcm8", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff01020304" }
in = { spi = 0x1001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]"##,
    ),
    (
        "bad-value",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "198.51.100.7"
out = { spi = 0x2001, algorithm = "des", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff01020304" }
in = { spi = 0x1001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]"##,
    ),
    (
        "bad-value",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "198.51.100.7"
out = { spi = 0x2001, algorithm = "aes256gcm16", key = "xyz" }
in = { spi = 0x1001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]"##,
    ),
    (
        "wrong-key-length",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "198.51.100.7"
out = { spi = 0x2001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
in = { spi = 0x2001, algorithm = "aes256gcm16", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff" }
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]"##,
    ),
    (
        "unfitting-key",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "198.51.100.7"
nat-keepalive = 10
out = { spi = 0x2001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
in = { spi = 0x1001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]"##,
    ),
    (
        "out-of-range",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "198.51.100.7"
tfc-dummies = 100000
out = { spi = 0x2001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
in = { spi = 0x1001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]"##,
    ),
    (
        "unfitting-key",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "198.51.100.7"
df = "set"
fragmentation = "after"
out = { spi = 0x2001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
in = { spi = 0x1001, algorithm = "aes128-sha256", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0102030405060708090a0b0c0d0e0f10" }
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]"##,
    ),
    (
        "unfitting-key",
        "[[interface]]\nname = \"lo\"\nloopback = true\nport = \"eth1\"\naddress = \"192.0.2.1/32\"",
    ),
    ("missing-key", "[[interface]]\nname = \"lo\"\nloopback = true"),
    (
        "loopback-subnet",
        "[[interface]]\nname = \"lo\"\nloopback = true\naddress = \"192.0.2.1/24\"",
    ),
    (
        "duplicate-address",
        "[[interface]]\nname = \"lo\"\nloopback = true\naddress = \"203.0.113.2/32\"",
    ),
    (
        "loopback-route",
        "[[interface]]\nname = \"lo\"\nloopback = true\naddress = \"192.0.2.1/32\"\n[[route]]\nto = \"10.7.0.0/16\"\ninterface = \"lo\"",
    ),
];

/// What is accepted with a doubt.
const DOUBTS: &[(&str, &str)] = &[
    ("unused-port", "[[port]]\nname = \"eth2\""),
    ("key-export", "[debug]\nexport-keys = true"),
    ("short-timeout", "[timeouts]\ntcp-established = \"1h\""),
    ("flows-below-sessions", "[limits]\nsessions = 1000\nflows = 500"),
    (
        "shadowed-policy",
        "[[policy]]\nid = 1\naction = \"deny\"\nsource = \"10.0.0.0/16\"\n[[policy]]\nid = 2\naction = \"allow\"\nsource = \"10.0.0.0/24\"\nservice = \"http\"",
    ),
    (
        "shadowed-policy",
        "[[policy]]\nid = 1\naction = \"deny\"\nusers = \"known\"\n[[policy]]\nid = 2\naction = \"allow\"\nusers = \"alice\"\n[[policy]]\nid = 3\naction = \"allow\"",
    ),
    ("no-proxy-arp", "[[pool]]\nname = \"a\"\naddresses = \"203.0.113.20\"\nproxy-arp = false"),
    ("pool-takes-own-address", "[[pool]]\nname = \"a\"\naddresses = \"203.0.113.2\""),
    (
        "address-pool-on-link",
        "[[address-pool]]\nname = \"a\"\naddresses = \"10.0.0.100-10.0.0.199\"",
    ),
    (
        "vip-takes-own-address",
        "[[vip]]\nname = \"v\"\nexternal = \"203.0.113.2\"\nmapped = \"10.0.0.5\"",
    ),
    (
        "short-psk",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "0xabcd"
[[ipsec]]
name = "t"
phase1 = "p"
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]"##,
    ),
    (
        "short-ppk",
        r##"[[phase1]]
name = "p"
local = "203.0.113.2"
remote = "198.51.100.7"
psk = "a secret of sixteen"
ppk-id = "site"
ppk = "a secret of sixteen"
[[ipsec]]
name = "t"
phase1 = "p"
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]"##,
    ),
    ("nat-without-allow", "[[policy]]\nid = 1\naction = \"deny\"\nnat = \"interface\""),
    (
        "manual-aead",
        r##"[[ipsec]]
name = "t"
local = "203.0.113.2"
remote = "198.51.100.7"
out = { spi = 0x2001, algorithm = "aes256gcm16", key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff01020304" }
in = { spi = 0x1001, algorithm = "aes256gcm16", key = "ffeeddccbbaa99887766554433221100ffeeddccbbaa9988776655443322110001020304" }
selectors = [{ local = "10.0.0.0/24", remote = "10.9.0.0/16" }]"##,
    ),
    (
        "nat-without-address",
        "[[policy]]\nid = 1\naction = \"allow\"\nto = \"inside\"\nsource = \"2001:db8:7::/64\"\nnat = \"interface\"",
    ),
];

#[test]
fn every_fault_names_its_line_and_the_fix() {
    let mut page = String::new();
    let base_lines = BASE.lines().count() as u32;
    for (code, text) in CASES.iter().chain(tunnels::CASES) {
        let faults = parse("test.toml", &format!("{BASE}{text}\n")).expect_err(text);
        assert!(faults.iter().any(|fault| fault.code == *code), "{code}: {text}\n{faults}");
        for fault in faults.iter() {
            let line = fault.line();
            // a fault may surface where an earlier object clashes, but one is always on a new line
            assert!(line >= 1 && line <= base_lines + 1 + text.lines().count() as u32, "{faults}");
            assert!(!fault.help.is_empty() && !fault.expected.is_empty(), "{faults}");
            assert!(fault.place.excerpt.chars().count() as u32 >= fault.place.indent, "{faults}");
        }
        assert!(faults.iter().any(|fault| fault.line() > base_lines), "{text}\n{faults}");
        let _ = writeln!(page, "## {code}\n\n{}\n{faults}", indent(text));
    }
    insta::assert_snapshot!("errors", page);
}

#[test]
fn every_doubt_names_its_line_and_the_fix() {
    let mut page = String::new();
    for (code, text) in DOUBTS {
        let parsed = parse("test.toml", &format!("{BASE}{text}\n"))
            .unwrap_or_else(|faults| panic!("{text}\n{faults}"));
        let codes: Vec<&str> = parsed.warnings.iter().map(|warning| warning.code).collect();
        assert_eq!(codes, [*code], "{text}");
        assert!(parsed.warnings.iter().all(|warning| warning.severity == Severity::Warning));
        let _ = writeln!(page, "## {code}\n\n{}\n{}", indent(text), parsed.warnings[0]);
    }
    insta::assert_snapshot!("doubts", page);
}

#[test]
fn all_faults_come_at_once_in_the_order_of_the_lines() {
    let text = "[limits]\nsesions = 1\nevents = 1\n[[policy]]\naction = \"alow\"\nfrom = \"x\"\n";
    let faults = parse("test.toml", text).expect_err("faulty");
    let found: Vec<(u32, &str)> = faults.iter().map(|fault| (fault.line(), fault.code)).collect();
    let expected = [
        (2, "unknown-key"),
        (3, "out-of-range"),
        (4, "missing-key"),
        (5, "unknown-word"),
        (6, "unknown-name"),
    ];
    assert_eq!(found, expected);
    assert_eq!(faults.errors(), expected.len());
}

#[test]
fn colour_only_adds_escapes() {
    let faults = parse("test.toml", "[limits]\nsesions = 1\n").expect_err("faulty");
    let coloured = faults.render(true);
    assert!(coloured.contains("\x1b[1;31m"));
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = after.split_once('m').expect("the end of an escape").1;
    }
    plain.push_str(rest);
    assert_eq!(plain, faults.render(false));
}

#[test]
fn a_diagnostic_serialises_as_plain_fields() {
    let faults = parse("test.toml", "[limits]\nsesions = 1\n").expect_err("faulty");
    let json = serde_json::to_value(&faults).expect("serialisable");
    assert_eq!(json[0]["code"], "unknown-key");
    assert_eq!(json[0]["severity"], "error");
    assert_eq!(json[0]["line"], 2);
    assert_eq!(json[0]["column"], 1);
    assert_eq!(json[0]["help"], "did you mean `sessions`?");
}

fn indent(text: &str) -> String {
    text.lines().fold(String::new(), |out, line| out + "    " + line + "\n")
}
