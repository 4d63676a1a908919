//! Which SAs an engine serves, as data, and the evaluation of an SA against it.
//!
//! Each direction of a pair of SAs is judged by itself.

use aead::MacAlgorithm;
use esp::{Family, Mode, Suite};
use reason::{NotEligible, ReasonSet};

use super::{Allowed, Capabilities, Eligibility, Found, protocol, said};
use crate::Direction;

/// Which SAs an engine serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpsecCapabilities {
    /// Tunnel and transport mode.
    pub modes: Allowed<Mode>,
    /// Ciphers.
    pub ciphers: Allowed<Family>,
    /// Lengths of the cipher's key in bits; NULL has none.
    pub key_bits: Allowed<usize>,
    /// Lengths of the integrity check value in bytes.
    pub icv_bytes: Allowed<usize>,
    /// Hashes of integrity algorithms apart from the cipher.
    pub integrity: Allowed<MacAlgorithm>,
    /// Extended sequence numbers.
    pub esn: bool,
    /// Sizes of the anti-replay window in packets; 0 stands for no check with ESN. Without ESN and
    /// without a window there is nothing to check.
    pub replay_windows: Allowed<u32>,
    /// The window of a pair counts for its outgoing SA too.
    pub replay_of_pair: bool,
    /// It checks replays of SAs without ESN.
    pub replay_without_esn: bool,
    /// Modes whose packets may travel in UDP (RFC 3948).
    pub udp_encapsulation: Allowed<Mode>,
    /// IP compression (RFC 3173).
    pub compression: bool,
    /// TFC padding (RFC 4303 §2.7).
    pub tfc_padding: bool,
    /// ESP packets that are cut after encryption.
    pub post_fragmentation: bool,
    /// Outer IPv4.
    pub ipv4: bool,
    /// Outer IPv6.
    pub ipv6: bool,
    /// SAs negotiated with IKEv1.
    pub ikev1: bool,
    /// Protocols that a selector may name.
    pub selector_protocols: Allowed<u8>,
    /// Filters on what is inside a tunnel, besides policies.
    pub filters: bool,
    /// Most virtual routers; none for no bound.
    pub virtual_routers: Option<usize>,
    /// Lifetimes in bytes.
    pub byte_lifetimes: bool,
    /// Hard lifetimes in bytes or packets without a soft one below.
    pub hard_without_soft: bool,
    /// Most SAs, each direction counted; none where only the table's size bounds them.
    pub sas: Option<u64>,
}

impl IpsecCapabilities {
    /// Every SA. What a profile does not restrict stays like this.
    pub const EVERYTHING: Self = Self {
        modes: Allowed::Any,
        ciphers: Allowed::Any,
        key_bits: Allowed::Any,
        icv_bytes: Allowed::Any,
        integrity: Allowed::Any,
        esn: true,
        replay_windows: Allowed::Any,
        replay_of_pair: false,
        replay_without_esn: true,
        udp_encapsulation: Allowed::Any,
        compression: true,
        tfc_padding: true,
        post_fragmentation: true,
        ipv4: true,
        ipv6: true,
        ikev1: true,
        selector_protocols: Allowed::Any,
        filters: true,
        virtual_routers: None,
        byte_lifetimes: true,
        hard_without_soft: true,
        sas: None,
    };
}

/// Who made the keys of an SA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keying {
    /// They stand in the configuration.
    #[default]
    Manual,
    /// IKEv1.
    Ikev1,
    /// IKEv2.
    Ikev2,
}

/// What an engine needs to know of an SA to judge it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaFacts {
    /// The original direction is the outgoing SA.
    pub direction: Direction,
    /// Algorithms.
    pub suite: Suite,
    /// Tunnel or transport.
    pub mode: Mode,
    /// Outer IPv6 rather than IPv4.
    pub ipv6: bool,
    /// Extended sequence numbers.
    pub esn: bool,
    /// Anti-replay window of the incoming SA of the pair, in packets; 0 for none.
    pub replay_window: u32,
    /// ESP travels in UDP.
    pub udp_encapsulation: bool,
    /// IP compression.
    pub compression: bool,
    /// Least length of inner packets, in bytes.
    pub pad_to: Option<u16>,
    /// Outer packets may be cut after encryption.
    pub post_fragmentation: bool,
    /// Who made the keys.
    pub keying: Keying,
    /// Protocols that selectors name, sorted.
    pub selector_protocols: Vec<u8>,
    /// Selectors that filter what is inside, besides policies.
    pub filters: usize,
    /// Virtual routers of the gateway.
    pub virtual_routers: usize,
    /// When a replacement is asked for.
    pub soft: esp::Lifetime,
    /// When it ends.
    pub hard: esp::Lifetime,
    /// What the gateway itself found against offloading.
    pub findings: ReasonSet<NotEligible>,
}

impl Capabilities {
    /// Evaluates an SA: what stands against it on this engine, everything at once.
    pub fn evaluate_sa(&self, facts: &SaFacts) -> Eligibility {
        let mut against = facts.findings;
        self.check_sa(facts, &mut |reason, _| against.insert(reason));
        Eligibility { against }
    }

    /// The figures behind a reason of [`Capabilities::evaluate_sa`], as `name=value` pairs; none
    /// where the reason is a finding of the gateway's own.
    pub fn sa_evidence(&self, facts: &SaFacts, reason: NotEligible) -> Option<String> {
        said(reason, |found| self.check_sa(facts, found))
    }

    fn check_sa(&self, facts: &SaFacts, found: Found<'_>) {
        let ipsec = &self.ipsec;
        self.check_suite(facts.suite, found);
        self.check_replay(facts, found);
        self.check_lifetimes(facts, found);
        if !ipsec.modes.has(&facts.mode) {
            let reason = match facts.mode {
                Mode::Tunnel => NotEligible::TunnelMode,
                Mode::Transport => NotEligible::TransportMode,
            };
            found(reason, format_args!("mode={} supported={}", facts.mode, ipsec.modes.list(mode)));
        }
        if facts.esn && !ipsec.esn {
            found(NotEligible::EsnUnsupported, format_args!("esn=true"));
        }
        if facts.compression && !ipsec.compression {
            found(NotEligible::Compression, format_args!("compression=true"));
        }
        if facts.udp_encapsulation && !ipsec.udp_encapsulation.has(&facts.mode) {
            let modes = ipsec.udp_encapsulation.list(mode);
            found(
                NotEligible::NatTraversal,
                format_args!("udp-encapsulation=true mode={} supported={modes}", facts.mode),
            );
        }
        if let Some(pad_to) = facts.pad_to.filter(|_| !ipsec.tfc_padding) {
            found(NotEligible::TfcPadding, format_args!("pad-to={pad_to}"));
        }
        if facts.post_fragmentation && !ipsec.post_fragmentation {
            found(NotEligible::PostFragmentation, format_args!("fragmentation=after"));
        }
        self.check_version(facts.ipv6, (ipsec.ipv4, ipsec.ipv6), found);
        if facts.keying == Keying::Ikev1 && !ipsec.ikev1 {
            found(NotEligible::Ikev1, format_args!("ike-version=1 supported=2"));
        }
        let foreign = |proto: &&u8| !ipsec.selector_protocols.has(proto);
        if let Some(proto) = facts.selector_protocols.iter().find(foreign) {
            let supported = ipsec.selector_protocols.list(protocol);
            found(
                NotEligible::SelectorTooSpecific,
                format_args!("selector-protocol={} supported={supported}", protocol(proto)),
            );
        }
        if facts.filters > 0 && !ipsec.filters {
            found(
                NotEligible::TunnelledFilter,
                format_args!("selectors={} steering=routes", facts.filters),
            );
        }
        if let Some(most) = ipsec.virtual_routers.filter(|most| facts.virtual_routers > *most) {
            found(
                NotEligible::MultiContext,
                format_args!("virtual-routers={} supported={most}", facts.virtual_routers),
            );
        }
    }

    fn check_suite(&self, suite: Suite, found: Found<'_>) {
        let ipsec = &self.ipsec;
        if !ipsec.ciphers.has(&suite.family()) {
            let supported = ipsec.ciphers.list(|cipher| cipher.name());
            let cipher = suite.cipher_name().to_ascii_lowercase();
            found(
                NotEligible::CipherUnsupported,
                format_args!("cipher={cipher} supported={supported}"),
            );
        }
        if let (Some(mac), Some(name)) = (suite.mac(), suite.integrity_name())
            && !ipsec.integrity.has(&mac)
        {
            let supported = ipsec.integrity.list(hash);
            let name = name.to_ascii_lowercase();
            found(
                NotEligible::IntegrityUnsupported,
                format_args!("integrity={name} supported={supported}"),
            );
        }
        let bits = suite.key_bits();
        if bits > 0 && !ipsec.key_bits.has(&bits) {
            let supported = ipsec.key_bits.list(|bits| *bits);
            found(NotEligible::KeyLength, format_args!("key-bits={bits} supported={supported}"));
        }
        let icv = suite.icv_len();
        if !ipsec.icv_bytes.has(&icv) {
            let supported = ipsec.icv_bytes.list(|bytes| *bytes);
            found(NotEligible::IcvLength, format_args!("icv-bytes={icv} supported={supported}"));
        }
    }

    fn check_replay(&self, facts: &SaFacts, found: Found<'_>) {
        let ipsec = &self.ipsec;
        let window = facts.replay_window;
        if facts.direction == Direction::Original && !ipsec.replay_of_pair {
            return;
        }
        if (window > 0 || facts.esn) && !ipsec.replay_windows.has(&window) {
            let supported = ipsec.replay_windows.list(|size| *size);
            found(
                NotEligible::ReplayWindowSize,
                format_args!("replay-window={window} supported={supported}"),
            );
        }
        if window > 0 && !facts.esn && !ipsec.replay_without_esn {
            found(NotEligible::ReplayNeedsEsn, format_args!("replay-window={window} esn=false"));
        }
    }

    fn check_lifetimes(&self, facts: &SaFacts, found: Found<'_>) {
        let (soft, hard) = (&facts.soft, &facts.hard);
        if let Some(bytes) = soft.bytes.or(hard.bytes).filter(|_| !self.ipsec.byte_lifetimes) {
            found(NotEligible::VolumeLifetime, format_args!("lifetime-bytes={bytes}"));
        }
        if self.ipsec.hard_without_soft {
            return;
        }
        let units = [("bytes", soft.bytes, hard.bytes), ("packets", soft.packets, hard.packets)];
        for (unit, soft, hard) in units {
            let Some(hard) = hard else { continue };
            match soft {
                Some(soft) if soft < hard => {}
                Some(soft) => found(
                    NotEligible::LifetimeOrder,
                    format_args!("hard-{unit}={hard} soft-{unit}={soft}"),
                ),
                None => found(
                    NotEligible::LifetimeOrder,
                    format_args!("hard-{unit}={hard} soft-{unit}=none"),
                ),
            }
        }
    }
}

pub(super) fn mode(mode: &Mode) -> Mode {
    *mode
}

pub(super) fn hash(mac: &MacAlgorithm) -> &'static str {
    match mac {
        MacAlgorithm::Sha1 => "sha-1",
        MacAlgorithm::Sha256 => "sha-256",
        MacAlgorithm::Sha384 => "sha-384",
        MacAlgorithm::Sha512 => "sha-512",
    }
}
