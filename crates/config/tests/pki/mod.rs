//! Files of certificates in memory, made anew for each test.

use std::{collections::BTreeMap, io, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber,
    date_time_ymd,
};

/// 2026-06-01.
pub const NOW: u64 = 1_780_272_000;

/// Files below `/etc/lockgate`, by name.
pub struct Pki(BTreeMap<&'static str, Vec<u8>>);

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

/// A certificate from the first day of a month to the first of another.
fn params(name: &str, serial: u64, from: (i32, u8), to: (i32, u8)) -> CertificateParams {
    let mut params = CertificateParams::new(vec![format!("{name}.example.com")]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(serial));
    params.not_before = date_time_ymd(from.0, from.1, 1);
    params.not_after = date_time_ymd(to.0, to.1, 1);
    params
}

fn authority(name: &str, from: (i32, u8), to: (i32, u8)) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = params(name, 1, from, to);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, key()).unwrap()
}

impl Pki {
    /// An authority, certificates of it for a gateway `gw` in and out of their time, lists of revoked
    /// certificates, and files that are none of that.
    pub fn new() -> Self {
        let ca = authority("ca", (2025, 1), (2035, 1));
        let (own, other) = (key(), key());
        let issue = |params: CertificateParams| params.signed_by(&own, &ca).unwrap().pem();
        let list = |year, month| {
            let params = CertificateRevocationListParams {
                this_update: date_time_ymd(2026, 1, 1),
                next_update: date_time_ymd(year, month, 1),
                crl_number: SerialNumber::from(1),
                issuing_distribution_point: None,
                revoked_certs: Vec::new(),
                key_identifier_method: KeyIdMethod::Sha256,
            };
            params.signed_by(&ca).unwrap().pem().unwrap()
        };
        let mut encrypting = params("gw", 6, (2026, 1), (2028, 1));
        encrypting.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
        let gw = issue(params("gw", 2, (2026, 1), (2028, 1)));
        let files = [
            ("ca.pem", ca.pem()),
            ("old-ca.pem", authority("old-ca", (2020, 1), (2025, 1)).pem()),
            ("chain.pem", format!("{gw}{}", ca.pem())),
            ("long.pem", gw.repeat(9)),
            ("gw.pem", gw),
            ("gw.key", own.serialize_pem()),
            ("other.key", other.serialize_pem()),
            ("old.pem", issue(params("gw", 3, (2024, 1), (2025, 1)))),
            ("next.pem", issue(params("gw", 4, (2026, 9), (2028, 1)))),
            ("encrypting.pem", issue(encrypting)),
            ("clients-ca.pem", ca.pem()),
            ("clients.crl", list(2027, 1)),
            ("users", "alice:staff:\nbob:guests,staff:\n".to_owned()),
            ("nobody", "# nobody yet\n".to_owned()),
            ("twice", "alice::\nalice:staff:\n".to_owned()),
            ("ca.crl", list(2027, 1)),
            ("old.crl", list(2026, 5)),
            ("empty.pem", String::new()),
            ("encrypted.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n".to_owned()),
        ];
        Self(files.into_iter().map(|(name, text)| (name, text.into_bytes())).collect())
    }

    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        self.0.get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
