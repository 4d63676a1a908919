//! Devices whose rules the software engine can be held to, as data.
//!
//! A profile says what a device is documented to serve. It restricts what the engine is offered; it
//! makes nothing faster and emulates no device. Each figure has its source beside it. What no
//! document at hand speaks of is left unrestricted, so a profile may allow what a device refuses.
//!
//! | short | document |
//! |---|---|
//! | NP6 | Fortinet, Hardware Acceleration 7.0.5 and 7.4.8, "NP6 session fast path requirements" |
//! | NP7 | Fortinet, Hardware Acceleration 7.6.1, "NP7 session fast path requirements" |
//! | C1 | Cisco, "Understand and Troubleshoot IPsec and DTLS Offloading in Secure Firepower 3100 and 4200" |
//! | C2 | Cisco, cdFMC guide, "IPsec Flow Offload", limitations |
//! | C3 | Cisco, cdFMC guide, "Flow Offload Limitations" |
//! | N1 | NVIDIA, MLNX_OFED, "IPsec Crypto Offload" |
//! | N2 | NVIDIA, DOCA, "IPsec Packet Offload" |
//! | L | Linux, `drivers/net/ethernet/mellanox/mlx5/core/en_accel/ipsec.c`, what it refuses and why |
//! | L1 | the same file, what a packet may not carry |

use aead::MacAlgorithm;
use esp::{Family, Mode};
use wire::proto;

use crate::{Allowed, Capabilities, DtlsCapabilities, DtlsVersion, IpsecCapabilities};

/// A device the software engine can be held to.
#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    /// What it is, in a line.
    pub about: &'static str,
    /// Documents its figures are from.
    pub sources: &'static str,
    /// What it serves; also has the name.
    pub capabilities: Capabilities,
}

impl Profile {
    /// The name that the configuration has for it.
    pub const fn name(&self) -> &'static str {
        self.capabilities.name
    }

    /// The profile of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PROFILES.iter().find(|profile| profile.name() == name)
    }
}

/// The software engine as it is.
pub const SOFT: &str = PROFILES[0].capabilities.name;

/// Names of all profiles, in their order.
pub const PROFILE_NAMES: [&str; PROFILES.len()] = {
    let mut names = [""; PROFILES.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = PROFILES[at].capabilities.name;
        at += 1;
    }
    names
};

/// What no document speaks of.
const UNRESTRICTED: Capabilities = Capabilities {
    name: "",
    protocols: Allowed::Any,
    ipv4: true,
    ipv6: true,
    nat: true,
    tcp_window: true,
    ip_options: true,
    fragments: true,
    cross_port: true,
    tunnelled: true,
    flows: u64::MAX,
    ipsec: IpsecCapabilities::EVERYTHING,
    dtls: DtlsCapabilities::EVERYTHING,
};

/// Hashes of NP6 and NP7 that Lockgate has; they have MD5 too.
const NP_HASHES: Allowed<MacAlgorithm> = Allowed::Only(&[
    MacAlgorithm::Sha1,
    MacAlgorithm::Sha256,
    MacAlgorithm::Sha384,
    MacAlgorithm::Sha512,
]);

/// What the driver refuses for every mlx5 device.
const MLX5: IpsecCapabilities = IpsecCapabilities {
    // N1: AES-GCM is the only scheme of the hardware. L: any other algorithm is refused.
    ciphers: Allowed::Only(&[Family::AesGcm]),
    // L: the key without its salt has 128 or 256 bits.
    key_bits: Allowed::Only(&[128, 256]),
    // L: the ICV has 128 bits; N1 shows no other.
    icv_bytes: Allowed::Only(&[16]),
    // L: no authentication apart from the cipher.
    integrity: Allowed::Only(&[]),
    // L: no compression, no TFC padding.
    compression: false,
    tfc_padding: false,
    // L: a selector names TCP, UDP or no protocol.
    selector_protocols: Allowed::Only(&[proto::TCP, proto::UDP]),
    // L makes ESN depend on the firmware, and takes IPv4 and IPv6 outside: not restricted.
    ..IpsecCapabilities::EVERYTHING
};

/// All profiles; the software engine first.
pub static PROFILES: [Profile; 6] = [
    Profile {
        about: "the software engine as it is",
        sources: "Lockgate",
        capabilities: Capabilities::soft(u64::MAX),
    },
    Profile {
        about: "Fortinet NP6 network processor",
        sources: "Fortinet Hardware Acceleration 7.0.5 and 7.4.8: NP6 session fast path requirements",
        capabilities: Capabilities {
            name: "np6",
            // NP6: TCP, UDP, ICMP and SCTP of both versions; ESP that only passes through.
            protocols: Allowed::Only(&[
                proto::TCP,
                proto::UDP,
                proto::ICMP,
                proto::ICMPV6,
                proto::SCTP,
                proto::ESP,
            ]),
            ipsec: IpsecCapabilities {
                // NP6: null, DES, 3DES and AES of 128, 192 and 256 bits; no counter mode is listed.
                ciphers: Allowed::Only(&[Family::AesCbc, Family::Null]),
                // NP6: null, MD5 and SHA-1 to SHA-512.
                integrity: NP_HASHES,
                // NP6 lists ESP in UDP port 4500, and leaves anti-replay to a switch of its own.
                // Nothing on modes, ESN, window sizes, padding, cutting, selectors or lifetimes.
                ..IpsecCapabilities::EVERYTHING
            },
            ..UNRESTRICTED
        },
    },
    Profile {
        about: "Fortinet NP7 network processor",
        sources: "Fortinet Hardware Acceleration 7.6.1: NP7 session fast path requirements",
        capabilities: Capabilities {
            name: "np7",
            // NP7: TCP, UDP, ICMP, SCTP, GTP-U and RDP; GRE tunnels; ESP that only passes through.
            protocols: Allowed::Only(&[
                proto::TCP,
                proto::UDP,
                proto::ICMP,
                proto::ICMPV6,
                proto::SCTP,
                proto::GRE,
                proto::ESP,
            ]),
            ipsec: IpsecCapabilities {
                // NP7: null, DES, 3DES, AES, AES-GCM and AES-GMAC; ChaCha20-Poly1305 is not listed.
                ciphers: Allowed::Only(&[
                    Family::AesGcm,
                    Family::AesGmac,
                    Family::AesCbc,
                    Family::Null,
                ]),
                // NP7: null, MD5 and SHA-1 to SHA-512.
                integrity: NP_HASHES,
                // Nothing on modes, ESN, window sizes, padding, cutting, selectors or lifetimes.
                ..IpsecCapabilities::EVERYTHING
            },
            ..UNRESTRICTED
        },
    },
    Profile {
        about: "Cisco Secure Firewall 3100, IPsec flow offload",
        sources: "Cisco: IPsec and DTLS Offloading in Secure Firepower 3100 and 4200; cdFMC: IPsec Flow Offload, Flow Offload Limitations",
        capabilities: Capabilities {
            name: "secure-firewall-3100",
            // C3: TCP, UDP and GRE, IPv4 only, no IP options.
            protocols: Allowed::Only(&[proto::TCP, proto::UDP, proto::GRE]),
            ipv6: false,
            ip_options: false,
            // C1, C2: the FPGA encrypts and decrypts; software handles the flow inside. C3: a VPN
            // that ends on the device is no offloaded flow.
            tunnelled: false,
            ipsec: IpsecCapabilities {
                // C1, C2: no transport mode.
                modes: Allowed::Only(&[Mode::Tunnel]),
                // C1, C2: no IKEv1. Neither speaks of keys by hand, so those are not restricted.
                ikev1: false,
                // C1, C2: no compression, no post-fragmentation.
                compression: false,
                post_fragmentation: false,
                // C1: windows of 64. C2: other sizes are refused unless anti-replay is off. Both
                // speak of the flow, so the window counts for both SAs of a pair.
                replay_windows: Allowed::Only(&[0, 64]),
                replay_of_pair: true,
                // C1: no firewall filters on what is inside a tunnel.
                filters: false,
                // C1: no multi-context.
                virtual_routers: Some(1),
                // C2: no rekeying by volume.
                byte_lifetimes: false,
                // C2 takes ESP in UDP. Nothing on ciphers, ESN or padding.
                ..IpsecCapabilities::EVERYTHING
            },
            // C1: no DTLS 1.0, no compression, no multi-context.
            dtls: DtlsCapabilities {
                versions: Allowed::Only(&[DtlsVersion::V1_2]),
                compression: false,
                virtual_routers: Some(1),
                ..DtlsCapabilities::EVERYTHING
            },
            ..UNRESTRICTED
        },
    },
    Profile {
        about: "NVIDIA ConnectX-6 Dx, IPsec crypto offload",
        sources: "NVIDIA MLNX_OFED: IPsec Crypto Offload; Linux mlx5e",
        capabilities: Capabilities {
            name: "connectx-6dx",
            // L1: no IPv4 options, no IPv6 extension headers. The flow itself is the kernel's.
            ip_options: false,
            ipsec: IpsecCapabilities {
                // L: UDP encapsulation only with packet offload. Replays are checked in software
                // here, so any window will do.
                udp_encapsulation: Allowed::Only(&[]),
                ..MLX5
            },
            ..UNRESTRICTED
        },
    },
    Profile {
        about: "NVIDIA BlueField-2, IPsec packet offload",
        sources: "NVIDIA DOCA: IPsec Packet Offload; Linux mlx5e",
        capabilities: Capabilities {
            name: "bluefield-2",
            // L1: no IPv4 options, no IPv6 extension headers.
            ip_options: false,
            ipsec: IpsecCapabilities {
                // L: UDP encapsulation in transport mode only.
                udp_encapsulation: Allowed::Only(&[Mode::Transport]),
                // L: windows of an incoming SA.
                replay_windows: Allowed::Only(&[32, 64, 128, 256]),
                // L: the window reaches the hardware only with ESN. An engine that would take every
                // replay is not offered an SA that asks for the check.
                replay_without_esn: false,
                // L: a hard limit in bytes or packets wants a lower soft one.
                hard_without_soft: false,
                // N2 has tunnel mode, for virtual functions as an early version: not restricted.
                ..MLX5
            },
            ..UNRESTRICTED
        },
    },
];

#[cfg(test)]
mod tests {
    use reason::NotEligible;

    use super::*;
    use crate::{Direction, Keying, SaFacts};

    fn facts(suite: &str) -> SaFacts {
        SaFacts {
            direction: Direction::Reply,
            suite: suite.parse().expect("a suite"),
            mode: Mode::Tunnel,
            ipv6: false,
            esn: true,
            replay_window: 64,
            udp_encapsulation: false,
            compression: false,
            pad_to: None,
            post_fragmentation: false,
            keying: Keying::Manual,
            selector_protocols: Vec::new(),
            filters: 0,
            virtual_routers: 1,
            soft: esp::Lifetime::default(),
            hard: esp::Lifetime::default(),
            findings: Default::default(),
        }
    }

    fn against(name: &str, facts: &SaFacts) -> Vec<String> {
        let capabilities = &Profile::named(name).expect("a profile").capabilities;
        let set = capabilities.evaluate_sa(facts).against;
        set.iter()
            .map(|reason| {
                let evidence = capabilities.sa_evidence(facts, reason).expect("has evidence");
                format!("{reason} {evidence}")
            })
            .collect()
    }

    #[test]
    fn names_are_found_and_listed() {
        assert_eq!(PROFILE_NAMES[0], SOFT);
        for name in PROFILE_NAMES {
            assert_eq!(Profile::named(name).map(Profile::name), Some(name));
        }
        assert_eq!(Profile::named("np5"), None);
        let names = |p: &Profile| {
            p.capabilities.properties().into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert!(PROFILES.iter().all(|p| names(p) == names(&PROFILES[0])), "one order for all");
    }

    #[test]
    fn every_profile_serves_what_all_devices_serve() {
        for name in PROFILE_NAMES.iter().filter(|name| **name != "np6") {
            assert_eq!(against(name, &facts("aes256gcm16")), Vec::<String>::new(), "{name}");
        }
        assert_eq!(against("np6", &facts("aes256-sha256")), Vec::<String>::new());
    }

    #[test]
    fn each_violation_alone_gives_its_reason_with_evidence() {
        type Change = fn(&mut SaFacts);
        let cases: &[(&str, Change, &[&str])] = &[
            (
                "secure-firewall-3100",
                |f| f.mode = Mode::Transport,
                &["transport-mode mode=transport supported=tunnel"],
            ),
            (
                "secure-firewall-3100",
                |f| f.keying = Keying::Ikev1,
                &["ikev1 ike-version=1 supported=2"],
            ),
            ("secure-firewall-3100", |f| f.keying = Keying::Ikev2, &[]),
            ("secure-firewall-3100", |f| f.compression = true, &["compression compression=true"]),
            (
                "secure-firewall-3100",
                |f| f.post_fragmentation = true,
                &["post-fragmentation fragmentation=after"],
            ),
            (
                "secure-firewall-3100",
                |f| f.replay_window = 1024,
                &["replay-window-size replay-window=1024 supported=0,64"],
            ),
            (
                "secure-firewall-3100",
                |f| (f.direction, f.replay_window) = (Direction::Original, 32),
                &["replay-window-size replay-window=32 supported=0,64"],
            ),
            ("secure-firewall-3100", |f| f.replay_window = 0, &[]),
            (
                "secure-firewall-3100",
                |f| f.filters = 2,
                &["tunnelled-filter selectors=2 steering=routes"],
            ),
            (
                "secure-firewall-3100",
                |f| f.virtual_routers = 3,
                &["multi-context virtual-routers=3 supported=1"],
            ),
            (
                "secure-firewall-3100",
                |f| f.soft.bytes = Some(9),
                &["volume-lifetime lifetime-bytes=9"],
            ),
            (
                "np6",
                |f| f.suite = esp::Suite::AES256_GCM16,
                &["cipher-unsupported cipher=aes-256-gcm-16 supported=aes-cbc,null"],
            ),
            (
                "np7",
                |f| f.suite = esp::Suite::CHACHA20_POLY1305,
                &[
                    "cipher-unsupported cipher=chacha20-poly1305 supported=aes-gcm,aes-gmac,aes-cbc,null",
                ],
            ),
            (
                "connectx-6dx",
                |f| f.suite = "aes256-sha384".parse().expect("a suite"),
                &[
                    "cipher-unsupported cipher=aes-256-cbc supported=aes-gcm",
                    "integrity-unsupported integrity=hmac-sha-384-192 supported=none",
                    "icv-length icv-bytes=24 supported=16",
                ],
            ),
            (
                "connectx-6dx",
                |f| f.udp_encapsulation = true,
                &["nat-traversal udp-encapsulation=true mode=tunnel supported=none"],
            ),
            ("connectx-6dx", |f| f.pad_to = Some(1200), &["tfc-padding pad-to=1200"]),
            (
                "connectx-6dx",
                |f| f.selector_protocols = vec![6, 47],
                &["selector-too-specific selector-protocol=gre supported=tcp,udp"],
            ),
            ("connectx-6dx", |f| f.replay_window = 8192, &[]),
            (
                "bluefield-2",
                |f| f.replay_window = 1024,
                &["replay-window-size replay-window=1024 supported=32,64,128,256"],
            ),
            ("bluefield-2", |f| (f.direction, f.replay_window) = (Direction::Original, 1024), &[]),
            ("bluefield-2", |f| f.esn = false, &["replay-needs-esn replay-window=64 esn=false"]),
            ("bluefield-2", |f| (f.esn, f.replay_window) = (false, 0), &[]),
            (
                "bluefield-2",
                |f| f.udp_encapsulation = true,
                &["nat-traversal udp-encapsulation=true mode=tunnel supported=transport"],
            ),
            ("bluefield-2", |f| (f.udp_encapsulation, f.mode) = (true, Mode::Transport), &[]),
            (
                "bluefield-2",
                |f| f.hard.bytes = Some(9),
                &["lifetime-order hard-bytes=9 soft-bytes=none"],
            ),
            (
                "bluefield-2",
                |f| (f.soft.packets, f.hard.packets) = (Some(9), Some(9)),
                &["lifetime-order hard-packets=9 soft-packets=9"],
            ),
            ("soft", |f| f.keying = Keying::Ikev1, &["ikev1 ike-version=1 supported=2"]),
        ];
        for (name, change, expected) in cases {
            let start = if *name == "np6" { "aes256-sha256" } else { "aes256gcm16" };
            let mut facts = facts(start);
            change(&mut facts);
            assert_eq!(against(name, &facts), *expected, "{name}: {facts:?}");
        }
    }

    #[test]
    fn limits_that_no_profile_has_are_checked_too() {
        let mut narrow = Capabilities::soft(1);
        narrow.ipsec.modes = Allowed::Only(&[Mode::Transport]);
        narrow.ipsec.key_bits = Allowed::Only(&[256]);
        narrow.ipsec.esn = false;
        narrow.ipsec.ipv4 = false;
        let facts = facts("aes128gcm16");
        let set = narrow.evaluate_sa(&facts).against;
        assert_eq!(
            set.to_string(),
            "address-family-unsupported, key-length, esn-unsupported, tunnel-mode"
        );
        assert_eq!(
            narrow.sa_evidence(&facts, NotEligible::KeyLength).as_deref(),
            Some("key-bits=128 supported=256")
        );
    }
}
