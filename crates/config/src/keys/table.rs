//! The sections and keys themselves, one row each: name, type, default, example, meaning.

use super::{Form, Key, Kind, Section};

const fn key(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    example: &'static str,
    meaning: &'static str,
) -> Key {
    Key { name, kind, default, example, meaning }
}

const fn int(min: u64, max: u64) -> Kind {
    Kind::Int { min, max }
}

const REQUIRED: &str = "required";
const NAME: Kind = Kind::Text("a name of letters, digits, `-`, `_` and `.`, at most 63 characters");
const ZONES: Kind = Kind::List("names of zones, or \"any\"");
const ADDRESSES: Kind =
    Kind::List("addresses, prefixes, ranges or names of address objects, or \"any\"");
const SERVICES: Kind = Kind::List("services such as \"tcp/443\" or names of them, or \"any\"");
const OFFLOAD_MODE: Kind = Kind::Words(&["auto", "require", "off"]);
const ACTION: Kind = Kind::Words(&["allow", "deny", "reject"]);
const MODE: Kind = Kind::Words(&["tunnel", "transport"]);
const FILE: Kind = Kind::Text("the absolute path of a file");
const FILES: Kind = Kind::List("absolute paths of files");
const AUTH: Kind = Kind::Words(&["psk", "certificate"]);
const IDENTITY: Kind = Kind::Text("an address, a domain name, an e-mail address, a distinguished name such as \"CN=gw, O=Example\", or `keyid:` and text or `0x` digits");
const ESP_PROPOSALS: Kind = Kind::List("proposals such as \"aes256gcm16\" or \"aes256gcm16-x25519\"");
const ESP_PROPOSALS_ARE: &str = "Algorithms of the SAs, the best first; with a key exchange, rekeying gives perfect forward secrecy.";
const ESN_IS: &str = "Extended sequence numbers, at both ends (RFC 4303 §2.2.1).";
const NAT: Kind = Kind::List("\"off\", \"interface\", or names of pools");
/// A month, the longest a session may be idle.
const LONGEST: u64 = 30 * 86_400;

/// The top of the file.
pub static ROOT: Section = Section {
    path: "",
    form: Form::Table,
    about: "Keys before the first section.",
    keys: &[
        key("hostname", NAME, "lockgate", "\"branch-1\"", "Name of the gateway."),
        key("control", Kind::Other("[control]"), "", "{}", "How the daemon is reached."),
        key("virtual-router", Kind::Other("[[virtual-router]]"), "", "[]", "Routing tables."),
        key("port", Kind::Other("[[port]]"), "", "[]", "Attachments to the network."),
        key("interface", Kind::Other("[[interface]]"), "", "[]", "Layer-3 interfaces."),
        key("phase1", Kind::Other("[[phase1]]"), "", "[]", "IKEv2 peers."),
        key("ipsec", Kind::Other("[[ipsec]]"), "", "[]", "IPsec tunnels."),
        key("gre", Kind::Other("[[gre]]"), "", "[]", "GRE tunnels."),
        key("vxlan", Kind::Other("[[vxlan]]"), "", "[]", "VXLAN tunnels."),
        key("remote-access", Kind::Other("[[remote-access]]"), "", "[]", "Gateways for clients."),
        key("route", Kind::Other("[[route]]"), "", "[]", "Static routes."),
        key("objects", Kind::Other("[objects]"), "", "{}", "Addresses, services and schedules."),
        key("policy", Kind::Other("[[policy]]"), "", "[]", "Forward policies."),
        key("local-in", Kind::Other("[[local-in]]"), "", "[]", "Traffic to the gateway."),
        key("local-out", Kind::Other("[[local-out]]"), "", "[]", "Traffic from the gateway."),
        key("vip", Kind::Other("[[vip]]"), "", "[]", "Destination translation."),
        key("pool", Kind::Other("[[pool]]"), "", "[]", "Addresses for source translation."),
        key("central-snat", Kind::Other("[[central-snat]]"), "", "[]", "Source translation apart from policies."),
        key("address-pool", Kind::Other("[[address-pool]]"), "", "[]", "Addresses to give to remote peers."),
        key("neighbour", Kind::Other("[[neighbour]]"), "", "[]", "Static ARP and ND entries."),
        key("timeouts", Kind::Other("[timeouts]"), "", "{}", "When idle sessions end."),
        key("engine", Kind::Other("[engine]"), "", "{}", "What the software engine stands for."),
        key("offload", Kind::Other("[offload]"), "", "{}", "What is promoted to the fast path."),
        key("limits", Kind::Other("[limits]"), "", "{}", "Sizes of tables, queues and rates."),
        key("anomaly", Kind::Other("[anomaly]"), "", "{}", "Rate sensors."),
        key("debug", Kind::Other("[debug]"), "", "{}", "What is only for finding faults."),
    ],
};

/// `[control]`.
pub static CONTROL: Section = Section {
    path: "control",
    form: Form::Table,
    about: "How the daemon is reached.",
    keys: &[
        key("socket", Kind::Text("an absolute path"), "/run/lockgate/ctl.sock", "\"/run/lockgate/ctl.sock\"", "Unix socket of the control API."),
        key("metrics", Kind::Text("an `address:port`"), "", "\"127.0.0.1:9342\"", "Where `/metrics` is served over TCP; nowhere when absent."),
    ],
};

/// `[debug]`.
pub static DEBUG: Section = Section {
    path: "debug",
    form: Form::Table,
    about: "What is only for finding faults.",
    keys: &[
        key("export-keys", Kind::Bool, "false", "false", "Whether root may export the keys of SAs, `lockgate show sa --export-keys`."),
    ],
};

/// `[[virtual-router]]`.
pub static VIRTUAL_ROUTER: Section = Section {
    path: "virtual-router",
    form: Form::Array,
    about: "A routing table of its own. `default` always exists and may be written to set its `offload`.",
    keys: &[
        key("name", NAME, REQUIRED, "\"guest\"", "Name."),
        key("offload", OFFLOAD_MODE, "auto", "\"off\"", "Offload switch for sessions whose packets come in here."),
    ],
};

/// `[[port]]`.
pub static PORT: Section = Section {
    path: "port",
    form: Form::Array,
    about: "An attachment to the network.",
    keys: &[
        key("name", NAME, REQUIRED, "\"lan0\"", "Name."),
        key("kind", Kind::Words(&["packet", "xdp", "tap", "tun", "memif", "pcap", "memory"]), "packet", "\"packet\"", "AF_PACKET or AF_XDP on a kernel interface, a TAP or TUN device, shared memory with another process (memif), capture files, or an in-memory link."),
        key("device", Kind::Text("the name of a kernel interface, at most 15 characters"), "the port's name", "\"eth1\"", "Kernel interface (packet, xdp, tap, tun)."),
        key("socket", Kind::Text("an absolute path"), "", "\"/run/lockgate/vpp.sock\"", "Control socket of a memif port: made by the server, asked by the client. Owner and group may connect."),
        key("role", Kind::Words(&["server", "client"]), "server", "\"client\"", "Which end of a memif port this is. The client connects and brings the memory."),
        key("id", Kind::Int { min: 0, max: u32::MAX as u64 }, "0", "1", "Number of a memif interface; both ends name the same."),
        key("ring-size", Kind::Int { min: 2, max: 16_384 }, "1024", "2048", "Frames in each ring of a memif client, a power of two. A server takes what its client brings."),
        key("read", Kind::Text("a path"), "", "\"in.pcap\"", "Capture to take frames from (pcap)."),
        key("write", Kind::Text("a path"), "", "\"out.pcapng\"", "Capture to write frames to (pcap)."),
        key("mac", Kind::Text("a MAC address"), "the device's own", "\"02:00:00:00:00:01\"", "MAC address the gateway uses on the port."),
        key("fast-path", Kind::Bool, "true", "true", "Whether the fast path may serve its frames."),
        key("super-packets", Kind::Bool, "true", "true", "Whether packets of a flow cross it joined where the device takes that (TSO, USO), which costs far less for each. Otherwise what comes joined is cut at once and what leaves is sent one by one."),
    ],
};

/// `[[interface]]`.
pub static INTERFACE: Section = Section {
    path: "interface",
    form: Form::Array,
    about: "A layer-3 interface: the untagged frames of a port, one of its VLANs, a tunnel, or a loopback.",
    keys: &[
        key("name", NAME, REQUIRED, "\"lan\"", "Name."),
        key("port", Kind::Text("the name of a port"), "the port of the same name", "\"lan0\"", "The port it is on."),
        key("tunnel", Kind::Text("the name of a tunnel"), "", "\"to-paris\"", "The tunnel it is, instead of a port."),
        key("loopback", Kind::Bool, "false", "true", "It stands on no port: host addresses that are the gateway's own by whatever port packets for them come, such as the local end of a tunnel."),
        key("vlan", int(1, 4094), "", "20", "802.1Q tag; untagged when absent."),
        key("virtual-router", Kind::Text("the name of a virtual router"), "default", "\"guest\"", "The virtual router it belongs to."),
        key("zone", NAME, "the interface's name", "\"inside\"", "The zone that policies name."),
        key("address", Kind::List("addresses with prefix length, such as \"10.1.0.1/24\""), "", "[\"10.1.0.1/24\", \"2001:db8:1::1/64\"]", "Own addresses."),
        key("mtu", int(576, 9216), "1500; on GRE and VXLAN what fits the interface of the local end", "1500", "IP MTU in bytes; 1280 at least with IPv6 (RFC 8200 §5)."),
        key("rpf", Kind::Words(&["strict", "loose", "off"]), "strict", "\"loose\"", "Reverse-path check of sources (RFC 3704)."),
        key("mss-clamp", Kind::Other("\"auto\", \"off\" or an integer from 536 to 9176"), "off; auto on a tunnel", "\"auto\"", "Upper bound of the TCP MSS in what leaves by it; `auto` follows the MTU."),
        key("enabled", Kind::Bool, "true", "true", "Administratively up."),
        key("proxy-arp", Kind::Bool, "true", "true", "Answer ARP and ND for VIPs and pools in its subnets."),
    ],
};

/// `[[phase1]]`.
pub static PHASE1: Section = Section {
    path: "phase1",
    form: Form::Array,
    about: "A peer with which IKEv2 (RFC 7296) negotiates the keys of IPsec tunnels. UDP ports 500 and 4500 of its `local` address belong to IKE; no local-in rule is needed for it.",
    keys: &[
        key("name", NAME, REQUIRED, "\"paris\"", "Name."),
        key("version", int(1, 2), "2", "2", "Version of IKE. 1 is refused: IKEv1 is obsolete (RFC 9395)."),
        key("local", Kind::Text("an own address"), REQUIRED, "\"192.0.2.1\"", "Our end."),
        key("remote", Kind::Text("an address, or \"any\""), REQUIRED, "\"198.51.100.7\"", "The far end; with \"any\" we only answer."),
        key("virtual-router", Kind::Text("the name of a virtual router"), "default", "\"guest\"", "The virtual router that carries IKE and ESP."),
        key("local-id", IDENTITY, "the local address; with a certificate its subject", "\"gw.example.com\"", "Who we say we are."),
        key("remote-id", IDENTITY, "the remote address", "\"paris.example.com\"", "Who the peer must prove to be; `*` alone takes everybody who authenticates, `*.example.com` all names below a domain."),
        key("proposals", Kind::List("proposals such as \"aes256gcm16-prfsha384-x25519\""), "modern ones, see IKEv2", "\"aes256gcm16-prfsha384-x25519\"", "Algorithms of IKE itself, the best first: encryption, integrity where encryption needs it, PRF, key exchange."),
        key("allow-weak", Kind::List("names of algorithms, such as \"sha1\""), "", "\"sha1\"", "Weak algorithms that `proposals` here and of its tunnels may name."),
        key("psk", Kind::Text("a text, or hexadecimal digits behind `0x`"), "", "\"…\"", "Pre-shared key."),
        key("psk-file", FILE, "", "\"/etc/lockgate/psk\"", "File with the pre-shared key, in place of `psk`; a line break at its end does not count."),
        key("auth", AUTH, "certificate with `certificate`, else psk", "\"psk\"", "How we prove who we are."),
        key("remote-auth", AUTH, "certificate with `ca` or without `psk`, else psk", "\"psk\"", "How the peer has to prove who it is."),
        key("certificate", FILES, "", "\"/etc/lockgate/gw.pem\"", "PEM file of our certificate, with those behind it that lead to its authority. Of several, the first that leads to an authority the peer names is sent, else the first."),
        key("private-key", FILES, "", "\"/etc/lockgate/gw.key\"", "PEM file of the private key of each `certificate`, not encrypted: RSA from 2048 bits on, ECDSA P-256, P-384, P-521, or Ed25519."),
        key("rsa-padding", Kind::Words(&["pkcs1", "pss"]), "pkcs1", "\"pss\"", "How signatures of our RSA key are padded (RFC 7427); of the peer, both are taken."),
        key("ca", FILES, "", "\"/etc/lockgate/ca.pem\"", "PEM files of the authorities that certificates of the peer must lead to."),
        key("crl", FILES, "", "\"/etc/lockgate/ca.crl\"", "Files of lists of revoked certificates, PEM or DER. A list that is out of date is not believed, and whom it is about is refused."),
        key("ppk-id", Kind::Text("a text of at most 64 characters"), "", "\"site-2\"", "Name of a postquantum pre-shared key (RFC 8784), the same at both ends."),
        key("ppk", Kind::Text("a text, or hexadecimal digits behind `0x`"), "", "\"…\"", "The postquantum pre-shared key, mixed into all keys beside the key exchange."),
        key("ppk-file", FILE, "", "\"/etc/lockgate/ppk\"", "File with it, in place of `ppk`; a line break at its end does not count."),
        key("ppk-required", Kind::Bool, "true", "false", "Whether a peer that does not have it is refused."),
        key("request-address", Kind::List("\"ipv4\", \"ipv6\""), "", "\"ipv4\"", "We ask the peer for an address (RFC 7296 §2.19). The interface of the tunnel has it as long as the IKE SA lives."),
        key("address-pool", Kind::Text("the name of an [[address-pool]]"), "", "\"staff\"", "Peers that ask are given addresses of this pool, and may use no other."),
        key("rekey", Kind::Duration { min: 10, max: 604_800 }, "4h", "\"4h\"", "After how long the keys of IKE itself are made anew."),
        key("dpd", Kind::Duration { min: 0, max: 3600 }, "30s", "\"30s\"", "The peer is asked whether it lives after this long without a packet of it; \"0s\" never (RFC 7296 §2.4)."),
        key("dpd-action", Kind::Words(&["restart", "clear"]), "restart", "\"restart\"", "What becomes of the tunnels of a dead peer: negotiated again, or not before traffic or the peer asks."),
        key("tries", int(1, 8), "6", "4", "How often a message is sent without an answer before the peer counts as dead. The first answer is waited for 2 s, each further one twice as long: 6 tries are 126 s, 4 are 30 s."),
        key("start", Kind::Words(&["load", "traffic", "wait"]), "load; wait with \"any\"", "\"traffic\"", "When we begin to negotiate: at once, with the first packet for a tunnel, or never."),
        key("fragmentation", Kind::Bool, "true", "true", "IKE messages may be cut below IP (RFC 7383)."),
        key("force-encapsulation", Kind::Bool, "false", "true", "ESP goes in UDP without a NAT too, for networks that let nothing else pass."),
        key("nat-keepalive", int(0, 3600), "20", "20", "Seconds behind a NAT without an IKE message sent after which a NAT keepalive is sent (RFC 3948 §2.3); 0 for none."),
    ],
};

/// `[[ipsec]]`.
pub static IPSEC: Section = Section {
    path: "ipsec",
    form: Form::Array,
    about: "An IPsec tunnel, keyed by hand with `out` and `in` or negotiated with the peer that `phase1` names. Without an [[interface]] of its own it gets one of its name, without addresses, and the selectors bring packets into it.",
    keys: &[
        key("name", NAME, REQUIRED, "\"to-paris\"", "Name."),
        key("phase1", Kind::Text("the name of a [[phase1]]"), "", "\"paris\"", "The peer that negotiates its keys; its addresses are the ends of the tunnel."),
        key("phase2", Kind::Other("[[ipsec.phase2]]"), "one of the tunnel's name", "[]", "The pairs of SAs that are negotiated."),
        key("proposals", ESP_PROPOSALS, "modern ones, see IKEv2", "\"aes256gcm16-x25519\"", ESP_PROPOSALS_ARE),
        key("local", Kind::Text("an own address, or that of a host behind the gateway in transport mode"), "required by hand", "\"192.0.2.1\"", "Our end."),
        key("remote", Kind::Text("an address"), "required by hand", "\"198.51.100.7\"", "The far end."),
        key("virtual-router", Kind::Text("the name of a virtual router"), "default", "\"guest\"", "The virtual router that carries the ESP packets."),
        key("zone", NAME, "the tunnel's name", "\"vpn\"", "Zone of the interface it gets when no [[interface]] names it."),
        key("mode", MODE, "tunnel", "\"tunnel\"", "Tunnel mode wraps the packet; transport mode protects what is behind its IP header (RFC 4301 §3.2)."),
        key("selectors", Kind::Other("an array of inline tables, see below"), "", "[{ local = \"10.1.0.0/16\", remote = \"10.2.0.0/16\" }]", "What may pass, seen from our side; everything when absent. In transport mode the two ends when absent."),
        key("steering", Kind::Words(&["routes", "selectors"]), "routes with an [[interface]], else selectors", "\"selectors\"", "What brings packets into the tunnel: routes by its interface, or its selectors before any route."),
        key("out", Kind::Other("an inline table, see below"), "required by hand", "{ spi = 0x2001, algorithm = \"aes256gcm16\", key = \"0x…\" }", "The outgoing SA."),
        key("in", Kind::Other("an inline table, see below"), "required by hand", "{ spi = 0x1001, algorithm = \"aes256gcm16\", key = \"0x…\" }", "The incoming SA."),
        key("udp-encapsulation", Kind::Bool, "false", "true", "Wrap ESP in UDP, to pass a NAT (RFC 3948); negotiation finds out by itself."),
        key("local-port", int(1, 65_535), "4500", "4500", "Our UDP port."),
        key("remote-port", int(1, 65_535), "4500", "4500", "The far end's UDP port."),
        key("nat-keepalive", int(0, 3600), "20", "20", "Seconds without a packet sent in UDP after which a NAT keepalive is sent (RFC 3948 §2.3); 0 for none. Negotiated ones have that of their `phase1`."),
        key("esn", Kind::Bool, "false", "true", ESN_IS),
        key("replay-window", int(0, 8192), "1024", "1024", "Anti-replay window in packets, 32 at least; 0 accepts replays."),
        key("dscp", Kind::Other("\"copy\" or an integer from 0 to 63"), "copy", "\"copy\"", "DSCP of the outer header; inner ones are kept (RFC 4301 §5.1.2)."),
        key("df", Kind::Words(&["copy", "set", "clear"]), "copy", "\"copy\"", "DF of an outer IPv4 header (RFC 4301 §8.1)."),
        key("fragmentation", Kind::Words(&["before", "after"]), "before", "\"after\"", "Whether a packet too large for the path is cut before it is sealed, or sealed whole and cut after, where the DF bit of the outer header lets it be (RFC 4303 §3.3.4)."),
        key("pad-to", int(64, 9000), "", "1200", "Inner packets are padded to this many bytes at least (TFC, RFC 4303 §2.7)."),
        key("tfc-dummies", int(0, 1000), "0", "10", "Dummy packets a second into the outgoing SA while nothing else is sent (TFC, RFC 4303 §2.6)."),
        key("compression", Kind::Bool, "false", "false", "IP compression (RFC 3173): `true` is refused. It tells what is inside by its length."),
        key("soft-lifetime", Kind::Other("an inline table, see below"), "`{ seconds = 3240 }` when negotiated", "{ seconds = 3000 }", "When an SA is rekeyed; by hand, when an event tells that it grows old."),
        key("hard-lifetime", Kind::Other("an inline table, see below"), "`{ seconds = 3600 }` when negotiated", "{ seconds = 3600, bytes = 4294967296 }", "When an SA ends."),
        key("offload", OFFLOAD_MODE, "auto", "\"off\"", "Offload switch for the SAs and the sessions inside."),
        key("egress-optimisation", Kind::Bool, "that of `[offload]`", "true", "Whether the engine may have the outgoing SA, so that a packet is sealed in the pass that finds its flow."),
        key("allow-null", Kind::Bool, "false", "true", "Allow the NULL cipher: nothing is encrypted. For tests."),
    ],
};

/// `[[ipsec.phase2]]`.
pub static PHASE2: Section = Section {
    path: "ipsec.phase2",
    form: Form::Array,
    about: "A pair of SAs of a negotiated tunnel. What is absent is the tunnel's own.",
    keys: &[
        key("name", NAME, REQUIRED, "\"offices\"", "Name; unique in its tunnel."),
        key("selectors", Kind::Other("an array of inline tables, see below"), "the tunnel's", "[{ local = \"10.1.0.0/16\", remote = \"10.2.0.0/16\" }]", "What this pair carries."),
        key("proposals", ESP_PROPOSALS, "the tunnel's", "\"aes256gcm16-x25519\"", ESP_PROPOSALS_ARE),
        key("mode", MODE, "the tunnel's", "\"tunnel\"", "Tunnel or transport mode."),
        key("esn", Kind::Bool, "the tunnel's", "true", ESN_IS),
        key("replay-window", int(0, 8192), "the tunnel's", "1024", "Anti-replay window in packets, 32 at least; 0 accepts replays."),
        key("soft-lifetime", Kind::Other("an inline table, see below"), "the tunnel's", "{ seconds = 3000 }", "When it is rekeyed."),
        key("hard-lifetime", Kind::Other("an inline table, see below"), "the tunnel's", "{ seconds = 3600 }", "When it ends."),
    ],
};

/// A traffic selector of `[[ipsec]]`.
pub static SELECTOR: Section = Section {
    path: "selectors",
    form: Form::Inline,
    about: "What may pass an IPsec tunnel, seen from our side.",
    keys: &[
        key("local", Kind::Text("a prefix"), REQUIRED, "\"10.1.0.0/16\"", "Our side."),
        key("remote", Kind::Text("a prefix"), REQUIRED, "\"10.2.0.0/16\"", "The far side."),
        key("protocol", int(0, 255), "any", "6", "IP protocol number."),
        key("local-ports", Kind::Other("a port such as 443, or a range such as \"8000-8010\""), "any", "443", "Ports of our side."),
        key("remote-ports", Kind::Other("a port such as 443, or a range such as \"8000-8010\""), "any", "443", "Ports of the far side."),
    ],
};

/// An SA of `[[ipsec]]`.
pub static SA: Section = Section {
    path: "in, out",
    form: Form::Inline,
    about: "An SA keyed by hand.",
    keys: &[
        key("spi", int(256, u32::MAX as u64), REQUIRED, "0x1001", "Security parameters index; 0 to 255 are reserved (RFC 4303 §2.1)."),
        key("algorithm", Kind::Text("a suite such as \"aes256gcm16\", \"chacha20poly1305\" or \"aes256-sha256\""), REQUIRED, "\"aes256gcm16\"", "Algorithms."),
        key("key", Kind::Text("hexadecimal digits"), REQUIRED, "\"0x…\"", "Key material: the cipher's key and 4-byte salt, or the cipher's key and the integrity key."),
    ],
};

/// A lifetime of `[[ipsec]]`.
pub static LIFETIME: Section = Section {
    path: "soft-lifetime, hard-lifetime",
    form: Form::Inline,
    about: "How long an SA lives; what is absent does not end it.",
    keys: &[
        key("packets", int(1, u64::MAX >> 1), "", "1000000000", "Packets."),
        key("bytes", int(1, u64::MAX >> 1), "", "4294967296", "Bytes of inner packets."),
        key("seconds", int(1, 31_536_000), "", "3600", "Seconds."),
    ],
};

/// `[[gre]]`.
pub static GRE: Section = Section {
    path: "gre",
    form: Form::Array,
    about: "A GRE tunnel (RFC 2784, RFC 2890) that carries IPv4 and IPv6, over either. It protects nothing. Without an [[interface]] of its own it gets one of its name, without addresses.",
    keys: &[
        key("name", NAME, REQUIRED, "\"gre-paris\"", "Name."),
        key("local", Kind::Text("an own address"), REQUIRED, "\"203.0.113.2\"", "Our end."),
        key("remote", Kind::Text("an address"), REQUIRED, "\"198.51.100.7\"", "The far end; one, and no group."),
        key("virtual-router", Kind::Text("the name of a virtual router"), "default", "\"default\"", "The virtual router that carries the GRE packets."),
        key("zone", NAME, "the tunnel's name", "\"branches\"", "Zone of the interface it gets when no [[interface]] names it."),
        key("key", int(0, u32::MAX as u64), "", "77", "Key (RFC 2890 §2.1), at both ends; it tells tunnels between the same ends apart."),
        key("checksum", Kind::Bool, "false", "true", "Send checksums. One that is received is checked either way."),
        key("sequence", Kind::Bool, "false", "true", "Number what is sent, and drop what comes without a number or behind a later one (RFC 2890 §2.2). Else numbers are taken and not looked at."),
        key("ttl", int(1, 255), "64", "64", "TTL or hop limit of the outer header; the inner one is never copied."),
        key("dscp", Kind::Other("\"copy\" or an integer from 0 to 63"), "copy", "\"copy\"", "DSCP of the outer header; inner ones are kept. ECN follows RFC 6040."),
        key("df", Kind::Words(&["copy", "set", "clear"]), "copy", "\"copy\"", "DF of an outer IPv4 header."),
        key("offload", OFFLOAD_MODE, "auto", "\"off\"", "Offload switch for the sessions inside; what `require` drops, since no engine takes them."),
    ],
};

/// `[[vxlan]]`.
pub static VXLAN: Section = Section {
    path: "vxlan",
    form: Form::Array,
    about: "A VXLAN tunnel (RFC 7348) to one remote end: an Ethernet link of its own with two stations, over IPv4 or IPv6. It protects nothing. Without an [[interface]] of its own it gets one of its name, without addresses.",
    keys: &[
        key("name", NAME, REQUIRED, "\"vx-paris\"", "Name."),
        key("local", Kind::Text("an own address"), REQUIRED, "\"203.0.113.2\"", "Our end."),
        key("remote", Kind::Text("an address"), REQUIRED, "\"198.51.100.7\"", "The far end; one, and no group."),
        key("virtual-router", Kind::Text("the name of a virtual router"), "default", "\"default\"", "The virtual router that carries the VXLAN packets."),
        key("zone", NAME, "the tunnel's name", "\"branches\"", "Zone of the interface it gets when no [[interface]] names it."),
        key("vni", int(0, 16_777_215), REQUIRED, "5001", "VXLAN network identifier, the same at both ends."),
        key("port", int(1, 65_535), "4789", "4789", "UDP port of both ends. The source port is made from the flow, 49152 to 65535."),
        key("zero-checksum", Kind::Bool, "false", "true", "Over IPv6, send UDP checksums of zero and take them (RFC 6935, RFC 6936); set it alike at both ends."),
        key("ttl", int(1, 255), "64", "64", "TTL or hop limit of the outer header; the inner one is never copied."),
        key("dscp", Kind::Other("\"copy\" or an integer from 0 to 63"), "copy", "\"copy\"", "DSCP of the outer header; inner ones are kept. ECN follows RFC 6040."),
        key("df", Kind::Words(&["copy", "set", "clear"]), "copy", "\"copy\"", "DF of an outer IPv4 header."),
        key("offload", OFFLOAD_MODE, "auto", "\"off\"", "Offload switch for the sessions inside; what `require` drops, since no engine takes them."),
    ],
};

/// `[[remote-access]]`.
pub static REMOTE_ACCESS: Section = Section {
    path: "remote-access",
    form: Form::Array,
    about: "A gateway for AnyConnect and openconnect clients: TLS over TCP, and DTLS over UDP at the same port. Its clients are behind one interface; without an [[interface]] of its own it gets one of its name, without addresses and with an MTU of 1400.",
    keys: &[
        key("name", NAME, REQUIRED, "\"office\"", "Name."),
        key("address", Kind::List("own addresses"), REQUIRED, "\"203.0.113.2\"", "Own addresses that clients connect to."),
        key("port", int(1, 65_535), "443", "443", "TCP and UDP port."),
        key("virtual-router", Kind::Text("the name of a virtual router"), "default", "\"default\"", "The virtual router by which clients come."),
        key("zone", NAME, "the name", "\"remote\"", "Zone of the interface it gets when no [[interface]] names it."),
        key("certificate", FILE, REQUIRED, "\"/etc/lockgate/gw.pem\"", "PEM file of our certificate, with those behind it that lead to its authority."),
        key("private-key", FILE, REQUIRED, "\"/etc/lockgate/gw.key\"", "PEM file of its private key, not encrypted."),
        key("login", Kind::Words(&["password", "certificate", "certificate-or-password", "certificate-and-password"]), "password", "\"password\"", "How clients prove who they are."),
        key("ca", FILES, "", "\"/etc/lockgate/clients-ca.pem\"", "PEM files of the authorities that certificates of clients must lead to."),
        key("crl", FILES, "", "\"/etc/lockgate/clients.crl\"", "PEM files of lists of revoked certificates of clients."),
        key("certificate-user", Kind::Words(&["common-name", "user-id", "email"]), "common-name", "\"common-name\"", "What of a client's certificate is the user's name."),
        key("users", FILE, REQUIRED, "\"/etc/lockgate/users\"", "File of users, a line each: `name:groups:hash`; `lockgate user add` writes it."),
        key("groups", Kind::List("names of groups"), "", "[\"staff\", \"partners\"]", "Groups that clients choose from when they log in, and must be in; nothing to choose when absent."),
        key("pools", Kind::List("names of address pools"), REQUIRED, "\"clients\"", "Where addresses of clients come from: the first [[address-pool]] that has one."),
        key("dns", Kind::List("addresses"), "those of the pools", "\"10.1.0.53\"", "Name servers for clients, three at most."),
        key("domain", Kind::Text("a domain name"), "", "\"example.com\"", "Domain in which clients look up names without a dot."),
        key("split-dns", Kind::List("domain names"), "all names", "\"example.com\"", "Domains whose names alone clients ask `dns` for."),
        key("split-include", Kind::List("prefixes"), "everything", "[\"10.1.0.0/16\"]", "What clients reach by the tunnel."),
        key("split-exclude", Kind::List("prefixes"), "", "\"10.1.99.0/24\"", "What clients do not reach by the tunnel."),
        key("banner", Kind::Text("a line of text"), "", "\"Welcome.\"", "What users read when they are in."),
        key("message", Kind::Text("a line of text"), "", "\"Please log in.\"", "What users read when they log in."),
        key("dpd", Kind::Duration { min: 1, max: 3600 }, "30s", "\"30s\"", "How long a client may be silent before it is asked whether it lives."),
        key("keepalive", Kind::Duration { min: 1, max: 3600 }, "20s", "\"20s\"", "How often a client says something, so that NATs remember it."),
        key("idle-timeout", Kind::Duration { min: 0, max: 604_800 }, "0s", "\"30m\"", "How long a client may carry no packet; \"0s\" for ever."),
        key("session-timeout", Kind::Duration { min: 0, max: 2_592_000 }, "0s", "\"12h\"", "How long a client may stay; \"0s\" for ever."),
        key("rekey", Kind::Duration { min: 0, max: 604_800 }, "8h", "\"8h\"", "After how long a client makes its keys anew; \"0s\" never."),
        key("reconnect-within", Kind::Duration { min: 10, max: 86_400 }, "5m", "\"5m\"", "How long a login is good for a client that lost its connection, or has none yet."),
        key("dtls", Kind::Bool, "true", "true", "Whether packets may go by DTLS."),
        key("offload", OFFLOAD_MODE, "auto", "\"off\"", "Offload switch for DTLS associations and the sessions inside."),
        key("egress-optimisation", Kind::Bool, "that of `[offload]`", "true", "Whether the engine may have what goes out to clients by DTLS."),
        key("failed-logins", int(1, 1000), "5", "5", "Failed logins of a name that lock it."),
        key("failed-logins-of-address", int(1, 10_000), "20", "20", "Failed logins from an address that lock it."),
        key("failed-within", Kind::Duration { min: 10, max: 86_400 }, "10m", "\"10m\"", "How long a failed login counts."),
        key("locked-for", Kind::Duration { min: 1, max: 86_400 }, "5m", "\"5m\"", "How long nobody is let in then."),
        key("clients", int(1, 50_000), "5000", "5000", "Clients at most."),
    ],
};

/// `[[route]]`.
pub static ROUTE: Section = Section {
    path: "route",
    form: Form::Array,
    about: "A static route. Routes with equal destination and metric share the load by session (ECMP).",
    keys: &[
        key("to", Kind::Text("a prefix such as \"10.0.0.0/8\""), REQUIRED, "\"0.0.0.0/0\"", "Destination."),
        key("via", Kind::Text("an address on a connected subnet"), "", "\"203.0.113.1\"", "Gateway; its interface is found from the connected subnets."),
        key("interface", Kind::Text("the name of an interface"), "", "\"wan\"", "Outgoing interface; alone: the destinations are on its link."),
        key("blackhole", Kind::Bool, "false", "true", "Drop what goes there, with `route-blackhole`."),
        key("virtual-router", Kind::Text("the name of a virtual router"), "default, or the interface's", "\"guest\"", "The table it belongs to."),
        key("metric", int(0, u32::MAX as u64), "0", "10", "The lowest wins among routes to the same destination."),
        key("weight", int(1, 255), "1", "1", "Share of the sessions among equal routes."),
    ],
};

/// `[objects]`.
pub static OBJECTS: Section = Section {
    path: "objects",
    form: Form::Table,
    about: "Names for addresses, services and times. An object may name others.",
    keys: &[
        key("address", Kind::Other("[objects.address]"), "", "{ servers = [\"10.2.0.0/24\", \"10.3.0.5-10.3.0.9\"] }", "Address objects: addresses, prefixes, ranges, or names of other address objects."),
        key("service", Kind::Other("[objects.service]"), "", "{ web = [\"tcp/80\", \"tcp/443\"] }", "Service objects: `tcp/80`, `udp/5000-5010`, `tcp/22 from 1024-65535`, `icmp/echo-request`, `gre`, `ip/89`, or names of other services."),
        key("schedule", Kind::Other("[objects.schedule]"), "", "{ night = { from = \"22:00\", to = \"06:00\" } }", "Schedules, see below."),
    ],
};

/// `[objects.schedule.*]`.
pub static SCHEDULE: Section = Section {
    path: "objects.schedule.*",
    form: Form::Table,
    about: "When a rule holds: on weekdays between two times of day, or once between two dates.",
    keys: &[
        key("days", Kind::List("weekdays such as \"mon\", or runs such as \"mon-fri\""), "mon-sun", "[\"mon-fri\"]", "Weekdays on which it begins."),
        key("from", Kind::Other("a time of day such as \"08:00\", or a date and time such as 2026-05-01T08:00:00"), "00:00", "\"08:00\"", "When it begins."),
        key("to", Kind::Other("a time of day such as \"18:00\", or a date and time such as 2026-05-01T18:00:00"), "24:00", "\"18:00\"", "When it ends; not after `from`: on the next day."),
        key("utc-offset", Kind::Text("an offset such as \"+01:00\""), "+00:00", "\"+01:00\"", "Offset from UTC in which the times are written."),
    ],
};

/// `[[policy]]`.
pub static POLICY: Section = Section {
    path: "policy",
    form: Form::Array,
    about: "A forward policy. They are tried in the order of the file; what none allows is denied.",
    keys: &[
        key("id", int(1, u32::MAX as u64), REQUIRED, "12", "Number, unique; sessions and logs refer to it."),
        key("name", NAME, "policy-<id>", "\"lan-out\"", "Name."),
        key("enabled", Kind::Bool, "true", "true", "Whether it is in force at all."),
        key("from", ZONES, "any", "\"inside\"", "Incoming zones."),
        key("to", ZONES, "any", "\"outside\"", "Outgoing zones."),
        key("source", ADDRESSES, "any", "\"any\"", "Source addresses."),
        key("source-negate", Kind::Bool, "false", "false", "Match every source except these."),
        key("users", Kind::List("names of users, \"known\" for everybody whose user is known, or \"any\""), "any", "\"alice\"", "Who must stand behind the source address: one of these, or a member of one of `groups`. Who is where, `show users` tells."),
        key("groups", Kind::List("names of groups"), "any", "[\"staff\", \"admins\"]", "Groups, one of which the user behind the source address must be in."),
        key("destination", ADDRESSES, "any", "[\"servers\"]", "Destination addresses, after destination translation; the name of a VIP stands for its mapped addresses."),
        key("destination-negate", Kind::Bool, "false", "false", "Match every destination except these."),
        key("service", SERVICES, "any", "[\"https\", \"dns\"]", "Services."),
        key("schedule", Kind::Text("the name of a schedule"), "always", "\"office-hours\"", "When it holds."),
        key("action", ACTION, REQUIRED, "\"allow\"", "`allow`; `deny` drops silently; `reject` drops and answers with RST or ICMP."),
        key("nat", NAT, "off", "\"interface\"", "Source translation: none, to the address of the outgoing interface, or to pools in order."),
        key("offload", OFFLOAD_MODE, "auto", "\"auto\"", "Offload switch for its sessions."),
        key("mss-clamp", int(536, 9176), "", "1360", "Upper bound of the TCP MSS of its sessions, in bytes."),
        key("log", Kind::Bool, "false", "true", "Write an event when a session starts and ends."),
    ],
};

/// `[[local-in]]`.
pub static LOCAL_IN: Section = Section {
    path: "local-in",
    form: Form::Array,
    about: "A rule for traffic to the gateway itself, tried in order; what none allows is denied, except neighbour discovery and what belongs to a session.",
    keys: &[
        key("name", NAME, REQUIRED, "\"ping-me\"", "Name."),
        key("enabled", Kind::Bool, "true", "true", "Whether it is in force at all."),
        key("from", ZONES, "any", "\"inside\"", "Incoming zones."),
        key("source", ADDRESSES, "any", "\"any\"", "Source addresses."),
        key("source-negate", Kind::Bool, "false", "false", "Match every source except these."),
        key("destination", ADDRESSES, "any", "\"any\"", "Addresses of the gateway."),
        key("destination-negate", Kind::Bool, "false", "false", "Match every destination except these."),
        key("service", SERVICES, "any", "\"ping\"", "Services."),
        key("schedule", Kind::Text("the name of a schedule"), "always", "\"office-hours\"", "When it holds."),
        key("action", ACTION, REQUIRED, "\"allow\"", "`allow`, `deny` or `reject`."),
    ],
};

/// `[[local-out]]`.
pub static LOCAL_OUT: Section = Section {
    path: "local-out",
    form: Form::Array,
    about: "A rule for traffic from the gateway itself, tried in order; what none denies is allowed.",
    keys: &[
        key("name", NAME, REQUIRED, "\"no-smtp\"", "Name."),
        key("enabled", Kind::Bool, "true", "true", "Whether it is in force at all."),
        key("to", ZONES, "any", "\"outside\"", "Outgoing zones."),
        key("source", ADDRESSES, "any", "\"any\"", "Addresses of the gateway."),
        key("source-negate", Kind::Bool, "false", "false", "Match every source except these."),
        key("destination", ADDRESSES, "any", "\"any\"", "Destination addresses."),
        key("destination-negate", Kind::Bool, "false", "false", "Match every destination except these."),
        key("service", SERVICES, "any", "\"smtp\"", "Services."),
        key("schedule", Kind::Text("the name of a schedule"), "always", "\"office-hours\"", "When it holds."),
        key("action", ACTION, REQUIRED, "\"deny\"", "`allow`, `deny` or `reject`."),
    ],
};

/// `[[vip]]`.
pub static VIP: Section = Section {
    path: "vip",
    form: Form::Array,
    about: "A virtual IP: the destination is translated before the route is looked up. A policy must allow the traffic to the mapped address.",
    keys: &[
        key("name", NAME, REQUIRED, "\"web\"", "Name; policies may use it as a destination."),
        key("external", Kind::Text("an address or a range"), REQUIRED, "\"203.0.113.10\"", "Addresses that clients use."),
        key("mapped", Kind::Text("an address, or a range of the same length"), REQUIRED, "\"10.2.0.10\"", "Addresses of the servers."),
        key("interface", Kind::Text("the name of an interface"), "any", "\"wan\"", "Only for what comes in by this interface."),
        key("forward", Kind::Other("an inline table, see below"), "", "{ proto = \"tcp\", external-port = 8443, mapped-port = 443 }", "Translate these ports only; everything 1:1 when absent."),
    ],
};

/// `forward` of `[[vip]]`.
pub static FORWARD: Section = Section {
    path: "forward",
    form: Form::Inline,
    about: "Ports of a VIP.",
    keys: &[
        key("proto", Kind::Words(&["tcp", "udp", "sctp"]), "tcp", "\"tcp\"", "Protocol."),
        key("external-port", Kind::Other("a port such as 8443, or a range such as \"8000-8010\""), REQUIRED, "8443", "Ports that clients use."),
        key("mapped-port", Kind::Other("a port such as 443, or a range such as \"9000-9010\""), "the external port", "443", "Ports of the servers; a single port is the first of a range of the same length."),
    ],
};

/// `[[pool]]`.
pub static POOL: Section = Section {
    path: "pool",
    form: Form::Array,
    about: "Addresses to translate sources to.",
    keys: &[
        key("name", NAME, REQUIRED, "\"out\"", "Name."),
        key("kind", Kind::Words(&["overload", "one-to-one", "port-block"]), "overload", "\"overload\"", "Share addresses by ports, give each source an address of its own, or give each source blocks of ports (RFC 6888)."),
        key("addresses", Kind::Text("an address, a range or a prefix"), REQUIRED, "\"203.0.113.20-203.0.113.23\"", "Its addresses, of one IP version."),
        key("ports", Kind::Other("a range of ports such as \"1024-65535\""), "1024-65535", "\"1024-65535\"", "Ports to choose from (overload, port-block)."),
        key("block-size", int(16, 16_384), "128", "128", "Ports in a block (port-block)."),
        key("blocks-per-host", int(1, 255), "8", "8", "Blocks that a source may have (port-block)."),
        key("proxy-arp", Kind::Bool, "true", "true", "Answer ARP and ND for its addresses."),
    ],
};

/// `[[address-pool]]`.
pub static ADDRESS_POOL: Section = Section {
    path: "address-pool",
    form: Form::Array,
    about: "Addresses to give to peers that ask for one. An address is in one pool, and no interface, NAT pool or VIP has it.",
    keys: &[
        key("name", NAME, REQUIRED, "\"staff\"", "Name."),
        key("addresses", Kind::List("prefixes, ranges or addresses"), REQUIRED, "[\"10.9.0.0/24\", \"2001:db8:9::/64\"]", "Its addresses, of either IP version. A prefix leaves out its network and broadcast address, or its subnet-router anycast address (RFC 4291 §2.6.1)."),
        key("dns", Kind::List("addresses"), "", "\"10.1.0.53\"", "DNS servers to tell those who are given an address."),
    ],
};

/// `[[central-snat]]`.
pub static CENTRAL_SNAT: Section = Section {
    path: "central-snat",
    form: Form::Array,
    about: "A rule of the central source NAT table, tried in order. When there is one, policies take no `nat` of their own.",
    keys: &[
        key("name", NAME, REQUIRED, "\"out\"", "Name."),
        key("from", ZONES, "any", "\"inside\"", "Incoming zones."),
        key("to", ZONES, "any", "\"outside\"", "Outgoing zones."),
        key("source", ADDRESSES, "any", "\"any\"", "Source addresses."),
        key("source-negate", Kind::Bool, "false", "false", "Match every source except these."),
        key("destination", ADDRESSES, "any", "\"any\"", "Destination addresses."),
        key("destination-negate", Kind::Bool, "false", "false", "Match every destination except these."),
        key("service", SERVICES, "any", "\"any\"", "Services."),
        key("nat", NAT, REQUIRED, "\"interface\"", "What to translate to; `off` exempts."),
    ],
};

/// `[[neighbour]]`.
pub static NEIGHBOUR: Section = Section {
    path: "neighbour",
    form: Form::Array,
    about: "A neighbour that is never resolved nor forgotten.",
    keys: &[
        key("interface", Kind::Text("the name of an interface"), REQUIRED, "\"lan\"", "Interface."),
        key("address", Kind::Text("an address on the interface's subnet"), REQUIRED, "\"10.1.0.9\"", "Address."),
        key("mac", Kind::Text("a MAC address"), REQUIRED, "\"02:00:00:00:00:09\"", "MAC address."),
    ],
};

/// `[timeouts]`.
pub static TIMEOUTS: Section = Section {
    path: "timeouts",
    form: Form::Table,
    about: "When an idle session ends. Where an RFC asks for more than is written, `check` warns.",
    keys: &[
        key("tcp-syn-sent", Kind::Duration { min: 1, max: 3600 }, "30s", "\"30s\"", "SYN seen. Shorter than the 4 min of RFC 5382 §5 REQ-5 on purpose: half-open sessions are what a flood fills, and SYN retransmissions renew it."),
        key("tcp-syn-received", Kind::Duration { min: 1, max: 3600 }, "30s", "\"30s\"", "SYN and SYN/ACK seen. As above."),
        key("tcp-established", Kind::Duration { min: 30, max: LONGEST }, "2h4m", "\"2h4m\"", "Established. RFC 5382 §5 REQ-5: at least 2 h 4 min."),
        key("tcp-fin-wait", Kind::Duration { min: 1, max: 86_400 }, "4m", "\"4m\"", "One side sent FIN. RFC 5382 §5 REQ-5: at least 4 min."),
        key("tcp-time-wait", Kind::Duration { min: 1, max: 3600 }, "30s", "\"30s\"", "Both sides sent FIN, or one RST. Late segments after that are dropped (RFC 9293 §3.4.1 keeps hosts for 2 MSL)."),
        key("udp-one-way", Kind::Duration { min: 1, max: LONGEST }, "30s", "\"30s\"", "UDP with packets one way only."),
        key("udp", Kind::Duration { min: 1, max: LONGEST }, "2m", "\"2m\"", "UDP with packets both ways. RFC 4787 §4.3 REQ-5: at least 2 min."),
        key("icmp", Kind::Duration { min: 1, max: 3600 }, "60s", "\"60s\"", "ICMP queries. RFC 5508 §3.2 REQ-2: at least 60 s."),
        key("sctp", Kind::Duration { min: 30, max: LONGEST }, "10m", "\"10m\"", "SCTP associations. RFC 9260 §16: heartbeats come every 30 s."),
        key("generic", Kind::Duration { min: 1, max: LONGEST }, "10m", "\"10m\"", "Every other protocol."),
        key("reassembly", Kind::Duration { min: 1, max: 120 }, "30s", "\"30s\"", "Fragments of one packet. RFC 791 §3.2: 15 s and more; RFC 8200 §4.5: at most 60 s; RFC 4963 is why not longer."),
        key("neighbour-reachable", Kind::Duration { min: 1, max: 3600 }, "30s", "\"30s\"", "A neighbour counts as reachable (RFC 4861 §10 REACHABLE_TIME)."),
        key("neighbour-stale", Kind::Duration { min: 10, max: LONGEST }, "20m", "\"20m\"", "A stale neighbour without traffic is forgotten."),
    ],
};

/// `[engine]`.
pub static ENGINE: Section = Section {
    path: "engine",
    form: Form::Table,
    about: "What the software engine stands for.",
    keys: &[
        key("profile", Kind::Words(&offload::PROFILE_NAMES), offload::SOFT, "\"np7\"", "The device whose rules decide what is promoted; `soft` for the engine's own. `lockgate plan --profile list` shows what each can do."),
    ],
};

/// `[offload]`.
pub static OFFLOAD: Section = Section {
    path: "offload",
    form: Form::Table,
    about: "What is promoted to the fast path.",
    keys: &[
        key("mode", OFFLOAD_MODE, "auto", "\"auto\"", "The switch for everything: promote what qualifies, drop what does not, or promote nothing."),
        key("after-packets", int(1, 1_000_000), "3", "3", "Packets of a session, both directions together, after which the next one promotes it."),
        key("one-way-packets", int(0, 1_000_000), "16", "16", "Packets before a session with traffic one way only is promoted; 0 for never."),
        key("egress-optimisation", Kind::Bool, "true", "true", "Whether engines may have outgoing SAs; tunnels may say otherwise."),
        key("weaken", Kind::List("names of checks: \"tcp-window\""), "", "[\"tcp-window\"]", "Checks that an engine may leave out; refused when not named here."),
        key("audit-interval", Kind::Duration { min: 1, max: 3600 }, "10s", "\"10s\"", "How often ledger and engines are compared."),
    ],
};

/// `[limits]`.
pub static LIMITS: Section = Section {
    path: "limits",
    form: Form::Table,
    about: "Bounds of tables, queues and rates. Memory is taken for what is used, not for the bound, except frames.",
    keys: &[
        key("sessions", int(64, 16_777_216), "262144", "262144", "Sessions."),
        key("flows", int(128, 33_554_432), "2 × sessions", "524288", "Flows (directions of sessions) of the software engine."),
        key("sas", int(2, 131_072), "4096", "4096", "SAs of the software engine; a tunnel has two."),
        key("users", int(16, 1_048_576), "16384", "16384", "Addresses whose user is known."),
        key("half-open", int(16, 16_777_216), "sessions / 4", "65536", "TCP sessions whose handshake is not complete."),
        key("neighbours", int(16, 1_048_576), "8192", "8192", "Neighbours over all interfaces."),
        key("neighbour-queue", int(1, 64), "8", "8", "Packets held for one unresolved neighbour (RFC 4861 §7.2.2: at least one)."),
        key("reassembly-memory", Kind::Size { min: 65_536, max: 1 << 30 }, "4MiB", "\"4MiB\"", "Fragments held, in bytes."),
        key("fragments-per-packet", int(2, 8191), "64", "64", "Fragments of one packet."),
        key("frames", int(256, 4_194_304), "16384", "16384", "Ordinary frames of the pool (2 KiB each)."),
        key("super-frames", int(0, 65_536), "256", "256", "Super-packet frames of the pool (64 KiB each)."),
        key("punt-ring", int(64, 1_048_576), "4096", "4096", "Most packets of one burst that go to the slow path, for each worker."),
        key("workers", int(1, 8), "1", "2", "Forwarding threads, each with a queue of every port that has several. At most one for each core; a change needs a restart."),
        key("busy-poll", int(0, 1_000_000), "0", "1000", "How long a forwarding thread keeps asking its ports after the last frame before it sleeps, in µs; 0 to sleep at once. Meanwhile it takes a whole core, and packets do not wait for a wake-up."),
        key("punt", Kind::Other("a table of punt causes and packets per second"), "", "{ flow-miss = 100000 }", "Packets per second for each punt cause; unlimited where not named."),
        key("icmp-errors-per-second", int(0, 1_000_000), "100", "100", "ICMP errors that the gateway sends (RFC 4443 §2.4 f; RFC 1812 §4.3.2.8)."),
        key("events", int(16, 1_048_576), "4096", "4096", "Events kept in memory."),
    ],
};

/// `[anomaly]`.
pub static ANOMALY: Section = Section {
    path: "anomaly",
    form: Form::Table,
    about: "Rate sensors, each per source address; off where absent.",
    keys: &[
        key("syn", Kind::Other("an inline table, see below"), "", "{ per-second = 200, action = \"block\" }", "TCP SYN."),
        key("udp", Kind::Other("an inline table, see below"), "", "{ per-second = 2000 }", "New UDP sessions."),
        key("icmp", Kind::Other("an inline table, see below"), "", "{ per-second = 100 }", "New ICMP sessions."),
        key("scan", Kind::Other("an inline table, see below"), "", "{ per-second = 100, action = \"monitor\" }", "Different destinations and ports."),
    ],
};

/// A sensor of `[anomaly]`.
pub static SENSOR: Section = Section {
    path: "anomaly.*",
    form: Form::Inline,
    about: "A rate sensor.",
    keys: &[
        key("per-second", int(1, 10_000_000), REQUIRED, "200", "Threshold, per source address."),
        key("action", Kind::Words(&["block", "monitor"]), "block", "\"monitor\"", "Drop what is above, or only count and write an event."),
    ],
};

/// Every section, in the order of the reference.
pub static SECTIONS: &[&Section] = &[
    &ROOT, &CONTROL, &DEBUG, &VIRTUAL_ROUTER, &PORT, &INTERFACE, &PHASE1, &IPSEC, &PHASE2, &SELECTOR, &SA, &LIFETIME, &GRE, &VXLAN, &REMOTE_ACCESS, &ROUTE, &OBJECTS, &SCHEDULE, &POLICY,
    &LOCAL_IN, &LOCAL_OUT, &VIP, &FORWARD, &POOL, &ADDRESS_POOL, &CENTRAL_SNAT, &NEIGHBOUR, &TIMEOUTS, &ENGINE, &OFFLOAD,
    &LIMITS, &ANOMALY, &SENSOR,
];
