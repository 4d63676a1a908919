//! Which DTLS associations an engine serves, as data, and the evaluation of one against it.
//!
//! Each direction of an association is judged by itself, though nothing here tells them apart so far.

use aead::Algorithm;
use reason::{NotEligible, ReasonSet};

use super::{Allowed, Capabilities, Eligibility, Found, said};

/// A version of DTLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DtlsVersion {
    /// RFC 4347.
    V1_0,
    /// RFC 6347.
    V1_2,
}

impl DtlsVersion {
    /// `1.0` or `1.2`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_2 => "1.2",
        }
    }
}

/// Which DTLS associations an engine serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DtlsCapabilities {
    /// Versions; none where it knows nothing of DTLS.
    pub versions: Allowed<DtlsVersion>,
    /// What protects the records.
    pub ciphers: Allowed<Algorithm>,
    /// Compression of what records carry.
    pub compression: bool,
    /// Outer IPv4.
    pub ipv4: bool,
    /// Outer IPv6.
    pub ipv6: bool,
    /// Most virtual routers; none for no bound.
    pub virtual_routers: Option<usize>,
}

impl DtlsCapabilities {
    /// Every association. What a profile does not restrict stays like this.
    pub const EVERYTHING: Self = Self {
        versions: Allowed::Any,
        ciphers: Allowed::Any,
        compression: true,
        ipv4: true,
        ipv6: true,
        virtual_routers: None,
    };
}

/// What an engine needs to know of an association to judge it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DtlsFacts {
    /// Its version.
    pub version: DtlsVersion,
    /// What protects its records.
    pub cipher: Algorithm,
    /// Whether what records carry is compressed.
    pub compression: bool,
    /// Outer IPv6 rather than IPv4.
    pub ipv6: bool,
    /// Virtual routers of the gateway.
    pub virtual_routers: usize,
    /// What the gateway itself found against offloading.
    pub findings: ReasonSet<NotEligible>,
}

impl Capabilities {
    /// Evaluates an association: what stands against it on this engine, everything at once.
    pub fn evaluate_dtls(&self, facts: &DtlsFacts) -> Eligibility {
        let mut against = facts.findings;
        self.check_dtls(facts, &mut |reason, _| against.insert(reason));
        Eligibility { against }
    }

    /// The figures behind a reason of [`Capabilities::evaluate_dtls`], as `name=value` pairs; none
    /// where the reason is a finding of the gateway's own.
    pub fn dtls_evidence(&self, facts: &DtlsFacts, reason: NotEligible) -> Option<String> {
        said(reason, |found| self.check_dtls(facts, found))
    }

    fn check_dtls(&self, facts: &DtlsFacts, found: Found<'_>) {
        let dtls = &self.dtls;
        if dtls.versions == Allowed::Only(&[]) {
            found(NotEligible::DtlsNotOffloaded, format_args!("dtls-versions=none"));
            return;
        }
        if !dtls.versions.has(&facts.version) {
            let supported = dtls.versions.list(|version| version.name());
            let version = facts.version.name();
            found(
                NotEligible::DtlsVersionUnsupported,
                format_args!("version={version} supported={supported}"),
            );
        }
        if !dtls.ciphers.has(&facts.cipher) {
            let supported = dtls.ciphers.list(cipher);
            found(
                NotEligible::CipherUnsupported,
                format_args!("cipher={} supported={supported}", cipher(&facts.cipher)),
            );
        }
        if facts.compression && !dtls.compression {
            found(NotEligible::DtlsCompression, format_args!("compression=true"));
        }
        self.check_version(facts.ipv6, (dtls.ipv4, dtls.ipv6), found);
        if let Some(most) = dtls.virtual_routers.filter(|most| facts.virtual_routers > *most) {
            found(
                NotEligible::MultiContext,
                format_args!("virtual-routers={} supported={most}", facts.virtual_routers),
            );
        }
    }
}

/// The name of a cipher as values are written.
pub(super) fn cipher(algorithm: &Algorithm) -> String {
    algorithm.name().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PROFILES;

    const FACTS: DtlsFacts = DtlsFacts {
        version: DtlsVersion::V1_2,
        cipher: Algorithm::Aes256Gcm,
        compression: false,
        ipv6: false,
        virtual_routers: 1,
        findings: ReasonSet::EMPTY,
    };

    #[test]
    fn every_limit_is_a_reason_of_its_own_with_evidence() {
        let mut strict = Capabilities::soft(8);
        strict.dtls = DtlsCapabilities {
            versions: Allowed::Only(&[DtlsVersion::V1_2]),
            ciphers: Allowed::Only(&[Algorithm::Aes256Gcm]),
            compression: false,
            ipv4: true,
            ipv6: false,
            virtual_routers: Some(1),
        };
        assert!(strict.evaluate_dtls(&FACTS).is_eligible());
        let facts = DtlsFacts {
            version: DtlsVersion::V1_0,
            cipher: Algorithm::ChaCha20Poly1305,
            compression: true,
            ipv6: true,
            virtual_routers: 3,
            findings: [NotEligible::DisabledByPolicy].into_iter().collect(),
        };
        let expected = [
            (NotEligible::DisabledByPolicy, None),
            (NotEligible::AddressFamilyUnsupported, Some("version=ipv6 supported=ipv4")),
            (
                NotEligible::CipherUnsupported,
                Some("cipher=chacha20-poly1305 supported=aes-256-gcm"),
            ),
            (NotEligible::MultiContext, Some("virtual-routers=3 supported=1")),
            (NotEligible::DtlsVersionUnsupported, Some("version=1.0 supported=1.2")),
            (NotEligible::DtlsCompression, Some("compression=true")),
        ];
        let against = strict.evaluate_dtls(&facts).against;
        assert_eq!(against.iter().collect::<Vec<_>>(), expected.map(|(reason, _)| reason));
        for (reason, evidence) in expected {
            assert_eq!(strict.dtls_evidence(&facts, reason).as_deref(), evidence);
        }
    }

    #[test]
    fn an_engine_without_dtls_says_that_alone() {
        let mut none = Capabilities::soft(8);
        none.dtls.versions = Allowed::Only(&[]);
        let facts = DtlsFacts { version: DtlsVersion::V1_0, compression: true, ..FACTS };
        let against = none.evaluate_dtls(&facts).against;
        assert_eq!(against.iter().collect::<Vec<_>>(), [NotEligible::DtlsNotOffloaded]);
    }

    #[test]
    fn the_device_that_speaks_of_dtls_takes_1_2_in_one_context() {
        let find = |name| PROFILES.iter().find(|p| p.capabilities.name == name);
        let cisco = find("secure-firewall-3100").expect("a profile").capabilities;
        assert!(cisco.evaluate_dtls(&FACTS).is_eligible());
        let facts = DtlsFacts {
            version: DtlsVersion::V1_0,
            compression: true,
            virtual_routers: 2,
            ..FACTS
        };
        let against: Vec<_> = cisco.evaluate_dtls(&facts).against.iter().collect();
        let expected = [
            NotEligible::MultiContext,
            NotEligible::DtlsVersionUnsupported,
            NotEligible::DtlsCompression,
        ];
        assert_eq!(against, expected);
    }
}
